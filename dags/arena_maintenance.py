"""Every Sunday: keep the lake fast and small.

`compact` puts the small files of every table together; `gc` deletes what nobody needs any more: files of releases beyond
`retention.releases` (by default none is given up), batches and weights that were left over. Nothing younger than
`retention.days` is deleted. Readers are not disturbed: a release goes on reading the files that it was made of.
"""

from airflow.sdk import CronTriggerTimetable, chain, dag, task

from arena_etl.operations import tasks
from arena_etl.operations.task_groups import DEFAULT_ARGS

compact = task(task_id="compact")(tasks.compact_tables)
gc = task(task_id="gc")(tasks.collect_garbage)


@dag(
    schedule=CronTriggerTimetable("0 12 * * SUN", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["arena-etl"],
    doc_md=__doc__,
)
def arena_maintenance() -> None:
    chain(compact(), gc())


arena_maintenance()
