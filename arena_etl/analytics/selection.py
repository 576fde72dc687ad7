"""What a stage learns from: battles that were decided clearly enough (sql/selection/)."""

from typing import Any

from arena_etl.config import Config, Selection
from arena_etl.contestants import opener
from arena_etl.errors import InputError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.rounds import TRAINING, fought_in

_CANDIDATES = {"sft": "selection/sft", "dpo": "selection/pairs", "rm": "selection/pairs", "ppo": "selection/ppo"}


def inputs(config: Config, lake: Lake, round_: str, stage: str) -> Any:
    """The iteration decides the threshold: it moves when another earlier round trains."""
    battles = Partition("battles", (round_, fought_in(stage), TRAINING))
    return {
        "battles": lake.require(battles, "`arena-etl judge` comes first."),
        **_settings(config, lake, round_, stage),
    }


def select(config: Config, lake: Lake, staging: Staging, round_: str, stage: str, unit: str) -> dict[str, int]:
    """Stage the training set of a stage; it may be empty.

    Counts the examples (``selected``); the items, each a turn of an instruction, that were dropped because a pair of
    theirs is unusable or missing (``unusable``); and, where the strategy or the group goes by it, the items of which it
    is not known (``unknown_difficulty``, ``unknown_cluster``).

    Raises InputError when the strategy or the group goes by a column that is unknown for the whole slice.
    """
    settings = {**_settings(config, lake, round_, stage), "round": round_, "stage": fought_in(stage)}
    with lake.connect(["battles", "responses", "instructions", "features"]) as connection:
        sql.materialize(connection, "described", "instructions/described")
        for table in ("scored_answers", "prompted_answers"):
            sql.materialize(connection, table, f"selection/{table}", **settings)
        [coverage] = sql.run(connection, "selection/coverage", **settings).to_arrow_table().to_pylist()
        counts = {"unusable": coverage["items"] - coverage["usable"]}
        for column, setting in _needed(config.selection).items():
            if coverage["items"] and not coverage[f"with_{column}"]:
                raise InputError(
                    f"round {round_}, stage {stage}: `{column}` is unknown for every instruction of the slice, and "
                    f"{setting} goes by it. `arena-etl ingest` finds it out (step describe); or choose another setting."
                )
            counts[f"unknown_{column}"] = coverage["items"] - coverage[f"with_{column}"]
        settings["stage"] = stage  # that of the rows; for the reward model it is not the battles' own
        if stage == "ppo":
            sql.materialize(connection, "preference_pairs", "selection/pairs", **settings)
        sql.materialize(connection, "candidates", _CANDIDATES[stage], **settings)
        rows = sql.run(connection, "selection/draw", **settings).to_arrow_table()
    staging.write(unit, "examples", rows)
    return {"selected": rows.num_rows, **counts}


def _settings(config: Config, lake: Lake, round_: str, stage: str) -> dict[str, Any]:
    """What decides the selection beside the battles; the names are those of the parameters in sql/selection/."""
    selection = config.selection
    with lake.connect(["training_runs"]) as connection:
        [(iteration,)] = sql.run(connection, "selection/iteration", round=round_).fetchall()
    return {
        "target": opener(config, lake, round_, stage).contestant_id,
        "iteration": iteration,
        "margin": selection.margin(stage, iteration) if selection.strategy == "threshold" else None,
        "strategy": selection.strategy,
        "size": selection.size,
        "group": selection.group,
        "max_per_group": selection.max_per_group,
        "seed": selection.seed,
    }


def _needed(selection: Selection) -> dict[str, str]:
    """The columns of described instructions that a selection goes by, each with the setting that makes it so."""
    needed = {}
    if selection.strategy == "difficulty":
        needed["difficulty"] = "selection.strategy difficulty"
    if selection.group == "cluster" and selection.max_per_group is not None:
        needed["cluster"] = "selection.group cluster"
    if selection.strategy == "diversity":
        needed["cluster"] = "selection.strategy diversity"
    return needed
