"""Scores as expectations over the judge's token probabilities instead of the one number that it wrote.

A judge that wavers between 7 and 8 says so in its probabilities; the written score hides it and makes false ties.
Source: G-Eval (arXiv 2303.16634), section 2.2: the sum of p(score) x score over the scores 1 to 10.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from arena_etl.verdicts.parse import HIGHEST, LOWEST, Parsed

Distribution = Mapping[str, float]

_WRITTEN = {
    side: re.compile(rf"(?:\"score_{side}\"\s*:\s*|^[ \t*]*Score-{side.upper()}[ \t*]*:[ \t*]*)(\d+)\b(?!\.\d)", re.M)
    for side in "ab"
}


def weigh(parsed: Parsed, text: str, opening: str, top_logprobs: Sequence[Distribution] | None) -> Parsed:
    """``parsed`` with expected scores in place of the written ones.

    ``top_logprobs``: for every generated token, those of hidden reasoning included, the log-probabilities of the likeliest
    tokens at its place.
    ``opening``: the part of ``text`` that was not generated. Status no_logprobs if they do not lead along the text, if a
    score was written twice, or if its digits were split so that 1 and 10 cannot be told apart.
    """
    if parsed.status != "ok":
        return parsed
    if not top_logprobs:
        return _refused(parsed, "the engine gave no log-probabilities")
    start = len(opening) if text.startswith(opening) else 0
    # A reasoning model's thoughts come first among the tokens, and may quote the verdict: the last run that fits counts.
    runs = (_places(text, start, top_logprobs[skipped:]) for skipped in reversed(range(len(top_logprobs))))
    places = next((run for run in runs if run is not None), None)
    if places is None:
        return _refused(parsed, "the log-probabilities do not belong to this text")
    scores = []
    for side in "ab":
        written = list(_WRITTEN[side].finditer(text))
        if len(written) != 1:
            return _refused(parsed, f"score {side} is not written exactly once as a whole number")
        score = _expected(written[0].start(1), written[0][1], places)
        if score is None:
            return _refused(parsed, f"the probabilities of score {side} are incomplete")
        scores.append(score)
    return replace(parsed, shown_a=scores[0], shown_b=scores[1])


def _refused(parsed: Parsed, reason: str) -> Parsed:
    return Parsed("no_logprobs", explanation=parsed.explanation, reason=reason)


def _places(text: str, start: int, top: Sequence[Distribution]) -> dict[int, tuple[int, Sequence[Distribution]]] | None:
    """By the place of the first visible character of each token: its length, and the distributions from it on."""
    found: dict[int, tuple[int, Sequence[Distribution]]] = {}
    place = start
    for number, distribution in enumerate(top):
        rest = text[place:]
        if not rest:
            break
        # Engines cut the blanks at both ends of a text, so the first tokens may have more of them than it.
        token = next((t for t in _likeliest(distribution) if _fits(t, rest, place == start)), None)
        if token is None:
            return None
        if place == start and not rest.startswith(token):
            token = token.lstrip()
        blanks = len(token) - len(token.lstrip())
        if token.strip():
            found[place + blanks] = (len(token.strip()), top[number:])
        place += len(token)
    return found if place >= len(text) else None


def _likeliest(distribution: Distribution) -> Iterator[str]:
    return iter(sorted(distribution, key=lambda token: (-distribution[token], token)))


def _fits(token: str, rest: str, first: bool) -> bool:
    if not token:
        return False
    return rest.startswith(token) or rest == token.rstrip() or (first and rest.startswith(token.lstrip()))


def _expected(place: int, written: str, places: Mapping[int, tuple[int, Sequence[Distribution]]]) -> float | None:
    if place not in places:
        return None
    length, top = places[place]
    masses = dict.fromkeys(range(LOWEST, HIGHEST + 1), 0.0)
    for token, logprob in top[0].items():
        if token.strip().isdecimal() and token.strip() in map(str, masses):
            masses[int(token)] += math.exp(logprob)
    if length < len(written):  # a tokenizer that writes 10 as 1 and 0
        if written != "10" or len(top) < 2:
            return None
        zero = math.exp(max((p for token, p in top[1].items() if token == "0"), default=-math.inf))
        masses[10], masses[1] = masses[10] + masses[1] * zero, masses[1] * (1 - zero)
    elif masses[1] and not masses[10]:
        # Of a digit-wise tokenizer this 1 may have been the start of 10. Where 1 was written, the next token tells.
        zero = 0.0
        if written == "1" and len(top) > 1:
            zero = math.exp(max((p for token, p in top[1].items() if token == "0"), default=-math.inf))
        elif masses[1] > 0.01 * sum(masses.values()):
            return None
        masses[10], masses[1] = masses[1] * zero, masses[1] * (1 - zero)
    total = sum(masses.values())
    if not masses[int(written)] or not total:
        return None
    return sum(score * mass for score, mass in masses.items()) / total
