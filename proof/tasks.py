"""The instructions of the proof: families of examples/templates.py that have enough distinct tasks, all with checkers."""

import json
import random
from collections.abc import Iterable
from itertools import count, islice
from pathlib import Path
from typing import Any

from examples.templates import FAMILIES, line, tasks

NAMES = ("order", "sorting", "json-object", "json-array", "field", "pick")


def write(folder: Path, train: int, test: int) -> None:
    """train.jsonl and test.jsonl with at least so many instructions; of every family the first ones are the test."""
    families = [family for family in FAMILIES if family.name in NAMES]
    each, most = (-(-total // len(families)) for total in (test, train + test))
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    for family in families:
        for number, task in zip(count(1), islice(tasks(family), most)):
            rows["test" if number <= each else "train"].append(line(family, number, task))
    for name, lines in rows.items():
        (folder / f"{name}.jsonl").write_text(_jsonl(lines), encoding="utf-8")


def write_apprentice(file: Path, instructions: Iterable[dict[str, Any]], right: float, seed: int) -> None:
    """A recorded rival that knows more than the target and not everything: the reference answer with probability
    ``right``, else that of another task of the same category. ``instructions``: rows of the lake's table, in any order.
    """
    rng = random.Random(seed)
    ordered = sorted(instructions, key=lambda row: str(row["instruction_id"]))
    by_category: dict[str, list[str]] = {}
    for row in ordered:
        by_category.setdefault(row["category"], []).append(row["reference"][0])
    answers = []
    for row in ordered:
        text = row["reference"][0] if rng.random() < right else rng.choice(by_category[row["category"]])
        answers.append({"instruction_id": row["instruction_id"], "turn": 1, "text": text})
    file.write_text(_jsonl(answers), encoding="utf-8")


def _jsonl(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
