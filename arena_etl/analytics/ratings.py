"""Ratings and win rates after a round, over all battles up to and including it (sql/ratings/, sql/win_rates/)."""

from typing import Any

import pyarrow as pa

from arena_etl.config import Config
from arena_etl.errors import ArenaError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import Staging
from arena_etl.rounds import ARENAS


def inputs(config: Config, lake: Lake, round_: str) -> Any:
    """All battles up to the round: one of an earlier round that is judged anew moves every later rating."""
    battles = {
        "/".join(values): number for values, number in lake.fingerprints("battles").items() if values[0] <= round_
    }
    if not any(name.startswith(round_) for name in battles):
        raise ArenaError(f"round {round_}: no battle is published yet. `arena-etl judge` comes first.")
    return {
        "battles": battles,
        "settings": config.ratings.model_dump(),
    }


def rate(config: Config, lake: Lake, staging: Staging, round_: str, unit: str) -> dict[str, int]:
    """Stage the ratings of every scope: online Elo, and Bradley-Terry with intervals over resampled instructions."""
    settings = config.ratings.model_dump()
    tables = []
    with lake.connect(["battles"]) as connection:
        for scope in ARENAS:
            parameters = {**settings, "round": round_, "scope": scope}
            tables.append(sql.run(connection, "ratings/elo", **parameters).to_arrow_table())
            sql.materialize(connection, "resampled_ratings", "ratings/bradley_terry_resamples", **parameters)
            tables.append(sql.run(connection, "ratings/bradley_terry", **parameters).to_arrow_table())
    rows = pa.concat_tables(tables)
    staging.write(unit, "ratings", rows)
    return {"ratings": rows.num_rows}


def win_rates(config: Config, lake: Lake, staging: Staging, round_: str, unit: str) -> dict[str, int]:
    """Stage the pairwise win rates of every scope."""
    settings = config.ratings.model_dump()
    with lake.connect(["battles"]) as connection:
        tables = [
            sql.run(connection, "win_rates/pairwise", **settings, round=round_, scope=scope).to_arrow_table()
            for scope in ARENAS
        ]
    rows = pa.concat_tables(tables)
    staging.write(unit, "win-rates", rows)
    return {"win_rates": rows.num_rows}
