"""The draw: fresh instructions for every round and stage, never used before, stored."""

from typing import Any

from arena_etl.config import Config
from arena_etl.errors import InputError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import Staging


def inputs(config: Config, lake: Lake, round_: str, stage: str) -> Any:
    """The draw is made once: instructions that arrive later wait for the next round."""
    return {"round": round_, "stage": stage, "size": config.battles.slice_size, "seed": config.battles.seed}


def draw(config: Config, lake: Lake, staging: Staging, round_: str, stage: str, unit: str) -> dict[str, int]:
    """Stage the slice of a round and stage.

    Raises InputError when no fresh training instruction is left.
    """
    with lake.connect(["instructions", "slices", "near_duplicates", "contamination"]) as connection:
        rows = sql.run(
            connection,
            "instructions/draw_slice",
            round=round_,
            stage=stage,
            size=config.battles.slice_size,
            seed=config.battles.seed,
        ).to_arrow_table()
    if not rows.num_rows:
        raise InputError(
            f"round {round_}, stage {stage}: no fresh training instruction is left; every one was drawn before. "
            "Add a source to `sources` and run `arena-etl ingest`."
        )
    staging.write(unit, "slice", rows)
    return {"drawn": rows.num_rows, "wanted": config.battles.slice_size}
