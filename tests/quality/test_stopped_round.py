"""A night with a planted fault, as the person on call lives it: exit code, message, repair, message."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from arena_etl import config as configuration
from arena_etl.config import digest
from arena_etl.flywheel import do
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import release, releases
from tests.quality.test_alerts import Receiver, receiver  # noqa: F401 - a fixture

ROUND = "2026-01-06"
QUESTIONS = [f"What is {n} plus {n}?" for n in range(10, 18)]


def settings(folder: Path, url: str) -> dict[str, Any]:
    """A recorded target against the references: no model is needed."""
    lines = [
        {
            "conversation": [{"role": "user", "content": question}],
            "category": "math",
            "license": "CC0-1.0",
            "reference": [str(2 * number)],
        }
        for number, question in enumerate(QUESTIONS, start=10)
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {
        "root": str(folder / "lake"),
        "sources": [{"name": "train", "path": str(folder / "train.jsonl")}],
        "target": {"name": "player", "backend": "recorded", "checkpoint": str(folder / "answers.jsonl")},
        "rivals": [{"name": "references", "backend": "recorded", "checkpoint": "references"}],
        "battles": {"slice_size": len(QUESTIONS)},
        "alerts": {"routes": [{"name": "on-call", "urls": [url]}]},
    }


def record(folder: Path, questions: list[str]) -> None:
    answers = [
        {"instruction_id": digest([{"role": "user", "content": question}]), "turn": 1, "text": f"{question} Four."}
        for question in questions
    ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in answers))


def test_stopped_told_repaired_told(tmp_path: Path, receiver: Receiver) -> None:  # noqa: F811
    given = settings(tmp_path, receiver.url)
    (tmp_path / "arena.yaml").write_text(json.dumps(given))  # JSON is YAML

    def arena(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "arena_etl", "--config", str(tmp_path / "arena.yaml"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    config = configuration.load(flags=given)
    lake = Lake.open(config)
    for step in ("land", "prepare"):
        do(config, lake, step, "train")
    before = [release(lake, config, "2026-01-05", "test", "the last good one")]

    record(tmp_path, QUESTIONS[:2])  # the planted fault: six answers are not there
    stopped, again = (arena("battle", "--round", ROUND) for _ in range(2))
    assert (stopped.returncode, again.returncode) == (3, 3), stopped.stderr
    assert "quality gate stopped responses/2026-01-06/sft/training" in stopped.stderr
    assert "arena_etl: round 2026-01-06, stage sft: stopped by gate" in stopped.stdout
    assert "stopped by gate" not in again.stdout  # it was told
    assert [message["type"] for message in receiver.received] == ["failure"]
    assert releases(lake) == before and "responses" not in before[0].versions

    report = json.loads(arena("quality", "report", "--round", ROUND, "--json").stdout)
    assert "expect_column_proportion_of_non_null_values_to_be_between(error)" in {
        problem["expectation"] for problem in report["standing"] if problem["stops"]
    }
    assert [page.rpartition("/")[2] for page in report["pages"]] == [
        "models-sft.html",
        "responses-sft-training.html",
        "slices-sft.html",
    ]
    assert {message["channel"] for message in report["alerts"]} == {"stdout", "on-call"}

    record(tmp_path, QUESTIONS)
    repaired = arena("battle", "--round", ROUND)
    assert repaired.returncode == 0, repaired.stderr
    assert [message["type"] for message in receiver.received] == ["failure", "success"]
    assert "recovered" in receiver.received[1]["title"]
    with lake.connect(["responses", "models"]) as connection:
        assert connection.sql("select count(*), count(text) from responses").fetchall() == [(16, 16)]
        assert connection.sql("select role from models order by role").fetchall() == [("rival",), ("target",)]
