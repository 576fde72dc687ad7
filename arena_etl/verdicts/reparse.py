"""Read stored verdicts again with today's parser, without asking any judge."""

from typing import Any

import pyarrow as pa

from arena_etl.config import Config
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES
from arena_etl.verdicts.parse import PARSERS, Parsed, reparse
from arena_etl.verdicts.prompt import by_hash


def inputs(config: Config, lake: Lake, round_: str, stage: str, arena: str) -> Any:
    verdicts = Partition("verdicts", (round_, stage, arena))
    return {"reparsed": lake.require(verdicts, "`arena-etl judge` comes first."), "parsers": sorted(PARSERS)}


def changed(lake: Lake, round_: str, stage: str, arena: str) -> int:
    """How many verdicts of the partition would read differently."""
    stored = _stored(lake, Partition("verdicts", (round_, stage, arena)))
    return sum(_read(row) != row for row in stored)


def work(
    config: Config, lake: Lake, staging: Staging, round_: str, stage: str, arena: str, unit: str
) -> dict[str, int]:
    """Stage the partition's verdicts as their texts read today; scores from probabilities and verifiers stay."""
    stored = _stored(lake, staging.partition)
    rows = [_read(row) for row in stored]
    staging.write(unit, "reparsed", pa.Table.from_pylist(rows, schema=TABLES["verdicts"].arrow_schema()))
    return {"verdicts": len(rows), "changed": sum(old != new for old, new in zip(stored, rows, strict=True))}


def _stored(lake: Lake, partition: Partition) -> list[dict[str, Any]]:
    with lake.connect(["verdicts"]) as connection:
        found = connection.sql(f"select * from verdicts where {partition.predicate}").to_arrow_table()
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def _read(row: dict[str, Any]) -> dict[str, Any]:
    prompts = by_hash(row["prompt_hash"])
    if row["judge_kind"] != "model" or row["raw_text"] is None or prompts is None or _is_expected(row):
        return row
    parsed: Parsed = reparse(row["raw_text"], prompts.parser)
    swapped = row["shown_first"] == "model_b"
    score_a, score_b = (parsed.shown_b, parsed.shown_a) if swapped else (parsed.shown_a, parsed.shown_b)
    return row | {
        "score_a": score_a,
        "score_b": score_b,
        "explanation": parsed.explanation,
        "parse_status": parsed.status,
        "error": parsed.reason,
    }


def _is_expected(row: dict[str, Any]) -> bool:
    """Expected scores have more digits than any judge writes; the text cannot give them back."""
    scores = (row["score_a"], row["score_b"])
    return row["parse_status"] == "no_logprobs" or any(s is not None and round(s, 3) != s for s in scores)
