"""What one night on S3 leaves behind and asks the store for: no secret, and nothing that its role may not do."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest

from arena_etl import config as configuration
from arena_etl.resources import DAGS
from arena_etl.training import card
from tests.quality.rows import batch
from tests.security.conftest import BUCKET, PREFIX, SECRETS, Night, leaks
from tests.security.policy import grants, refused, wanted

SERIALIZE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
print(json.dumps([DagSerialization.to_dict(dag) for dag in bag.dags.values()], default=str))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def left(night: Night) -> Iterator[tuple[str, str]]:
    """Every object in the bucket and every file in the working folder as text; of Parquet the values and the metadata."""
    import s3fs

    store = s3fs.S3FileSystem(
        key="test", secret="test", endpoint_url=night.proxy.url, use_listings_cache=False, skip_instance_cache=True
    )
    for name in store.find(BUCKET):
        yield name, _text(name, store.cat_file(name))
    for path in night.folder.rglob("*"):
        if path.is_file():
            yield str(path), _text(path.name, path.read_bytes())


def _text(name: str, content: bytes) -> str:
    if not name.endswith(".parquet"):
        return content.decode(errors="replace")
    table = pq.read_table(io.BytesIO(content))
    return f"{table.schema} {table.schema.metadata} {table.to_pylist()}"


def test_nothing_that_a_round_leaves_behind_holds_a_secret(night: Night) -> None:
    assert {headers["Authorization"] for headers in night.engine.headers} == {f"Bearer {SECRETS['ENGINE_KEY']}"}
    files = dict(left(night))
    assert [(name, leaks(text)) for name, text in files.items() if leaks(text)] == []
    assert leaks(night.output) == []
    # The search would find them: what stands around them is there.
    tables = {name for name in files if name.startswith(f"{BUCKET}/arena/")}
    assert sum(name.endswith(".parquet") for name in tables) > 30
    assert any("/_delta_log/" in name for name in tables) and any(name.endswith(".html") for name in tables)
    assert any("/responses/" in name and "nothing for ***" in files[name] for name in tables)
    assert any("/releases/" in name and '"api_key_env": "ENGINE_KEY"' in files[name] for name in tables)
    assert "could not deliver to on-call" in night.output


def test_verbs_that_speak_of_settings_and_the_store_tell_no_secret(night: Night) -> None:
    for verb in (["releases", "show", "1"], ["status", "--json"], ["doctor"], ["views"]):
        done = night.verb(*verb)
        assert done.stdout and leaks(done.stdout + done.stderr) == [], verb


def test_no_serialized_dag_holds_a_secret(night: Night) -> None:
    """What Airflow stores of a DAG file, parsed where every secret is in the environment."""
    environment = night.environment | {
        "ARENA_CONFIG": str(night.config),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = subprocess.run(
        [sys.executable, "-c", SERIALIZE, str(DAGS)],
        cwd=night.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    serialized = json.loads(done.stdout.splitlines()[-1])
    assert len(serialized) >= 5
    assert leaks(done.stdout + done.stderr) == []


def test_a_model_card_tells_no_secret(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in night.environment.items():
        if name not in os.environ:
            monkeypatch.setenv(name, value)
    config = configuration.load(night.config)
    assert config.alerts.routes[0].urls[0].get_secret_value().count(SECRETS["ALERT_TOKEN"]) == 2
    outcome: dict[str, Any] = {
        "run_id": "r", "parent": "p", "release_id": 1, "config_hash": config.digest, "data_hash": "h", "seed": 0, "steps": 1,
        "effective_batch_size": 4, "first_loss": 1.0, "last_loss": 0.5, "versions": {"torch": "2"}, "accuracy": None,
    }  # fmt: skip
    text = card.render(config, "sft", outcome, batch("training_sets"))
    assert config.digest in text and leaks(text) == []


def test_a_round_needs_no_more_than_the_writer_may_do(night: Night) -> None:
    assert len(night.requests) > 500
    assert refused(grants("writer", PREFIX), night.requests) == []


def test_the_writer_may_do_no_more_than_a_round_needs(night: Night) -> None:
    """Uploads in parts begin at sizes that no test reaches; the right to give one up stands for them."""
    used = {need.action for need in wanted(night.requests)}
    assert set(grants("writer", PREFIX)) - used <= {"s3:AbortMultipartUpload"}
    places = {str(need.place).removeprefix(f"{PREFIX}/").split("/")[0] for need in wanted(night.requests)}
    assert {"_staging", "releases", "responses", "reports"} <= places


def test_readers_only_read(night: Night) -> None:
    night.proxy.does()
    for verb in (
        ["leaderboard"],
        ["sql", "select count(*) from battles"],
        ["status"],
        ["releases", "list"],
        ["releases", "show", "1"],
        ["views"],
        ["quality", "report"],
    ):
        done = night.verb(*verb)
        assert done.returncode == 0, (verb, done.stderr)
    requests = night.proxy.log()
    assert len(requests) > 50
    assert refused(grants("reader", PREFIX), requests) == []
    assert {need.action for need in wanted(requests)} == {"s3:GetObject", "s3:ListBucket"}
