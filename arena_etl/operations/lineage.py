"""OpenLineage events of scheduled steps: which tables a batch was made from, and what was published of it.

A batch is one run: the task that makes it starts the run and names its inputs, the audit that publishes it completes it and
names the output. Where events go is OpenLineage's own configuration (``OPENLINEAGE_URL``, ``OPENLINEAGE_CONFIG`` or an
``openlineage.yml``); without any they are in the task's log.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import dataset_version_dataset, output_statistics_output_dataset, schema_dataset

import arena_etl
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.tables import TABLES

NAMESPACE = "arena_etl"
PRODUCER = f"urn:arena-etl:{arena_etl.__version__}"
logger = logging.getLogger(__name__)


def started(lake: Lake, step: str, partition: Partition, fingerprint: int, inputs: Iterable[str]) -> None:
    """A task makes a batch. ``fingerprint``: the batch's; ``inputs``: names of the tables that it read."""
    read = [InputDataset(*_dataset(lake, table)) for table in sorted({*inputs} - {partition.table})]
    _emit(RunState.RUNNING, lake, step, partition, fingerprint, inputs=read)


def published(lake: Lake, step: str, partition: Partition, fingerprint: int, summary: Mapping[str, Any]) -> None:
    """A batch was published. ``summary``: what ``publish`` returned, with ``version`` and ``rows``."""
    columns = TABLES[partition.table].columns
    fields = [schema_dataset.SchemaDatasetFacetFields(c.name, c.type, c.meaning) for c in columns]
    version = dataset_version_dataset.DatasetVersionDatasetFacet(str(summary["version"]))
    output = OutputDataset(
        *_dataset(lake, partition.table),
        facets={"schema": schema_dataset.SchemaDatasetFacet(fields), "version": version},
        outputFacets={
            "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=summary["rows"]
            )
        },
    )
    _emit(RunState.COMPLETE, lake, step, partition, fingerprint, outputs=[output])


def _dataset(lake: Lake, table: str) -> tuple[str, str]:
    """OpenLineage's name of a table: (namespace, name), by its naming rules for S3 and for local files."""
    where = lake.storage.uri(table)
    if lake.storage.is_local:
        return "file", where
    bucket, _, path = where.removeprefix("s3://").partition("/")
    return f"s3://{bucket}", path


@cache
def _client() -> OpenLineageClient:
    return OpenLineageClient()


def _emit(state: RunState, lake: Lake, step: str, partition: Partition, fingerprint: int, **datasets: Any) -> None:
    run = Run(str(uuid5(NAMESPACE_URL, f"{lake.storage.root}/{partition.key}/{fingerprint}")))
    event = RunEvent(
        eventTime=datetime.now(UTC).isoformat(),
        producer=PRODUCER,
        run=run,
        job=Job(NAMESPACE, step),
        eventType=state,
        **datasets,
    )
    try:
        _client().emit(event)
    except Exception:  # a lineage server that is down must not stop a night
        logger.warning("lineage of %s was not sent", partition.key, exc_info=True)
