"""Tasks that more than one DAG has: a step with its audit, and the steps that bring the sources in."""

from typing import Any

from airflow.sdk import chain, task, task_group

from arena_etl.config import Config
from arena_etl.operations import tasks

# A summary is one XCom, not one per entry.
perform = task(multiple_outputs=False)(tasks.perform_step)
audit = task(multiple_outputs=False)(tasks.audit_step)


def step(name: str, table: str, *keys: str) -> list[Any]:
    """A step's task and the audit that publishes its table."""
    return [perform.override(task_id=name)(name, keys), audit.override(task_id=f"audit_{table}")(name, keys)]


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
