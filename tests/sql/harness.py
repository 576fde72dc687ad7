"""Case folders for SQL files.

``cases/<file, / written as __>/<case>/`` holds one CSV per input table, ``parameters.yaml`` and ``expected.csv``.
Input: only the columns that matter; an empty cell is null, a missing column its value in ``DEFAULTS`` or null.
Expected: all rows in order, and the columns that the case is about. Lists and structs are written as DuckDB literals.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import yaml

from arena_etl.lake.tables import TABLES

CASES = Path(__file__).parent / "cases"
DEFAULTS = {"round": "2026-01-01", "stage": "sft", "arena": "training", "turn": "1", "judge_id": "judge"}

# The rows of ratings/bradley_terry_resamples, which other files read.
RESAMPLED_RATINGS = "resample BIGINT, model VARCHAR, log_strength DOUBLE, rating DOUBLE, n BIGINT, converged BOOLEAN"

RATING_PARAMETERS: dict[str, Any] = {
    "round": "2026-01-01",
    "scope": "wizard_arena",
    "resamples": 0,
    "seed": 0,
    "prior_games": 0,
    "k": 32,
    "scale": 400,
    "base": 10,
    "initial": 1000,
    "confidence": 0.95,
}


@dataclass(frozen=True)
class Case:
    folder: Path

    @property
    def file(self) -> str:
        return self.folder.parent.name.replace("__", "/")

    @property
    def parameters(self) -> dict[str, Any]:
        return yaml.safe_load((self.folder / "parameters.yaml").read_text()) or {}

    def connect(self, order: str = "line") -> duckdb.DuckDBPyConnection:
        """A connection with the case's inputs, in the order of the files or in that of another SQL expression."""
        connection = empty_lake()
        for file in sorted(self.folder.glob("*.csv")):
            if file.stem != "expected":
                _fill(connection, file, order)
        return connection

    def expected(self, actual: duckdb.DuckDBPyRelation) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Columns and rows of ``expected.csv``, cast to the types of the actual result."""
        types = dict(zip(actual.columns, map(str, actual.types), strict=True))
        with duckdb.connect() as connection:
            lines = connection.read_csv(str(self.folder / "expected.csv"), all_varchar=True, header=True)
            unknown = set(lines.columns) - types.keys()
            assert not unknown, f"{self.folder}: the result has no {unknown}"
            casts = ", ".join(f'cast("{column}" as {types[column]})' for column in lines.columns)
            return lines.columns, connection.sql(f"select {casts} from lines").fetchall()


def cases() -> list[Case]:
    return [Case(file.parent) for file in sorted(CASES.glob("*/*/parameters.yaml"))]


def empty_lake() -> duckdb.DuckDBPyConnection:
    """A connection with every table of the lake and every shared intermediate result, typed and without rows."""
    connection = duckdb.connect(config={"threads": 1})
    tables = [f'create table "{table.name}" as {table.empty_select()}' for table in TABLES.values()]
    connection.execute("; ".join([*tables, f"create table resampled_ratings ({RESAMPLED_RATINGS})"]))
    return connection


def _fill(connection: duckdb.DuckDBPyConnection, file: Path, order: str) -> None:
    types = {name: kind for name, kind, *_ in connection.execute(f'describe "{file.stem}"').fetchall()}
    with file.open(newline="") as lines:
        given = next(csv.reader(lines))
    unknown = set(given) - types.keys()
    assert not unknown, f"{file}: {file.stem} has no {unknown}"
    values = ", ".join(
        f'cast("{name}" as {kind})' if name in given else f"cast($d_{name} as {kind})" if name in DEFAULTS else "null"
        for name, kind in types.items()
    )
    defaults = {f"d_{name}": value for name, value in DEFAULTS.items() if name in types and name not in given}
    connection.execute(
        f'insert into "{file.stem}" select {values} from (select *, row_number() over () as line '
        f"from read_csv($file, columns = $columns, auto_detect = false, delim = ',', quote = '\"', header = true)) "
        f"order by {order}",
        {"file": str(file), "columns": dict.fromkeys(given, "VARCHAR"), **defaults},
    )
