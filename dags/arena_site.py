"""After the release of a backfill: the reports of its rounds, whose ratings changed, and the site of all rounds and models.

It follows the asset `releases`. A night releases too, and writes its report and the site itself: its events carry a partition
key, and Airflow tells of those only DAGs whose schedule is partitioned. Triggered by hand, it makes the site alone.
"""

from airflow.sdk import dag, get_current_context, task

from arena_etl.operations import tasks
from arena_etl.operations.task_groups import DEFAULT_ARGS, asset

RELEASES = asset("releases")


@task
def site() -> str:
    events = get_current_context()["triggering_asset_events"].get(RELEASES, [])
    return tasks.write_reports(*sorted({round_ for event in events for round_ in event.extra["rounds"]}))


@dag(
    schedule=[RELEASES],
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["arena-etl"],
    doc_md=__doc__,
)
def arena_site() -> None:
    site()


arena_site()
