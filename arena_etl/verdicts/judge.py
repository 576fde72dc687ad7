"""The two-game protocol: every pair of answers is judged twice, with the order swapped (paper section 3.2).

An instruction with a checker is judged by the verifier, all others by the judge model. Answers that the lake already
has a verdict for are never judged again.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import Any, Literal

import pyarrow as pa
from tqdm import tqdm

from arena_etl.config import Config, Sampling, digest
from arena_etl.contestants import model_dir, roster
from arena_etl.engines.base import Request, batched
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES
from arena_etl.verdicts import prompt
from arena_etl.verdicts.parse import Parsed, parse
from arena_etl.verifiers import check

VERIFIER = "verifier"
Side = Literal["model_a", "model_b"]


@dataclass(frozen=True)
class Game:
    """One ordered pair of answers to one turn; ``exchanges`` hold the dialogue in the order shown."""

    instruction_id: str
    turn: int
    model_a: str
    model_b: str
    shown_first: Side
    exchanges: tuple[prompt.Exchange, ...] | None  # None: a contestant has no answer
    checker: dict[str, Any] | None

    @property
    def key(self) -> str:
        return _key(vars(self))


def _key(game: Mapping[str, Any]) -> str:
    return "|".join(str(game[name]) for name in ("instruction_id", "turn", "model_a", "model_b", "shown_first"))


def judge_id(config: Config, kind: str) -> str:
    """The judge's name and a hash of model, prompt and decoding. The verifier is one for all."""
    if kind == VERIFIER:
        return f"{VERIFIER}-v1"
    _, prompt_hash = prompt.load(config.judge.prompt)
    return f"{config.judge.name}-{digest([config.judge.model_dump(exclude={'verifiers'}), prompt_hash])[:8]}"


def inputs(config: Config, lake: Lake, round_: str, stage: str, arena: str) -> Any:
    return {
        "responses": lake.require(Partition("responses", (round_, stage, arena)), "`arena-etl battle` comes first."),
        "judges": [judge_id(config, kind) for kind in _kinds(config)],
        "verifiers": config.judge.verifiers,
        "pairs": _pairs(config, lake, round_, stage, arena),
    }


def units(config: Config, lake: Lake, round_: str, stage: str, arena: str) -> list[str]:
    """``verifier/shard-of-shards`` and ``model/shard-of-shards``."""
    shards = config.battles.shards
    return [f"{kind}/{shard}-of-{shards}" for kind in _kinds(config) for shard in range(shards)]


def judge(
    config: Config, lake: Lake, staging: Staging, round_: str, stage: str, arena: str, unit: str
) -> dict[str, int]:
    """Stage the verdicts of one judge on one shard of the arena's instructions."""
    kind, _, shard = unit.partition("/")
    number, _, shards = shard.partition("-of-")
    judge_name = judge_id(config, kind)
    games = _games(config, lake, round_, stage, arena, verified=kind == VERIFIER)
    instructions = sorted({game.instruction_id for game in games})
    mine = set(instructions[int(number) :: int(shards)])
    games = [game for game in games if game.instruction_id in mine]
    elsewhere, kept = _existing(lake, staging, judge_name, games)
    staging.keep(unit, kept)
    done = elsewhere | {_key(row) for row in kept.to_pylist()}
    due = [game for game in games if game.key not in done]
    counts = {"verdicts": 0, "reused": len(games) - len(due), "unparsed": 0}
    size = 1_000 if kind == VERIFIER else config.engine.batch_size
    verdicts = _verify(due) if kind == VERIFIER else _ask(config, lake, due)
    common = {"round": round_, "stage": stage, "arena": arena, "judge_id": judge_name}
    with tqdm(total=len(due), desc=f"judge {unit}", unit=" games", disable=None) as progress:
        for chunk in batched(verdicts, size):
            rows = [{**common, **row, "created_at": datetime.now(UTC)} for row in chunk]
            name = digest([[row[c] for c in TABLES["verdicts"].grain] for row in rows])[:16]
            staging.write(unit, name, pa.Table.from_pylist(rows, schema=TABLES["verdicts"].arrow_schema()))
            counts["verdicts"] += len(rows)
            counts["unparsed"] += sum(row["parse_status"] != "ok" for row in rows)
            progress.update(len(rows))
    return counts


def _kinds(config: Config) -> list[str]:
    return [VERIFIER, "model"] if config.judge.verifiers else ["model"]


def _pairs(config: Config, lake: Lake, round_: str, stage: str, arena: str) -> list[tuple[str, str]]:
    """Pairs of contestant_id, the smaller first."""
    entrants = roster(config, lake, round_, stage, arena)
    rivals = {entrant.contestant_id for entrant in entrants if entrant.role == "rival"}
    pairs = combinations(sorted(entrant.contestant_id for entrant in entrants), 2)
    return [pair for pair in pairs if config.battles.pairing == "round_robin" or not rivals.issuperset(pair)]


def _games(config: Config, lake: Lake, round_: str, stage: str, arena: str, verified: bool) -> list[Game]:
    pairs = _pairs(config, lake, round_, stage, arena)
    contestants = sorted({model for pair in pairs for model in pair})
    with lake.connect(["instructions", "slices", "responses"]) as connection:
        rows = sql.run(
            connection, "instructions/answered", round=round_, stage=stage, arena=arena, contestants=contestants
        ).fetchall()
    turns: dict[tuple[str, int], str] = {}
    checkers: dict[tuple[str, int], dict[str, Any] | None] = {}
    texts: dict[tuple[str, int], dict[str, str | None]] = defaultdict(dict)
    for instruction_id, turn, contestant_id, instruction, checker, text in rows:
        turns[instruction_id, turn] = instruction
        checkers[instruction_id, turn] = json.loads(checker) if checker else None
        texts[instruction_id, turn][contestant_id] = text
    games = []
    for (instruction_id, turn), answers in sorted(texts.items()):
        checker = checkers[instruction_id, turn]
        if config.judge.verifiers and (checker is not None) != verified:
            continue
        for model_a, model_b in pairs:
            if model_a not in answers or model_b not in answers:
                continue
            orders: tuple[tuple[Side, str, str], ...] = (("model_a", model_a, model_b), ("model_b", model_b, model_a))
            for shown_first, first, second in orders:
                dialogue = [
                    (turns[instruction_id, t], texts[instruction_id, t][first], texts[instruction_id, t][second])
                    for t in range(1, turn + 1)
                ]
                complete = all(a is not None and b is not None for _, a, b in dialogue)
                exchanges = tuple(prompt.Exchange(i, a or "", b or "") for i, a, b in dialogue) if complete else None
                games.append(Game(instruction_id, turn, model_a, model_b, shown_first, exchanges, checker))
    return games


def _existing(lake: Lake, staging: Staging, judge_name: str, games: list[Game]) -> tuple[set[str], pa.Table]:
    """Verdicts that these games have already: keys of those in other partitions, and rows for this one.

    Only verdicts of games that are still to be fought are kept, and none that had nothing to judge: those are tried again.
    """
    parameters = {"judge": judge_name}
    key = "concat_ws('|', instruction_id, turn, model_a, model_b, shown_first)"
    mine = f"judge_id = $judge and {key} in (select key from wanted)"
    with lake.connect(["verdicts"]) as connection:
        connection.register("wanted", pa.table({"key": pa.array([game.key for game in games], pa.string())}))
        connection.register("staged", staging.read())
        elsewhere = connection.execute(
            f"select {key} from verdicts where {mine} and not ({staging.partition.predicate})", parameters
        ).fetchall()
        kept: pa.Table = connection.sql(
            f"""
            with here as (
                select * from verdicts where {mine} and {staging.partition.predicate}
                union all
                select * from staged where {mine}
            )
            select * from here where parse_status not in ('engine_error', 'missing_response')
            qualify row_number() over (partition by {key} order by created_at) = 1
            order by {key}
            """,
            params=parameters,
        ).to_arrow_table()
    return {row[0] for row in elsewhere}, kept


def _verify(games: list[Game]) -> Any:
    for game in games:
        if game.exchanges is None or game.checker is None:
            yield _row(game, VERIFIER, None, Parsed("missing_response"), 0, 0, "")
            continue
        shown = game.exchanges[-1]
        first, second = check(game.checker, shown.answer_a), check(game.checker, shown.answer_b)
        parsed = Parsed("ok", first.score, second.score, f"A: {first.reason}; B: {second.reason}")
        yield _row(game, VERIFIER, None, parsed, 0, 0, digest(game.checker))


def _ask(config: Config, lake: Lake, games: list[Game]) -> Any:
    if not games:
        return
    from arena_etl.engines.transformers_engine import TransformersEngine

    template, prompt_hash = prompt.load(config.judge.prompt)
    asked = {}
    for game in games:
        if game.exchanges is None:
            yield _row(game, "model", None, Parsed("missing_response"), 0, 0, prompt_hash)
        else:
            asked[game.key] = game
    engine = TransformersEngine(
        model_dir(config, lake, config.judge.checkpoint, config.judge.revision),
        Sampling(temperature=0, max_new_tokens=config.judge.max_new_tokens),
        None,
        config.engine,
        forced_prefix=template.opening,
    )
    requests = [Request(key, prompt.messages(template, list(game.exchanges or ()))) for key, game in asked.items()]
    for completion in engine.complete(requests):
        parsed = parse(completion.text)
        yield _row(
            asked[completion.key],
            "model",
            completion.text if completion.text is not None else completion.error,
            parsed,
            completion.tokens_in or 0,
            completion.tokens_out or 0,
            prompt_hash,
        )


def _row(
    game: Game, kind: str, raw_text: str | None, parsed: Parsed, tokens_in: int, tokens_out: int, prompt_hash: str
) -> dict[str, Any]:
    swapped = game.shown_first == "model_b"
    score_a, score_b = (parsed.shown_b, parsed.shown_a) if swapped else (parsed.shown_a, parsed.shown_b)
    return {
        "instruction_id": game.instruction_id,
        "turn": game.turn,
        "model_a": game.model_a,
        "model_b": game.model_b,
        "shown_first": game.shown_first,
        "judge_kind": kind,
        "raw_text": raw_text,
        "score_a": score_a,
        "score_b": score_b,
        "explanation": parsed.explanation,
        "parse_status": parsed.status,
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
        "cost_usd": 0.0,
        "prompt_hash": prompt_hash,
    }
