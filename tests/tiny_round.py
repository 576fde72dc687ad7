"""A round that takes seconds: a tiny random model, few instructions, real steps."""

import json
from pathlib import Path
from typing import Any

from arena_etl.config import Config
from arena_etl.flywheel import run_round
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import release

ROUND = "2026-01-05"
NEXT = "2026-01-06"


def instruction(number: int, checked: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": f"q{number}",
        "conversation": [{"role": "user", "content": f"What is {number} + {number}?"}],
        "category": "math",
        "license": "CC0-1.0",
        "reference": [str(2 * number)],
    }
    if number % 7 == 0:  # some conversations have a second turn
        row["conversation"].append({"role": "user", "content": "And one more?"})
        row["reference"].append(str(2 * number + 1))
    if checked:
        row["checker"] = [{"type": "number", "value": 2 * number + turn} for turn in range(len(row["conversation"]))]
    return row


def settings(folder: Path, model: Path) -> dict[str, Any]:
    """Two stages of eight instructions; a judge that cannot judge, so most instructions carry a checker."""
    for name, numbers in (("train", range(1, 33)), ("test", range(100, 108))):
        lines = [json.dumps(instruction(n, checked=n % 5 != 0)) for n in numbers]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    sampling = {"max_new_tokens": 6}
    return {
        "sources": [
            {"name": "train", "path": str(folder / "train.jsonl")},
            {"name": "test", "path": str(folder / "test.jsonl"), "split": "wizard_diverse"},
        ],
        "target": {"name": "tiny", "checkpoint": str(model), "sampling": sampling},
        "rivals": [
            {"name": "tiny-warm", "checkpoint": str(model), "sampling": {**sampling, "temperature": 1.0}},
            {"name": "references", "backend": "recorded", "checkpoint": "references"},
        ],
        "judge": {"name": "tiny-judge", "checkpoint": str(model), "max_new_tokens": 8},
        "engine": {"batch_size": 8, "flush_s": 0, "dtype": "float32", "models_dir": str(folder / "models")},
        "battles": {"slice_size": 8},
        "decontamination": {"neighbours": 0},  # sums are neighbours of sums
        "ratings": {"resamples": 100},
        "sft": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 4, "max_length": 256},
        "dpo": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 4, "max_length": 256},
        "rm": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 4, "max_length": 256},
        "ppo": {"learning_rate": 1e-4, "batch_size": 4, "micro_batch": 2, "max_length": 256, "max_new_tokens": 6},
        "promotion": {"min_instructions": 4},
        "quality": {"min_parse_rate": 0},
    }


def run(config: Config, round_: str = ROUND) -> list[dict[str, Any]]:
    lake = Lake.open(config)
    summaries: list[dict[str, Any]] = []
    run_round(config, lake, round_, lambda name, keys, summary: summaries.append(summary))
    release(lake, config, round_, "test", f"round {round_}")
    return summaries
