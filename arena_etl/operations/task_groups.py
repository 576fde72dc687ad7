"""What more than one DAG has: how tasks are tried again, the assets, a step with its audit, how sources are brought in."""

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.sdk import (
    Asset,
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
    chain,
    get_current_context,
    task,
    task_group,
)

from arena_etl import config
from arena_etl.config import Config
from arena_etl.errors import GateStopped, InputError
from arena_etl.lake.storage import Storage
from arena_etl.operations import tasks

# Conflicts, throttling and whatever else may pass are tried again, each time after a longer while; what another attempt
# cannot cure (a gate, a schema, a setting) is not.
DEFAULT_ARGS: dict[str, Any] = {
    "owner": "arena-etl",
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": True,
    "retry_policy": ExceptionRetryPolicy(
        [RetryRule(exception=[GateStopped, InputError], action=RetryAction.FAIL, reason="another attempt cannot help")]
    ),
}
STORAGE = Storage.of(config.load())


def asset(table: str) -> Asset:
    """A table of the lake, by its place: two lakes that share an Airflow have assets of their own."""
    where = STORAGE.uri(table)
    return Asset(f"file://{where}" if STORAGE.is_local else where, group="arena_etl")


def publishing(table: str, function: Callable[..., dict[str, Any]]) -> Any:
    """A task that publishes rows of a table; what ``function`` returns about them is the ``extra`` of the asset's event."""

    @functools.wraps(function)
    def publish(*arguments: Any) -> dict[str, Any]:
        facts = function(*arguments)
        get_current_context()["outlet_events"][asset(table)].extra = facts
        return facts

    return task(multiple_outputs=False, outlets=[asset(table)])(publish)


# A summary is one XCom, not one per entry.
perform = task(multiple_outputs=False)(tasks.perform_step)


def audit(name: str, table: str, *keys: str) -> Any:
    """The audit that publishes a step's table."""
    return publishing(table, tasks.audit_step).override(task_id=f"audit_{table}")(name, keys)


def step(name: str, table: str, *keys: str) -> list[Any]:
    """A step's task and its audit."""
    return [perform.override(task_id=name)(name, keys), audit(name, table, *keys)]


@task_group
def ingest(source: str) -> None:
    chain(
        *step("land", "raw_instructions", source),
        *step("prepare", "instructions", source),
        *step("embed", "embeddings", source),
        *step("sign", "signatures", source),
        *step("decontaminate", "contamination", source),
        *step("deduplicate", "near_duplicates", source),
    )


@task_group
def describe(source: str) -> None:
    chain(*step("describe", "features", source))


def ingest_sources(config: Config) -> list[Any]:
    """What brings the sources in, to be chained: a group per source, the clusters of all, a group per source again.

    One source after the other: of two that hold the same conversation, the first keeps it.
    """
    groups = {source.name: source.name.replace(".", "_") for source in config.sources}
    return [
        *(ingest.override(group_id=f"ingest_{group}")(name) for name, group in groups.items()),
        *step("cluster", "centroids", config.embedding.model_id),
        *(describe.override(group_id=f"describe_{group}")(name) for name, group in groups.items()),
    ]
