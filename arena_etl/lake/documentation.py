"""docs/tables.md, written from the declarations: ``python -m arena_etl.lake.documentation [--check]``."""

import sys
from collections.abc import Iterator
from pathlib import Path

from arena_etl.lake.tables import SCHEMA_VERSION, TABLES, Table

FILE = Path(__file__).parents[2] / "docs" / "tables.md"


def reference() -> str:
    """The table reference as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Tables of the lake"
    yield ""
    yield f"Generated from `arena_etl/lake/tables.py` (schema version {SCHEMA_VERSION}) by `make docs`; do not edit."
    yield ""
    yield 'Ask them with `arena-etl sql "select ..."`: views of the newest release have the names below.'
    for table in TABLES.values():
        yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    partition = ", ".join(table.partition_by) or "none"
    yield ""
    yield f"## {table.name}"
    yield ""
    yield table.meaning
    yield ""
    added = " Rows are only added." if table.append else ""
    yield f"Grain: {', '.join(table.grain)}. Partitioned by: {partition}.{added}"
    yield ""
    yield "| column | type | meaning | null |"
    yield "| --- | --- | --- | --- |"
    for column in table.columns:
        yield f"| {column.name} | {column.type} | {column.meaning} | {'yes' if column.nullable else 'no'} |"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        FILE.write_text(reference(), encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != reference():
        sys.exit(f"{FILE.name} is not what the declarations say: run `make docs`")
