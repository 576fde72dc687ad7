"""Ad hoc SQL over one release: read-only, and nothing beyond the lake."""

from typing import Any

import duckdb

from arena_etl.errors import InputError
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import resolve


def query(lake: Lake, text: str, as_of: str | None = None) -> Any:
    """The rows of one SELECT over views named like the tables, as a pyarrow.Table.

    Raises InputError for what is not one reading statement, for SQL that DuckDB refuses, and for a file or address
    outside the lake.
    """
    with lake.connect(versions=resolve(lake, as_of)) as connection:
        connection.execute(f"set allowed_directories = ['{lake.storage.root}/']")
        connection.execute("set enable_external_access = false; set lock_configuration = true")
        try:
            statements = connection.extract_statements(text)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise InputError("one SELECT at a time: the lake is read-only here.")
            return connection.sql(statements[0].query).to_arrow_table()
        except duckdb.Error as error:
            raise InputError(f"SQL: {error}") from error
