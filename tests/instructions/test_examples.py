"""The committed example instructions: reproducible, distinct, complete, and right by their own checkers."""

import json
import runpy
from collections import Counter
from typing import Any

import pytest

from arena_etl.config import Config
from arena_etl.instructions.cleaning.chain import Clean, clean
from arena_etl.instructions.shapes import draft
from arena_etl.resources import EXAMPLES
from arena_etl.verifiers import check

CATEGORIES = {"writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"}
FILES = ("train.jsonl", "wizard_arena.jsonl")


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXAMPLES / name).read_text(encoding="utf-8").splitlines()]


TRAIN, TEST = map(rows, FILES)


def prompts(some: list[dict[str, Any]]) -> list[str]:
    return [" ".join(turn["content"] for turn in row["conversation"]).casefold() for row in some]


def test_files_are_what_the_generator_writes() -> None:
    built = runpy.run_path(str(EXAMPLES / "templates.py"))["build"]()
    assert built == {name: (EXAMPLES / name).read_text(encoding="utf-8") for name in FILES}


def test_ids_and_conversations_are_unique() -> None:
    both = TRAIN + TEST
    assert len({row["id"] for row in both}) == len(both)
    assert len(set(prompts(both))) == len(both)


def test_counts() -> None:
    assert (len(TRAIN), len(TEST)) == (264, 40)
    assert sum("checker" not in row for row in TRAIN) <= len(TRAIN) / 4
    assert sum("checker" not in row for row in TEST) <= 8
    assert sum(len(row["conversation"]) > 1 for row in TRAIN + TEST) >= 12


@pytest.mark.parametrize("some", [TRAIN, TEST], ids=FILES)
def test_categories_are_balanced(some: list[dict[str, Any]]) -> None:
    counts = Counter(row["category"] for row in some)
    assert set(counts) == CATEGORIES
    assert max(counts.values()) <= 2 * min(counts.values())


@pytest.mark.parametrize("row", TRAIN + TEST, ids=lambda row: row["id"])
def test_line(row: dict[str, Any]) -> None:
    turns = len(row["conversation"])
    assert set(row) - {"checker"} == {
        "id",
        "category",
        "language",
        "difficulty",
        "license",
        "conversation",
        "reference",
    }
    assert all(turn["role"] == "user" and turn["content"].strip() for turn in row["conversation"])
    assert all(len(turn["content"].split()) <= 60 for turn in row["conversation"])
    assert len(row["reference"]) == turns
    assert all(0 < len(reference.split()) <= 60 for reference in row["reference"])
    checkers = row.get("checker", [None] * turns)
    assert len(checkers) == turns
    for checker, reference in zip(checkers, row["reference"], strict=True):
        assert checker is None or check(checker, reference).score == 10


def test_cleaning_keeps_every_example_as_it_is() -> None:
    settings = Config()
    for rows_, source in zip((TRAIN, TEST), settings.sources, strict=True):
        drafts = [draft(row, source) for row in rows_]
        results = clean(drafts, settings.cleaning, source)
        assert [result.draft for result in results if isinstance(result, Clean)] == drafts
