"""The draw: fresh instructions for every round and stage, never used before, stored."""

from typing import Any

import duckdb
import pyarrow as pa

from arena_etl.config import Config
from arena_etl.errors import InputError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import Staging

# What prepare_draw and draw_rows read.
TABLES = ("instructions", "features", "slices", "near_duplicates", "contamination", "wizard_arena", "battles", "models")


def inputs(config: Config, lake: Lake, round_: str, stage: str) -> Any:
    """The draw is made once: instructions and battles that arrive later wait for the next round."""
    battles = config.battles
    return {
        "round": round_,
        "stage": stage,
        "size": battles.slice_size if battles.slices is None else None,
        "slices": battles.slices,
        "seed": battles.seed,
        "loss_weight": battles.loss_weight,
        "weights": {source.name: source.weight for source in config.sources if source.weight != 1},
    }


def draw(config: Config, lake: Lake, staging: Staging, round_: str, stage: str, unit: str) -> dict[str, int]:
    """Stage the slice of a round and stage.

    Raises InputError when no fresh training instruction is left, or all of battles.slices were drawn.
    """
    with lake.connect(TABLES) as connection:
        prepare_draw(connection, config, round_)
        rows = draw_rows(connection, config, round_, stage).to_arrow_table()
    if not rows.num_rows:
        slices = config.battles.slices
        raise InputError(
            f"round {round_}, stage {stage}: no fresh training instruction is left; every one was drawn before"
            + (f", or all {slices} slices were (battles.slices). " if slices else ". ")
            + "Add a source to `sources` and run `arena-etl ingest`."
        )
    staging.write(unit, "slice", rows)
    return {"drawn": rows.num_rows}


def prepare_draw(connection: duckdb.DuckDBPyConnection, config: Config, round_: str) -> None:
    """Make what ``draw_rows`` reads beside the lake's ``TABLES``: descriptions and the weights of the round."""
    sql.materialize(connection, "described", "instructions/described")
    weights = [(source.name, float(source.weight)) for source in config.sources]
    names, values = zip(*weights, strict=True) if weights else ((), ())
    connection.register(
        "source_weights", pa.table({"source": pa.array(names, pa.string()), "weight": pa.array(values, pa.float64())})
    )
    sql.materialize(
        connection,
        "category_weights",
        "instructions/category_weights",
        target=config.target.name,
        round=round_,
        loss_weight=config.battles.loss_weight,
    )


def draw_rows(
    connection: duckdb.DuckDBPyConnection, config: Config, round_: str, stage: str
) -> duckdb.DuckDBPyRelation:
    """The slice of a round and stage, as rows of ``slices``."""
    battles = config.battles
    return sql.run(
        connection,
        "instructions/draw_slice",
        round=round_,
        stage=stage,
        size=battles.slice_size,
        slices=battles.slices,
        seed=battles.seed,
    )
