"""One round as a run of the Airflow DAG in this process: ``python -m arena_etl.operations.airflow_run ROUND``.

Like ``airflow dags test``, which it is made of: no scheduler, no server, only Airflow's metadata database. On top of it,
the last error is told without a traceback and decides the exit code, as on the command line.
"""

import sys
from typing import Any

from airflow.listeners import hookimpl
from airflow.sdk.exceptions import AirflowFailException

from arena_etl import resources
from arena_etl.errors import ArenaError
from arena_etl.rounds import parse_round

DAG_ID = "arena_flywheel"


class Failures:
    """An Airflow listener that keeps the last error; without its traceback, which would keep the task's models alive."""

    def __init__(self) -> None:
        self.message = "the run failed outside of its tasks"
        self.exit_code = ArenaError.exit_code

    @hookimpl
    def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
        self.message = f"{task_instance.task_id}: {error}"
        cause = error.__cause__ if isinstance(error, AirflowFailException) else error
        self.exit_code = getattr(cause, "exit_code", ArenaError.exit_code)


def run(round_: str) -> int:
    """Run the DAG for a round and return the exit code: 0 done, 1 failed, 2 bad input, 3 stopped by a quality gate.

    Needs a migrated metadata database, and ``AIRFLOW__CORE__DAGS_FOLDER`` naming the folder of the DAG.
    """
    from airflow.dag_processing.dagbag import DagBag
    from airflow.listeners.listener import get_listener_manager

    failures = Failures()
    get_listener_manager().add_listener(failures)
    bag = DagBag(str(resources.DAGS / f"{DAG_ID}.py"))
    for message in bag.import_errors.values():
        raise ArenaError(f"{DAG_ID}: Airflow cannot import the DAG: {message}")
    if bag.dags[DAG_ID].test(run_conf={"round": round_}).state == "success":
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
