"""The two-game protocol: every pair of answers is judged twice, with the order swapped (paper section 3.2).

An instruction with a checker is judged by the verifier, all others by every judge of the configuration. Answers that the
lake already has a verdict for are never judged again, and two contestants that said the same are not judged at all.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pyarrow as pa

from arena_etl.budget import Ledger
from arena_etl.config import Config, Judge, Sampling, digest
from arena_etl.contestants import checkpoint_dir, model_dir, roster
from arena_etl.engines.factory import open_engine
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging, flushes
from arena_etl.lake.tables import TABLES
from arena_etl.progress import Progress
from arena_etl.verdicts import hostile, prompt, recorded
from arena_etl.verdicts.ask import Question, Ruling, ask
from arena_etl.verdicts.games import Game, due_games
from arena_etl.verdicts.parse import Parsed
from arena_etl.verdicts.reward import RewardModel
from arena_etl.verifiers import Check, check

VERIFIER = "verifier"
VERIFIER_ID = f"{VERIFIER}-v1"
_flags = lru_cache(4096)(hostile.flags)  # every answer is in several games that follow each other
Row = dict[str, Any]
Rule = Callable[[Iterable[Question]], Iterator[Ruling]]


def judges(config: Config) -> dict[str, Judge]:
    """Every model that judges, by name: the judge and the other members of the panel."""
    return {judge.name: judge for judge in (config.judge, *config.panel.judges)}


def judge_id(judge: Judge) -> str:
    """The judge's name and a hash of model, prompt and decoding, or of what was recorded."""
    what = [judge.identity, prompt.load_set(judge.prompt).hash]
    if judge.backend == "recorded":
        what.append(recorded.sha256(judge))
    return f"{judge.name}-{digest(what)[:8]}"


def inputs(config: Config, lake: Lake, round_: str, stage: str, arena: str) -> Any:
    return {
        "responses": lake.require(Partition("responses", (round_, stage, arena)), "`arena-etl battle` comes first."),
        "judges": [judge_id(judge) for judge in judges(config).values()],
        "verifiers": config.judge.verifiers and VERIFIER_ID,
        "pairs": {name: _pairs(config, lake, judge, round_, stage, arena) for name, judge in judges(config).items()},
    }


def units(config: Config, lake: Lake, round_: str, stage: str, arena: str) -> list[str]:
    """``verifier/shard-of-shards``, and the same for every judge's name."""
    shards = config.battles.shards
    names = [VERIFIER] if config.judge.verifiers else []
    return [f"{name}/{shard}-of-{shards}" for name in (*names, *judges(config)) for shard in range(shards)]


def judge(
    config: Config, lake: Lake, staging: Staging, round_: str, stage: str, arena: str, unit: str
) -> dict[str, int]:
    """Stage the verdicts of one judge on one shard of the arena's instructions."""
    name, _, part = unit.partition("/")
    shard, _, shards = part.partition("-of-")
    model = None if name == VERIFIER else judges(config)[name]
    common = {
        "round": round_,
        "stage": stage,
        "arena": arena,
        "judge_id": judge_id(model) if model else VERIFIER_ID,
        "judge_kind": "model" if model else VERIFIER,
    }
    pairs = _pairs(config, lake, model, round_, stage, arena)
    checked = model is None if config.judge.verifiers else None
    ledger = Ledger(config, lake, round_)
    counts = {"verdicts": 0, "reused": 0, "unparsed": 0}
    with due_games(
        lake,
        staging,
        common["judge_id"],
        pairs,
        version=config.wizard_arena.version,
        checked=checked,
        shard=int(shard),
        shards=int(shards),
    ) as due:
        staging.keep(unit, due.kept)
        counts["reused"] = due.total - due.count
        if due.count and model:
            ledger.check()
        rows = _timed(_ask(config, lake, model, due.games()) if model else _verify(due.games()))
        with Progress(staging, "judge", unit, due.count) as progress:
            for chunk in flushes(rows, config.engine.batch_size if model else 1_000, config.engine.flush_s):
                finished = [{**common, **row, "created_at": datetime.now(UTC)} for row in chunk]
                batch = pa.Table.from_pylist(finished, schema=TABLES["verdicts"].arrow_schema())
                staging.write(
                    unit, digest([[row[c] for c in TABLES["verdicts"].grain] for row in finished])[:16], batch
                )
                counts["verdicts"] += len(finished)
                counts["unparsed"] += sum(row["parse_status"] not in ("ok", "identical") for row in finished)
                progress.stored(len(finished), sum(row["tokens_out"] for row in finished))
                ledger.add(batch)
    return counts


@contextmanager
def open_judge(config: Config, lake: Lake, judge: Judge) -> Iterator[Rule]:
    """How a judge is asked: a function from questions to one ruling each, in any order.

    Raises InputError when its checkpoint, its file or its server cannot be used.
    """
    prompts = prompt.load_set(judge.prompt)
    if judge.backend == "recorded":
        yield recorded.RecordedVerdicts(Path(judge.checkpoint), prompts).rule
        return
    if judge.backend == "reward":
        yield RewardModel(model_dir(config, lake, judge.checkpoint, judge.revision), config.engine).rule
        return
    with open_engine(
        judge,
        config.engine,
        checkpoint_dir(config, lake, judge),
        sampling=Sampling(temperature=judge.temperature, max_new_tokens=judge.max_new_tokens),
        forced_prefix=prompts.opening,
        response_schema=prompts.schema if judge.structured else None,
        logprobs=20 if judge.expected_scores else 0,
    ) as engine:
        yield partial(ask, engine, prompts, expected_scores=judge.expected_scores)


def _pairs(
    config: Config, lake: Lake, judge: Judge | None, round_: str, stage: str, arena: str
) -> list[tuple[str, str]]:
    """Pairs of contestant_id, the smaller first: those that fight, and that this judge may judge."""
    entrants = roster(config, lake, round_, stage, arena)
    rivals = {entrant.contestant_id for entrant in entrants if entrant.role == "rival"}
    family = judge.family if judge and config.panel.spare_family else None
    kin = {e.contestant_id for e in entrants if family is not None and e.contestant.family == family}
    pairs = combinations(sorted(entrant.contestant_id for entrant in entrants), 2)
    return [
        pair
        for pair in pairs
        if (config.battles.pairing == "round_robin" or not rivals.issuperset(pair)) and kin.isdisjoint(pair)
    ]


def _verify(games: Iterable[Game]) -> Iterator[Row]:
    checks: dict[str, Check] = {}
    item = None
    for game in games:
        if (game.instruction_id, game.turn) != item:
            item, checks = (game.instruction_id, game.turn), {}
        if game.exchanges is None or game.checker is None:
            yield _row(game, Parsed("missing_response"))
            continue
        shown = game.exchanges[-1]
        for text in (shown.answer_a, shown.answer_b):
            if text not in checks:
                checks[text] = check(game.checker, text)
        first, second = checks[shown.answer_a], checks[shown.answer_b]
        parsed = Parsed("ok", first.score, second.score, f"A: {first.reason}; B: {second.reason}")
        yield _row(game, parsed, prompt_hash=digest(game.checker))


def _ask(config: Config, lake: Lake, judge: Judge, games: Iterable[Game]) -> Iterator[Row]:
    asked: dict[str, Game] = {}
    settled: list[Row] = []

    def questions() -> Iterator[Question]:
        for game in games:
            if game.exchanges is None:
                settled.append(_row(game, Parsed("missing_response")))
            elif game.identical:
                settled.append(_row(game, Parsed("identical")))
            else:
                asked[game.key] = game
                yield Question(game.key, game.exchanges, game.category, game.reference)

    waiting = questions()
    first = next(waiting, None)
    if first is not None:  # else no model is loaded
        with open_judge(config, lake, judge) as rule:
            for ruling in rule(chain([first], waiting)):
                while settled:
                    yield settled.pop()
                yield _row(
                    asked.pop(ruling.key),
                    ruling.parsed,
                    raw_text=ruling.raw_text,
                    first_text=ruling.first_text,
                    error=ruling.error or ruling.parsed.reason,
                    attempts=ruling.attempts,
                    tokens_in=ruling.tokens_in,
                    tokens_out=ruling.tokens_out,
                    cost_usd=judge.cost_usd(ruling.tokens_in, ruling.tokens_out),
                    prompt_hash=ruling.prompt_hash,
                )
    yield from settled


def _timed(rows: Iterable[Row]) -> Iterator[Row]:
    last = time.perf_counter()
    for row in rows:
        now = time.perf_counter()
        yield {**row, "latency_s": now - last}
        last = now


def _row(
    game: Game,
    parsed: Parsed,
    *,
    raw_text: str | None = None,
    first_text: str | None = None,
    error: str | None = None,
    attempts: int = 0,
    tokens_in: int = 0,
    tokens_out: int = 0,
    cost_usd: float = 0.0,
    prompt_hash: str = "",
) -> Row:
    swapped = game.shown_first == "model_b"
    score_a, score_b = (parsed.shown_b, parsed.shown_a) if swapped else (parsed.shown_a, parsed.shown_b)
    return {
        "instruction_id": game.instruction_id,
        "turn": game.turn,
        "model_a": game.model_a,
        "model_b": game.model_b,
        "shown_first": game.shown_first,
        "response_a": game.response_a,
        "response_b": game.response_b,
        "raw_text": raw_text,
        "first_text": first_text,
        "error": error,
        "score_a": score_a,
        "score_b": score_b,
        "explanation": parsed.explanation,
        "parse_status": parsed.status,
        "flags": _flagged(game, swapped),
        "attempts": attempts,
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
        "cost_usd": cost_usd,
        "prompt_hash": prompt_hash,
    }


def _flagged(game: Game, swapped: bool) -> str | None:
    """Signs in the judged answers, by model: ``model_a:score_request,model_b:fake_verdict``."""
    if game.exchanges is None:
        return None
    shown = game.exchanges[-1]
    answer_a, answer_b = (shown.answer_b, shown.answer_a) if swapped else (shown.answer_a, shown.answer_b)
    found = [f"{side}:{flag}" for side, text in (("model_a", answer_a), ("model_b", answer_b)) for flag in _flags(text)]
    return ",".join(found) or None
