"""Airflow's own services on this machine."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2

from arena_etl.resources import DAGS
from tests.services import free_port, service, wait_for

INFRA = Path(__file__).parents[2] / "infra"


def every_two_minutes(dag: str, now: datetime) -> str:
    """The text of the nightly DAG with other keys for its rounds: on a clock of two minutes, every tick is a year.

    The first rounds are in the year 1000, whatever time it is: keys are made of a clock that is moved to ten o'clock.
    """
    nightly = 'run_offset=0, key_format="%Y-%m-%d"'
    assert nightly in dag
    ticks = (10 * 60 - now.hour * 60 - now.minute) // 2
    return dag.replace(nightly, f'run_offset={ticks}, key_format="%H%M-%m-%d"')


class Airflow:
    """Airflow on PostgreSQL with LocalExecutor: api-server, dag-processor and a scheduler that can be killed."""

    def __init__(self, folder: Path, database: str, arena_config: Path, secrets: Mapping[str, str]) -> None:
        """``database``: a URI without driver. ``secrets``: variables that the tasks need, e.g. the keys of the store."""
        port = free_port()
        self.folder, self.port, self.database = folder, port, database
        dags = folder / "dags"
        dags.mkdir()
        for file in DAGS.glob("arena_*.py"):
            (dags / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
        (folder / "airflow" / "config").mkdir(parents=True)
        settings = "airflow_local_settings.py"
        (folder / "airflow" / "config" / settings).write_text((INFRA / "images" / settings).read_text(encoding="utf-8"))
        nightly = dags / "arena_flywheel.py"
        text = every_two_minutes(nightly.read_text(encoding="utf-8"), datetime.now(UTC))
        nightly.write_text(text, encoding="utf-8")
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

    def service(self, name: str) -> Any:
        return service([sys.executable, "-m", "airflow", name], self.environment, self.folder / f"{name}.log")

    @contextmanager
    def started(self) -> Iterator[None]:
        """With api-server and dag-processor, after the DAGs were read."""
        with self.service("api-server"), self.service("dag-processor"):
            wait_for(self.port, "Airflow's api-server", 240)
            deadline = time.monotonic() + 240
            while self.ask("select count(*) from dag")[0][0] < len(list(DAGS.glob("arena_*.py"))):
                if time.monotonic() > deadline:
                    raise TimeoutError(self("dags", "list-import-errors"))
                time.sleep(3)
            yield
