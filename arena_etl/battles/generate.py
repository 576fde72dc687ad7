"""Every contestant answers every instruction of an arena, turn by turn, each with its own history."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from arena_etl.config import Config, digest
from arena_etl.contestants import Entrant, model_dir, roster
from arena_etl.engines.base import Completion, Engine, Message, Request, batched, failed
from arena_etl.engines.recorded import RecordedEngine, load_answers
from arena_etl.errors import InputError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES

Key = tuple[str, int]  # instruction_id, turn


@dataclass(frozen=True)
class Instruction:
    instruction_id: str
    turns: tuple[str, ...]
    reference: tuple[str, ...] | None


def inputs(config: Config, lake: Lake, round_: str, stage: str, arena: str) -> Any:
    instructions = _instructions(lake, round_, stage, arena)
    return {
        "contestants": [entrant.contestant_id for entrant in roster(config, lake, round_, stage, arena)],
        "instructions": digest([instruction.instruction_id for instruction in instructions]),
    }


def units(config: Config, lake: Lake, round_: str, stage: str, arena: str) -> list[str]:
    """``contestant_id/shard`` for every contestant and shard."""
    entrants = roster(config, lake, round_, stage, arena)
    return [f"{entrant.contestant_id}/{shard}" for entrant in entrants for shard in range(config.battles.shards)]


def generate(
    config: Config, lake: Lake, staging: Staging, round_: str, stage: str, arena: str, unit: str
) -> dict[str, int]:
    """Stage the answers of one contestant to one shard of the arena's instructions.

    Answers that the lake or an interrupted run already has are never generated again: those of other rounds and stages
    stay where they are, those of this partition are taken over.
    """
    contestant_id, _, shard = unit.rpartition("/")
    entrant = next(e for e in roster(config, lake, round_, stage, arena) if e.contestant_id == contestant_id)
    instructions = _instructions(lake, round_, stage, arena)[int(shard) :: config.battles.shards]
    part = unit.replace("/", ".")

    answers = _answers(lake, contestant_id, staging)
    taken_over = _committed(lake, contestant_id, staging)
    if taken_over.num_rows:
        staging.write(f"{part}-kept", taken_over)
    missing = [i for i in instructions if any((i.instruction_id, t + 1) not in answers for t in range(len(i.turns)))]
    counts = {"answers": 0, "reused": sum(len(i.turns) for i in instructions), "errors": 0}
    if not missing:
        return counts

    engine = _engine(config, lake, entrant, missing)
    request = json.dumps(engine.request_settings, ensure_ascii=False, sort_keys=True)
    total = sum((i.instruction_id, t + 1) not in answers for i in missing for t in range(len(i.turns)))
    counts["reused"] -= total
    with tqdm(total=total, desc=f"generate {unit}", unit=" answers", disable=None) as progress:
        for turn in range(1, max(len(i.turns) for i in missing) + 1):
            due = [i for i in missing if len(i.turns) >= turn and (i.instruction_id, turn) not in answers]
            histories = {f"{i.instruction_id}/{turn}": _history(i, turn, answers) for i in due}
            requests = [Request(key, tuple(messages)) for key, messages in histories.items() if messages is not None]
            lost = [failed(key, "an earlier turn has no answer") for key, m in histories.items() if m is None]
            for chunk in batched(chain(lost, engine.complete(requests)), config.engine.batch_size):
                name = digest([completion.key for completion in chunk])[:16]
                staging.write(f"{part}-{name}", _rows(chunk, round_, stage, arena, contestant_id, request))
                for completion in chunk:
                    instruction_id, _, _ = completion.key.rpartition("/")
                    answers[instruction_id, turn] = completion.text
                    counts["answers"] += 1
                    counts["errors"] += completion.error is not None
                progress.update(len(chunk))
    return counts


def _instructions(lake: Lake, round_: str, stage: str, arena: str) -> list[Instruction]:
    with lake.connect(["instructions", "slices"]) as connection:
        rows = sql.run(connection, "instructions/arena", round=round_, stage=stage, arena=arena).fetchall()
    if not rows:
        raise InputError(
            f"round {round_}, stage {stage}: the arena {arena} has no instructions. `arena-etl ingest` loads the configured "
            "sources; the test set needs one with `split: wizard_diverse` or `wizard_hard`."
        )
    return [Instruction(i, tuple(turns), tuple(reference) if reference else None) for i, turns, reference in rows]


def _answers(lake: Lake, contestant_id: str, staging: Staging) -> dict[Key, str | None]:
    """Every answer of the contestant that exists, committed anywhere or staged here. None: it ended in an error."""
    with lake.connect(["responses"]) as connection:
        connection.register("staged", staging.read())
        rows = connection.execute(
            """
            select instruction_id, turn, text from responses where contestant_id = $contestant_id
            union all
            select instruction_id, turn, text from staged where contestant_id = $contestant_id
            """,
            {"contestant_id": contestant_id},
        ).fetchall()
    return {(instruction_id, turn): text for instruction_id, turn, text in rows}


def _committed(lake: Lake, contestant_id: str, staging: Staging) -> pa.Table:
    """The contestant's rows in the partition that is about to be replaced."""
    with lake.connect(["responses"]) as connection:
        return connection.sql(
            f"select * from responses where {staging.partition.predicate} and contestant_id = $contestant_id",
            params={"contestant_id": contestant_id},
        ).to_arrow_table()


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


def _engine(config: Config, lake: Lake, entrant: Entrant, instructions: list[Instruction]) -> Engine:
    contestant = entrant.contestant
    if contestant.backend == "recorded":
        if contestant.checkpoint == "references":
            return RecordedEngine(
                {f"{i.instruction_id}/{n}": text for i in instructions for n, text in enumerate(i.reference or (), 1)}
            )
        recorded = load_answers(Path(contestant.checkpoint))
        return RecordedEngine({f"{instruction}/{turn}": text for (instruction, turn), text in recorded.items()})
    from arena_etl.engines.transformers_engine import TransformersEngine

    folder = model_dir(config, lake, contestant.checkpoint, contestant.revision)
    return TransformersEngine(folder, contestant.sampling, contestant.system_prompt, config.engine)


def _rows(
    completions: list[Completion], round_: str, stage: str, arena: str, contestant_id: str, request: str
) -> pa.Table:
    now = datetime.now(UTC)
    rows = []
    for completion in completions:
        instruction_id, _, turn = completion.key.rpartition("/")
        rows.append(
            {
                "round": round_,
                "stage": stage,
                "arena": arena,
                "instruction_id": instruction_id,
                "contestant_id": contestant_id,
                "turn": int(turn),
                "text": completion.text,
                "finish_reason": completion.finish_reason,
                "error": completion.error,
                "tokens_in": completion.tokens_in,
                "tokens_out": completion.tokens_out,
                "latency_s": completion.latency_s,
                "request": request,
                "created_at": now,
            }
        )
    return pa.Table.from_pylist(rows, schema=TABLES["responses"].arrow_schema())
