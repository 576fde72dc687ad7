"""Decide whether the stage's candidate replaces the champion: a test on the interval of the rating difference."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from arena_etl.config import Config
from arena_etl.contestants import candidate, champion
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES
from arena_etl.ranking import draw_resamples, fit_bradley_terry, scope_battles
from arena_etl.rounds import WIZARD_ARENA

TEST = "bradley_terry_difference_resampled_instructions"


def inputs(config: Config, lake: Lake, round_: str, stage: str) -> Any:
    return {
        "battles": lake.require(
            Partition("battles", (round_, stage, WIZARD_ARENA)), "`arena-etl evaluate` comes first."
        ),
        "training_runs": lake.fingerprint(Partition("training_runs", (round_, stage))),
        "promotion": config.promotion.model_dump(),
        "ratings": _settings(config),
    }


def promote(config: Config, lake: Lake, staging: Staging, round_: str, stage: str, unit: str) -> dict[str, Any]:
    """Stage the decision.

    Both contestants met the same test instructions, so the difference of their Bradley-Terry ratings is taken inside
    every resample of whole instructions. Promoted if its lower bound is above ``promotion.margin``, with at least
    ``promotion.min_instructions`` test instructions on which both were judged against each other.
    """
    holder = champion(config, lake, round_, stage)
    trained = candidate(config, lake, round_, stage)
    row: dict[str, Any] = {
        "round": round_,
        "stage": stage,
        "candidate": trained.contestant_id if trained else None,
        "champion": holder.contestant_id,
        "decision": "kept",
        "test": TEST,
        "difference": None,
        "lower": None,
        "upper": None,
        "instructions": 0,
        "created_at": datetime.now(UTC),
    }
    if trained is None:
        row["reason"] = "nothing was trained in this stage"
    else:
        row |= _compare(config, lake, round_, stage, trained.contestant_id, holder.contestant_id)
        row["decision"], row["reason"] = _decide(config, row)
    staging.write(unit, "decision", pa.Table.from_pylist([row], schema=TABLES["promotions"].arrow_schema()))
    return {"decision": row["decision"], "reason": row["reason"]}


def _settings(config: Config) -> dict[str, Any]:
    """What of the rating settings decides a difference of ratings."""
    deciding = {"scale", "base", "initial", "prior_games", "resamples", "max_clusters", "seed"}
    return config.ratings.model_dump(include=deciding)


def _compare(
    config: Config, lake: Lake, round_: str, stage: str, candidate_id: str, champion_id: str
) -> dict[str, Any]:
    with lake.connect(["battles", "instructions", "responses"]) as connection:
        # Later stages of the round may have fought already when a decision is made again: they do not count.
        connection.execute(
            """
            create temporary table fought as
            select * from battles
            where round < $round or (round = $round and list_position($stages, stage) <= list_position($stages, $stage))
            """,
            {"round": round_, "stage": stage, "stages": list(config.stages)},
        )
        connection.execute("create or replace view battles as select * from fought")
        settings = _settings(config)
        scope_battles(connection, round_, [WIZARD_ARENA], breakdowns=[])
        draw_resamples(connection, settings)
        fit_bradley_terry(connection, settings)
        difference, lower, upper = (
            sql.run(
                connection,
                "ratings/rating_difference",
                scope=WIZARD_ARENA,
                candidate=candidate_id,
                champion=champion_id,
                confidence=config.promotion.confidence,
            )
            .project("difference, lower, upper")
            .fetchall()[0]
        )
        [(instructions,)] = connection.execute(
            """
            select count(distinct instruction_id) from battles
            where arena = $arena and winner <> 'unusable' and round <= $round
              and $candidate in (model_a, model_b) and $champion in (model_a, model_b)
            """,
            {"arena": WIZARD_ARENA, "round": round_, "candidate": candidate_id, "champion": champion_id},
        ).fetchall()
    return {"difference": difference, "lower": lower, "upper": upper, "instructions": instructions}


def _decide(config: Config, row: dict[str, Any]) -> tuple[str, str]:
    rule = config.promotion
    if row["instructions"] < rule.min_instructions:
        return (
            "kept",
            f"only {row['instructions']} common test instructions, at least {rule.min_instructions} are needed",
        )
    if row["lower"] is None:
        return "kept", "the difference has no finite interval: see ratings.prior_games"
    measured = (
        f"{row['difference']:+.1f} rating points, {rule.confidence:.0%} interval {row['lower']:+.1f} to {row['upper']:+.1f} "
        f"over {row['instructions']} test instructions"
    )
    if row["lower"] > rule.margin:
        return "promoted", f"better by {measured}: the lower bound is above {rule.margin:g}"
    return "kept", f"not shown to be better: {measured}; the lower bound must be above {rule.margin:g}"
