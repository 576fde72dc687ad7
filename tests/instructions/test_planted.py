"""Copies of a published test set in training data, as benchmarks/contamination.py plants them: none may stay."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared_data import SHARED_DATA

PROJECT = Path(__file__).parents[2]
INSTRUCTIONS = SHARED_DATA / "instructions.parquet"


@pytest.mark.skipif(not INSTRUCTIONS.exists(), reason=f"needs the published instructions: {INSTRUCTIONS}")
def test_planted_copies_are_all_removed_and_hardly_anything_else() -> None:
    command = [sys.executable, PROJECT / "benchmarks" / "contamination.py", "--data", INSTRUCTIONS]
    done = subprocess.run(
        [*command, "--items", "60", "--background", "300"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["found"]
    others = found.pop("background")
    assert {kind: rows["left"] for kind, rows in found.items()} == {
        "punctuation": [],
        "politeness": [],
        "paraphrase": [],
    }
    assert all(rows["removed"] == 1 for rows in found.values())
    assert others["embedding"] <= 0.01
