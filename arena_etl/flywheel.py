"""The order of the steps of a round. ``run_round`` does all of them; the Airflow DAG wires the same steps as tasks."""

from collections.abc import Callable
from typing import Any

from arena_etl.analytics import battles, ratings, selection
from arena_etl.battles import generate, registry
from arena_etl.config import Config
from arena_etl.errors import ArenaError
from arena_etl.instructions import (
    clusters,
    contamination,
    describe,
    embed,
    landing,
    near_duplicates,
    preparation,
    signatures,
    slices,
    wizard_arena,
)
from arena_etl.lake import hold
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import Release, release
from arena_etl.operations import plan
from arena_etl.quality.decisions import Acceptance
from arena_etl.quality.publish import publish
from arena_etl.rounds import TRAINING, WIZARD_ARENA
from arena_etl.steps import Step, Summary, perform
from arena_etl.training import promote, train
from arena_etl.verdicts import judge

STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step("land", "raw_instructions", landing.inputs, landing.land),
        Step("prepare", "instructions", preparation.inputs, preparation.prepare),
        Step("embed", "embeddings", embed.inputs, embed.embed),
        Step("sign", "signatures", signatures.inputs, signatures.sign),
        Step("decontaminate", "contamination", contamination.inputs, contamination.decontaminate),
        Step("deduplicate", "near_duplicates", near_duplicates.inputs, near_duplicates.deduplicate),
        Step("cluster", "centroids", clusters.inputs, clusters.cluster),
        Step("describe", "features", describe.inputs, describe.describe),
        Step("build", "wizard_arena", wizard_arena.inputs, wizard_arena.build),
        Step("hold_out", "contamination", contamination.hold_out_inputs, contamination.hold_out),
        Step("plan", "plans", plan.inputs, plan.store),
        Step("draw", "slices", slices.inputs, slices.draw),
        Step("generate", "responses", generate.inputs, generate.generate, generate.units),
        Step("judge", "verdicts", judge.inputs, judge.judge, judge.units),
        Step("merge", "battles", battles.inputs, battles.merge),
        Step("select", "training_sets", selection.inputs, selection.select),
        Step("train", "training_runs", train.inputs, train.train),
        Step("register", "models", registry.inputs, registry.register),
        Step("promote", "promotions", promote.inputs, promote.promote),
        Step("rate", "ratings", ratings.inputs, ratings.rate),
        Step("win_rates", "win_rates", ratings.inputs, ratings.win_rates),
    )
}

INGEST = ("land", "prepare", "embed", "sign", "decontaminate", "deduplicate")
ARENA = ("generate", "judge", "merge")


def trainings(stage: str) -> tuple[str, ...]:
    """What a stage of a round selects for and trains, in order: ppo needs a reward model first."""
    return ("rm", "ppo") if stage == "ppo" else (stage,)


def stage_plan(round_: str, stage: str) -> list[tuple[str, tuple[str, ...]]]:
    """The steps of a stage in order: (step name, partition values)."""
    training, wizard_arena = (round_, stage, TRAINING), (round_, stage, WIZARD_ARENA)
    return [
        ("draw", (round_, stage)),
        *((name, training) for name in ARENA),
        *((name, (round_, trained)) for trained in trainings(stage) for name in ("select", "train")),
        ("register", (round_, stage)),
        *((name, wizard_arena) for name in ARENA),
        ("promote", (round_, stage)),
    ]


def ingest_plan(config: Config) -> list[tuple[str, tuple[str, ...]]]:
    """The steps that bring the sources in, in order: each source's own, the clusters of all, what is found out by them."""
    own = [(name, (source.name,)) for source in config.sources for name in INGEST]
    return [*own, ("cluster", (config.embedding.model_id,)), *(("describe", (s.name,)) for s in config.sources)]


def round_plan(config: Config, round_: str) -> list[tuple[str, tuple[str, ...]]]:
    """All steps of a round in order, before its release."""
    steps = [*ingest_plan(config), ("plan", (round_,))]
    for stage in config.stages:
        steps += stage_plan(round_, stage)
    return [*steps, ("rate", (round_,)), ("win_rates", (round_,))]


def do(config: Config, lake: Lake, name: str, *keys: str, acceptance: Acceptance | None = None) -> Summary:
    """One step and its audit; ``acceptance`` as in ``publish``."""
    step = STEPS[name]
    summary = perform(step, config, lake, *keys)
    return summary | publish(step, config, lake, *keys, acceptance=acceptance)


def release_round(
    config: Config, lake: Lake, round_: str, author: str, reason: str, holder: str | None = None
) -> Release:
    """Publish the newest state of all tables, for all readers at once. ``holder``: the backfill that this is the end of.

    Raises ArenaError when another round is half done, or a backfill: what is unfinished would become visible with this one.
    """
    if (held := hold.held(lake)) is not None and held["window"] != holder:
        raise ArenaError(
            f"release: backfill {held['window']} by {held['author']} is under way since {held['started_at']} and would become "
            f"visible half done. Finish it, or take it back (`arena-etl backfill --give-up`); then run this again."
        )
    begun = {values[0] for values in lake.fingerprints("slices")}
    finished = {values[0] for values in lake.fingerprints("win_rates")}
    if others := sorted(begun - finished - {round_}):
        raise ArenaError(
            f"release: round {', '.join(others)} is half done and would become visible with round {round_}. Finish it "
            f"(`arena-etl run --round {others[0]}`), or drop it (`arena-etl rollback` to the last release)."
        )
    return release(lake, config, round_, author, reason)


def run_round(config: Config, lake: Lake, round_: str, report: Callable[[str, tuple[str, ...], Summary], Any]) -> None:
    """Every step of the round that is not done yet, in order; ``report`` hears of each."""
    for name, keys in round_plan(config, round_):
        report(name, keys, do(config, lake, name, *keys))
