"""Every contestant answers every instruction of an arena, turn by turn, each with its own history."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from arena_etl.budget import Ledger
from arena_etl.config import Config, Contestant, digest
from arena_etl.contestants import Entrant, checkpoint_dir, roster
from arena_etl.engines.base import Completion, Engine, Message, Request, failed
from arena_etl.engines.factory import open_engine
from arena_etl.errors import InputError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import Staging, flushes
from arena_etl.lake.tables import TABLES
from arena_etl.progress import Progress

Key = tuple[str, int]  # instruction_id, turn


@dataclass(frozen=True)
class Instruction:
    instruction_id: str
    category: str
    turns: tuple[str, ...]
    reference: tuple[str, ...] | None


def inputs(config: Config, lake: Lake, round_: str, stage: str, arena: str) -> Any:
    entrants = roster(config, lake, round_, stage, arena)
    instructions = _instructions(config, lake, round_, stage, arena)
    return {
        "contestants": [entrant.contestant_id for entrant in entrants],
        "instructions": digest([instruction.instruction_id for instruction in instructions]),
        "recordings": {e.contestant_id: _recording_sha256(e.contestant) for e in entrants if _is_file(e.contestant)},
    }


def units(config: Config, lake: Lake, round_: str, stage: str, arena: str) -> list[str]:
    """``contestant_id/shard-of-shards`` for every contestant and shard."""
    entrants = roster(config, lake, round_, stage, arena)
    shards = config.battles.shards
    return [f"{entrant.contestant_id}/{shard}-of-{shards}" for entrant in entrants for shard in range(shards)]


def generate(
    config: Config, lake: Lake, staging: Staging, round_: str, stage: str, arena: str, unit: str
) -> dict[str, int]:
    """Stage the answers of one contestant to one shard of the arena's instructions.

    Answers that the lake or an interrupted run already has are never generated again: those of other rounds and stages
    stay where they are, those of this partition are taken over. Errors are tried again.
    """
    contestant_id, _, shard = unit.rpartition("/")
    number, _, shards = shard.partition("-of-")
    entrant = next(e for e in roster(config, lake, round_, stage, arena) if e.contestant_id == contestant_id)
    contestant = entrant.contestant
    instructions = _instructions(config, lake, round_, stage, arena)[int(number) :: int(shards)]

    answers, kept = _existing(lake, staging, entrant, instructions)
    staging.keep(unit, kept)
    owed = {(i.instruction_id, turn) for i in instructions for turn in range(1, len(i.turns) + 1)}
    missing = [i for i in instructions if any((i.instruction_id, t + 1) not in answers for t in range(len(i.turns)))]
    counts = {"answers": 0, "reused": len(owed & answers.keys()), "errors": 0}
    if not missing:
        return counts

    ledger = Ledger(config, lake, round_)
    ledger.check()
    total = len(owed - answers.keys())
    with _engine(config, lake, contestant, missing) as engine, Progress(staging, "generate", unit, total) as progress:
        request = json.dumps(engine.request_settings, ensure_ascii=False, sort_keys=True)
        for turn in range(1, max(len(i.turns) for i in missing) + 1):
            due = [i for i in missing if len(i.turns) >= turn and (i.instruction_id, turn) not in answers]
            histories = {f"{i.instruction_id}/{turn}": _history(i, turn, answers) for i in due}
            requests = [
                Request(key, tuple(messages), contestant.sampling_of(i.category))
                for i, (key, messages) in zip(due, histories.items(), strict=True)
                if messages is not None
            ]
            lost = [failed(key, "an earlier turn has no answer") for key, m in histories.items() if m is None]
            completions = chain(lost, engine.complete(requests))
            for chunk in flushes(completions, config.engine.batch_size, config.engine.flush_s):
                rows = _rows(chunk, staging.partition.columns, contestant, request, histories)
                staging.write(unit, digest([completion.key for completion in chunk])[:16], rows)
                for completion in chunk:
                    instruction_id, _, _ = completion.key.rpartition("/")
                    answers[instruction_id, turn] = completion.text
                    counts["answers"] += 1
                    counts["errors"] += completion.error is not None
                progress.stored(len(chunk), sum(completion.tokens_out or 0 for completion in chunk))
                ledger.add(rows)
    return counts


def _instructions(config: Config, lake: Lake, round_: str, stage: str, arena: str) -> list[Instruction]:
    version = config.wizard_arena.version
    with lake.connect(["instructions", "slices", "wizard_arena"]) as connection:
        found = sql.run(connection, "instructions/arena", round=round_, stage=stage, arena=arena, version=version)
        rows = found.project("instruction_id, category, [turn.content for turn in conversation], reference").fetchall()
    if not rows:
        remedy = (
            f"wizard_arena.version is {version}: `arena-etl wizard-arena build --version {version}` builds it."
            if version
            else "The test set needs a source with `split: wizard_diverse` or `wizard_hard`, or a built wizard_arena.version."
        )
        raise InputError(
            f"round {round_}, stage {stage}: the arena {arena} has no instructions. `arena-etl ingest` loads the configured "
            f"sources. {remedy}"
        )
    return [
        Instruction(instruction_id, category, tuple(turns), tuple(reference) if reference else None)
        for instruction_id, category, turns, reference in rows
    ]


def _existing(
    lake: Lake, staging: Staging, entrant: Entrant, instructions: list[Instruction]
) -> tuple[dict[Key, str | None], pa.Table]:
    """What the contestant answered to these instructions before, in any partition, and the rows for this one.

    Of several answers the first partition's stands, as in sql/verdicts/standing_answers.sql. A recording costs nothing to
    play again and may have changed: of it, nothing is kept for this partition.
    """
    parameters = {"contestant": entrant.contestant_id}
    mine = "contestant_id = $contestant and instruction_id in (select instruction_id from wanted) and text is not null"
    here = staging.partition.predicate
    ids = pa.array([instruction.instruction_id for instruction in instructions], pa.string())
    with lake.connect(["responses"]) as connection:
        connection.register("wanted", pa.table({"instruction_id": ids}))
        connection.register("staged", staging.read())
        kept: pa.Table = connection.sql(
            f"""
            select * from (select * from responses where {mine} and {here} union all select * from staged where {mine})
            where response_id is not null
            qualify row_number() over (partition by instruction_id, turn order by created_at) = 1
            order by instruction_id, turn
            """,
            params=parameters,
        ).to_arrow_table()
        if entrant.contestant.backend == "recorded":
            kept = kept.slice(0, 0)
        connection.register("kept", kept)
        answered = connection.execute(
            f"""
            select instruction_id, turn, text
            from (select * from responses where {mine} and not ({here}) union all by name select * from kept)
            qualify row_number() over (partition by instruction_id, turn order by round, stage, arena) = 1
            """,
            parameters,
        ).fetchall()
    return {(instruction_id, turn): text for instruction_id, turn, text in answered}, kept


def _is_file(contestant: Contestant) -> bool:
    return contestant.backend == "recorded" and contestant.checkpoint != "references"


def _recording_sha256(contestant: Contestant) -> str:
    try:
        with Path(contestant.checkpoint).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"contestant {contestant.name}: its recording cannot be read: {error}") from error


def _history(instruction: Instruction, turn: int, answers: dict[Key, str | None]) -> list[Message] | None:
    """The conversation up to the user's ``turn``; None when an earlier turn has no answer."""
    messages: list[Message] = []
    for number, content in enumerate(instruction.turns[:turn], start=1):
        messages.append({"role": "user", "content": content})
        if number < turn:
            answer = answers.get((instruction.instruction_id, number))
            if answer is None:
                return None
            messages.append({"role": "assistant", "content": answer})
    return messages


def _engine(
    config: Config, lake: Lake, contestant: Contestant, instructions: list[Instruction]
) -> AbstractContextManager[Engine]:
    answers = None
    if contestant.backend == "recorded" and contestant.checkpoint == "references":
        answers = {f"{i.instruction_id}/{n}": text for i in instructions for n, text in enumerate(i.reference or (), 1)}
    return open_engine(
        contestant,
        config.engine,
        checkpoint_dir(config, lake, contestant),
        sampling=contestant.sampling,
        system_prompt=contestant.system_prompt,
        answers=answers,
    )


def _rows(
    completions: list[Completion],
    partition: Mapping[str, str],
    contestant: Contestant,
    request: str,
    histories: Mapping[str, list[Message] | None],
) -> pa.Table:
    now = datetime.now(UTC)
    rows = []
    for completion in completions:
        instruction_id, _, turn = completion.key.rpartition("/")
        content = [contestant.contestant_id, request, histories[completion.key], completion.text]
        rows.append(
            {
                **partition,
                "instruction_id": instruction_id,
                "contestant_id": contestant.contestant_id,
                "turn": int(turn),
                "response_id": digest(content),
                "text": completion.text,
                "reasoning": completion.reasoning,
                "finish_reason": completion.finish_reason,
                "error": completion.error,
                "tokens_in": completion.tokens_in,
                "tokens_out": completion.tokens_out,
                "latency_s": completion.latency_s,
                "cost_usd": contestant.cost_usd(completion.tokens_in, completion.tokens_out),
                "request": request,
                "created_at": now,
            }
        )
    return pa.Table.from_pylist(rows, schema=TABLES["responses"].arrow_schema())
