"""Files of labelled pairs and of judgements on them: which names are read, and what becomes of rows that cannot be used."""

import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from arena_etl.analytics.labelled_pairs import describe, read_judgements, read_pairs
from arena_etl.errors import InputError

PAIRS = [
    {"pair_id": "p1", "instruction": "Add.", "input": "1 and 1", "output_1": "2", "output_2": "3", "gold": 1},
    {"pair_id": "p2", "instruction": "Add.", "input": None, "output_1": "2", "output_2": "", "gold": 2},
    {"pair_id": "p3", "instruction": "Add.", "input": None, "output_1": "2", "output_2": "3", "gold": "no idea"},
]


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def jsonl(folder: Path, name: str, rows: list[dict[str, Any]]) -> str:
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def pairs(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return connection.sql("select pair_id, instruction, category, score from labelled_pairs order by row").fetchall()


def games(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return connection.sql(
        "select instruction_id, model_a, judge_id, score, tokens, cost_usd from recorded_games order by all"
    ).fetchall()


def test_rows_without_a_usable_label_are_listed_and_are_no_ties(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    file = jsonl(tmp_path, "pairs.jsonl", PAIRS)
    unusable = read_pairs(connection, file)
    assert unusable == [(file, 3, "p3", "label unknown")]
    assert pairs(connection) == [
        ("p1", "Add.\n\n1 and 1", None, 1.0),
        ("p2", "Add.", None, 0.0),
        ("p3", "Add.", None, None),
    ]
    assert describe(unusable) == f"Unusable rows: 1 label unknown.\n  {file} row 3 (p3): label unknown"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_people_decide_by_majority_in_any_format(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, ending: str
) -> None:
    rows = [
        {"Prompt": "Hi", "Response_1": "a", "Response_2": "b", "human_1": 0, "human_2": 0, "human_3": 2, "subset": "x"},
        {"Prompt": "Hi", "Response_1": "a", "Response_2": "b", "human_1": 1, "human_2": 2, "human_3": 0, "subset": "x"},
    ]
    file = tmp_path / "pairs.csv"
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    if ending == "parquet":
        connection.execute(f"copy (from '{file}') to '{file.with_suffix('.parquet')}'")
        file = file.with_suffix(".parquet")
    assert read_pairs(connection, str(file)) == [(str(file), 2, "2", "no majority")]
    assert pairs(connection) == [("1", "Hi", "x", 0.5), ("2", "Hi", "x", None)]


@pytest.mark.parametrize(
    ("dropped", "looked_for"),
    [("instruction", "instruction, prompt"), ("output_1", "response_1 and response_2"), ("gold", "human_1 to human_n")],
)
def test_a_missing_column_is_named_with_what_was_looked_for(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, dropped: str, looked_for: str
) -> None:
    file = jsonl(tmp_path, "pairs.jsonl", [{k: v for k, v in row.items() if k != dropped} for row in PAIRS])
    with pytest.raises(InputError, match="looked for") as error:
        read_pairs(connection, file)
    assert looked_for in str(error.value) and file in str(error.value) and "output_2" in str(error.value)


def test_no_usable_pair_says_why(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no usable pair. Unusable rows: 1 label unknown"):
        read_pairs(connection, jsonl(tmp_path, "pairs.jsonl", PAIRS[2:]))


def test_judgements_in_the_frame_of_the_pairs(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    read_pairs(connection, jsonl(tmp_path, "pairs.jsonl", PAIRS))
    common = {"judge": "j", "strategy": "plain", "tokens_in": 10, "tokens_out": 2, "cost_usd": 0.5}
    file = jsonl(
        tmp_path,
        "judgements.jsonl",
        [
            {**common, "pair_id": "p1", "swapped": False, "winner": "1"},
            {**common, "pair_id": "p1", "swapped": True, "winner": "1", "tokens_in": None, "tokens_out": None},
            {**common, "pair_id": "p2", "swapped": True, "winner": "None"},
            {**common, "pair_id": "p2", "swapped": "perhaps", "winner": "1"},
            {**common, "pair_id": "p3", "swapped": False, "winner": "1"},
            {**common, "pair_id": "p9", "swapped": False, "winner": "1"},
            {**common, "pair_id": "p1", "swapped": False, "winner": "2", "strategy": "other"},
        ],
    )
    name, unusable = read_judgements(connection, file, "j-plain")
    assert (name, unusable) == ("j-plain", [(file, 4, "p2", "order unknown"), (file, 6, "p9", "pair unknown")])
    assert games(connection) == [
        ("p1", "output_1", "j-plain", 1.0, 12, 0.5),
        ("p1", "output_2", "j-plain", 0.0, None, 0.5),
        ("p2", "output_2", "j-plain", None, 12, 0.5),
    ]
    with pytest.raises(InputError, match=r"j has several strategies; name one. Known: j-other, j-plain\."):
        read_judgements(connection, file, "j")
    with pytest.raises(InputError, match=r"no such judge. Known: j-other, j-plain\."):
        read_judgements(connection, file, "nobody")


def test_a_column_of_the_judge_s_own_or_a_file_of_one_judge(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    read_pairs(connection, jsonl(tmp_path, "pairs.jsonl", PAIRS))
    own = jsonl(tmp_path, "own.jsonl", [{"pair_id": "p1", "j_verdict": "2"}, {"pair_id": "p2", "j_verdict": "garbage"}])
    assert read_judgements(connection, own, "j") == ("j", [])
    assert [row[3] for row in games(connection)] == [0.0, None]
    plain = jsonl(tmp_path, "plain.jsonl", [{"pair_id": "p1", "verdict": "tie"}])
    assert read_judgements(connection, plain, "anyone") == ("anyone", [])
    assert games(connection) == [("p1", "output_1", "anyone", 0.5, None, None)]
    with pytest.raises(InputError, match="looked for x_verdict, winner, verdict"):
        read_judgements(connection, jsonl(tmp_path, "none.jsonl", [{"pair_id": "p1"}]), "x")
    with pytest.raises(InputError, match=r"no judgement of j on a usable pair. Unusable rows: 1 pair unknown"):
        read_judgements(connection, jsonl(tmp_path, "far.jsonl", [{"pair_id": "p8", "winner": 1}]), "j")
