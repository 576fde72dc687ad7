from pathlib import Path

import polars as pl
import pytest

from arena_etl.engines.base import Completion, Request
from arena_etl.engines.recorded import RecordedEngine, load_answers
from arena_etl.errors import InputError


def test_answers_come_by_key_and_a_missing_one_is_an_error() -> None:
    engine = RecordedEngine({"a": " 42 ", "blank": " "})
    requests = [Request(key, ({"role": "user", "content": "?"},)) for key in ("a", "b", "blank")]
    assert list(engine.complete(requests)) == [
        Completion("a", " 42 ", "recorded", None, None, None, 0.0),
        Completion("b", None, "error", "no recorded answer", None, None, 0.0),
        Completion("blank", None, "error", "empty completion", None, None, 0.0),
    ]
    assert engine.request_settings == {"engine": "recorded"}


def test_json_lines_without_turns_answer_the_first_turn(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text('{"instruction_id": "x", "text": "one"}\n{"instruction_id": "y", "turn": 2, "text": "two"}\n')
    assert load_answers(file) == {("x", 1): "one", ("y", 2): "two"}
    file.write_text('{"instruction_id": "x", "text": "one"}\n')
    assert load_answers(file) == {("x", 1): "one"}


def test_parquet_rows_without_text_are_no_answers(tmp_path: Path) -> None:
    file = tmp_path / "answers.parquet"
    pl.DataFrame({"instruction_id": ["x", "y"], "turn": [1, 1], "text": ["one", None]}).write_parquet(file)
    assert load_answers(file) == {("x", 1): "one"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            '{"id": "x", "answer": "one"}',
            r"without the column instruction_id and text \(found: id, answer\)",
        ),
        ("a.jsonl", "{not json", "cannot be read as jsonl"),
        ("a.parquet", "not parquet", "cannot be read as parquet"),
        ("a.csv", "instruction_id,text", "are .jsonl, .ndjson or .parquet files"),
        ("a.jsonl", '{"instruction_id": "x", "text": 3}', "text is Int64, not text"),
        ("a.jsonl", '{"instruction_id": "x", "turn": "first", "text": "a"}', "turn is String, not an integer"),
        ("a.jsonl", '{"instruction_id": null, "text": "a"}', "1 answers have no instruction_id"),
        ("a.jsonl", '{"instruction_id": "x", "text": "a"}\n' * 2, "more than one answer to instruction x, turn 1"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, name: str, content: str, message: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(InputError, match=message) as raised:
        load_answers(file)
    assert str(file) in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_answers(tmp_path / "none.jsonl")
