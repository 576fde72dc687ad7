"""The DAG as a graph, without running it. ``python -m tests.dags.test_structure`` writes the recorded graph anew."""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from arena_etl.config import Config
from arena_etl.errors import ArenaError, GateStopped, InputError
from arena_etl.resources import DAGS

DAG_NAMES = ("arena_flywheel", "arena_ingest")
HEAVY = (
    "torch",
    "transformers",
    "duckdb",
    "deltalake",
    "great_expectations",
    "pandas",
    "polars",
    "altair",
    "vl_convert",
)

# Airflow reads its settings while it is imported, so the DAG is read in a process of its own.
READ = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
[dag] = bag.dags.values()
json.dump({
    "modules": sorted(sys.modules),
    "graph": {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks},
    "owners": sorted({task.owner for task in dag.tasks}),
    "retries": sorted({task.retries for task in dag.tasks}),
    "trigger_rules": {task.task_id: task.trigger_rule.value for task in dag.tasks if task.trigger_rule.value != "all_success"},
    "pools": {task.task_id: task.pool for task in dag.tasks if task.pool != "default_pool"},
    "executor_config": {task.task_id: task.executor_config for task in dag.tasks if task.executor_config},
    "tags": sorted(dag.tags),
    "catchup": dag.catchup,
    "max_active_runs": dag.max_active_runs,
    "doc": dag.doc_md,
    "params": {name: dag.params.get_param(name).schema for name in dag.params},
    "schedule": getattr(dag.timetable, "expression", None),
    "assets": [asset.uri for asset in getattr(getattr(dag.timetable, "asset_condition", None), "objects", [])],
    "outlets": {task.task_id: [asset.uri for asset in task.outlets] for task in dag.tasks if task.outlets},
    "without_policy": [task.task_id for task in dag.tasks if not task.has_retry_policy],
    "deadlines": [(alert.interval.total_seconds(), alert.callback.path) for alert in dag.deadline or []],
}, sys.stdout)
"""


def graph_file(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.graph.txt")


def read_dag(home: Path, settings: dict[str, Any] | None = None, name: str = "arena_flywheel") -> dict[str, Any]:
    """A DAG with the embedded defaults, or with ``settings``."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / "arena.yaml"
    config.write_text(json.dumps(settings or {}), encoding="utf-8")  # JSON is YAML
    environment = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "ARENA_CONFIG": str(config),
        "PATH": os.environ["PATH"],
    }
    command = [sys.executable, "-c", READ, str(DAGS / f"{name}.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def drawn(graph: dict[str, list[str]]) -> str:
    return "".join(f"{task} -> {', '.join(graph[task]) or '.'}\n" for task in sorted(graph))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return read_dag(tmp_path_factory.mktemp("airflow"))


@pytest.fixture(scope="module")
def ingest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return read_dag(tmp_path_factory.mktemp("airflow"), {"ingest_schedule": "30 20 * * *"}, "arena_ingest")


@pytest.mark.parametrize("fixture", ["found", "ingest"])
def test_parsing_imports_nothing_heavy(fixture: str, request: pytest.FixtureRequest) -> None:
    assert not set(HEAVY) & set(request.getfixturevalue(fixture)["modules"])


@pytest.mark.parametrize(("fixture", "name"), [("found", "arena_flywheel"), ("ingest", "arena_ingest")])
def test_graph_is_the_recorded_one(fixture: str, name: str, request: pytest.FixtureRequest) -> None:
    assert drawn(request.getfixturevalue(fixture)["graph"]) == graph_file(name).read_text(encoding="utf-8"), (
        "look at the difference; if it is meant: python -m tests.dags.test_structure"
    )


def test_ingest_has_the_steps_of_a_source_and_its_own_schedule(ingest: dict[str, Any], tmp_path: Path) -> None:
    from arena_etl.flywheel import STEPS, ingest_plan

    steps = [task.rpartition(".")[2] for task in ingest["graph"]]
    assert sorted(steps) == sorted(
        task for name, _ in ingest_plan(Config()) for task in (name, f"audit_{STEPS[name].table}")
    )
    assert (ingest["owners"], ingest["tags"], ingest["catchup"], ingest["max_active_runs"]) == (
        ["arena-etl"],
        ["arena-etl"],
        False,
        1,
    )
    assert ingest["schedule"] == "30 20 * * *"
    assert read_dag(tmp_path, name="arena_ingest")["schedule"] is None


def test_the_stage_ppo_trains_its_reward_model_first(tmp_path: Path) -> None:
    graph = read_dag(tmp_path, {"stages": ["ppo"]})["graph"]
    order = ["select", "audit_training_sets", "train", "audit_training_runs"]
    path = [*(f"ppo.reward_model.{task}" for task in order), *(f"ppo.{task}" for task in order), "ppo.register"]
    for task, after in itertools.pairwise(path):
        assert after in graph[task]
    assert "ppo.reward_model.select" in graph["ppo.training_battles.audit_battles"]


def test_every_step_of_a_round_has_its_task_and_its_audit(found: dict[str, Any]) -> None:
    from arena_etl.flywheel import STEPS, round_plan

    tasks = [task.rpartition(".")[2] for task in found["graph"]]
    planned = [step for step, _ in round_plan(Config(), "2026-01-05")]
    for name, step in STEPS.items():
        assert tasks.count(name) == planned.count(name)
        assert tasks.count(f"audit_{step.table}") == sum(STEPS[other].table == step.table for other in planned)


def test_settings_of_the_tasks(found: dict[str, Any]) -> None:
    assert found["owners"] == ["arena-etl"]
    assert found["tags"] == ["arena-etl"]
    assert (found["retries"], found["without_policy"]) == ([2], [])
    assert found["trigger_rules"] == {"alert": "all_done", "gates": "all_done"}
    pools = {(task.rpartition(".")[2], pool) for task, pool in found["pools"].items()}
    assert pools == {("generate", "gpu"), ("judge", "judge_api")}
    assert (found["catchup"], found["max_active_runs"]) == (False, 1)
    assert found["doc"].startswith("One round of the Arena Learning flywheel")


def test_every_audit_announces_its_table_and_the_end_announces_the_release(tmp_path: Path) -> None:
    found = read_dag(tmp_path / "home", {"root": "s3://bucket/arena", "stages": ["sft"]})
    announcing = {task: task.rpartition(".")[2].removeprefix("audit_") for task in found["graph"] if "audit_" in task}
    announcing["release"] = "releases"
    assert found["outlets"] == {task: [f"s3://bucket/arena/{table}"] for task, table in announcing.items()}


def test_a_late_round_is_told(tmp_path: Path) -> None:
    settings = {"schedule": "15 1 * * *", "watch": {"released_by_hours": 5.0}}
    found = read_dag(tmp_path, settings)
    assert found["schedule"] == "15 1 * * *"
    assert found["deadlines"] == [[5 * 3600, "arena_etl.operations.tasks.tell_of_lateness"]]


def test_round_is_a_date_or_left_out(found: dict[str, Any]) -> None:
    assert found["params"]["round"]["type"] == ["null", "string"]
    assert found["params"]["round"]["pattern"] == r"^\d{4}-\d{2}-\d{2}$"


def test_configuration_decides_sources_and_stages(tmp_path: Path) -> None:
    sources = [{"name": "one.two", "path": "a.jsonl"}, {"name": "three", "path": "b.jsonl"}]
    graph = read_dag(tmp_path, {"sources": sources, "stages": ["dpo"]})["graph"]

    assert graph["resolve_round"] == ["ingest_one_two.land"]
    assert graph["ingest_one_two.audit_near_duplicates"] == ["ingest_three.land"]
    assert graph["ingest_three.audit_near_duplicates"] == ["cluster"]
    assert graph["audit_centroids"] == ["describe_one_two.describe"]
    assert graph["describe_three.audit_features"] == ["plan"]
    assert graph["audit_plans"] == ["dpo.draw"]
    assert not [task for task in graph if task.startswith("sft.")]


def test_tasks_that_answer_get_the_pod_with_a_gpu(found: dict[str, Any], tmp_path: Path) -> None:
    assert found["executor_config"] == {}
    on_kubernetes = read_dag(tmp_path, {"gpu_pod_template": "/etc/arena/gpu-pod.yaml", "stages": ["sft"]})
    assert on_kubernetes["executor_config"] == {
        f"sft.{arena}.generate": {"pod_template_file": "/etc/arena/gpu-pod.yaml"}
        for arena in ("training_battles", "wizard_arena")
    }


def test_the_watch_looks_and_then_tells(tmp_path: Path) -> None:
    found = read_dag(tmp_path, name="arena_quality_watch")
    assert found["graph"] == {"watch": ["alert"], "alert": []}
    assert not set(HEAVY) & set(found["modules"])
    assert (found["owners"], found["tags"]) == (["arena-etl"], ["arena-etl"])
    assert (found["catchup"], found["max_active_runs"]) == (False, 1)


def test_maintenance_compacts_before_it_deletes(tmp_path: Path) -> None:
    found = read_dag(tmp_path, name="arena_maintenance")
    assert found["graph"] == {"compact": ["gc"], "gc": []}
    assert not set(HEAVY) & set(found["modules"])
    assert (found["owners"], found["tags"]) == (["arena-etl"], ["arena-etl"])
    assert (found["catchup"], found["max_active_runs"]) == (False, 1)


def test_reports_follow_releases(tmp_path: Path) -> None:
    found = read_dag(tmp_path, {"root": "s3://bucket/arena"}, "arena_site")
    assert (found["graph"], found["assets"]) == ({"site": []}, ["s3://bucket/arena/releases"])
    assert not set(HEAVY) & set(found["modules"])
    assert (found["catchup"], found["max_active_runs"], found["without_policy"]) == (False, 1, [])


def test_a_backfill_is_planned_done_and_then_released(tmp_path: Path) -> None:
    found = read_dag(tmp_path, name="arena_backfill")
    assert found["graph"] == {"plan": ["work"], "work": ["approved"], "approved": ["release"], "release": []}
    assert not set(HEAVY) & set(found["modules"])
    assert (found["schedule"], found["catchup"], found["max_active_runs"]) == (None, False, 1)
    assert found["params"]["what"]["enum"] == ["judge", "select", "rate", "battles", "all"]
    assert found["params"]["reason"]["minLength"] == 1
    assert found["params"]["window"]["pattern"] == r"^\d{4}-\d{2}-\d{2}(\.\.\d{4}-\d{2}-\d{2})?$"


def context(**run: Any) -> dict[str, Any]:
    logical_date = run.get("logical_date")
    dag_run = SimpleNamespace(partition_key=run.get("partition_key"), logical_date=logical_date)
    return {"params": {"round": run.get("round")}, "dag_run": dag_run}


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ({"round": "2026-01-05", "partition_key": "2026-01-06"}, "2026-01-05"),
        ({"partition_key": "2026-01-06", "logical_date": datetime(2026, 1, 7, tzinfo=UTC)}, "2026-01-06"),
        ({"logical_date": datetime(2026, 1, 7, 2, tzinfo=UTC)}, "2026-01-07"),
    ],
)
def test_round_comes_from_parameter_then_key_then_logical_date(run: dict[str, Any], expected: str) -> None:
    from arena_etl.operations.tasks import resolve_round

    assert resolve_round(context(**run)) == expected


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({}, "names no round"),
        ({"partition_key": "weekly"}, "'weekly'.*YYYY-MM-DD"),
        ({"round": "2026-02-30"}, "30"),
    ],
)
def test_run_without_a_round_fails_for_good(run: dict[str, Any], message: str) -> None:
    from arena_etl.operations.tasks import resolve_round

    with pytest.raises(InputError, match=message):
        resolve_round(context(**run))


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (InputError("no such source"), "fail"),
        (GateStopped("quality gate stopped verdicts"), "fail"),
        (ArenaError("another writer was faster"), "default"),
        (OSError("503 Slow Down"), "default"),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, action: str) -> None:
    from arena_etl.operations.task_groups import DEFAULT_ARGS

    assert DEFAULT_ARGS["retry_policy"].evaluate(error, 1, 2).action.value == action


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for dag_name in DAG_NAMES:
            graph_file(dag_name).write_text(drawn(read_dag(Path(scratch), name=dag_name)["graph"]), encoding="utf-8")
