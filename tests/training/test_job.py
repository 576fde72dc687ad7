"""A training job as a whole: what it refuses, what it records, and that killing it loses and doubles nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.errors import InputError
from arena_etl.flywheel import STEPS
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.tables import TABLES
from arena_etl.steps import perform
from arena_etl.training import launch
from arena_etl.training.job import Folder, Job
from tests.tiny_round import settings

KEYS = ("2026-01-05", "sft")
# The step of a round in a process that a test may kill.
STEP = (
    "import sys; from pathlib import Path; from arena_etl import config; from arena_etl.flywheel import STEPS;"
    "from arena_etl.lake.delta import Lake; from arena_etl.steps import perform;"
    "c = config.load(Path(sys.argv[1])); perform(STEPS['train'], c, Lake.open(c), *sys.argv[2:])"
)


def commit(lake: Lake, table: str, keys: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    lake.commit(Partition(table, keys), pa.Table.from_pylist(rows, schema=TABLES[table].arrow_schema()), 1, {})


def selected(lake: Lake, keys: tuple[str, str] = KEYS, question: str = "What is {0} + {0}?") -> None:
    rows = [
        {
            "round": keys[0], "stage": keys[1], "example_id": f"{n:032x}", "instruction_id": f"{n:064x}", "turn": 1,
            "prompt": [{"role": "user", "content": question.format(n)}], "chosen": f"It is {2 * n}.", "license": "CC0-1.0",
        }
        for n in range(8)
    ]  # fmt: skip
    commit(lake, "training_sets", keys, rows)


@pytest.fixture
def config(tmp_path: Path, tiny_model: Path) -> Config:
    flags = settings(tmp_path, tiny_model)
    flags["sft"] |= {"epochs": 30, "micro_batch": 4}
    return configuration.load(flags={"root": str(tmp_path / "lake"), "launch": {"save_steps": 10}, **flags})


def job_of(config: Config, lake: Lake) -> Job:
    return Job(*KEYS, STEPS["train"].staging(config, lake, *KEYS).fingerprint)


def start(config: Config, tmp_path: Path) -> subprocess.Popen[bytes]:
    file = tmp_path / "arena.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return subprocess.Popen([sys.executable, "-c", STEP, str(file), *KEYS], stderr=subprocess.DEVNULL)


def wait_for(folder: Folder, name: str) -> dict[str, Any]:
    for _ in range(6000):
        if (found := folder.read(name)) is not None:
            return found
        time.sleep(0.05)
    raise AssertionError(f"no {name} within five minutes")


def run_row(config: Config, lake: Lake) -> dict[str, Any]:
    staging = STEPS["train"].staging(config, lake, *KEYS)
    [row] = staging.read().to_pylist()
    return dict(row)


def test_a_killed_training_goes_on_from_its_newest_checkpoint(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lake = Lake.open(config)
    selected(lake)
    folder = Folder(lake, job_of(config, lake))
    process = start(config, tmp_path)
    saved = wait_for(folder, "checkpoint.json")["name"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert folder.outcome() is None
    with caplog.at_level("INFO", logger="arena_etl"):
        summary = perform(STEPS["train"], config, lake, *KEYS)
    assert summary["status"] == "trained" and summary["steps"] == 60
    went_on = int(caplog.text.rpartition("goes on from checkpoint-")[2].split()[0])
    assert int(saved.removeprefix("checkpoint-")) <= went_on < 60
    row = run_row(config, lake)
    assert [step["step"] for step in row["curve"]] == list(range(1, 61))
    assert row["last_loss"] < row["first_loss"]


def test_a_job_outlives_its_launcher_and_is_not_started_twice(config: Config, tmp_path: Path) -> None:
    config = config.model_copy(update={"launch": config.launch.model_copy(update={"where": "subprocess"})})
    lake = Lake.open(config)
    selected(lake)
    job = job_of(config, lake)
    folder = Folder(lake, job)
    process = start(config, tmp_path)
    sign = wait_for(folder, "alive.json")
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.kill(sign["pid"], 0)  # the job is still there
    outcome = launch.outcome(config, lake, job)
    record = folder.read("job.json")
    assert record is not None and record["job_id"] == sign["job_id"]
    assert outcome["status"] == "trained" and outcome["steps"] == 60
    checkpoints = lake.storage.filesystem.ls(lake.storage.uri("checkpoints"), detail=False)
    assert len(checkpoints) == 1
    assert launch.outcome(config, lake, job) == outcome
    card = (Path(checkpoints[0]) / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["tags"] == ["arena-learning", "sft"]
    for fact in (job.run_id, outcome["data_hash"], config.digest, "CC0-1.0 (8)", "| seed | 0 |", "transformers 5"):
        assert fact in card


@pytest.mark.slow
def test_two_processes_train_one_model(config: Config) -> None:
    """Under accelerate, as on several GPUs: the batch is shared, one process speaks for the job."""
    accelerate = str(Path(sys.executable).with_name("accelerate"))
    cpus = str(Path(__file__).parents[2] / "infra" / "accelerate" / "cpu.yaml")
    launched = config.launch.model_copy(
        update={"where": "subprocess", "command": (accelerate, "launch", "--config_file", cpus), "save_steps": 2}
    )
    sft = config.sft.model_copy(update={"epochs": 4.0, "micro_batch": 2, "batch_size": 8})
    config = config.model_copy(update={"launch": launched, "sft": sft})
    lake = Lake.open(config)
    selected(lake)
    outcome = launch.outcome(config, lake, job_of(config, lake))
    assert (outcome["status"], outcome["steps"], outcome["effective_batch_size"]) == ("trained", 4, 8)
    assert outcome["last_loss"] < outcome["first_loss"]
    assert len(lake.storage.filesystem.ls(lake.storage.uri("checkpoints"), detail=False)) == 1


def test_a_job_that_fails_says_why_and_can_be_tried_again(config: Config) -> None:
    launched = config.launch.model_copy(update={"where": "subprocess"})
    config = config.model_copy(update={"launch": launched, "sft": config.sft.model_copy(update={"max_length": 16})})
    lake = Lake.open(config)
    selected(lake, question="What is {0} + {0}? " * 9)
    job = job_of(config, lake)
    with pytest.raises(InputError, match="Raise the stage's max_length"):
        launch.outcome(config, lake, job)
    assert Folder(lake, job).read("job.json") is None


def test_a_job_that_cannot_be_started_says_so(config: Config) -> None:
    launched = config.launch.model_copy(update={"where": "subprocess", "command": ("/no/such/python",)})
    config = config.model_copy(update={"launch": launched})
    lake = Lake.open(config)
    selected(lake)
    with pytest.raises(InputError, match=r"launch\.command: /no/such/python cannot be started"):
        launch.outcome(config, lake, job_of(config, lake))


def test_test_instructions_are_never_trained_on(config: Config) -> None:
    lake = Lake.open(config)
    selected(lake)
    test = {
        "instruction_id": "f" * 64, "source": "test", "split": "wizard_diverse",
        "conversation": [{"role": "user", "content": "what is  3 + 3?"}],
    }  # fmt: skip
    commit(lake, "instructions", ("test",), [test])
    with pytest.raises(InputError, match=r"1 training examples are test instructions, the first is 0*3 "):
        perform(STEPS["train"], config, lake, *KEYS)
    assert not lake.storage.filesystem.exists(lake.storage.uri("checkpoints"))


def test_examples_of_earlier_rounds_accumulate(config: Config) -> None:
    lake = Lake.open(config)
    selected(lake)
    selected(lake, ("2026-01-04", "sft"))
    few = config.sft.model_copy(update={"epochs": 1.0})
    config = config.model_copy(update={"sft": few})
    assert perform(STEPS["train"], config, lake, *KEYS)["examples"] == 16
    alone = config.model_copy(update={"sft": few.model_copy(update={"accumulate": False})})
    assert perform(STEPS["train"], alone, lake, *KEYS)["examples"] == 8


def test_without_a_reward_model_ppo_is_skipped(config: Config) -> None:
    lake = Lake.open(config)
    keys = (KEYS[0], "ppo")
    selected(lake, keys)
    run = {"round": KEYS[0], "stage": "rm", "run_id": "r", "status": "stopped", "reason": "too inaccurate"}
    commit(lake, "training_runs", (KEYS[0], "rm"), [run])
    summary = perform(STEPS["train"], config, lake, *keys)
    assert summary["status"] == "skipped"
    assert summary["reason"] == "there is no reward model: its training was skipped or stopped"


def test_the_manifest_of_a_pod(config: Config) -> None:
    settings = config.launch.model_copy(
        update={
            "where": "kubernetes",
            "image": "registry.example/arena:1",
            "environment": {"AWS_REGION": "eu-west-1"},
            "pod": {"serviceAccountName": "trainer", "container": {"resources": {"limits": {"nvidia.com/gpu": 8}}}},
        }
    )
    manifest = launch.pod_job(config.model_copy(update={"launch": settings}), "abc", ["s3://b/lake", "-"])
    spec = manifest["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert manifest["metadata"]["name"] == "arena-etl-abc"
    assert manifest["spec"]["backoffLimit"] == 0 and spec["restartPolicy"] == "Never"
    assert spec["serviceAccountName"] == "trainer"
    assert container["command"] == ["python", "-m", "arena_etl.training.job", "s3://b/lake", "-"]
    assert container["resources"] == {"limits": {"nvidia.com/gpu": 8}}
    assert container["env"] == [{"name": "AWS_REGION", "value": "eu-west-1"}]
    with pytest.raises(InputError, match=r"launch\.image"):
        launch.pod_job(config, "abc", [])
