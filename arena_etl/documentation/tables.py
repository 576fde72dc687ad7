"""docs/reference/tables.md: what arena_etl/lake/tables.py declares."""

from collections.abc import Iterator

from arena_etl.documentation.markdown import heading, page, table
from arena_etl.lake.tables import SCHEMA_VERSION, TABLES, Table


def reference() -> str:
    """The table reference as Markdown."""
    return page(_lines())


def _lines() -> Iterator[str]:
    yield from heading("Tables of the lake", f"`arena_etl/lake/tables.py` (schema version {SCHEMA_VERSION})")
    yield ""
    yield 'Ask them with `arena-etl sql "select ..."`: views of the newest release have the names below.'
    for declared in TABLES.values():
        yield from _table(declared)


def _table(declared: Table) -> Iterator[str]:
    partition = ", ".join(declared.partition_by) or "none"
    added = " Rows are only added." if declared.append else ""
    yield from ("", f"## {declared.name}", "", declared.meaning, "")
    yield f"Grain: {', '.join(declared.grain)}. Partitioned by: {partition}.{added}"
    yield from table(
        ["column", "type", "meaning", "null"],
        ([c.name, c.type, c.meaning, "yes" if c.nullable else "no"] for c in declared.columns),
    )
