"""Decide whether the stage's candidate replaces the champion: a rating difference, and what else may speak against it."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from arena_etl.config import Config
from arena_etl.contestants import candidate, champion
from arena_etl.errors import InputError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES
from arena_etl.ranking import draw_resamples, fit_bradley_terry, scope_battles
from arena_etl.rounds import WIZARD_ARENA
from arena_etl.steps import Step

TEST = "bradley_terry_difference_resampled_instructions"
FORCED = "forced"
RULE = "rule"


@dataclass(frozen=True)
class Check:
    """One condition of a promotion. ``detail``: what was measured and what was asked for."""

    name: str
    passed: bool
    detail: str


def inputs(config: Config, lake: Lake, round_: str, stage: str) -> Any:
    """A decision that a person forced stands as long as its candidate does."""
    if (forced := _forced(config, lake, round_, stage)) is not None:
        return forced
    return {
        "battles": lake.require(
            Partition("battles", (round_, stage, WIZARD_ARENA)), "`arena-etl evaluate` comes first."
        ),
        "training_runs": lake.fingerprint(Partition("training_runs", (round_, stage))),
        "promotion": config.promotion.model_dump(),
        "ratings": _settings(config),
    }


def promote(config: Config, lake: Lake, staging: Staging, round_: str, stage: str, unit: str) -> dict[str, Any]:
    """Stage the decision of ``decide``."""
    row = decide(config, lake, round_, stage)
    staging.write(unit, "decision", pa.Table.from_pylist([row], schema=TABLES["promotions"].arrow_schema()))
    return {"decision": row["decision"], "reason": row["reason"]}


def decide(config: Config, lake: Lake, round_: str, stage: str) -> dict[str, Any]:
    """The decision as a row of ``promotions``, with every check that it follows from.

    Both contestants met the same test instructions, so the difference of their Bradley-Terry ratings is taken inside
    every resample of whole instructions. Promoted if its lower bound is above ``promotion.margin``, with at least
    ``promotion.min_instructions`` test instructions on which both were judged against each other, and if nothing else
    of ``config.Promotion`` speaks against it.
    """
    row = _row(config, lake, round_, stage)
    if (forced := _forced(config, lake, round_, stage)) is not None:
        row |= _of_a_person(forced)
    elif row["candidate"] is None:
        row["reason"] = _why_none(lake, round_, stage)
    else:
        measured, checks = _compare(config, lake, round_, stage, row["candidate"], row["champion"])
        row |= measured | {"checks": [asdict(check) for check in checks]}
        failed = [check.detail for check in checks if not check.passed]
        row["decision"] = "kept" if failed else "promoted"
        row["reason"] = "; ".join(failed) if failed else "; ".join(check.detail for check in checks)
    return row


def forcing(reason: str, author: str) -> Step:
    """The step by which a person promotes a stage's candidate, whatever the rules say.

    Its inputs raise InputError where the stage trained no candidate.
    """

    def forced(config: Config, lake: Lake, round_: str, stage: str) -> Any:
        trained = candidate(config, lake, round_, stage)
        if trained is None:
            raise InputError(
                f"round {round_}, stage {stage}: no candidate to promote: {_why_none(lake, round_, stage)}."
            )
        return {"forced": reason, "by": author, "candidate": trained.contestant_id}

    def work(config: Config, lake: Lake, staging: Staging, round_: str, stage: str, unit: str) -> dict[str, Any]:
        row = _row(config, lake, round_, stage) | _of_a_person(forced(config, lake, round_, stage))
        staging.write(unit, "decision", pa.Table.from_pylist([row], schema=TABLES["promotions"].arrow_schema()))
        return {"decision": row["decision"], "reason": row["reason"]}

    return Step("promote", "promotions", forced, work)


def _row(config: Config, lake: Lake, round_: str, stage: str) -> dict[str, Any]:
    holder = champion(config, lake, round_, stage)
    trained = candidate(config, lake, round_, stage)
    with lake.connect(["verdicts"]) as connection:
        [judges] = sql.run(connection, "promotion/judges", round=round_, stage=stage).to_arrow_table().to_pylist()
    return {
        "round": round_,
        "stage": stage,
        "candidate": trained.contestant_id if trained else None,
        "champion": holder.contestant_id,
        "decision": "kept",
        "test": TEST,
        "difference": None,
        "lower": None,
        "upper": None,
        "length_controlled": None,
        "instructions": 0,
        "checks": [],
        "same_judges": judges["same"],
        "decided_by": RULE,
        "created_at": datetime.now(UTC),
    }


def _of_a_person(forced: dict[str, Any]) -> dict[str, Any]:
    return {"decision": "promoted", "test": FORCED, "reason": forced["forced"], "decided_by": forced["by"]}


def _forced(config: Config, lake: Lake, round_: str, stage: str) -> dict[str, Any] | None:
    """What a person decided about the present candidate, as the inputs of that decision."""
    with lake.connect(["promotions"]) as connection:
        row = connection.execute(
            "select reason, decided_by, candidate from promotions where round = $round and stage = $stage and test = $test",
            {"round": round_, "stage": stage, "test": FORCED},
        ).fetchone()
    if row is None:
        return None
    trained = candidate(config, lake, round_, stage)
    if trained is None or trained.contestant_id != row[2]:
        return None
    return {"forced": row[0], "by": row[1], "candidate": row[2]}


def _why_none(lake: Lake, round_: str, stage: str) -> str:
    with lake.connect(["training_runs"]) as connection:
        row = connection.execute(
            "select status, reason from training_runs where round = $round and stage = $stage",
            {"round": round_, "stage": stage},
        ).fetchone()
    status, reason = row or (None, None)
    if status == "stopped":
        return f"the training was stopped: {reason}"
    return f"nothing was trained in this stage: {reason}" if reason else "nothing was trained in this stage"


def _settings(config: Config) -> dict[str, Any]:
    """What of the rating settings decides a difference of ratings."""
    deciding = {"scale", "base", "initial", "prior_games", "resamples", "max_clusters", "seed"}
    return config.ratings.model_dump(include=deciding)


def _compare(
    config: Config, lake: Lake, round_: str, stage: str, candidate_id: str, champion_id: str
) -> tuple[dict[str, Any], list[Check]]:
    rule, both = config.promotion, {"candidate": candidate_id, "champion": champion_id, "round": round_}
    with lake.connect(["battles", "instructions", "features", "responses", "verdicts"]) as connection:
        # Later stages of the round may have fought already when a decision is made again: they do not count.
        connection.execute(
            """
            create temporary table fought as
            select * from battles
            where round < $round or (round = $round and list_position($stages, stage) <= list_position($stages, $stage))
            """,
            {"round": round_, "stage": stage, "stages": list(config.stages)},
        )
        connection.execute("create or replace temporary view battles as select * from fought")
        settings = _settings(config) | {"confidence": rule.confidence, "round": round_}
        scope_battles(connection, round_, [WIZARD_ARENA], breakdowns=["category"])
        draw_resamples(connection, settings)
        fit_bradley_terry(connection, settings)
        difference, lower, upper = (
            sql.run(connection, "ratings/rating_difference", **settings, **_pair(both), scope=WIZARD_ARENA)
            .project("difference, lower, upper")
            .fetchall()[0]
        )
        [(instructions,)] = connection.execute(
            """
            select count(distinct instruction_id) from battles
            where arena = $arena and winner <> 'unusable' and round <= $round
              and $candidate in (model_a, model_b) and $champion in (model_a, model_b)
            """,
            {"arena": WIZARD_ARENA, **both},
        ).fetchall()
        controlled = _rates(connection, "win_rates/length_controlled", settings | {"baseline": champion_id}, both)
        categories = _rates(connection, "win_rates/pairwise", settings, both)
        answers = sql.run(connection, "promotion/answers", **both).to_arrow_table().to_pylist()
        sql.materialize(
            connection, "judge_battles", "battles/merge_games", round=round_, stage=stage, arena=WIZARD_ARENA
        )
        judges = sql.run(connection, "promotion/cross_check", **both).to_arrow_table().to_pylist()
    rate = controlled.get(WIZARD_ARENA, {}).get("rate")
    measured = {
        "difference": difference,
        "lower": lower,
        "upper": upper,
        "instructions": instructions,
        "length_controlled": rate,
    }
    return measured, [
        _enough(rule.min_instructions, instructions),
        _better(config, measured),
        *_at_equal_length(rule.min_length_controlled, rate),
        *_by_category(rule.min_category_instructions, categories),
        *_of_answers(config, {row["contestant_id"]: row for row in answers}, candidate_id, champion_id),
        *(_by_judge(name, {row["judge"]: row for row in judges}) for name in rule.cross_check),
    ]


def _pair(both: dict[str, str]) -> dict[str, str]:
    return {name: both[name] for name in ("candidate", "champion")}


def _rates(
    connection: duckdb.DuckDBPyConnection, name: str, settings: dict[str, Any], both: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """The candidate's win rate against the champion, by scope."""
    rows = sql.run(connection, name, **settings).filter(
        f"model_a = '{both['candidate']}' and model_b = '{both['champion']}'"
    )
    return {row["scope"]: row for row in rows.to_arrow_table().to_pylist()}


def _enough(needed: int, instructions: int) -> Check:
    if instructions >= needed:
        return Check("instructions", True, f"{instructions} common test instructions")
    return Check("instructions", False, f"only {instructions} common test instructions, at least {needed} are needed")


def _better(config: Config, measured: dict[str, Any]) -> Check:
    rule = config.promotion
    if measured["lower"] is None:
        return Check("rating", False, "the difference has no finite interval: see ratings.prior_games")
    told = (
        f"{measured['difference']:+.1f} rating points, {rule.confidence:.0%} interval {measured['lower']:+.1f} to "
        f"{measured['upper']:+.1f} over {measured['instructions']} test instructions"
    )
    if measured["lower"] > rule.margin:
        return Check("rating", True, f"better by {told}: the lower bound is above {rule.margin:g}")
    return Check("rating", False, f"not shown to be better: {told}; the lower bound must be above {rule.margin:g}")


def _at_equal_length(least: float, rate: float | None) -> list[Check]:
    if rate is None or not least:
        return []
    return [
        Check(
            "length_controlled", rate >= least, f"win rate {rate:.1%} if answers were equally long (least {least:.0%})"
        )
    ]


def _by_category(least: int, rates: dict[str, dict[str, Any]]) -> list[Check]:
    """A category collapses where the whole interval of the win rate is below one half."""
    prefix = f"{WIZARD_ARENA}/category="
    found = {scope.removeprefix(prefix): row for scope, row in rates.items() if scope.startswith(prefix)}
    judged = {name: row for name, row in sorted(found.items()) if row["n"] >= least and row["upper"] is not None}
    lost = [f"{name} ({row['rate']:.0%} of {row['n']})" for name, row in judged.items() if row["upper"] < 0.5]
    if lost:
        return [Check("categories", False, f"worse in {', '.join(lost)}")]
    return [Check("categories", True, f"none of {len(judged)} categories collapses")] if judged else []


def _of_answers(
    config: Config, measured: dict[str, dict[str, Any]], candidate_id: str, champion_id: str
) -> list[Check]:
    if not {candidate_id, champion_id} <= measured.keys():
        return []
    own, other, rule = measured[candidate_id], measured[champion_id], config.promotion
    growth = own["characters"] / max(1.0, other["characters"])
    repeated = own["repetition"] - other["repetition"]
    return [
        Check(
            "length",
            growth <= rule.max_length_growth,
            f"answers of {own['characters']:.0f} characters, {growth:.2f} times the champion's (most {rule.max_length_growth:g})",
        ),
        Check(
            "repetition",
            repeated <= rule.max_repetition,
            f"{own['repetition']:.0%} of them repeated, the champion's {other['repetition']:.0%} (most "
            f"{rule.max_repetition:.0%} more)",
        ),
    ]


def _by_judge(name: str, rates: dict[str, dict[str, Any]]) -> Check:
    if name not in rates:
        return Check(f"cross_check {name}", False, f"{name} judged none of the candidate's battles with the champion")
    rate = rates[name]
    told = f"win rate {rate['rate']:.1%} by {name} alone over {rate['instructions']} instructions"
    return Check(f"cross_check {name}", rate["rate"] >= 0.5, told)
