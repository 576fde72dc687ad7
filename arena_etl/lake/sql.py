"""Runs the SQL files of the package. One file is one SELECT; it reads views named like the lake's tables."""

import re
from typing import Any

import duckdb

from arena_etl import resources
from arena_etl.errors import InputError

_FIELD = re.compile(r"-- ([A-Z][a-z]+): +")


def names() -> list[str]:
    """The files that ``load`` and ``run`` know, for example ``ratings/elo``, sorted."""
    return sorted(file.relative_to(resources.SQL).with_suffix("").as_posix() for file in resources.SQL.rglob("*.sql"))


def load(name: str) -> str:
    """The text of ``sql/<name>.sql``. Raises InputError that lists the known files when there is no such file."""
    file = resources.SQL / f"{name}.sql"
    if not file.is_file():
        raise InputError(f"There is no SQL file {name!r}. Known files: {', '.join(names())}.")
    return file.read_text(encoding="utf-8")


def header(text: str) -> dict[str, str]:
    """The header comment of a file by its fields: Purpose, Grain, Inputs, Parameters, Method..."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        if found := _FIELD.match(line):
            name = found[1]
            fields[name] = line[found.end() :]
        else:
            fields[name] += f" {line.strip('- ')}"
    return fields


def run(connection: duckdb.DuckDBPyConnection, name: str, **parameters: Any) -> duckdb.DuckDBPyRelation:
    """The rows of ``sql/<name>.sql`` as a relation: ``.to_arrow_table()``, ``.pl()``, ``.fetchall()``.

    Of ``parameters`` only those that the statement names are bound, so a caller can pass one set of settings to several
    files; DuckDB itself refuses a surplus. The relation is lazy: it runs when it is fetched, reads its inputs as they
    are then, and runs again at the next fetch. Fetch it whole before the connection is closed or the inputs change.

    Raises InputError for an unknown file, a file that is not one statement, and parameters that are missing.
    """
    statement, bound = _prepare(connection, name, load(name), parameters)
    return connection.sql(statement, params=bound)


def materialize(connection: duckdb.DuckDBPyConnection, table: str, name: str, **parameters: Any) -> None:
    """Create or replace the temporary table ``table`` with the rows of ``sql/<name>.sql``.

    For inputs that several files share, such as the resampled ratings. Parameters and errors as in ``run``.
    """
    identifier = '"' + table.replace('"', '""') + '"'
    text = f"create or replace temporary table {identifier} as {load(name)}"
    statement, bound = _prepare(connection, name, text, parameters)
    connection.execute(statement, bound)


def _prepare(
    connection: duckdb.DuckDBPyConnection, name: str, text: str, parameters: dict[str, Any]
) -> tuple[duckdb.Statement, dict[str, Any] | None]:
    """The one statement of ``text``, which has the file in it, parsed for good, and what it binds."""
    statements = connection.extract_statements(text)
    if len(statements) != 1:
        raise InputError(f"sql/{name}.sql holds {len(statements)} statements: keep one per file.")
    statement = statements[0]
    missing = sorted(statement.named_parameters - parameters.keys())
    if missing:
        raise InputError(f"sql/{name}.sql needs {', '.join('$' + parameter for parameter in missing)}: pass a value.")
    # None, not an empty mapping: a statement without parameters refuses any.
    return statement, {key: parameters[key] for key in sorted(statement.named_parameters)} or None
