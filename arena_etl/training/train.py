"""Train what a stage selected: the step between the training set and the candidate."""

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from arena_etl.config import Config
from arena_etl.contestants import trained_contestant
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES
from arena_etl.rounds import fought_in
from arena_etl.training import launch
from arena_etl.training.job import Job, parent


def inputs(config: Config, lake: Lake, round_: str, stage: str) -> Any:
    own = Partition("training_sets", (round_, stage))
    lake.require(own, "`arena-etl select` comes first.")
    settings = config.training(stage)
    learned = {
        values[0]: number
        for values, number in lake.fingerprints("training_sets").items()
        if values[1] == stage and (values[0] < round_ if settings.accumulate else False)
    }
    learned[round_] = lake.fingerprint(own) or 0
    if stage == "ppo":
        learned["reward_model"] = lake.require(
            Partition("training_runs", (round_, "rm")), "`arena-etl train` comes first."
        )
    return {
        "training_sets": learned,
        "parent": parent(config, lake, Job(round_, stage, 0)).contestant_id,
        "target": config.target.contestant_id,
        "hyperparameters": settings.model_dump(),
        "guards": config.guards.model_dump(),
    }


def train(config: Config, lake: Lake, staging: Staging, round_: str, stage: str, unit: str) -> dict[str, Any]:
    """Stage the training_runs row of a job: trained; skipped, where nothing was selected; or stopped by a guard.

    Without a checkpoint there is no candidate, and the champion stays.
    """
    job = Job(round_, stage, staging.fingerprint)
    settings, data = config.training(stage), lake.table("training_sets")
    outcome = launch.outcome(config, lake, job)
    row: dict[str, Any] = {
        "round": round_,
        "stage": stage,
        "candidate": None,
        "steps": 0,
        "effective_batch_size": settings.batch_size,
        "curve": [],
        "metrics": [],
        "accuracy": None,
        "first_loss": None,
        "last_loss": None,
        "seconds": 0.0,
        **outcome,
        "hyperparameters": json.dumps(settings.model_dump(), sort_keys=True),
        "versions": json.dumps(outcome.get("versions", {}), sort_keys=True),
        "data_version": data.version() if data is not None else 0,
        "created_at": datetime.now(UTC),
    }
    if row["checkpoint"] is not None and stage == fought_in(stage):
        row["candidate"] = trained_contestant(config, round_, stage, row["checkpoint"]).contestant_id
    staging.write(unit, "run", pa.Table.from_pylist([row], schema=TABLES["training_runs"].arrow_schema()))
    told = {"examples": row["examples"], "steps": row["steps"], "status": row["status"]}
    return told | ({"reason": row["reason"]} if row["reason"] else {})
