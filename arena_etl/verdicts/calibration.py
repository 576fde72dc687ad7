"""Let a judge play labelled pairs, each in both orders; what it has said once is kept.

``play`` is the only place that knows how a judge is asked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from arena_etl.config import Config, Judge, digest
from arena_etl.engines.base import batched
from arena_etl.errors import ArenaError, InputError
from arena_etl.lake.delta import Lake, Partition, fingerprint
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES
from arena_etl.verdicts import judge as protocol
from arena_etl.verdicts import prompt
from arena_etl.verdicts.ask import Question, Ruling

FIRST, SECOND = "output_1", "output_2"
UNIT = "pairs"


@dataclass(frozen=True)
class Pair:
    """Two answers to one instruction. ``content_id``: of these texts, so that nothing is asked twice."""

    content_id: str
    instruction: str
    output_1: str
    output_2: str
    category: str | None


def find_judge(config: Config, name: str) -> tuple[Judge, str]:
    """The configured judge of this name, and its id. Raises InputError when there is none."""
    known = protocol.judges(config)
    if name not in known:
        raise InputError(
            f"--judge {name}: no such judge in the configuration; it has {', '.join(known)}. "
            "For judgements that were made elsewhere give them as --judgements FILE."
        )
    if known[name].backend == "recorded":
        raise InputError(f"--judge {name}: it only repeats verdicts on a round. Give its file as --judgements FILE.")
    return known[name], protocol.judge_id(known[name])


def play(config: Config, lake: Lake, judge: Judge, questions: Sequence[Question]) -> Iterator[Ruling]:
    """Ask the judge; one ruling per question, as they come."""
    with protocol.open_judge(config, lake, judge) as rule:
        yield from rule(questions)


def judge_pairs(config: Config, lake: Lake, judge: Judge, judge_id: str, pairs: Sequence[Pair]) -> pa.Table:
    """The verdicts on every pair, in both orders: rows of ``verdicts`` whose instruction_id is the content_id.

    They are staged while they come in and stay: no verdict is asked for again, not after an interruption and not when pairs
    are added. Verdicts on other pairs may be among the rows.

    Raises ArenaError if more calls failed than quality.max_error_rate allows: the others are kept for the next run.
    """
    staging = _staging(lake, judge_id)
    kept = [row for row in staging.read().to_pylist() if row["parse_status"] != "engine_error"]
    staging.keep(UNIT, _table(kept))
    done = {_key(row["instruction_id"], row["shown_first"]) for row in kept}
    asked = {key: question for pair in pairs for key, question in _games(pair) if key not in done}
    errors: list[str] = []
    with tqdm(total=len(asked), desc=f"calibrate {judge_id}", unit=" games", disable=None) as progress:
        rulings = play(config, lake, judge, list(asked.values())) if asked else iter(())
        for chunk in batched(rulings, config.engine.batch_size):
            staging.write(
                UNIT, digest([ruling.key for ruling in chunk])[:16], _table(_row(judge, judge_id, r) for r in chunk)
            )
            errors += [ruling.error or "no text" for ruling in chunk if ruling.raw_text is None]
            progress.update(len(chunk))
    if len(errors) > config.quality.max_error_rate * 2 * len(pairs):
        raise ArenaError(
            f"judge {judge_id}: {len(errors)} of {len(asked)} calls failed, more than quality.max_error_rate "
            f"{config.quality.max_error_rate:.0%}; the first: {errors[0]}. No card was made. The other verdicts are kept: "
            "run the same command again; where the judge itself is too small for some pairs, raise the limit."
        )
    return staging.read()


def _staging(lake: Lake, judge_id: str) -> Staging:
    # Never published: only the card is. The rows are verdicts, so they are kept as those of a round are.
    return Staging(lake, Partition("verdicts", ("calibration", judge_id)), fingerprint(judge_id))


def _games(pair: Pair) -> Iterator[tuple[str, Question]]:
    orders = (("model_a", pair.output_1, pair.output_2), ("model_b", pair.output_2, pair.output_1))
    for shown_first, first, second in orders:
        key = _key(pair.content_id, shown_first)
        yield key, Question(key, (prompt.Exchange(pair.instruction, first, second),), pair.category or "unknown", None)


def _key(content_id: str, shown_first: str) -> str:
    return f"{content_id}|{shown_first}"


def _row(judge: Judge, judge_id: str, ruling: Ruling) -> dict[str, Any]:
    content_id, _, shown_first = ruling.key.partition("|")
    parsed = ruling.parsed
    first = shown_first == "model_a"
    return {
        "instruction_id": content_id,
        "turn": 1,
        "model_a": FIRST,
        "model_b": SECOND,
        "shown_first": shown_first,
        "judge_id": judge_id,
        "judge_kind": "model",
        "raw_text": ruling.raw_text,
        "first_text": ruling.first_text,
        "error": ruling.error or parsed.reason,
        "attempts": ruling.attempts,
        "latency_s": 0.0,
        "score_a": parsed.shown_a if first else parsed.shown_b,
        "score_b": parsed.shown_b if first else parsed.shown_a,
        "explanation": parsed.explanation,
        "parse_status": parsed.status if ruling.raw_text is not None else "engine_error",
        "tokens_in": ruling.tokens_in,
        "tokens_out": ruling.tokens_out,
        "cost_usd": judge.cost_usd(ruling.tokens_in, ruling.tokens_out),
        "prompt_hash": ruling.prompt_hash,
        "created_at": datetime.now(UTC),
    }


def _table(rows: Any) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=TABLES["verdicts"].arrow_schema())
