"""What the Airflow tasks call: the steps of a round by name, with arguments and results that fit into an XCom.

Importing this module is cheap, because a DAG file is parsed over and over; each function imports what it needs.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from arena_etl.errors import GateStopped, InputError
from arena_etl.rounds import parse_round

if TYPE_CHECKING:
    from arena_etl.config import Config
    from arena_etl.lake.delta import Lake, Partition
    from arena_etl.lake.releases import Release
    from arena_etl.steps import Step, Summary

logger = logging.getLogger(__name__)


def resolve_round(context: Mapping[str, Any]) -> str:
    """The round of a DAG run: the parameter ``round``, else the partition key, else the logical date.

    Runs of a partitioned schedule, backfills included, have a partition key and no logical date.
    """
    run, named = context["dag_run"], context["params"].get("round")
    if named or run.partition_key:
        return parse_round(named or run.partition_key)
    if run.logical_date is not None:
        return parse_round(run.logical_date.date().isoformat())
    raise InputError(
        "this run names no round: it has no parameter `round`, no partition key and no logical date. "
        'Trigger it with the configuration {"round": "YYYY-MM-DD"}.'
    )


def step_units(name: str, keys: Sequence[str]) -> list[str]:
    """The units of a step: what its mapped tasks are mapped over."""
    config, lake, step = _open_step(name)
    return step.units(config, lake, *keys)


def perform_step(name: str, keys: Sequence[str], unit: str | None = None) -> "Summary":
    """Do a step, or one unit of it."""
    from arena_etl.operations import lineage
    from arena_etl.steps import perform

    config, lake, step = _open_step(name)
    staging = step.staging(config, lake, *keys)
    with _named(step, staging.partition.columns, unit):
        summary = perform(step, config, lake, *keys, unit=unit)
        if "unchanged" not in summary:
            lineage.started(lake, name, staging.partition, staging.fingerprint, lake.opened)
        return _logged(summary, *keys, *([unit] if unit else []))


def audit_step(name: str, keys: Sequence[str]) -> dict[str, Any]:
    """Audit what a step staged and publish what passed: partition, gate (passed or accepted), version, rows, held."""
    from arena_etl.lake.delta import Partition
    from arena_etl.operations import lineage
    from arena_etl.quality.publish import publish

    config, lake, step = _open_step(name)
    partition = Partition(step.table, tuple(keys))
    with _named(step, partition.columns):
        summary = _logged(publish(step, config, lake, *keys), *keys)
        if "unchanged" not in summary:
            lineage.published(lake, name, partition, lake.fingerprint(partition) or 0, summary)
            _measured(lake, partition)
    return {"partition": list(keys), "gate": "accepted" if "accepted" in summary else "passed", **summary}


def publish_release(round_: str, run: str) -> dict[str, Any]:
    """Publish the newest state of all tables: the release's number, its rounds, a version per table."""
    from arena_etl.flywheel import release_round

    config, lake = _open()
    published = release_round(config, lake, round_, "airflow", f"round {round_}, run {run}")
    logger.info("release %d of round %s", published.release_id, round_)
    return _announced(published, [round_])


def write_reports(*rounds: str) -> str:
    """Write the reports of rounds, and with them the site of all rounds; where its index lies."""
    from arena_etl.reports import report, site

    config, lake = _open()
    for round_ in rounds:
        logger.info("report of round %s: %s", round_, report.write(config, lake, round_))
    return site.write(config, lake)


def watch_lake() -> list[str]:
    """Check that the lake is alive; the names of the checks that do not pass. What they mean is for ``send_alerts``."""
    from arena_etl.quality.watch import watch

    failing = [outcome.expectation for outcome in watch(*_open()) if outcome.outcome != "pass"]
    logger.info("watch: %s", ", ".join(failing) or "all is well")
    return failing


def send_alerts(round_: str | None = None) -> list[str]:
    """Send what is new about a round's gates, or about all rounds and the watch; the titles of the messages."""
    from arena_etl.quality.alerts import alert

    config, lake = _open()
    return [message.title for message in alert(config, lake, round_, logger.warning)]


def tell_of_lateness(**context: Any) -> None:
    """A round missed its deadline: look at the lake now, and tell what is new."""
    watch_lake()
    send_alerts()


def compact_tables() -> dict[str, int]:
    """Put small files together; how many every table has now."""
    from arena_etl.lake.maintenance import compact

    _, lake = _open()
    return {each.table: each.files_after for each in compact(lake)}


def collect_garbage() -> dict[str, int]:
    """Delete what nobody needs any more; bytes by table or kind."""
    from arena_etl.lake.maintenance import collect

    config, lake = _open()
    return {each.name: each.bytes for each in collect(lake, config.retention, "arena_maintenance", apply=True)}


def plan_backfill(window: str, what: str) -> dict[str, int]:
    """Tell what a backfill will do; steps to redo and to reuse, and calls of models."""
    from arena_etl.operations import backfill

    config, lake = _open()
    planned = backfill.plan(config, lake, backfill.Window.parse(window, what))
    for each in planned.steps:
        logger.info("%s %s: %s", each.step, "/".join(each.keys), each.state)
    for row in planned.calls:
        logger.info("%(round)s %(stage)s %(arena)s %(name)s: %(calls)d calls, %(cost_usd).2f USD", row)
    redo = sum(each.state == "redo" for each in planned.steps)
    return {"redo": redo, "reuse": len(planned.steps) - redo, "calls": sum(row["calls"] for row in planned.calls)}


def do_backfill(window: str, what: str, reason: str) -> dict[str, int]:
    """Do the work and tell what changed; rows that differ by table and round, promotions that would be others."""
    from arena_etl.operations import backfill

    config, lake = _open()
    chosen = backfill.Window.parse(window, what)
    compared = backfill.run(
        config,
        lake,
        chosen,
        "airflow",
        reason,
        lambda _, keys, summary: _logged(summary, *keys),
    )
    for name, rows in vars(compared).items():
        for row in rows:
            logger.info("%s: %s", name, row)
    return {name: len(rows) for name, rows in vars(compared).items()}


def is_approved(release: str) -> bool:
    """Whether the parameter asks for the release, as a template renders it."""
    return release == "True"


def publish_backfill(window: str, what: str, reason: str) -> dict[str, Any]:
    """Release what a backfill did: the release's number, its rounds, a version per table."""
    from arena_etl.operations import backfill

    config, lake = _open()
    chosen = backfill.Window.parse(window, what)
    released = backfill.publish(config, lake, chosen, "airflow", reason)
    rounds, later = backfill.rounds_of(lake, chosen)
    return _announced(released, [*rounds, *later])


def check_gates(round_: str) -> None:
    """Fail if, and only if, a gate stops the round: so that *stopped by gate* and *failed* look different."""
    from arena_etl.quality.alerts import stopped

    if problems := stopped(*_open(), round_):
        told = "; ".join(f"{problem['batch']}: {problem['expectation']}" for problem in problems)
        raise GateStopped(f"round {round_}: stopped by gate: {told}")


def _open() -> "tuple[Config, Lake]":
    from arena_etl.config import load
    from arena_etl.lake.delta import Lake

    config = load()
    return config, Lake.open(config)


def _open_step(name: str) -> "tuple[Config, Lake, Step]":
    from arena_etl.flywheel import STEPS

    return *_open(), STEPS[name]


@contextmanager
def _named(step: "Step", columns: Mapping[str, str], unit: str | None = None) -> Iterator[None]:
    """Every line that is logged meanwhile says which step, round, stage and unit it is about."""
    from structlog.contextvars import bound_contextvars

    with bound_contextvars(step=step.name, **columns, **({"unit": unit} if unit else {})):
        yield


def _measured(lake: "Lake", partition: "Partition") -> None:
    """The figures of a batch for StatsD or OpenTelemetry, where Airflow's section ``metrics`` turns one of them on."""
    from airflow.sdk.configuration import conf
    from airflow.sdk.observability import stats

    from arena_etl.lake import sql

    if not (conf.getboolean("metrics", "statsd_on") or conf.getboolean("metrics", "otel_on")):
        return
    with lake.connect(["quality_results", "responses", "verdicts"]) as connection:
        rows = sql.run(connection, "operations/metrics").to_arrow_table().to_pylist()
    row = next(row for row in rows if row["batch"] == partition.key)
    tags = {name: row[name] for name in ("stage", "arena") if row[name]}
    for name in ("rows", "work_s", "audit_s", "tokens_in", "tokens_out", "cost_usd"):
        if row[name] is not None:
            stats.gauge(f"arena_etl.{partition.table}.{name}", row[name], tags=tags)


def _announced(release: "Release", rounds: list[str]) -> dict[str, Any]:
    return {"release": release.release_id, "rounds": rounds, "versions": release.versions}


def _logged(summary: "Summary", *about: str) -> "Summary":
    """A line for the log that begins with the step or the table."""
    (_, what), *facts = summary.items()
    told = ", ".join(f"{name} {value}" for name, value in facts)
    logger.info("%s: %s", " ".join([what, *about]), told or "staged before")
    return summary
