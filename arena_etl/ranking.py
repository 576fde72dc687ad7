"""What ratings, win rates and the promotion test share: battles by scope, their resamples, the Bradley-Terry fits.

Every function runs files of sql/ on a connection and leaves their rows as temporary tables for the next one.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from arena_etl.lake import sql


def scope_battles(
    connection: duckdb.DuckDBPyConnection, round_: str, arenas: Iterable[str], breakdowns: Iterable[str]
) -> None:
    """Create ``scoped_battles`` from the lake's views battles, instructions and features.

    One scope per arena, and one per value of every breakdown in it (sql/ratings/scoped_battles.sql).
    """
    sql.materialize(connection, "described", "instructions/described")
    parameters = {"round": round_, "arenas": list(arenas), "breakdowns": list(breakdowns)}
    sql.materialize(connection, "scoped_battles", "ratings/scoped_battles", **parameters)


def draw_resamples(connection: duckdb.DuckDBPyConnection, settings: Mapping[str, Any]) -> None:
    """Create ``clusters`` and ``resample_weights`` for ``scoped_battles``: the same draws for every result."""
    sql.materialize(connection, "clusters", "resampling/clusters", **settings)
    sql.materialize(connection, "resample_weights", "resampling/weights", **settings)


def fit_bradley_terry(connection: duckdb.DuckDBPyConnection, settings: Mapping[str, Any]) -> None:
    """Create ``pair_counts`` and ``resampled_ratings`` from ``scoped_battles`` and its resamples.

    ``matrices`` is a statement of its own because DuckDB plans a recursion anew wherever another one reads it.
    """
    for name in ("pair_counts", "components", "outcomes", "matrices"):
        sql.materialize(connection, name, f"ratings/{name}", **settings)
    sql.materialize(connection, "resampled_ratings", "ratings/bradley_terry_resamples", **settings)


def rate_scopes(connection: duckdb.DuckDBPyConnection, methods: Iterable[str], settings: Mapping[str, Any]) -> pa.Table:
    """The ratings of every scope of ``scoped_battles``, columns as in the lake's table ``ratings``.

    ``methods``: elo, bradley_terry, style_controlled, named like their files. ``settings``: those of ``config.Ratings`` and
    ``round``, the label of the rows. ``draw_resamples`` comes first.
    """
    tables = []
    for method in methods:
        if method == "bradley_terry":
            fit_bradley_terry(connection, settings)
        if method == "style_controlled":
            for name in ("style_pairs", "style_observations", "style_estimates"):
                sql.materialize(connection, name, f"ratings/{name}", **settings)
        tables.append(sql.run(connection, f"ratings/{method}", **settings).to_arrow_table())
    return pa.concat_tables(tables)
