"""One round as a run of the Airflow DAG in this process: ``python -m arena_etl.operations.airflow_run ROUND``.

``airflow dags test`` for people: no scheduler and no server, only Airflow's metadata database; a line per task on stderr;
an expected error is told without its traceback and decides the exit code, as on the command line.
"""

import logging
import sys
from typing import Any

from airflow.listeners import hookimpl

from arena_etl import resources
from arena_etl.errors import ArenaError
from arena_etl.rounds import parse_round

DAG_ID = "arena_flywheel"
AFTERWARDS = ("alert", "gates")  # run whatever failed, and only tell of it
INTERRUPTED = 130  # what shells report after Ctrl-C

logger = logging.getLogger("arena_etl")


class Failures:
    """An Airflow listener that keeps what the last error said; not the error, whose traceback keeps models in memory."""

    def __init__(self) -> None:
        self.failed = False
        self.message = "the run failed outside of its tasks"
        self.exit_code = 1

    @hookimpl
    def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
        if isinstance(error, KeyboardInterrupt):
            raise error  # to Airflow it is an error like others, which the task would be tried again after
        expected = isinstance(error, ArenaError)
        if task_instance.task_id in AFTERWARDS and self.failed:
            return
        self.failed = self.failed or task_instance.state == "failed"
        self.message = f"{task_instance.task_id}: {error}"
        self.exit_code = getattr(error, "exit_code", 1)
        if not expected:
            logger.error("%s failed, try %d", task_instance.task_id, task_instance.try_number, exc_info=error)
        elif task_instance.state != "failed":
            logger.error("%s, try %d", self.message, task_instance.try_number)
        if task_instance.state == "failed":
            _give_up(task_instance.run_id)


def _give_up(run_id: str) -> None:
    """What has not begun is not going to; Airflow's own loop finds that out at one task per second."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import update

    waiting = (
        TaskInstance.dag_id == DAG_ID,
        TaskInstance.run_id == run_id,
        TaskInstance.state.is_(None),
        TaskInstance.task_id.not_in(AFTERWARDS),
    )
    with create_session() as session:
        session.execute(update(TaskInstance).where(*waiting).values(state="upstream_failed"))


def _cancel() -> None:
    """End the interrupted run in the database, or a scheduler that is started later would take it up."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy import update

    running = (
        DagRun.dag_id == DAG_ID,
        DagRun.triggered_by == DagRunTriggeredByType.TEST,
        DagRun.state == "running",
    )
    with create_session() as session:
        session.execute(update(DagRun).where(*running).values(state="failed"))


def run(round_: str) -> int:
    """Run the DAG for a round and return the exit code: 0 done, 1 failed, 2 bad input, 3 gate stopped, 130 interrupted.

    Needs a migrated metadata database, and ``AIRFLOW__CORE__DAGS_FOLDER`` naming the DAG's folder. Raises ArenaError when
    the DAG cannot be imported.
    """
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk.listener import get_listener_manager

    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # It repeats itself every second while a task waits for its next try.
    logging.getLogger("airflow.sdk.definitions.dag").setLevel(logging.ERROR)
    failures = Failures()
    get_listener_manager().add_listener(failures)
    bag = DagBag(str(resources.DAGS / f"{DAG_ID}.py"))
    for problem in bag.import_errors.values():
        raise ArenaError(f"Airflow cannot import {DAG_ID}: {problem}")
    flywheel = bag.dags[DAG_ID]
    # Deadlines are a scheduler's business; at the end of a run in this process Airflow 3.3 stumbles over them.
    flywheel.deadline = None
    try:
        finished = flywheel.test(run_conf={"round": round_})
    except KeyboardInterrupt:
        _cancel()
        sys.stderr.write("interrupted; run the same command again to go on\n")
        return INTERRUPTED
    if finished.state == "success":
        return 0
    sys.stderr.write(f"error: {failures.message}\n")
    return failures.exit_code


def main() -> None:
    try:
        sys.exit(run(parse_round(sys.argv[1] if len(sys.argv) == 2 else None)))
    except ArenaError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
