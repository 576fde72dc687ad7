"""Bring the configured sources into the lake, by hand or by a schedule of its own, without a round.

Per source: land its new rows as they are, then read, clean, embed and compare them; then the clusters of all, and what is found
out about every row; each with its audit. A source that did not change is passed over. The nightly round does the same before
it draws; this DAG is for large sources, whose first loading should not hold a night up, and for sources that arrive at other
times.

**Schedule.** `ingest_schedule` in the configuration, a cron expression in UTC; without one the DAG runs when it is triggered.

**What was taken out** and why: `quarantine` in the lake, and the funnel that `arena-etl ingest` prints.
"""

from airflow.sdk import CronTriggerTimetable, chain, dag

from arena_etl import config
from arena_etl.operations.task_groups import DEFAULT_ARGS, ingest_sources

CONFIG = config.load()


@dag(
    schedule=CronTriggerTimetable(CONFIG.ingest_schedule, timezone="UTC") if CONFIG.ingest_schedule else None,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["arena-etl"],
    doc_md=__doc__,
)
def arena_ingest() -> None:
    chain(*ingest_sources(CONFIG))


arena_ingest()
