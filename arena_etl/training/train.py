"""Train the champion on what its stage selected, and keep the checkpoint in the lake."""

import gc
import json
import tempfile
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from arena_etl.config import Config
from arena_etl.contestants import champion, model_dir, trained_contestant
from arena_etl.engines import store
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES
from arena_etl.training.trainers import TrainingResult, train_dpo, train_sft


def inputs(config: Config, lake: Lake, round_: str, stage: str) -> Any:
    return {
        "training_sets": lake.require(Partition("training_sets", (round_, stage)), "`arena-etl select` comes first."),
        "parent": champion(config, lake, round_, stage).contestant_id,
        "hyperparameters": _settings(config, stage).model_dump(),
    }


def train(config: Config, lake: Lake, staging: Staging, round_: str, stage: str, unit: str) -> dict[str, int]:
    """Train, upload the checkpoint under ``lake:checkpoints/`` and stage the training_runs row.

    A stage that selected nothing trains nothing: its row says ``skipped``. Every training writes a folder of its own, so
    weights that were trained again are another contestant and never answer in the name of the first.
    """
    with lake.connect(["training_sets"]) as connection:
        examples: pa.Table = connection.sql(
            "select * from training_sets where round = $round and stage = $stage order by example_id",
            params={"round": round_, "stage": stage},
        ).to_arrow_table()
    parent = champion(config, lake, round_, stage)
    run_id = f"{round_}-{stage}-{staging.fingerprint:015x}"
    settings = _settings(config, stage)
    data = lake.table("training_sets")
    row: dict[str, Any] = {
        "round": round_,
        "stage": stage,
        "run_id": run_id,
        "parent": parent.contestant_id,
        "candidate": None,
        "status": "skipped",
        "examples": examples.num_rows,
        "steps": 0,
        "effective_batch_size": settings.batch_size,
        "hyperparameters": json.dumps(settings.model_dump(), sort_keys=True),
        "versions": "{}",
        "data_version": data.version() if data is not None else 0,
        "curve": [],
        "first_loss": None,
        "last_loss": None,
        "checkpoint": None,
        "seconds": 0.0,
    }
    if examples.num_rows:
        base = model_dir(config, lake, parent.checkpoint, parent.revision)
        folder = f"{run_id}-{uuid.uuid4().hex[:8]}"
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "checkpoint"
            if stage == "sft":
                result = train_sft(examples, base, out, config.sft, config.engine)
            else:
                result = train_dpo(examples, base, out, config.dpo, config.engine)
            gc.collect()  # cycles inside the trainer would hold model and optimizer through the next step
            store.upload(out, lake.storage.uri("checkpoints", folder), lake.storage.filesystem)
        row |= _outcome(result)
        row["status"] = "trained"
        row["checkpoint"] = f"lake:checkpoints/{folder}"
        row["candidate"] = trained_contestant(config, round_, stage, row["checkpoint"]).contestant_id
    row["created_at"] = datetime.now(UTC)
    staging.write(unit, "run", pa.Table.from_pylist([row], schema=TABLES["training_runs"].arrow_schema()))
    return {"examples": row["examples"], "steps": row["steps"]}


def _settings(config: Config, stage: str) -> Any:
    return config.sft if stage == "sft" else config.dpo


def _outcome(result: TrainingResult) -> dict[str, Any]:
    losses = [step.loss for step in result.curve]
    tail = losses[-max(1, len(losses) // 4) :]
    return {
        "steps": result.steps,
        "effective_batch_size": result.effective_batch_size,
        "versions": json.dumps(result.versions, sort_keys=True),
        "curve": [vars(step) for step in result.curve],
        "first_loss": losses[0],
        "last_loss": sum(tail) / len(tail),
        "seconds": result.seconds,
    }
