"""A Hugging Face data set as a source, from a server that speaks as much of the hub's interface as that takes."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROWS = b'{"id": 1, "prompt": "Name three rivers of Spain."}\n'
COMMIT = "c" * 40
TREE = [
    {"type": "directory", "path": "data", "oid": "b" * 40},
    {"type": "file", "path": "README.md", "size": 1, "oid": "d" * 40},
    {"type": "file", "path": "data/train.jsonl", "size": len(ROWS), "oid": "a" * 40},
]
# The hub's address is read when its library is imported, so the source is landed in a process of its own.
LAND = """
import json, sys
from arena_etl import config
from arena_etl.instructions import landing
from arena_etl.lake.delta import Lake
from arena_etl.steps import Step, perform
source = {"name": "mine", "path": sys.argv[1], "license": "MIT"}
configured = config.load(flags={"root": sys.argv[2], "sources": [source]})
step = Step("land", "raw_instructions", landing.inputs, landing.land)
lake = Lake.open(configured)
summary = perform(step, configured, lake, "mine")
print(json.dumps([summary["new"], step.staging(configured, lake, "mine").read()["raw"].to_pylist()]))
"""


class Hub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if "/resolve/" in self.path:
            self._answer(ROWS)
        elif "/tree/" in self.path:
            self._answer(json.dumps(TREE).encode())
        elif self.path.startswith("/api/datasets/org/name"):
            self._answer(json.dumps({"id": "org/name", "sha": COMMIT, "siblings": []}).encode())
        else:
            self.send_error(404)

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), "ETag": '"a"', "X-Repo-Commit": COMMIT}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_data_set_of_the_hub(hub: str, tmp_path: Path) -> None:
    environment = os.environ | {"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, "-c", LAND, "hf://datasets/org/name", str(tmp_path / "lake")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [1, [ROWS.decode().strip()]]
