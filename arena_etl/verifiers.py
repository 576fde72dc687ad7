"""Programmatic verdicts: a checker decides whether an answer is right, with no model involved.

A checker is a JSON object whose ``type`` names one of the classes below and whose other keys are their fields
(docs/instructions.md lists them). Patterns of ``regex`` run as they are: take instructions from sources you trust.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from arena_etl.errors import InputError

PASS, FORM, FAIL = 10.0, 6.0, 1.0

# A minus sign counts only where nothing countable precedes it: "10-4" holds 10 and 4, "= -4" holds -4.
_NUMBER = re.compile(
    r"(?:(?<![\w.)])[-+\u2212])?(?<![0-9])(?<![0-9]\.)"
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+|(?=\.[0-9]))(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+(?![\w.]))?"
)
_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_SENTENCE_END = re.compile(r"[.!?]+[\"')\]]*(?:\s+|$)")
_ABBREVIATION = re.compile(r"\b(Dr|Mr|Mrs|Ms|Prof|St|vs|etc|e\.g|i\.e)\.")
_BULLETS = {"dash": r"-", "star": r"\*", "dot": r"\u2022", "number": r"[0-9]+[.)]"}
_WRAPPING = "\"'`*_.!\u201c\u201d\u2018\u2019 "


@dataclass(frozen=True)
class Check:
    """``score``: 10 for a pass, 1 for a failure, 6 for right content in the wrong form, else the share that was met."""

    passed: bool
    score: float
    reason: str


class _Checker(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Number(_Checker):
    """The last number of the answer; ``only``: nothing but the number and a final full stop."""

    type: Literal["number"]
    value: float = Field(allow_inf_nan=False)
    tolerance: float = Field(0.0, ge=0, allow_inf_nan=False)
    only: bool = False

    def check(self, text: str) -> Check:
        found = list(_NUMBER.finditer(text))
        if not found:
            return _fail("no number in the answer")
        value = float(found[-1][0].replace(",", "").replace("\u2212", "-"))
        if abs(value - self.value) > self.tolerance + 1e-9:  # 1e-9: decimals that binary floats miss
            return _fail(f"found {value:g}, expected {self.value:g}")
        if self.only and found[-1][0] != text.removesuffix("."):
            return _form("the number is right, but it was to stand alone")
        return _pass(f"found {value:g}")


class Exact(_Checker):
    """The whole answer, up to white space and a final full stop."""

    type: Literal["exact"]
    value: str | Annotated[list[str], Field(min_length=1)]
    ignore_case: bool = False

    def check(self, text: str) -> Check:
        accepted = [self.value] if isinstance(self.value, str) else self.value
        if _tidy(text, self.ignore_case) in {_tidy(value, self.ignore_case) for value in accepted}:
            return _pass("equals an accepted answer")
        if _bare(text) in {_bare(value) for value in accepted}:
            return _form("right apart from letter case or the punctuation around it")
        return _fail(f"expected {' or '.join(map(repr, accepted))}")


class Contains(_Checker):
    """Whole words or phrases: every one of ``all``, at least one of ``any``, not one of ``none``."""

    type: Literal["contains"]
    all: list[str] = []
    any: list[str] = []
    none: list[str] = []
    ignore_case: bool = True

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.all or self.any or self.none):
            raise ValueError("name at least one phrase in all, any or none")
        return self

    def check(self, text: str) -> Check:
        def has(phrase: str) -> bool:
            flags = re.IGNORECASE if self.ignore_case else 0
            return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text, flags) is not None

        wanted = [(f"lacks {phrase!r}", has(phrase)) for phrase in self.all]
        wanted += [(f"lacks each of {self.any}", any(map(has, self.any)))] if self.any else []
        if wanted and not any(ok for _, ok in wanted):
            return _fail("; ".join(complaint for complaint, _ in wanted))  # avoiding ``none`` alone earns nothing
        return _share(wanted + [(f"holds {phrase!r}", not has(phrase)) for phrase in self.none])


class Regex(_Checker):
    """The whole answer matches the pattern (Python's ``re``; ``.`` crosses lines)."""

    type: Literal["regex"]
    pattern: str
    ignore_case: bool = False

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return pattern

    def check(self, text: str) -> Check:
        flags = re.DOTALL | (re.IGNORECASE if self.ignore_case else 0)
        if re.fullmatch(self.pattern, text, flags):
            return _pass("matches the pattern")
        return _fail(f"does not match {self.pattern!r}")


class Json(_Checker):
    """A JSON document (bare or as one code fence): equal to ``equals``, or an object with ``keys`` and ``values``."""

    type: Literal["json"]
    equals: Any = None
    keys: list[str] = []
    values: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if ("equals" in self.model_fields_set) == bool(self.keys or self.values):
            raise ValueError("give either equals, or keys and values")
        return self

    def check(self, text: str) -> Check:
        fence = _FENCE.fullmatch(text)
        found = _json(fence[1] if fence else text)
        if found is not _NOTHING:
            return self._compare(found)
        start = re.search(r"[{\[]", text)
        found = _json(text[start.start() :], prefix=True) if start else _NOTHING
        if found is _NOTHING:
            return _fail("no JSON in the answer")
        inner = self._compare(found)
        return Check(False, min(inner.score, FORM), f"JSON among other text: {inner.reason}")

    def _compare(self, found: Any) -> Check:
        if "equals" in self.model_fields_set:
            return _pass("equal") if _same(found, self.equals) else _fail(f"expected {json.dumps(self.equals)}")
        if not isinstance(found, dict):
            return _fail("not a JSON object")
        met = [(f"lacks the key {key!r}", key in found) for key in self.keys]
        for key, value in self.values.items():
            met.append((f"{key!r} is not {value!r}", _same(found.get(key, _NOTHING), value)))
        return _share(met)


class _Count(_Checker):
    min: int | None = Field(None, ge=0)
    max: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self

    def _judge(self, count: int, what: str) -> Check:
        if self.min is not None and count < self.min:
            return _fail(f"{count} {what}, at least {self.min} were asked for")
        if self.max is not None and count > self.max:
            return _fail(f"{count} {what}, at most {self.max} were asked for")
        return _pass(f"{count} {what}")


class WordCount(_Count):
    """Words between white space, bullets and lone punctuation not counted."""

    type: Literal["word_count"]

    def check(self, text: str) -> Check:
        return self._judge(sum(any(map(str.isalnum, word)) for word in text.split()), "words")


class SentenceCount(_Count):
    """Stretches that end in ``.``, ``!``, ``?`` or with the answer."""

    type: Literal["sentence_count"]

    def check(self, text: str) -> Check:
        parts = _SENTENCE_END.split(_ABBREVIATION.sub(r"\1", text))
        return self._judge(sum(any(map(str.isalnum, part)) for part in parts), "sentences")


class LineCount(_Count):
    """Lines that are not blank."""

    type: Literal["line_count"]

    def check(self, text: str) -> Check:
        return self._judge(len(_lines(text)), "lines")


class ListItems(_Checker):
    """A list of exactly ``count`` items, one a line, and nothing around it."""

    type: Literal["list_items"]
    count: int = Field(ge=1)
    style: Literal["any", "dash", "star", "dot", "number"] = "any"

    def check(self, text: str) -> Check:
        lines = _lines(text)
        items = [line for line in lines if re.match(rf"(?:{'|'.join(_BULLETS.values())})\s+\S", line)]
        if len(items) != self.count:
            return _fail(f"{len(items)} list items instead of {self.count}")
        if len(lines) != len(items):
            return _form("the list is right, but there is text around it")
        if self.style != "any" and not all(re.match(_BULLETS[self.style], line) for line in items):
            return _form(f"not every item has the bullet style {self.style}")
        return _pass(f"{len(items)} list items")


class StartsWith(_Checker):
    type: Literal["starts_with"]
    value: str = Field(min_length=1)
    ignore_case: bool = False

    def check(self, text: str) -> Check:
        if _fold(text, self.ignore_case).startswith(_fold(self.value, self.ignore_case)):
            return _pass(f"starts with {self.value!r}")
        return _fail(f"does not start with {self.value!r}")


class EndsWith(_Checker):
    type: Literal["ends_with"]
    value: str = Field(min_length=1)
    ignore_case: bool = False

    def check(self, text: str) -> Check:
        if _fold(text, self.ignore_case).endswith(_fold(self.value, self.ignore_case)):
            return _pass(f"ends with {self.value!r}")
        return _fail(f"does not end with {self.value!r}")


class AllOf(_Checker):
    """Every checker passes; the score is the mean of theirs."""

    type: Literal["all_of"]
    checkers: list["Checker"] = Field(min_length=1)

    def check(self, text: str) -> Check:
        checks = [checker.check(text) for checker in self.checkers]
        score = sum(check.score for check in checks) / len(checks)
        reasons = [check.reason for check in checks if not check.passed]
        return Check(not reasons, score, "; ".join(reasons) or "all checks passed")


Checker = Annotated[
    Number
    | Exact
    | Contains
    | Regex
    | Json
    | WordCount
    | SentenceCount
    | LineCount
    | ListItems
    | StartsWith
    | EndsWith
    | AllOf,
    Field(discriminator="type"),
]
_ADAPTER: TypeAdapter[Checker] = TypeAdapter(Checker)
TYPES: tuple[str, ...] = tuple(
    get_args(kind.model_fields["type"].annotation)[0] for kind in get_args(get_args(Checker)[0])
)


def validate(checker: dict[str, Any]) -> Checker:
    """The checker, parsed. Raises InputError that names the checker, each thing wrong with it and the known types."""
    try:
        return _ADAPTER.validate_python(checker)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'checker'}: {p['msg']}" for p in error.errors())
        raise InputError(f"checker {checker!r}: {problems}. Known types: {', '.join(TYPES)}.") from error


def check(checker: dict[str, Any], answer: str | None) -> Check:
    """Judge one answer; a missing or blank one fails. Raises InputError for a checker that ``validate`` refuses."""
    parsed = validate(checker)
    text = (answer or "").strip()
    return parsed.check(text) if text else _fail("no answer")


def _pass(reason: str) -> Check:
    return Check(True, PASS, reason)


def _form(reason: str) -> Check:
    return Check(False, FORM, reason)


def _fail(reason: str) -> Check:
    return Check(False, FAIL, reason)


def _share(met: Iterable[tuple[str, bool]]) -> Check:
    """``met``: (complaint, is it met?) per constraint."""
    outcomes = list(met)
    complaints = [complaint for complaint, ok in outcomes if not ok]
    score = FAIL + (PASS - FAIL) * (len(outcomes) - len(complaints)) / len(outcomes)
    return Check(not complaints, score, "; ".join(complaints) or "all constraints met")


def _fold(text: str, ignore_case: bool) -> str:
    return text.casefold() if ignore_case else text


def _tidy(text: str, ignore_case: bool) -> str:
    return _fold(" ".join(text.split()).removesuffix("."), ignore_case)


def _bare(text: str) -> str:
    return " ".join(text.split()).strip(_WRAPPING).casefold()


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


_NOTHING = object()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _json(text: str, prefix: bool = False) -> Any:
    """The document, or _NOTHING. ``prefix``: whatever follows the document is ignored."""
    decoder = json.JSONDecoder(parse_constant=_refuse)
    try:
        return decoder.raw_decode(text)[0] if prefix else decoder.decode(text)
    except (ValueError, RecursionError):
        return _NOTHING


def _same(left: Any, right: Any) -> bool:
    """JSON equality: 1 equals 1.0, but true does not equal 1 (in Python it does)."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
