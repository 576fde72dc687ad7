"""Read a judge's text strictly: two scores from 1 to 10, each named once, or a reason why not. Never a guess.

A stored text can be read again at any time: a reader is a pure function of the text, and a changed reader gets a new name.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from arena_etl.errors import InputError

Status = Literal[
    "ok",
    "engine_error",  # the judge gave no text
    "identical",  # both contestants said the same, so there was nothing to judge
    "missing_response",  # a contestant gave no answer, so there was nothing to judge
    "empty",  # the judge's text is blank
    "refusal",  # the judge declines to judge
    "no_score",  # at least one of the two scores is missing
    "several_scores",  # a score is given twice with different values
    "not_a_number",  # something else stands where a score belongs
    "out_of_range",  # a score is outside 1 to 10
    "truncated",  # the JSON ends before it is closed
    "bad_json",  # the JSON is broken, or has other or double keys
    "no_logprobs",  # the scores were to be weighted, and the log-probabilities do not allow it
]
Reader = Callable[[str | None], "Parsed"]

KEYS = ("score_a", "score_b")
LOWEST, HIGHEST = 1, 10

_SCORE = re.compile(
    r"^[ \t*]*Score-(?P<side>[AB])[ \t*]*:[ \t*]*(?P<score>\d+(?:\.\d+)?)(?:[ \t]*/[ \t]*10)?[ \t*.,]*$", re.M
)
_REASON = re.compile(r"^[ \t*]*Reason[ \t*]*:(?P<reason>.+)", re.M | re.S)
_REFUSAL = re.compile(
    r"\A\W*(?:(?:I am|I['\u2019]m)\s+(?:sorry|unable)|sorry\b|I\s+apologi[sz]e|(?:as|being) an? (?:AI|language model)"
    r"|I\s+(?:cannot|can['\u2019]t|can not|won['\u2019]t|will not|must decline))",
    re.I,
)


@dataclass(frozen=True)
class Parsed:
    """``shown_a``, ``shown_b``: the scores of the answers labelled A and B; None unless ``status`` is ok.

    ``reason`` says for people what is wrong; None where ``status`` is ok.
    """

    status: Status
    shown_a: float | None = None
    shown_b: float | None = None
    explanation: str | None = None
    reason: str | None = None


def parse(text: str | None) -> Parsed:
    """The scores in a judge's text: lines ``Score-A: 7`` and ``Score-B: 4``, and what follows ``Reason:``."""
    if text is None or not text.strip():
        return _without_text(text)
    reason = _REASON.search(text)
    explanation = reason["reason"].strip() if reason else None
    found: dict[str, set[float]] = {"A": set(), "B": set()}
    for match in _SCORE.finditer(text):
        found[match["side"]].add(float(match["score"]))
    missing = [f"Score-{side}" for side, values in found.items() if not values]
    if missing:
        status: Status = "refusal" if len(missing) == 2 and _REFUSAL.search(text) else "no_score"
        return Parsed(status, explanation=explanation, reason=f"no line {' and no line '.join(missing)}")
    for side, values in found.items():
        if len(values) > 1:
            given = ", ".join(f"{value:g}" for value in sorted(values))
            return Parsed("several_scores", explanation=explanation, reason=f"Score-{side} is {given}")
    return _scored(found["A"].pop(), found["B"].pop(), explanation)


def parse_json(text: str | None) -> Parsed:
    """The scores in a judge's JSON object with ``score_a``, ``score_b`` and, if it likes, ``explanation``.

    Words or a code fence around the object do not matter, but there must be no second one. A text without any brace is
    read as ``parse`` does: judges that no schema binds sometimes answer with lines.
    """
    if text is None or not text.strip():
        return _without_text(text)
    if "{" not in text:
        return parse(text)
    try:
        objects = _objects(text)
    except _Refused as refused:
        return Parsed(refused.status, reason=refused.reason)
    if len(objects) > 1:
        same = all(_scores(each) == _scores(objects[0]) for each in objects)
        status: Status = "bad_json" if same else "several_scores"
        return Parsed(status, reason=f"{len(objects)} JSON objects")
    return _from_object(objects[0])


# Names are stored with prompts: a reader that reads differently is a new name beside the old one.
PARSERS: dict[str, Reader] = {"lines-v1": parse, "json-v1": parse_json}


def reparse(raw_text: str | None, parser: str) -> Parsed:
    """Read a stored text with the parser of this name; the prompt that it answers names it (``PromptSet.parser``).

    Raises InputError, listing the known parsers, when there is none of this name.
    """
    if parser not in PARSERS:
        raise InputError(f"no parser {parser!r}; known: {', '.join(sorted(PARSERS))}")
    return PARSERS[parser](raw_text)


class _Refused(Exception):
    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def _without_text(text: str | None) -> Parsed:
    if text is None:
        return Parsed("engine_error", reason="no text")
    return Parsed("empty", reason="blank text")


def _scored(shown_a: float, shown_b: float, explanation: str | None) -> Parsed:
    for name, score in zip("AB", (shown_a, shown_b), strict=True):
        if not LOWEST <= score <= HIGHEST:
            reason = f"score of {name} is {str(score)[:20]}, not from {LOWEST} to {HIGHEST}"
            return Parsed("out_of_range", explanation=explanation, reason=reason)
    return Parsed("ok", float(shown_a), float(shown_b), explanation)


def _objects(text: str) -> list[dict[str, Any]]:
    """Every JSON object of the text in order. A brace that opens none refuses the whole: what it hides is unknown."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number)
    objects = []
    start = text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except RecursionError:
            raise _Refused("bad_json", "nested too deeply") from None
        except ValueError as error:  # JSONDecodeError, and integers with too many digits
            message, place = getattr(error, "msg", str(error)), getattr(error, "pos", start)
            cut = message.startswith("Unterminated") or place >= len(text.rstrip())
            raise _Refused("truncated" if cut else "bad_json", message) from None
        objects.append(value)
        start = text.find("{", end)
    return objects


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, value in pairs:
        others = [other for name, other in pairs if name == key]
        if len(others) > 1:
            contradictory = key in KEYS and any(other != value for other in others)
            raise _Refused(
                "several_scores" if contradictory else "bad_json", f"key {key!r} is there {len(others)} times"
            )
    return dict(pairs)


def _no_number(constant: str) -> Any:
    raise _Refused("not_a_number", f"{constant} is no score")


def _from_object(value: dict[str, Any]) -> Parsed:
    extra = sorted(value.keys() - {*KEYS, "explanation"})
    explanation = value.get("explanation")
    if explanation is not None and not isinstance(explanation, str):
        return Parsed("bad_json", reason="the explanation is no text")
    missing = [key for key in KEYS if key not in value]
    if missing:
        return Parsed("no_score", explanation=explanation, reason=f"no key {' and no key '.join(missing)}")
    if extra:
        return Parsed("bad_json", explanation=explanation, reason=f"unknown keys: {', '.join(extra)}")
    for key in KEYS:
        score = value[key]
        # An integer is finite, and may be too long for a float.
        number = isinstance(score, int | float) and not isinstance(score, bool)
        if not number or (isinstance(score, float) and not math.isfinite(score)):
            return Parsed("not_a_number", explanation=explanation, reason=f"{key} is {json.dumps(score)[:60]}")
    return _scored(*_scores(value), explanation)


def _scores(value: dict[str, Any]) -> tuple[Any, Any]:
    return value.get(KEYS[0]), value.get(KEYS[1])
