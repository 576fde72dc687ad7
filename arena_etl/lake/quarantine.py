"""Rows that a gate held back, and the way back: a row that a person released enters its table on the next run.

A release is one more row of ``quarantine``, so who let what pass, when and why, stays on record.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from arena_etl.config import digest
from arena_etl.errors import InputError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.tables import TABLES

HELD, RELEASED = "held", "released"
Row = dict[str, Any]


def rows(
    lake: Lake, table: str | None = None, round_: str | None = None, rule: str | None = None, state: str | None = HELD
) -> list[Row]:
    """What is held, or with ``state`` removed, released or None (all), newest first; columns as in sql/quality/quarantine.sql."""
    with lake.connect(["quarantine"]) as connection:
        found = sql.run(connection, "quality/quarantine", table=table, round=round_, rule=rule, state=state)
        return list(found.to_arrow_table().to_pylist())


def find(lake: Lake, row_id: str) -> Row:
    """The row of this id. Raises InputError when there is none."""
    for row in rows(lake, state=None):
        if row["row_id"] == row_id:
            return row
    raise InputError(f"quarantine {row_id}: no such row. `arena-etl quarantine list` shows the ids.")


def release(lake: Lake, chosen: Sequence[Row], author: str, reason: str) -> int:
    """Let these rows (of ``rows``) into their tables on the next run, exempt from the rule that held them.

    Returns how many were held until now. Raises InputError, and releases none, for a row that its table cannot hold, such as
    a line that could not be read, and for one that a cleaning filter removed as it is configured to.
    """
    held = [row for row in chosen if row["state"] != RELEASED]
    if removed := [row for row in held if row["state"] != HELD]:
        raise InputError(
            f"quarantine {removed[0]['row_id']}: the filter {removed[0]['expectation']} removed it, as configured. Change "
            "`cleaning` and run `arena-etl ingest` again, which looks at it anew; nothing was released."
        )
    with lake.connect([]) as connection:
        for row in held:
            keys, columns = connection.execute(
                """
                select
                    coalesce(json_type(try_cast($row as json)) = 'OBJECT', false),
                    coalesce(json_keys(try_cast($row as json)), [])
                """,
                {"row": row["row"]},
            ).fetchall()[0]
            if not keys or not set(TABLES[row["table"]].column_names) <= set(columns):
                raise InputError(
                    f"quarantine {row['row_id']}: {row['expectation']}: it is no row of {row['table']} ({row['reason']}). Repair "
                    "its source and run again; nothing was released."
                )
    now = datetime.now(UTC)
    told = f"released by {author}: {reason}"
    entries = [
        {
            **{name: row[name] for name in TABLES["quarantine"].column_names if name in row},
            "reason": told,
            "state": RELEASED,
            "created_at": now,
        }
        for row in held
    ]
    batch = pa.Table.from_pylist(entries, schema=TABLES["quarantine"].arrow_schema())
    lake.commit(Partition("quarantine", (RELEASED, digest([now, *(row["row_id"] for row in held)])[:16])), batch, 1, {})
    return len(held)


def released(lake: Lake, partition: Partition) -> tuple[pa.Table, frozenset[tuple[str, str]]]:
    """The released rows of a partition, in the table's schema, and what they are exempt from: (key, expectation)."""
    declared = partition.declaration
    if lake.table("quarantine") is None:
        return declared.arrow_schema().empty_table(), frozenset()
    with lake.connect(["quarantine"]) as connection:
        connection.execute(
            """
            create temporary table released as
            select key, expectation, "row"::json as "row", created_at
            from quarantine
            where "table" = $table and state = $state
            """,
            {"table": declared.name, "state": RELEASED},
        )
        for column, value in partition.columns.items():
            connection.execute(
                'delete from released where "row" ->> $column <> $value', {"column": column, "value": value}
            )
        exempt = frozenset(connection.sql("select key, expectation from released").fetchall())
        columns = ", ".join(f'{_value(column.name, column.type)} as "{column.name}"' for column in declared.columns)
        # A row that broke two rules was held twice.
        table = connection.sql(
            f"select {columns} from released "
            "qualify row_number() over (partition by key order by created_at desc) = 1 order by key"
        ).to_arrow_table()
    return table.cast(declared.arrow_schema()), exempt


def _value(name: str, type_: str) -> str:
    nested = "[" in type_ or "(" in type_
    return f"""cast("row" {"->" if nested else "->>"} '{name}' as {type_})"""
