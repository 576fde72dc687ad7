"""The runner of the SQL files."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from arena_etl import resources
from arena_etl.errors import InputError
from arena_etl.lake import sql
from arena_etl.lake.tables import TABLES

FILES = {
    "one": "-- Purpose: $not_a_parameter in a comment\nselect $a::integer as a, $b::varchar as b;\n",
    "none": "select 1 as a",
    "two": "select 1; select 2",
    "folder/inner": "select x from numbers where x > $a order by x",
}


@pytest.fixture
def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[duckdb.DuckDBPyConnection]:
    for name, text in FILES.items():
        file = tmp_path / f"{name}.sql"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(resources, "SQL", tmp_path)
    with duckdb.connect() as connection:
        yield connection


def test_load_returns_the_text(connection: duckdb.DuckDBPyConnection) -> None:
    assert sql.load("folder/inner") == FILES["folder/inner"]


@pytest.mark.parametrize("name", ["missing", "../one", "one.sql", "", "/etc/passwd"])
def test_unknown_name_lists_the_known_files(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    with pytest.raises(InputError, match="folder/inner, none, one, two"):
        sql.load(name)


def test_run_binds_only_what_the_statement_names(connection: duckdb.DuckDBPyConnection) -> None:
    assert sql.run(connection, "one", a=1, b="x; drop table y", c=object()).fetchall() == [(1, "x; drop table y")]
    assert sql.run(connection, "none", a=1).to_arrow_table().to_pylist() == [{"a": 1}]


def test_missing_parameters_are_named(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(InputError, match=r"sql/one\.sql needs \$a, \$b"):
        sql.run(connection, "one", c=1)


def test_null_is_a_value(connection: duckdb.DuckDBPyConnection) -> None:
    assert sql.run(connection, "one", a=None, b=None).fetchall() == [(None, None)]


def test_two_statements_in_a_file_are_refused(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(InputError, match="holds 2 statements"):
        sql.run(connection, "two")


def test_relations_can_be_open_side_by_side(connection: duckdb.DuckDBPyConnection) -> None:
    first, second = sql.run(connection, "one", a=1, b="x"), sql.run(connection, "one", a=2, b="y")
    assert (second.fetchall(), first.fetchall()) == ([(2, "y")], [(1, "x")])


def test_materialize_replaces_a_temporary_table(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create view numbers as select range as x from range(5)")
    for bound, rows in ((2, [(3,), (4,)]), (3, [(4,)])):
        sql.materialize(connection, 'odd "name"', "folder/inner", a=bound, unused=0)
        assert connection.sql('select * from "odd ""name"""').fetchall() == rows


def test_the_package_has_its_files() -> None:
    assert {"battles/merge_games", "ratings/elo", "selection/sft"} <= set(sql.names())
    with duckdb.connect() as connection:
        connection.execute(f"create view verdicts as {TABLES['verdicts'].empty_select()}")
        assert sql.run(connection, "adhoc/parse_failures").fetchall() == []
