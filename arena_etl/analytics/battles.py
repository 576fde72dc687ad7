"""Merge the two games of every pair into a battle (sql/battles/merge_games.sql)."""

from typing import Any

from arena_etl.config import Config
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging


def inputs(config: Config, lake: Lake, round_: str, stage: str, arena: str) -> Any:
    verdicts = Partition("verdicts", (round_, stage, arena))
    return {"verdicts": lake.require(verdicts, "`arena-etl judge` comes first.")}


def merge(
    config: Config, lake: Lake, staging: Staging, round_: str, stage: str, arena: str, unit: str
) -> dict[str, int]:
    """Stage the battles of an arena."""
    with lake.connect(["verdicts"]) as connection:
        rows = sql.run(connection, "battles/merge_games", round=round_, stage=stage, arena=arena).to_arrow_table()
    staging.write(unit, "battles", rows)
    return {"battles": rows.num_rows}
