"""A round that costs next to nothing: every answer and every verdict is recorded, and nothing is left to train on.

The target always answers rightly, one rival does so now and then, one never. So no stage selects anything, no training
begins, and a round is what the pipeline itself does. All paths are relative: rounds in two folders have equal settings.
"""

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb
import yaml

from arena_etl.config import digest
from tests.tiny_round import instruction

CONTESTANTS = ("always-right", "now-and-then", "never-right")
TRAINING, TEST = range(1, 41), range(100, 108)
ROUNDS = tuple(f"2026-01-{day:02d}" for day in range(5, 13))

# When and how often something was tried, and where: all else must be equal after whatever happened on the way.
VARYING = {"created_at", "loaded_at", "audit_id", "versions", "hours", "latency_s"}


def write(folder: Path, **settings: Any) -> Path:
    """The sources, the recordings and the configuration; returns the configuration file, to be used from ``folder``."""
    rows = {number: instruction(number, checked=number % 5 != 0) for number in (*TRAINING, *TEST)}
    for name, numbers in (("train", TRAINING), ("test", TEST)):
        _lines(folder / f"{name}.jsonl", (rows[number] for number in numbers))
    for name in CONTESTANTS:
        _lines(folder / f"{name}.jsonl", _answers(name, rows))
    _lines(folder / "verdicts.jsonl", _verdicts(rows))
    contestants = [{"name": name, "backend": "recorded", "checkpoint": f"{name}.jsonl"} for name in CONTESTANTS]
    document: dict[str, Any] = {
        "root": "lake",
        "sources": [
            {"name": "train", "path": "train.jsonl"},
            {"name": "test", "path": "test.jsonl", "split": "wizard_diverse"},
        ],
        "stages": ["sft"],
        "target": contestants[0],
        "rivals": contestants[1:],
        "judge": {"name": "judge", "backend": "recorded", "checkpoint": "verdicts.jsonl"},
        "engine": {"batch_size": 2, "flush_s": 0},
        "battles": {"slice_size": 4},
        "decontamination": {"neighbours": 0},  # sums are neighbours of sums
        "ratings": {"resamples": 100},
        **settings,
    }
    file = folder / "arena.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def contents(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """The distinct rows of a table without what may vary, sorted. Doubles are told to six digits.

    What is logged about an audit is there once per attempt, which is why equal rows count once here.
    """
    columns = [name for name in connection.sql(f'select * from "{table}"').columns if name not in VARYING]
    named = ", ".join(f'"{name}"' for name in columns)
    counted = "where expectation <> 'effort'" if table == "quality_results" else ""  # which is seconds
    rows = connection.sql(f'select {named} from "{table}" {counted}').fetchall()
    return sorted({json.dumps(_rounded(row), default=str) for row in rows})


def doubles(connection: duckdb.DuckDBPyConnection, table: str, grain: tuple[str, ...]) -> int:
    """How many rows of a table are there twice."""
    key = ", ".join(f'"{name}"' for name in grain)
    [(count,)] = connection.sql(f'select count(*) - count(distinct ({key})) from "{table}"').fetchall()
    return int(count)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value


def _answers(name: str, rows: dict[int, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, row in rows.items():
        right = name == "always-right" or (name == "now-and-then" and number % 3 == 0)
        for turn, reference in enumerate(row["reference"], 1):
            text = f"It is {reference}." if right else f"It is {int(reference) + 3}."
            yield {"instruction_id": digest(row["conversation"]), "turn": turn, "text": text}


def _verdicts(rows: dict[int, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Games of the instructions that no checker decides: whoever comes first in CONTESTANTS is better, by a varying gap."""
    for number, row in rows.items():
        for turn in range(1, len(row["reference"]) + 1):
            for better, worse in combinations(CONTESTANTS, 2):
                model_a, model_b = sorted((better, worse))
                for shown in ("model_a", "model_b"):
                    first = {"model_a": model_a, "model_b": model_b}[shown]
                    scores = (8, 8 - number % 4) if first == better else (8 - number % 4, 8)
                    yield {
                        "instruction_id": digest(row["conversation"]),
                        "turn": turn,
                        "model_a": model_a,
                        "model_b": model_b,
                        "shown_first": shown,
                        "raw_text": f"Score-A: {scores[0]}\nScore-B: {scores[1]}\nReason: recorded.",
                    }


def _lines(file: Path, rows: Iterator[dict[str, Any]] | Any) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
