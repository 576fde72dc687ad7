"""A golden file of awkward verdicts: two scores or a reason, never a guess."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena_etl.verdicts.parse import parse


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
        ("  \n", "engine_error"),
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


def test_the_reason_is_kept_even_without_scores() -> None:
    assert parse("Reason: both are\nfine.").explanation == "both are\nfine."


@given(st.text())
def test_any_text_ends_in_scores_from_one_to_ten_or_in_none(text: str) -> None:
    parsed = parse(text)
    if parsed.status == "ok":
        assert 1 <= parsed.shown_a <= 10 and 1 <= parsed.shown_b <= 10  # type: ignore[operator]
    else:
        assert parsed.shown_a is None and parsed.shown_b is None


@given(st.integers(1, 10), st.integers(1, 10), st.text(alphabet=st.characters(exclude_characters="\n\r"), max_size=50))
def test_what_was_written_is_what_is_read(a: int, b: int, reason: str) -> None:
    parsed = parse(f"Score-A: {a}\nScore-B: {b}\nReason: {reason}")
    if "Score-" not in reason:
        assert (parsed.shown_a, parsed.shown_b) == (a, b)
