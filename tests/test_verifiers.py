"""Every checker type: what passes, what fails, what lies between."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena_etl.errors import InputError
from arena_etl.verifiers import TYPES, check, validate

NUMBER = {"type": "number", "value": 42}
ONLY = NUMBER | {"only": True}
JSON = {"type": "json", "values": {"name": "Ann", "age": 31}}
NESTED = {"type": "json", "equals": {"ok": True, "items": [1, 2.5, None]}}
LIST = {"type": "list_items", "count": 2, "style": "dash"}
BOTH = {"type": "all_of", "checkers": [{"type": "starts_with", "value": "Yes"}, {"type": "word_count", "max": 5}]}


def number(value: float, **options: Any) -> dict[str, Any]:
    return {"type": "number", "value": value, **options}


def exact(value: str | list[str], **options: Any) -> dict[str, Any]:
    return {"type": "exact", "value": value, **options}


def contains(**options: Any) -> dict[str, Any]:
    return {"type": "contains", **options}


CASES: list[tuple[dict[str, Any], str, float]] = [
    # number: the last one counts
    (NUMBER, "42", 10),
    (NUMBER, "6 times 7 is 42.", 10),
    (NUMBER, "42 and not 41", 1),
    (NUMBER, "forty-two", 1),
    (number(1234567.5), "It is $1,234,567.50 in all", 10),
    (number(2345), "1,2345", 10),
    (number(3), "1,2,3", 10),
    (number(-5), "x = -5", 10),
    (number(-5), "(\u22125)", 10),
    (number(5), "9-5", 10),
    (number(5), "- 5", 10),
    (number(0.5), "about .5", 10),
    (number(0.3), "0.30", 10),
    (number(12), "12.", 10),
    (number(1500), "1.5e3", 10),
    (number(3.14, tolerance=0.01), "3.15", 10),
    (number(3.14, tolerance=0.01), "3.16", 1),
    (number(1), "1e999", 1),
    (number(3), "\u0663", 1),
    # number only: extra words are a matter of form
    (ONLY, " 42. ", 10),
    (ONLY, "42.0", 10),
    (ONLY, "6 x 7 = 42", 6),
    (ONLY, "**42**", 6),
    (ONLY, "41", 1),
    # exact
    (exact("Paris"), "Paris.", 10),
    (exact("Paris"), "paris", 6),
    (exact("Paris", ignore_case=True), "PARIS", 10),
    (exact("Paris"), '"Paris"', 6),
    (exact("Paris"), "It is Paris", 1),
    (exact(["a, b", "a,b"]), "a,b", 10),
    (exact("a b"), "a \n b", 10),
    (exact("NO WAY"), "no way", 6),
    # contains: whole words, a share of what was asked
    (contains(all=["art"]), "the start", 1),
    (contains(all=["art"]), "Art!", 10),
    (contains(all=["Art"], ignore_case=False), "art", 1),
    (contains(all=["red", "blue"]), "red", 5.5),
    (contains(any=["red", "blue"]), "a blue door", 10),
    (contains(any=["red", "blue"]), "a door", 1),
    (contains(all=["red"], none=["blue"]), "red and blue", 5.5),
    (contains(all=["red"], none=["blue"]), "green", 1),
    (contains(none=["blue"]), "green", 10),
    (contains(all=["C++"]), "I like C++.", 10),
    # regex
    ({"type": "regex", "pattern": "[a-z]+"}, "abc", 10),
    ({"type": "regex", "pattern": "[a-z]+"}, "abc 1", 1),
    ({"type": "regex", "pattern": "a.b", "ignore_case": True}, "A\nB", 10),
    # json
    (JSON, '{"age": 31.0, "name": "Ann", "more": 1}', 10),
    (JSON, '```json\n{"name": "Ann", "age": 31}\n```', 10),
    (JSON, '{"name": "Ann", "age": "31"}', 5.5),
    (JSON, 'Here it is: {"name": "Ann", "age": 31} Enjoy!', 6),
    (JSON, 'Here it is: {"name": "Ann"}', 5.5),
    (JSON, '["Ann", 31]', 1),
    (JSON, "{name: Ann}", 1),
    (NESTED, '{"items": [1.0, 2.5, null], "ok": true}', 10),
    (NESTED, '{"items": [1, 2.5, null], "ok": 1}', 1),
    ({"type": "json", "keys": ["a", "b"]}, '{"a": null}', 5.5),
    ({"type": "json", "equals": None}, "null", 10),
    ({"type": "json", "equals": []}, "NaN", 1),
    ({"type": "json", "equals": []}, "[" * 100_000, 1),
    ({"type": "json", "equals": 1}, "1" * 10_000, 1),
    # counts
    ({"type": "word_count", "min": 2, "max": 3}, "- two words", 10),
    ({"type": "word_count", "min": 2, "max": 3}, "one", 1),
    ({"type": "word_count", "max": 3}, "this is too long", 1),
    ({"type": "sentence_count", "min": 2, "max": 2}, 'Dr. Lee paid 3.50, e.g. in cash. "Really?"', 10),
    ({"type": "sentence_count", "max": 1}, "One. Two", 1),
    ({"type": "line_count", "min": 3}, "a\n\nb\nc", 10),
    ({"type": "line_count", "max": 1}, "a\nb", 1),
    # lists
    (LIST, "- a\n- b", 10),
    (LIST, "- a\n\n  - b", 10),
    (LIST, "* a\n* b", 6),
    (LIST, "Sure:\n- a\n- b", 6),
    (LIST, "- a", 1),
    (LIST, "-a\n-b", 1),
    ({"type": "list_items", "count": 2}, "1. a\n2) b", 10),
    # edges
    ({"type": "starts_with", "value": "Ahoy"}, "Ahoy there", 10),
    ({"type": "starts_with", "value": "Ahoy"}, "ahoy there", 1),
    ({"type": "ends_with", "value": "END", "ignore_case": True}, "the end", 10),
    ({"type": "ends_with", "value": "end"}, "the end.", 1),
    # all of them, graded by the mean
    (BOTH, "Yes, of course", 10),
    (BOTH, "Well, yes", 5.5),
    (BOTH, "Well, that depends on many things", 1),
]


@pytest.mark.parametrize(("checker", "answer", "score"), CASES)
def test_score(checker: dict[str, Any], answer: str, score: float) -> None:
    result = check(checker, answer)
    assert result.score == score, result.reason
    assert result.passed == (score == 10)
    assert result.reason


def test_every_type_is_exercised() -> None:
    assert {checker["type"] for checker, _, _ in CASES} == set(TYPES)


@pytest.mark.parametrize("answer", [None, "", " \n\t"])
@pytest.mark.parametrize("checker", [ONLY, {"type": "contains", "none": ["x"]}, {"type": "word_count", "max": 9}])
def test_no_answer_fails(checker: dict[str, Any], answer: str | None) -> None:
    assert check(checker, answer).score == 1


@pytest.mark.parametrize(
    ("checker", "names"),
    [
        ({"type": "numbr"}, "numbr"),
        ({}, "type"),
        ([], "dictionary"),
        ({"type": "number"}, "number.value"),
        ({"type": "number", "value": "42"}, "valid number"),
        ({"type": "number", "value": float("nan")}, "finite"),
        ({"type": "number", "value": 42, "exactly": True}, "number.exactly"),
        ({"type": "exact", "value": []}, "exact.value"),
        ({"type": "contains"}, "at least one phrase"),
        ({"type": "regex", "pattern": "("}, "not a regular expression"),
        ({"type": "json"}, "equals"),
        ({"type": "json", "equals": 1, "keys": ["a"]}, "equals"),
        ({"type": "word_count"}, "min, max or both"),
        ({"type": "line_count", "min": 3, "max": 2}, "above"),
        ({"type": "list_items", "count": 0}, "list_items.count"),
        ({"type": "all_of", "checkers": [{"type": "exact"}]}, "all_of.checkers.0.exact.value"),
    ],
)
def test_wrong_checker(checker: Any, names: str) -> None:
    with pytest.raises(InputError) as error:
        validate(checker)
    message = str(error.value)
    assert names in message
    assert repr(checker) in message
    assert all(kind in message for kind in TYPES)


# Digits, brackets and fences come up often enough to reach the parsers.
TEXT = st.text() | st.text(alphabet='0123456789.,-+eE \u2212[]{}":`\n*a') | st.from_regex(r"```json\n.*\n```")


@given(answer=TEXT)
def test_no_text_raises(answer: str) -> None:
    for checker, _, _ in CASES:
        result = check(checker, answer)
        assert 1 <= result.score <= 10
        assert result.passed == (result.score == 10)


@given(value=st.integers(-(10**9), 10**9))
def test_numbers_with_thousands_separators(value: int) -> None:
    assert check(number(value, only=True), f"{value:,}").passed
    assert check(number(value), f"The result is {value:,}, I think.").passed
