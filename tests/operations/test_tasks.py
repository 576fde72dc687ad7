"""What a scheduled step tells the outside: lineage, metrics, and logs that name it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.observability import stats
from structlog.contextvars import get_contextvars

from arena_etl import steps
from arena_etl.operations import lineage, tasks
from tests.tiny_round import settings

LAND = ("land", ("train",))


@pytest.fixture
def configured(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration file that the tasks read; returns the lake's folder."""
    file = tmp_path / "tasks.yaml"
    file.write_text(json.dumps({"root": str(tmp_path / "lake"), **settings(tmp_path, tiny_model)}), encoding="utf-8")
    monkeypatch.setenv("ARENA_CONFIG", str(file))
    return tmp_path / "lake"


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where OpenLineage's file transport puts its events."""
    log = tmp_path / "lineage.jsonl"
    config = tmp_path / "openlineage.yml"
    config.write_text(json.dumps({"transport": {"type": "file", "log_file_path": str(log), "append": True}}))
    monkeypatch.setenv("OPENLINEAGE_CONFIG", str(config))
    lineage._client.cache_clear()
    yield log
    lineage._client.cache_clear()


def test_lineage_says_what_a_table_was_made_from_and_what_was_published(configured: Path, events: Path) -> None:
    for name in ("land", "prepare"):
        tasks.perform_step(name, ["train"])
        tasks.audit_step(name, ["train"])
    before = len(events.read_text().splitlines())
    assert tasks.perform_step("prepare", ["train"]) == {"step": "prepare", "unchanged": True}
    assert tasks.audit_step("prepare", ["train"])["unchanged"]

    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert len(told) == before == 4, "a batch that is there already is no news"
    _, _, running, complete = told
    assert [event["eventType"] for event in told] == ["RUNNING", "COMPLETE"] * 2
    assert {event["job"]["name"] for event in (running, complete)} == {"prepare"}
    assert running["run"]["runId"] == complete["run"]["runId"] != told[0]["run"]["runId"]
    assert f"{configured}/raw_instructions" in {table["name"] for table in running["inputs"]}
    assert f"{configured}/instructions" not in {table["name"] for table in running["inputs"]}
    [output] = complete["outputs"]
    assert (output["namespace"], output["name"]) == ("file", f"{configured}/instructions")
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 32
    assert output["facets"]["version"]["datasetVersion"] == "1"
    assert "conversation" in {field["name"] for field in output["facets"]["schema"]["fields"]}


def test_a_lineage_server_that_is_down_stops_nothing(
    configured: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:9")
    lineage._client.cache_clear()
    name, keys = LAND
    tasks.perform_step(name, keys)
    assert tasks.audit_step(name, keys)["rows"] == 32
    assert "lineage of raw_instructions/train was not sent" in caplog.text


def test_figures_go_to_statsd_where_airflow_has_one(
    configured: Path, events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, tuple[float, Any]] = {}
    monkeypatch.setattr(stats, "gauge", lambda name, value, tags: told.update({name: (value, tags)}))
    name, keys = LAND
    tasks.perform_step(name, keys)
    tasks.audit_step(name, keys)
    assert told == {}, "off by default"

    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    tasks.perform_step("prepare", keys)
    tasks.audit_step("prepare", keys)
    assert told["arena_etl.instructions.rows"] == (32, {})
    assert told["arena_etl.instructions.work_s"][0] > 0
    assert "arena_etl.instructions.tokens_in" not in told, "it calls no model"


def test_what_is_logged_meanwhile_names_step_and_unit(
    configured: Path, events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def perform(*_: Any, **__: Any) -> dict[str, Any]:
        seen.append(dict(get_contextvars()))
        return {"step": "land", "unchanged": True}

    monkeypatch.setattr(steps, "perform", perform)
    name, keys = LAND
    tasks.perform_step(name, keys, "all")
    assert seen == [{"step": "land", "source": "train", "unit": "all"}]
    assert get_contextvars() == {}
