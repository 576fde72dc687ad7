"""Read a judge's text strictly: two scores from 1 to 10, each named once, or a reason why not. Never a guess."""

import re
from dataclasses import dataclass
from typing import Literal

Status = Literal[
    "ok",
    "engine_error",  # the judge gave no text
    "missing_response",  # a contestant gave no answer, so there was nothing to judge
    "no_score",  # at least one of the two score lines is missing
    "several_scores",  # a score is given twice with different values
    "out_of_range",  # a score is outside 1 to 10
]

_SCORE = re.compile(
    r"^[ \t*]*Score-(?P<side>[AB])[ \t*]*:[ \t*]*(?P<score>\d+(?:\.\d+)?)(?:[ \t]*/[ \t]*10)?[ \t*.,]*$", re.M
)
_REASON = re.compile(r"^[ \t*]*Reason[ \t*]*:(?P<reason>.+)", re.M | re.S)


@dataclass(frozen=True)
class Parsed:
    """``shown_a``, ``shown_b``: the scores of the answers labelled A and B; None unless ``status`` is ok."""

    status: Status
    shown_a: float | None = None
    shown_b: float | None = None
    explanation: str | None = None


def parse(text: str | None) -> Parsed:
    """The scores in a judge's text: lines ``Score-A: 7`` and ``Score-B: 4``, and what follows ``Reason:``."""
    if text is None or not text.strip():
        return Parsed("engine_error")
    reason = _REASON.search(text)
    explanation = reason["reason"].strip() if reason else None
    scores: dict[str, set[float]] = {"A": set(), "B": set()}
    for match in _SCORE.finditer(text):
        scores[match["side"]].add(float(match["score"]))
    if not all(scores.values()):
        return Parsed("no_score", explanation=explanation)
    if any(len(values) > 1 for values in scores.values()):
        return Parsed("several_scores", explanation=explanation)
    shown_a, shown_b = scores["A"].pop(), scores["B"].pop()
    if not (1 <= shown_a <= 10 and 1 <= shown_b <= 10):
        return Parsed("out_of_range", explanation=explanation)
    return Parsed("ok", shown_a, shown_b, explanation)
