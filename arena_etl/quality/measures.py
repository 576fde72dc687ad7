"""The figures of a batch that no single row has, and how far each is from what the last released rounds had.

``sql/quality/TABLE.sql`` computes them from the staged rows and the lake: one row per subject, one column per
measure. A measure's usual value is the median of the last released rounds, its spread their median absolute deviation; the
suites bound how many spreads a batch may deviate, so that nobody tunes a constant. Until there are enough rounds,
``quality.usual`` names both.
"""

from datetime import datetime
from itertools import combinations
from typing import Any

import duckdb
import pyarrow as pa

from arena_etl.config import Config
from arena_etl.contestants import Entrant, roster
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.tables import TABLES
from arena_etl.quality.gate import DEVIATION, USUAL
from arena_etl.rounds import ARENAS
from arena_etl.verdicts.judge import VERIFIER_ID, judge_id, judges

IMPORT = "import"


def measure(config: Config, lake: Lake, step: str, partition: Partition, staged: pa.Table) -> pa.Table | None:
    """One row per ``subject``: every measure, its usual value and its deviation in spreads (null where unknown).

    ``step``: name of the step that staged the rows; recorded battles are not measured against this lake's roster. None for a
    table without measures, and for a batch without all of its columns, which no gate lets pass.
    """
    name = f"quality/{partition.table}"
    if name not in sql.names() or not set(partition.declaration.column_names) <= set(staged.column_names):
        return None
    text = sql.load(name)
    wanted = {table for table in TABLES if table in text} | {
        "instructions",
        "slices",
        "wizard_arena",
        "measures",
        "releases",
    }
    values = {column: partition.columns.get(column) for column in ("round", "stage", "arena")}
    with lake.connect(sorted(wanted)) as connection:
        connection.register(f"staged_{partition.table}", staged)
        fighting = values["arena"] in ARENAS and step != IMPORT
        entrants = roster(config, lake, *partition.values) if fighting else []
        connection.register("entrants", _entrants(entrants))
        connection.register("seats", _seats(config, entrants))
        fought = {**values, "version": config.wizard_arena.version}
        sql.materialize(connection, "arena_instructions", "instructions/arena", **fought)
        sql.materialize(connection, "turns", "quality/turns")
        settings = _settings(config, lake, values) | {"imported": step == IMPORT}
        sql.materialize(connection, "figures", name, **values, **settings)
        return _beside_usual(config, connection, partition.table, values)


def record(lake: Lake, partition: Partition, figures: pa.Table, audit_id: str, now: datetime) -> None:
    """Keep the figures of an audit in ``measures``."""
    values = partition.columns
    common = {
        **{column: values.get(column) for column in ("round", "stage", "arena")},
        "audit_id": audit_id,
        "table": partition.table,
        "created_at": now,
    }
    names = [name for name in figures.column_names if f"{name}{USUAL}" in figures.column_names]
    rows = [
        {
            **common,
            "subject": row["subject"],
            "measure": name,
            "value": row[name],
            "usual": row[f"{name}{USUAL}"],
            "spread": _spread(row, name),
        }
        for row in figures.to_pylist()
        for name in names
        if row[name] is not None
    ]
    batch = pa.Table.from_pylist(rows, schema=TABLES["measures"].arrow_schema())
    lake.commit(Partition("measures", (audit_id,)), batch, 1, {})


def _spread(row: dict[str, Any], name: str) -> float | None:
    spread: float | None = row[f"{name}_spread"]
    return spread


def _beside_usual(
    config: Config, connection: duckdb.DuckDBPyConnection, table: str, values: dict[str, str | None]
) -> pa.Table:
    names = [name for name in connection.table("figures").columns if name != "subject"]
    seeds = [
        {"measure": name, "usual": usual, "spread": spread} for name, (usual, spread) in config.quality.usual.items()
    ]
    schema = pa.schema([("measure", pa.string()), ("usual", pa.float64()), ("spread", pa.float64())])
    connection.register("seeds", pa.Table.from_pylist(seeds, schema))
    known = sql.run(
        connection, "quality/usual", table=table, rounds=config.quality.history_rounds, **values
    ).to_arrow_table()
    usual = {(row["subject"], row["measure"]): row for row in known.to_pylist()}
    rows = []
    for (subject,) in connection.sql("select distinct subject from figures order by subject").fetchall():
        row: dict[str, Any] = {"subject": subject}
        for name in names:
            found = usual.get((subject, name), {})
            row[name] = found.get("value")
            row[f"{name}{USUAL}"], row[f"{name}_spread"] = found.get("usual"), found.get("spread")
            row[f"{name}{DEVIATION}"] = (
                (found["value"] - found["usual"]) / found["spread"] if found.get("usual") is not None else None
            )
        rows.append(row)
    columns = [column for name in names for column in (name, f"{name}{USUAL}", f"{name}_spread", f"{name}{DEVIATION}")]
    return pa.Table.from_pylist(
        rows, pa.schema([("subject", pa.string()), *((column, pa.float64()) for column in columns)])
    )


def _entrants(entrants: list[Entrant]) -> pa.Table:
    """Who fights. Target and candidate are other contestants every night: their subject is their part, which has a history."""
    rows = [
        {"contestant_id": e.contestant_id, "subject": e.contestant_id if e.role == "rival" else e.role}
        for e in entrants
    ]
    return pa.Table.from_pylist(rows, pa.schema([("contestant_id", pa.string()), ("subject", pa.string())]))


def _seats(config: Config, entrants: list[Entrant]) -> pa.Table:
    """Which judge owes a verdict on which pair; ``checked``: only on turns with a checker (or without), null for all."""
    pairs = [
        (first, second)
        for first, second in combinations(sorted(entrants, key=lambda e: e.contestant_id), 2)
        if config.battles.pairing == "round_robin" or {first.role, second.role} != {"rival"}
    ]
    rows: list[dict[str, Any]] = []
    for first, second in pairs:
        pair = {"model_a": first.contestant_id, "model_b": second.contestant_id}
        if config.judge.verifiers:
            rows.append({**pair, "judge_id": VERIFIER_ID, "checked": True})
        for judge in judges(config).values():
            families = {first.contestant.family, second.contestant.family}
            if not (config.panel.spare_family and judge.family is not None and judge.family in families):
                checked = False if config.judge.verifiers else None
                rows.append({**pair, "judge_id": judge_id(judge), "checked": checked})
    names = [("model_a", pa.string()), ("model_b", pa.string()), ("judge_id", pa.string()), ("checked", pa.bool_())]
    return pa.Table.from_pylist(rows, pa.schema(names))


def _settings(config: Config, lake: Lake, values: dict[str, str | None]) -> dict[str, Any]:
    """What of the configuration the measures compare with."""
    return {
        "slice_size": config.battles.slice_size if config.battles.slices is None else None,
        "min_instructions": config.promotion.min_instructions,
        "promotion_margin": config.promotion.margin,
        "margin": _margin(config, lake, values["round"], values["stage"]),
    }


def _margin(config: Config, lake: Lake, round_: str | None, stage: str | None) -> float | None:
    """The threshold K that selected the stage's examples; None where another strategy draws them."""
    if config.selection.strategy != "threshold" or round_ is None or stage is None:
        return None
    with lake.connect(["training_runs"]) as connection:
        [(iteration,)] = sql.run(connection, "selection/iteration", round=round_).fetchall()
    return config.selection.margin(stage, iteration)
