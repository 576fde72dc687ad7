"""Readers for the judge texts that others published, each in the form of its own benchmark.

A reader says which of the two answers shown the text prefers, or why it says nothing. It reproduces what was written: where a
published label says something else, the label was misread.
"""

import ast
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Choice = Literal["first", "second", "tie"]


@dataclass(frozen=True)
class Reading:
    """``choice``: the preferred answer in the order shown, None if the text names none; then ``reason`` says why.

    ``first``, ``second``: the scores, in formats that have them.
    """

    choice: Choice | None
    reason: str | None = None
    first: float | None = None
    second: float | None = None


_SCORES = re.compile(r"\s*(\d+(?:\.\d+)?)(?:\s*,\s*|\s+)(\d+(?:\.\d+)?)\s*")
_BARE_OUTPUT = re.compile(r"Output \(([ab])\)\.?(?:\s*\n.*)?", re.S)
_BETTER_OUTPUT = re.compile(r"\bOutput \(([ab])\) is better\b", re.I)


def vicuna(text: str) -> Reading:
    """Vicuna bench (FastChat): the first line is two numbers and nothing else; an explanation follows."""
    line = text.partition("\n")[0]
    match = _SCORES.fullmatch(line)
    if match is None:
        return Reading(None, "the first line is not two numbers" if text.strip() else "blank text")
    first, second = float(match[1]), float(match[2])
    choice: Choice = "tie" if first == second else "first" if first > second else "second"
    return Reading(choice, None, first, second)


def alpaca_ranking(text: str) -> Reading:
    """AlpacaEval's ranking judges: two entries of model and rank, in JSON under ``ordered_models`` or as a Python list.

    The models are called ``m`` and ``M``, or ``model_1`` and ``model_2``, in the order shown.
    """
    try:
        ranking: Any = json.loads(text)["ordered_models"]
    except (ValueError, KeyError, TypeError, RecursionError):
        try:
            ranking = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return Reading(None, "no ranking" if text.strip() else "blank text")
    if not isinstance(ranking, list) or len(ranking) != 2 or not all(isinstance(each, dict) for each in ranking):
        return Reading(None, "not a list of two models")
    ranks = {str(each.get("model")): each.get("rank") for each in ranking}
    for shown in (("m", "M"), ("model_1", "model_2")):
        if ranks.keys() == set(shown):
            first, second = (ranks[name] for name in shown)
            if type(first) is not int or type(second) is not int or {first, second} != {1, 2}:
                return Reading(None, f"ranks {first!r} and {second!r}")
            return Reading("first" if first < second else "second")
    return Reading(None, f"unknown models {', '.join(sorted(ranks))}")


def alpaca_token(text: str) -> Reading:
    """AlpacaEval 2: one token, ``m`` for the answer shown first and ``M`` for the second."""
    choices: dict[str, Choice] = {"m": "first", "M": "second"}
    choice = choices.get(text.strip())
    return Reading(
        choice, None if choice else f"neither m nor M: {text.strip()[:30]!r}" if text.strip() else "blank text"
    )


def llmbar(text: str) -> Reading:
    """LLMBar: a text that is or begins with the line ``Output (a)``, or says of exactly one output that it is better."""
    if not text.strip():
        return Reading(None, "blank text")
    bare = _BARE_OUTPUT.fullmatch(text.strip())
    named = {bare[1]} if bare else set()
    named |= {letter.lower() for letter in _BETTER_OUTPUT.findall(text)}
    if len(named) != 1:
        return Reading(None, "both outputs are called better" if named else "no output is called better")
    return Reading("first" if named == {"a"} else "second")


def pandalm(text: str) -> Reading:
    """PandaLM: the first line is ``1``, ``2``, or ``0`` or ``Tie`` for a tie; reasons may follow."""
    choices: dict[str, Choice] = {"1": "first", "2": "second", "0": "tie", "tie": "tie"}
    line = text.strip().partition("\n")[0].strip()
    choice = choices.get(line.lower())
    return Reading(choice, None if choice else f"neither 1, 2 nor tie: {line[:30]!r}" if line else "blank text")


FORMATS: dict[str, Callable[[str], Reading]] = {
    "vicuna": vicuna,
    "alpaca-ranking": alpaca_ranking,
    "alpaca-token": alpaca_token,
    "llmbar": llmbar,
    "pandalm": pandalm,
}
