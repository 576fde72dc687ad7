"""Expected scores, computed by hand from the probabilities of the score tokens."""

import math
from collections.abc import Mapping

import pytest

from arena_etl.verdicts.expected import weigh
from arena_etl.verdicts.parse import Parsed, parse, parse_json

Places = list[Mapping[str, float]]


def _top(*places: dict[str, float] | str) -> Places:
    return [
        {place: 0.0} if isinstance(place, str) else {token: math.log(p) for token, p in place.items()}
        for place in places
    ]


def _json(top: Places, text: str = '{"score_a": 8, "score_b": 3}') -> Parsed:
    return weigh(parse_json(text), text, "", top)


def test_the_score_is_the_mean_over_the_score_tokens() -> None:
    top = _top('{"score_a":', {" 8": 0.6, " 9": 0.2, " 6": 0.2}, ', "score_b": ', {"3": 0.5, "4": 0.25, "x": 0.25}, "}")
    parsed = _json(top)
    assert parsed.shown_a == pytest.approx(0.6 * 8 + 0.2 * 9 + 0.2 * 6)
    assert parsed.shown_b == pytest.approx((0.5 * 3 + 0.25 * 4) / 0.75)
    assert parsed.status == "ok"


def test_the_verdict_comes_after_the_thoughts() -> None:
    drafted = _top('{"score_a": ', "8", ', "score_b": ', "3", "}")
    said = _top('{"score_a": ', {"8": 0.5, "9": 0.5}, ', "score_b": ', "3", "}", "<eos>")
    assert _json([*_top("<think>"), *drafted, *_top("</think>", "\n\n"), *said]).shown_a == pytest.approx(8.5)


def test_the_forced_opening_was_not_generated() -> None:
    text = "Score-A: 7\nScore-B: 10\nReason: B"
    top = _top({" 7": 0.5, " 8": 0.5}, "\nScore-B:", " ", {"10": 0.9, "9": 0.1}, "\nReason:", " B", "<eos>")
    parsed = weigh(parse(text), text, "Score-A:", top)
    assert (parsed.shown_a, parsed.shown_b) == (pytest.approx(7.5), pytest.approx(9.9))
    assert parsed.explanation == "B"


def test_ten_in_two_tokens() -> None:
    text = "Score-A: 10\nScore-B: 2"
    top = _top("Score-A: ", {"1": 0.8, "9": 0.2}, {"0": 0.75, "\n": 0.25}, "\nScore-B: ", {"2": 1.0})
    parsed = weigh(parse(text), text, "", top)
    assert parsed.shown_a == pytest.approx(0.8 * 0.75 * 10 + 0.8 * 0.25 * 1 + 0.2 * 9)


def test_a_one_that_may_have_become_ten_is_not_guessed() -> None:
    top = _top('{"score_a": ', {"8": 0.6, "1": 0.4}, ', "score_b": ', "3", "}")
    assert (_json(top).status, _json(top).shown_a) == ("no_logprobs", None)


@pytest.mark.parametrize(
    ("text", "top"),
    [
        ('{"score_a": 8, "score_b": 3}', []),
        ('{"score_a": 8, "score_b": 3}', _top("something", "else")),
        ('{"score_a": 8, "score_b": 3}', _top('{"score_a": 8, ')),
        ('{"score_a": 8, "score_b": 3}', _top('{"score_a": 8, "score_b": ', "3", "}")),
        ('{"score_a": 7.5, "score_b": 3}', _top('{"score_a": ', "7", ".5", ', "score_b": ', "3", "}")),
    ],
)
def test_probabilities_that_do_not_fit_are_a_reason(text: str, top: Places) -> None:
    parsed = _json(top, text)
    assert (parsed.status, parsed.shown_a, parsed.shown_b) == ("no_logprobs", None, None)
    assert parsed.reason


def test_what_was_not_read_is_not_weighed() -> None:
    assert _json(_top("?"), "?").status == "no_score"
