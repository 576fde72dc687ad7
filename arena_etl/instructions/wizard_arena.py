"""The held-out WizardArena sets: drawn once from the clusters, frozen under a version, never trained on."""

from datetime import UTC, datetime
from typing import Any

from arena_etl.config import Config
from arena_etl.errors import InputError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging


def inputs(config: Config, lake: Lake, version: str) -> Any:
    """Nothing but the version: what is published under it never changes, whatever the settings and the lake are later."""
    return {"version": version}


def build(config: Config, lake: Lake, staging: Staging, version: str, unit: str) -> dict[str, int]:
    """Stage the members of a version. Raises InputError when there is nothing to draw from."""
    settings = config.wizard_arena.model_dump(exclude={"version"})
    tables = ["instructions", "features", "slices", "near_duplicates", "contamination"]
    with lake.connect(tables) as connection:
        sql.materialize(connection, "described", "instructions/described")
        rows = sql.run(
            connection, "instructions/wizard_arena", version=version, now=datetime.now(UTC), **settings
        ).to_arrow_table()
    if not rows.num_rows:
        raise InputError(
            f"wizard-arena {version}: no training instruction with a cluster is free; every one was drawn before, or none is "
            "embedded. Add a source to `sources` and run `arena-etl ingest`."
        )
    staging.write(unit, "members", rows)
    sets = rows["set"].to_pylist()
    return {"diverse": sets.count("diverse"), "hard": sets.count("hard")}


def card(lake: Lake, version: str) -> list[dict[str, Any]]:
    """What a version is made of: one entry per set, columns as in sql/instructions/wizard_arena_card.sql.

    Raises InputError for a version that is not built.
    """
    if lake.fingerprint(Partition("wizard_arena", (version,))) is None:
        raise InputError(
            f"wizard-arena {version}: not built. `arena-etl wizard-arena build --version {version}` builds it."
        )
    with lake.connect(["wizard_arena", "instructions", "features", "near_duplicates", "contamination"]) as connection:
        sql.materialize(connection, "described", "instructions/described")
        rows: list[dict[str, Any]] = (
            sql.run(connection, "instructions/wizard_arena_card", version=version).to_arrow_table().to_pylist()
        )
    return [{key: dict(value) if isinstance(value, list) else value for key, value in row.items()} for row in rows]
