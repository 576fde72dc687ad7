"""Every SQL file against small inputs with results computed by hand, without input, and on shuffled input."""

from typing import Any

import duckdb
import pytest

from arena_etl.lake import sql
from arena_etl.lake.tables import TABLES
from tests.sql.harness import RATING_PARAMETERS, RESAMPLED_RATINGS, Case, cases, empty_lake

CASES = cases()
FILES = sorted({case.file for case in CASES})
# The files whose rows are a table of the lake.
PUBLISHED = {
    "battles/merge_games": "battles",
    "ratings/elo": "ratings",
    "ratings/bradley_terry": "ratings",
    "win_rates/pairwise": "win_rates",
    "selection/sft": "training_sets",
    "selection/dpo": "training_sets",
}
PARAMETERS = RATING_PARAMETERS | {
    "stage": "sft",
    "arena": "training",
    "target": "a",
    "margin": 1,
    "candidate": "a",
    "champion": "b",
    "resamples": 100,
    "size": 10,
    "contestants": ["a", "b"],
}


def _name(case: Case) -> str:
    return f"{case.file}/{case.folder.name}"


def _same(value: Any, expected: Any) -> bool:
    if isinstance(value, float) and isinstance(expected, float):
        return bool(value == pytest.approx(expected, abs=1e-6, rel=1e-9))
    return bool(value == expected)


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_case_gives_the_expected_rows(case: Case) -> None:
    result = sql.run(case.connect(), case.file, **case.parameters)
    columns, expected = case.expected(result)
    positions = [result.columns.index(column) for column in columns]
    actual = [tuple(row[position] for position in positions) for row in result.fetchall()]
    assert len(actual) == len(expected), f"rows found:\n{actual}\nexpected:\n{expected}"
    for found, wanted in zip(actual, expected, strict=True):
        wrong = [(column, a, b) for column, a, b in zip(columns, found, wanted, strict=True) if not _same(a, b)]
        assert not wrong, f"row {found}: (column, found, expected) {wrong}"


@pytest.mark.parametrize("case", CASES, ids=_name)
@pytest.mark.parametrize("order", ["line desc", "md5(line::varchar)"], ids=["reversed", "shuffled"])
def test_order_of_the_input_does_not_matter(case: Case, order: str) -> None:
    in_order = sql.run(case.connect(), case.file, **case.parameters).fetchall()
    assert sql.run(case.connect(order), case.file, **case.parameters).fetchall() == in_order


@pytest.mark.parametrize("file", FILES)
def test_empty_input_gives_no_rows(file: str) -> None:
    rows = sql.run(empty_lake(), file, **PARAMETERS).fetchall()
    assert rows == ([(None, None, None, 0)] if file == "ratings/rating_difference" else [])


@pytest.mark.parametrize("file", PUBLISHED)
def test_columns_and_types_are_the_declared_ones(file: str) -> None:
    result = sql.run(empty_lake(), file, **PARAMETERS)
    with duckdb.connect() as connection:
        declared = connection.sql(TABLES[PUBLISHED[file]].empty_select())
        assert list(zip(result.columns, result.types, strict=True)) == list(
            zip(declared.columns, declared.types, strict=True)
        )


def test_resampled_ratings_have_the_columns_that_other_files_read() -> None:
    result = sql.run(empty_lake(), "ratings/bradley_terry_resamples", **PARAMETERS)
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(result.columns, result.types, strict=True))
    assert columns == RESAMPLED_RATINGS


@pytest.mark.parametrize("name", sql.names())
def test_file_has_a_header_and_a_case(name: str) -> None:
    text = sql.load(name)
    assert text.startswith("-- Purpose:") and "\n-- Grain:" in text and "\n-- Inputs:" in text
    assert name in FILES, f"sql/{name}.sql has no case folder in tests/sql/cases"
