"""Past rounds again, by today's configuration: a new judge, another rule of selection or rating.

Trigger it with the rounds (`2026-01-05..2026-01-31`), what is done again, and why. `plan` tells in its log what will be done and
what it costs; `work` does it, batch by batch through the gates, and tells what changed; `release` publishes all of it at once,
or, with the parameter `release` off, leaves that to `arena-etl backfill ... --yes` after somebody has looked. A task that failed
goes on where it stopped when it is cleared; `arena-etl backfill --give-up` takes everything back.

Until then readers see the last release, and neither another backfill nor a round is released.
"""

from airflow.sdk import Param, chain, dag, task

from arena_etl.operations import tasks
from arena_etl.operations.task_groups import DEFAULT_ARGS, publishing

WINDOW, WHAT, REASON = "{{ params.window }}", "{{ params.what }}", "{{ params.reason }}"

plan = task(task_id="plan")(tasks.plan_backfill)
work = task(task_id="work")(tasks.do_backfill)
approved = task.short_circuit(task_id="approved")(tasks.is_approved)
release = publishing("releases", tasks.publish_backfill).override(task_id="release")


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    params={
        "window": Param(
            type="string", pattern=r"^\d{4}-\d{2}-\d{2}(\.\.\d{4}-\d{2}-\d{2})?$", description="FROM..TO, or one round"
        ),
        "what": Param("judge", enum=["judge", "select", "rate", "battles", "all"], description="what is done again"),
        "reason": Param(type="string", minLength=1, description="why, for the record"),
        "release": Param(True, type="boolean", description="publish when it is done; off: somebody looks first"),
    },
    tags=["arena-etl"],
    doc_md=__doc__,
)
def arena_backfill() -> None:
    chain(
        plan(WINDOW, WHAT), work(WINDOW, WHAT, REASON), approved("{{ params.release }}"), release(WINDOW, WHAT, REASON)
    )


arena_backfill()
