"""docs/reference/sql-files.md: the header comments of sql/."""

from collections.abc import Iterator
from itertools import groupby

from arena_etl.documentation.markdown import heading, page, table
from arena_etl.lake import sql


def reference() -> str:
    """The list of SQL files as Markdown, a table per folder."""
    return page(_lines())


def _lines() -> Iterator[str]:
    yield from heading("SQL files", "the headers of `sql/`")
    yield ""
    yield (
        "One file is one SELECT over views named like the [tables](tables.md). Method and source are in the header of each. "
        "Those of `sql/adhoc/` are run by name: [asking the lake](../sql.md)."
    )
    for folder, names in groupby(sql.names(), key=lambda name: name.rpartition("/")[0]):
        yield from ("", f"## {folder}")
        rows = ((name.rpartition("/")[2], sql.header(sql.load(name))) for name in names)
        yield from table(
            ["file", "purpose", "grain", "inputs", "parameters"],
            ([file, fields["Purpose"], fields["Grain"], fields["Inputs"], _choices(fields)] for file, fields in rows),
        )


def _choices(fields: dict[str, str]) -> str:
    return next((fields[name] for name in ("Parameters", "Params", "Variables") if name in fields), "")
