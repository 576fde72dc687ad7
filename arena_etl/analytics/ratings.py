"""Ratings and win rates after a round, over all battles up to and including it (sql/ratings/, sql/win_rates/)."""

from typing import Any

import pyarrow as pa

from arena_etl.config import Config
from arena_etl.errors import ArenaError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import Staging
from arena_etl.ranking import draw_resamples, rate_scopes, scope_battles
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
        "baseline": _baseline(config),
    }


def rate(config: Config, lake: Lake, staging: Staging, round_: str, unit: str) -> dict[str, int]:
    """Stage the ratings of every scope by the configured methods."""
    settings = config.ratings.model_dump()
    with lake.connect(["battles", "instructions", "features"]) as connection:
        scope_battles(connection, round_, ARENAS, config.ratings.breakdowns)
        draw_resamples(connection, settings)
        rows = rate_scopes(connection, config.ratings.methods, {**settings, "round": round_})
    staging.write(unit, "ratings", rows)
    return {"ratings": rows.num_rows}


def win_rates(config: Config, lake: Lake, staging: Staging, round_: str, unit: str) -> dict[str, int]:
    """Stage the win rates of every scope: pairwise, on average, and length-controlled against the baseline."""
    settings = config.ratings.model_dump() | {"baseline": _baseline(config)}
    with lake.connect(["battles", "instructions", "features"]) as connection:
        scope_battles(connection, round_, ARENAS, config.ratings.breakdowns)
        draw_resamples(connection, settings)
        rows = pa.concat_tables(
            sql.run(connection, f"win_rates/{method}", **settings, round=round_).to_arrow_table()
            for method in ("pairwise", "average", "length_controlled")
        )
    staging.write(unit, "win-rates", rows)
    return {"win_rates": rows.num_rows}


def _baseline(config: Config) -> str:
    return config.ratings.baseline or config.target.contestant_id
