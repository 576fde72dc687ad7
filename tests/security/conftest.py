"""One night on S3 with a secret in every place where one may be."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.recorded_round import ROUNDS, write
from tests.faults.s3_proxy import Proxy, serve
from tests.stub_openai import Stub, chat, fault
from tests.stub_openai import serve as serve_openai

SECRETS = {
    name: f"planted{name.replace('_', '').lower()}7f3a"
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "ENGINE_KEY",
        "ALERT_TOKEN",
        "CONNECTION",
    )
}
BUCKET, PREFIX = "planted", "arena"


def leaks(text: str) -> list[str]:
    """The names of the secrets that a text tells."""
    return [name for name, secret in SECRETS.items() if secret in text]


@dataclass(frozen=True)
class Night:
    """What a night left: its output, the requests to the store, the folder in which it worked, and the engine it asked."""

    output: str
    requests: list[dict[str, Any]]
    folder: Path
    config: Path
    environment: dict[str, str]
    proxy: Proxy
    engine: Stub

    def verb(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "arena_etl", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=2400,
        )


def _refused(body: dict[str, Any], number: int) -> Any:
    """Servers repeat keys in what they say about errors; the first request hears that."""
    return fault(400, f"nothing for {SECRETS['ENGINE_KEY']}") if number == 1 else chat("It is 0.")


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str) -> Iterator[Night]:
    """A recorded round, but one rival is behind an endpoint with a key, and alerts go to an address with a token."""
    import s3fs

    folder = tmp_path_factory.mktemp("night")
    with serve(s3_endpoint) as proxy, serve_openai(_refused) as engine:
        file = write(
            folder,
            root=f"s3://{BUCKET}/{PREFIX}",
            s3_endpoint=proxy.url,
            rivals=[
                {"name": "now-and-then", "backend": "recorded", "checkpoint": "now-and-then.jsonl"},
                {
                    "name": "never-right",
                    "backend": "openai",
                    "checkpoint": "served",
                    "base_urls": [engine.url],
                    "api_key_env": "ENGINE_KEY",
                    "max_concurrency": 1,
                },
            ],
            quality={"max_error_rate": 0.5},
        )
        route = {
            "name": "on-call",
            "urls": [f"json://hook:{SECRETS['ALERT_TOKEN']}@127.0.0.1:9/{SECRETS['ALERT_TOKEN']}"],
            "severities": ["critical", "warning", "info"],
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ARENA_", "AWS_"))}
        environment |= {name: SECRETS[name] for name in SECRETS if name.startswith(("AWS_", "ENGINE_"))}
        environment |= {
            "AWS_REGION": "us-east-1",
            "ARENA_ALERTS__ROUTES": json.dumps([route]),
            "AIRFLOW_CONN_LAKE": f"aws://user:{SECRETS['CONNECTION']}@",
            "AIRFLOW_HOME": str(folder / "airflow"),
            "TMPDIR": str(folder / "tmp"),
            "OMP_NUM_THREADS": "1",
        }
        (folder / "tmp").mkdir()
        proxy.does()
        s3fs.S3FileSystem(
            key="test", secret="test", endpoint_url=proxy.url, use_listings_cache=False, skip_instance_cache=True
        ).mkdir(BUCKET)
        proxy.does()
        started = Night("", [], folder, file, environment, proxy, engine)
        done = started.verb("run", "--round", ROUNDS[0])
        assert done.returncode == 0, done.stderr
        yield Night(done.stdout + done.stderr, proxy.log(), folder, file, environment, proxy, engine)
