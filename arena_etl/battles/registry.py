"""The model registry: everything that fights on the test set is written down before it does.

`arena-etl battle` registers before a stage has trained: models that only ever fight once have names and roles as well.
"""

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from arena_etl.config import Config
from arena_etl.contestants import Entrant, has_trained, roster
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES
from arena_etl.rounds import TRAINING, WIZARD_ARENA


def inputs(config: Config, lake: Lake, round_: str, stage: str) -> Any:
    return {"contestants": [entrant.contestant_id for entrant in _entrants(config, lake, round_, stage)]}


def register(config: Config, lake: Lake, staging: Staging, round_: str, stage: str, unit: str) -> dict[str, int]:
    """Stage a models row for every contestant of the stage that is not registered yet."""
    with lake.connect(["models"]) as connection:
        known = {row[0] for row in connection.sql("select contestant_id from models").fetchall()}
    rows = [
        {
            "round": round_,
            "contestant_id": entrant.contestant_id,
            "name": entrant.contestant.name,
            "role": entrant.role,
            "family": entrant.contestant.name if entrant.role == "rival" else config.target.name,
            "backend": entrant.contestant.backend,
            "checkpoint": entrant.contestant.checkpoint,
            "revision": entrant.contestant.revision,
            "system_prompt": entrant.contestant.system_prompt,
            "sampling": json.dumps(entrant.contestant.sampling.model_dump(), sort_keys=True),
            "parent": entrant.parent,
            "created_at": datetime.now(UTC),
        }
        for entrant in _entrants(config, lake, round_, stage)
        if entrant.contestant_id not in known
    ]
    staging.write(unit, "models", pa.Table.from_pylist(rows, schema=TABLES["models"].arrow_schema()))
    return {"registered": len(rows)}


def _entrants(config: Config, lake: Lake, round_: str, stage: str) -> list[Entrant]:
    """Who fights on the test set; before the stage has trained, who fights for its examples."""
    return roster(config, lake, round_, stage, WIZARD_ARENA if has_trained(lake, round_, stage) else TRAINING)
