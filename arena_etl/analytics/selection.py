"""What a stage learns from: battles that were decided clearly enough (sql/selection/)."""

from typing import Any

from arena_etl.config import Config
from arena_etl.contestants import champion
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.rounds import TRAINING


def inputs(config: Config, lake: Lake, round_: str, stage: str) -> Any:
    return {
        "battles": lake.require(Partition("battles", (round_, stage, TRAINING)), "`arena-etl judge` comes first."),
        "margin": _margin(config, stage),
        "target": champion(config, lake, round_, stage).contestant_id,
    }


def select(config: Config, lake: Lake, staging: Staging, round_: str, stage: str, unit: str) -> dict[str, int]:
    """Stage the training set of a stage; it may be empty."""
    with lake.connect(["battles", "responses", "instructions"]) as connection:
        rows = sql.run(
            connection,
            f"selection/{stage}",
            round=round_,
            stage=stage,
            target=champion(config, lake, round_, stage).contestant_id,
            margin=_margin(config, stage),
        ).to_arrow_table()
    staging.write(unit, "examples", rows)
    return {"selected": rows.num_rows}


def _margin(config: Config, stage: str) -> float:
    return config.selection.sft_margin if stage == "sft" else config.selection.dpo_margin
