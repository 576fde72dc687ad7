"""Whole rounds by Airflow itself, with its own database, on a model of 40 thousand weights."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from arena_etl.config import Config, load
from arena_etl.errors import GateStopped, InputError
from arena_etl.flywheel import STEPS, round_plan
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import releases
from arena_etl.resources import DAGS
from arena_etl.steps import is_done
from tests.tiny_model import make_tiny_model

ROUND = "2026-01-05"


def instruction(text: str, answer: int, checked: bool) -> dict[str, Any]:
    checker = {"checker": [{"type": "number", "value": answer}]} if checked else {}
    turns = [{"role": "user", "content": text}]
    return {"category": "math", "conversation": turns, "reference": [str(answer)], "license": "CC0-1.0", **checker}


def write_lines(path: Path, lines: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def settings(folder: Path) -> dict[str, Any]:
    """A target, a warmer copy of it and the references; every fourth instruction goes to the (illiterate) judge."""
    model = str(make_tiny_model(folder / "model"))
    train = [instruction(f"What is {n} plus 1?", n + 1, checked=n % 4 > 0) for n in range(8)]
    test = [instruction(f"What is {n} times 2?", 2 * n, checked=n % 4 > 0) for n in range(3)]
    short = {"max_new_tokens": 4}
    one_pass = {"learning_rate": 1e-3, "epochs": 1, "batch_size": 2, "micro_batch": 2}
    return {
        "root": str(folder / "lake"),
        "sources": [
            {"name": "train", "path": write_lines(folder / "train.jsonl", train)},
            {"name": "test", "path": write_lines(folder / "test.jsonl", test), "split": "wizard_diverse"},
        ],
        "target": {"name": "tiny", "checkpoint": model, "sampling": short},
        "rivals": [
            {"name": "tiny-warm", "checkpoint": model, "sampling": {**short, "temperature": 1.0}},
            {"name": "references", "backend": "recorded", "checkpoint": "references"},
        ],
        "judge": {"name": "tiny-judge", "checkpoint": model, "max_new_tokens": 8},
        "engine": {"device": "cpu", "models_dir": str(folder / "models")},
        "battles": {"slice_size": 4},
        "ratings": {"resamples": 100},
        "sft": one_pass,
        "dpo": one_pass,
        "promotion": {"min_instructions": 1},
        "quality": {"min_parse_rate": 0},
    }


class Airflow:
    """An Airflow home with a migrated database."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "arena.yaml"
        self.environment = {
            **os.environ,
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "task=CRITICAL",
            "ARENA_CONFIG": str(self.config),
        }
        self("airflow", "db", "migrate")

    def __call__(self, *module_and_arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *module_and_arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=540, check=False)

    def states(self) -> dict[str, str]:
        """What became of the audit that failed and of the tasks at the end of the newest run."""
        with sqlite3.connect(Path(self.environment["AIRFLOW_HOME"]) / "airflow.db") as database:
            rows = database.execute(
                "select task_id, state from task_instance where run_id = (select run_id from dag_run order by id desc limit 1)"
            ).fetchall()
        shown = ("alert", "gates", "report")
        return {task: state for task, state in rows if task in shown or ("audit" in task and state == "failed")}

    def run(self, config: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        self.config.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        return self("arena_etl.operations.airflow_run", ROUND)


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    return Airflow(tmp_path_factory.mktemp("home"))


def open_lake(file: Path) -> tuple[Config, Lake]:
    config = load(file)
    return config, Lake.open(config)


def test_round_is_done_and_released_once(airflow: Airflow, tmp_path: Path) -> None:
    config = settings(tmp_path)
    first = airflow.run(config)
    assert first.returncode == 0, first.stderr

    resolved, lake = open_lake(airflow.config)
    assert [step for step in round_plan(resolved, ROUND) if not is_done(STEPS[step[0]], resolved, lake, *step[1])] == []
    [release] = releases(lake)
    assert (release.round, release.author, release.versions) == (ROUND, "airflow", lake.heads())
    assert "generate 2026-01-05 sft training references-" in first.stderr

    second = airflow.run(config)
    assert second.returncode == 0, second.stderr
    assert lake.heads() == release.versions
    assert [known.release_id for known in releases(lake)] == [release.release_id]


def test_gate_stops_the_run_at_once_and_decides_the_exit_code(airflow: Airflow, tmp_path: Path) -> None:
    config = settings(tmp_path)
    (tmp_path / "train.jsonl").write_text("{not a row\n{nor this one\n")
    stopped = airflow.run(config)

    assert stopped.returncode == GateStopped.exit_code
    assert "error: ingest_train.audit_raw_instructions: quality gate stopped raw_instructions/train" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    _, lake = open_lake(airflow.config)
    assert releases(lake) == []
    # The alert went out although everything before it failed, and `gates` says why the run failed.
    assert "arena_etl: ingest: stopped by gate" in stopped.stderr
    assert airflow.states() == {
        "ingest_train.audit_raw_instructions": "failed",
        "alert": "success",
        "gates": "failed",
        "report": "upstream_failed",
    }


def test_a_failure_is_not_taken_for_a_stop(airflow: Airflow, tmp_path: Path) -> None:
    config = settings(tmp_path)
    (tmp_path / "train.jsonl").unlink()
    failed = airflow.run(config)
    assert failed.returncode == InputError.exit_code
    states = airflow.states()
    assert (states["gates"], states["alert"], states["report"]) == ("success", "success", "upstream_failed")
