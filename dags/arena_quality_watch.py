"""Every hour: is the lake alive, and do people know what is not.

`watch` checks freshness (a round that is not released by its deadline), silence (nothing ran), stuck batches, the share of rows
in quarantine and, where `watch.audit_sample` is set, whether the judges still judge as they did. `alert` tells what is new.
`arena-etl quality watch` does both: run it by a cron job on another machine as well, because a scheduler that is down runs no
watch either.
"""

from airflow.sdk import CronTriggerTimetable, chain, dag, task

from arena_etl.operations import tasks
from arena_etl.operations.task_groups import DEFAULT_ARGS

watch = task(task_id="watch")(tasks.watch_lake)
alert = task(task_id="alert")(tasks.send_alerts)


@dag(
    schedule=CronTriggerTimetable("30 * * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["arena-etl"],
    doc_md=__doc__,
)
def arena_quality_watch() -> None:
    chain(watch(), alert())


arena_quality_watch()
