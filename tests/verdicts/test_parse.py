"""A golden file of awkward verdicts: two scores or a reason, never a guess."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena_etl.errors import InputError
from arena_etl.verdicts.parse import PARSERS, parse, parse_json, reparse


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        ("Score-A: 7\nScore-B: 4\nReason: A is right.", (7, 4)),
        ("Score-A: 7.5\nScore-B: 10", (7.5, 10)),
        ("Thinking...\nScore-B: 2\nScore-A: 9", (9, 2)),
        ("**Score-A**: 8\n**Score-B:** 8", (8, 8)),
        ("Score-A: 8/10\nScore-B: 3/10", (8, 3)),
        ("Score-A: 8\nScore-B: 3\nScore-A: 8", (8, 3)),
        ("Score-A:  1 \nScore-B: 1.", (1, 1)),
    ],
)
def test_two_scores_are_read(text: str, scores: tuple[float, float]) -> None:
    parsed = parse(text)
    assert (parsed.status, parsed.shown_a, parsed.shown_b) == ("ok", *scores)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (None, "engine_error"),
        ("  \n", "empty"),
        ("I'm sorry, but I cannot compare these answers.", "refusal"),
        ("As an AI language model, I have no preference.", "refusal"),
        ("Answer A is better.", "no_score"),
        ("Score-A: 7", "no_score"),
        ("Score-A: seven\nScore-B: 4", "no_score"),
        ("Score-A: 7 or 8\nScore-B: 4", "no_score"),
        ("I would give Score-A: 7 and Score-B: 4", "no_score"),
        ("Score-A: -3\nScore-B: 4", "no_score"),
        ("Score-A: a number from 1 to 10\nScore-B: a number from 1 to 10", "no_score"),
        ("Score-A: 0\nScore-B: 4", "out_of_range"),
        ("Score-A: 11\nScore-B: 4", "out_of_range"),
        ("Score-A: 100\nScore-B: 4", "out_of_range"),
        ("Score-A: 7\nScore-B: 4\nScore-A: 9", "several_scores"),
        ("HTTP 429: rate limit exceeded", "no_score"),
    ],
)
def test_anything_else_is_a_reason(text: str | None, status: str) -> None:
    parsed = parse(text)
    assert parsed.status == status
    assert parsed.shown_a is None
    assert parsed.shown_b is None
    assert parsed.reason


def test_the_reason_is_kept_even_without_scores() -> None:
    assert parse("Reason: both are\nfine.").explanation == "both are\nfine."


@pytest.mark.parametrize(
    "text",
    [
        '{"explanation": "why", "score_a": 7, "score_b": 4}',
        '{"score_b": 4, "score_a": 7}',
        '{"score_a": 7.0, "score_b": 4.0, "explanation": null}',
        '```json\n{"explanation": "why", "score_a": 7, "score_b": 4}\n```',
        'Here is my verdict:\n{"score_a": 7, "score_b": 4}\nI hope this helps.',
        '{"explanation": "A says {\\"score_a\\": 1}", "score_a": 7, "score_b": 4}',
        "Score-A: 7\nScore-B: 4",
    ],
)
def test_one_json_object_is_read(text: str) -> None:
    parsed = parse_json(text)
    assert (parsed.status, parsed.shown_a, parsed.shown_b, parsed.reason) == ("ok", 7, 4, None)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (None, "engine_error"),
        (" \n", "empty"),
        ("Both answers are good.", "no_score"),
        ("I'm sorry, but I can't rate these.", "refusal"),
        ("I\u2019m unable to do that.", "refusal"),
        ("7 4", "no_score"),
        ("[7, 4]", "no_score"),
        ("{}", "no_score"),
        ('{"explanation": "A is better"}', "no_score"),
        ('{"score_a": 7}', "no_score"),
        ('{"Score_A": 7, "score_b": 4}', "no_score"),
        ('{"score_a": 7, "score_b": 4, "winner": "B"}', "bad_json"),
        ('{"score_a": 7, "score_a": 9, "score_b": 4}', "several_scores"),
        ('{"score_a": 7, "score_a": 7, "score_b": 4}', "bad_json"),
        ('{"score_a": 7, "score_b": 4} {"score_a": 1, "score_b": 10}', "several_scores"),
        ('{"score_a": 7, "score_b": 4} {"score_a": 7, "score_b": 4}', "bad_json"),
        ('{"verdict": {"score_a": 7, "score_b": 4}}', "no_score"),
        ('The set {1, 2} is right. {"score_a": 7, "score_b": 4}', "bad_json"),
        ('{"score_a": 7, "score_b": 4', "truncated"),
        ('{"explanation": "A is', "truncated"),
        ('{"explanation": "x", "more": {"score_a": 7, "score_b": 4}', "truncated"),
        ("{'score_a': 7, 'score_b': 4}", "bad_json"),
        ('{"score_a": 7, "score_b": 4,}', "bad_json"),
        ('{"score_a": 07, "score_b": 4}', "bad_json"),
        ('{"score_a": "7", "score_b": 4}', "not_a_number"),
        ('{"score_a": "7/10", "score_b": 4}', "not_a_number"),
        ('{"score_a": null, "score_b": 4}', "not_a_number"),
        ('{"score_a": true, "score_b": 4}', "not_a_number"),
        ('{"score_a": [7], "score_b": 4}', "not_a_number"),
        ('{"score_a": NaN, "score_b": 4}', "not_a_number"),
        ('{"score_a": -Infinity, "score_b": 4}', "not_a_number"),
        ('{"score_a": 1e999, "score_b": 4}', "not_a_number"),
        ('{"score_a": 0, "score_b": 4}', "out_of_range"),
        ('{"score_a": 11, "score_b": 4}', "out_of_range"),
        ('{"score_a": -3, "score_b": 4}', "out_of_range"),
        (f'{{"score_a": 1{"0" * 400}, "score_b": 4}}', "out_of_range"),
        (f'{{"score_a": 1{"0" * 9000}, "score_b": 4}}', "bad_json"),
        ('{"a":' * 100_000, "bad_json"),
        ('{"explanation": 5, "score_a": 7, "score_b": 4}', "bad_json"),
    ],
)
def test_any_other_json_is_a_reason(text: str | None, status: str) -> None:
    parsed = parse_json(text)
    assert (parsed.status, parsed.shown_a, parsed.shown_b) == (status, None, None)
    assert parsed.reason


def test_a_stored_text_is_read_by_the_named_parser() -> None:
    assert reparse("Score-A: 7\nScore-B: 4", "lines-v1") == parse("Score-A: 7\nScore-B: 4")
    assert reparse('{"score_a": 7, "score_b": 4}', "json-v1").shown_a == 7
    with pytest.raises(InputError, match=r"no parser 'nope'; known: json-v1, lines-v1"):
        reparse("", "nope")


@given(text=st.text(), parser=st.sampled_from(sorted(PARSERS)))
def test_any_text_ends_in_scores_from_one_to_ten_or_in_none(text: str, parser: str) -> None:
    parsed = reparse(text, parser)
    if parsed.status == "ok":
        assert 1 <= parsed.shown_a <= 10 and 1 <= parsed.shown_b <= 10  # type: ignore[operator]
    else:
        assert parsed.shown_a is None and parsed.shown_b is None
        assert parsed.reason


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["score_a", "score_b", "explanation", "x"]), inner)
        ),
    )
)
def test_any_json_ends_in_scores_from_one_to_ten_or_in_none(value: Any) -> None:
    parsed = parse_json(json.dumps(value))
    assert (parsed.status == "ok") == (parsed.shown_a is not None and 1 <= parsed.shown_a <= 10)
    assert (parsed.status == "ok") == (parsed.shown_b is not None and 1 <= parsed.shown_b <= 10)


@given(st.integers(1, 10), st.integers(1, 10), st.text(alphabet=st.characters(exclude_characters="\n\r"), max_size=50))
def test_what_was_written_is_what_is_read(a: int, b: int, reason: str) -> None:
    parsed = parse(f"Score-A: {a}\nScore-B: {b}\nReason: {reason}")
    if "Score-" not in reason:
        assert (parsed.shown_a, parsed.shown_b) == (a, b)
