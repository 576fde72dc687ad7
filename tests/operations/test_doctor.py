"""What doctor finds before the night does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from arena_etl import config as configuration
from arena_etl.lake import storage
from arena_etl.operations import doctor as checks


class _Server(BaseHTTPRequestHandler):
    """An endpoint that serves one model, to whoever has the key."""

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == "Bearer sesame"
        self.send_response(200 if allowed and self.path == "/v1/models" else 401)
        self.end_headers()
        self.wfile.write(json.dumps({"data": [{"id": "served"}]}).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def found(root: Path, **flags: Any) -> dict[str, checks.Check]:
    config = configuration.load(flags={"root": str(root / "lake"), **flags})
    return {check.name: check for check in checks.doctor(config)}


def judge(endpoint: str, model: str = "served") -> dict[str, Any]:
    return {"name": "j", "backend": "openai", "checkpoint": model, "base_urls": [endpoint], "api_key_env": "MY_KEY"}


def test_an_endpoint_answers_takes_the_key_and_serves_the_model(
    tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "MY_KEY is not set" in found(tmp_path, judge=judge(endpoint))["endpoints"].detail
    monkeypatch.setenv("MY_KEY", "wrong")
    assert "401" in found(tmp_path, judge=judge(endpoint))["endpoints"].detail
    monkeypatch.setenv("MY_KEY", "sesame")
    assert found(tmp_path, judge=judge(endpoint))["endpoints"].ok
    refused = found(tmp_path, judge=judge(endpoint, "other"))["endpoints"]
    assert not refused.ok
    assert refused.detail.endswith("serves served, not other")
    assert "sesame" not in refused.detail


def test_an_endpoint_that_is_down_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sesame")
    check = found(tmp_path, judge=judge("http://127.0.0.1:9/v1"))["endpoints"]
    assert not check.ok
    assert "http://127.0.0.1:9/v1 does not answer" in check.detail


def test_a_clock_that_is_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(tmp_path)["clock"].ok
    monkeypatch.setattr(storage, "CLOCKS_APART_S", -1)
    assert "let both follow a time server" in found(tmp_path)["clock"].detail


def test_airflow_is_asked_only_where_it_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW_HOME", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"):
        monkeypatch.delenv(name, raising=False)
    assert found(tmp_path)["airflow"].detail.startswith("not configured")
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql+psycopg2://nobody@127.0.0.1:9/none")
    assert not found(tmp_path)["airflow"].ok
