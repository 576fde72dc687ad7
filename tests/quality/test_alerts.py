"""Messages to people: once per round and stage, to those whom it concerns, and again when it clears."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.errors import ArenaError, GateStopped, InputError
from arena_etl.lake.delta import Lake
from arena_etl.lake.outcomes import standing
from arena_etl.lake.releases import release, releases
from arena_etl.quality import alerts
from arena_etl.quality.alerts import alert
from arena_etl.quality.decisions import Acceptance, mute
from tests.quality import rows as make
from tests.quality.test_publish import KEYS, UNREADABLE, put

ROUND = KEYS[0]


class Receiver:
    """An HTTP server that keeps what it is sent."""

    def __init__(self) -> None:
        received: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Tests are quiet."""

        self.received = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


def routed(tmp_path: Path, receiver: Receiver, **route: Any) -> Config:
    routes = [{"name": "on-call", "urls": [receiver.url], **route}]
    return configuration.load(flags={"root": str(tmp_path / "lake"), "alerts": {"routes": routes}})


def stop(config: Config) -> None:
    with pytest.raises(GateStopped):
        put(config, "verdicts", make.batch("verdicts", UNREADABLE), *KEYS)


def send(config: Config) -> list[str]:
    """What is printed; everything else goes to the receiver."""
    printed: list[str] = []
    alert(config, Lake.open(config), ROUND, printed.append)
    return printed


def test_a_stop_is_told_once_and_its_end_once(tmp_path: Path, receiver: Receiver) -> None:
    config = routed(tmp_path, receiver)
    put(config, "responses", make.batch("responses"), *KEYS)
    release(Lake.open(config), config, "2025-12-31", "test", "the last good one")
    stop(config)
    [printed] = send(config)
    assert send(config) == []
    stop(config)  # the same again, by another run
    assert send(config) == []
    [message] = receiver.received
    assert message["title"] == "arena_etl: round 2026-01-01, stage sft: stopped by gate"
    assert message["type"] == "failure"
    for part in (
        "[critical] verdicts/2026-01-01/sft/training: expect_column_values_to_be_in_set(parse_status)/parse-rate failed",
        "observed 6 of 6, such as",
        '"mostly": 0.5',  # allowed
        f'"instruction_id": "{make.identity(1)}"',  # failing rows
        "nothing of verdicts/2026-01-01/sft/training was published",
        "Readers see release 1 (round 2025-12-31",
        "owner judging; what to do: docs/runbook.md#parse-rate",
        "arena-etl run --round 2026-01-01",
        "--accept verdicts --reason",
    ):
        assert part in message["message"]
        assert part in printed

    put(config, "verdicts", make.batch("verdicts"), *KEYS, inputs="repaired")
    assert len(send(config)) == 1
    assert send(config) == []
    assert [m["type"] for m in receiver.received] == ["failure", "success"]
    assert receiver.received[1]["title"].endswith("stage sft: recovered")


def test_a_further_problem_of_the_stage_is_told(tmp_path: Path, receiver: Receiver) -> None:
    config = routed(tmp_path, receiver)
    stop(config)
    send(config)
    with pytest.raises(GateStopped):
        put(config, "responses", make.batch("responses", {0: {"turn": 0}}), *KEYS)
    send(config)
    assert len(receiver.received) == 2
    assert "responses/2026-01-01/sft/training" in receiver.received[1]["message"]


@pytest.mark.parametrize(
    ("route", "told"),
    [
        ({"owners": ["judging"]}, 1),
        ({"owners": ["data-platform"]}, 0),
        ({"severities": ["info"]}, 0),
        ({"severities": ["critical", "warning"]}, 1),
    ],
)
def test_routes_hear_of_their_owners_and_severities(
    tmp_path: Path, receiver: Receiver, route: dict[str, Any], told: int
) -> None:
    config = routed(tmp_path, receiver, **route)
    stop(config)
    send(config)
    assert len(receiver.received) == told


def test_muted_problems_are_not_told(tmp_path: Path, receiver: Receiver) -> None:
    config = routed(tmp_path, receiver)
    lake = Lake.open(config)
    until = datetime.now(UTC) + timedelta(hours=1)
    mute(lake, "verdicts", None, until, "ada", "known, being repaired")
    stop(config)
    assert send(config) == [] and receiver.received == []
    [problem] = [p for p in standing(lake, ROUND) if p["stops"]]
    assert problem["muted"]  # and the gate stopped as before
    with pytest.raises(InputError, match="that is over"):
        mute(lake, "verdicts", None, datetime.now(UTC) - timedelta(days=1), "ada", "too late")


def test_an_accepted_batch_is_no_longer_a_problem(tmp_path: Path, receiver: Receiver) -> None:
    config = routed(tmp_path, receiver)
    stop(config)
    send(config)
    assert alerts.stopped(config, Lake.open(config), ROUND)
    word = Acceptance("verdicts", "known", "ada")
    put(config, "verdicts", make.batch("verdicts", UNREADABLE), *KEYS, accept=word)
    assert alerts.stopped(config, Lake.open(config), ROUND) == []
    send(config)
    assert [m["type"] for m in receiver.received] == ["failure", "success"]


def test_a_route_that_cannot_be_reached_is_an_error_and_is_tried_again(tmp_path: Path, receiver: Receiver) -> None:
    config = routed(tmp_path, receiver, urls=["json://127.0.0.1:9/"])
    stop(config)
    with pytest.raises(ArenaError, match="could not deliver to on-call") as error:
        send(config)
    assert "127.0.0.1" not in str(error.value)  # a URL may hold a secret
    working = routed(tmp_path, receiver)
    send(working)
    assert len(receiver.received) == 1


def test_urls_are_never_stored_with_a_release(tmp_path: Path, receiver: Receiver) -> None:
    config = routed(tmp_path, receiver, urls=["slack://T1/B2/hunter2/#nightly"])
    lake = Lake.open(config)
    put(config, "verdicts", make.batch("verdicts"), *KEYS)
    release(lake, config, ROUND, "test", "r")
    [published] = releases(lake)
    assert "hunter2" not in published.config and "on-call" in published.config
