"""An OpenAI-compatible server on this machine that answers by a function and fails on demand."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """``sent``: how much of the body goes out before the connection is cut; None: all."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    sent: int | None = None
    drop: bool = False


def chat(text: str | None, finish_reason: str = "stop", **message: Any) -> Reply:
    """An ordinary answer; ``message`` adds fields to it."""
    document = {
        "choices": [
            {"message": {"role": "assistant", "content": text, **message}, "finish_reason": finish_reason, "index": 0}
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }
    return Reply(json.dumps(document).encode())


def fault(status: int, message: str = "no", headers: dict[str, str] | None = None) -> Reply:
    """An error as the API words it."""
    return Reply(json.dumps({"error": {"message": message}}).encode(), status, headers or {})


@dataclass
class Stub:
    """``respond`` gets the request's body and the number of the call, from 1. ``errors``: what it raised, which a client
    sees as a connection that breaks.
    """

    respond: Callable[[dict[str, Any], int], Reply]
    url: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def serve(respond: Callable[[dict[str, Any], int], Reply]) -> Iterator[Stub]:
    stub = Stub(respond)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with stub.lock:
                stub.calls.append(body)
                stub.headers.append(dict(self.headers))
                number = len(stub.calls)
                stub.in_flight += 1
                stub.most_in_flight = max(stub.most_in_flight, stub.in_flight)
            try:
                reply = stub.respond(body, number)
                time.sleep(reply.delay_s)
            finally:
                with stub.lock:
                    stub.in_flight -= 1
            if reply.drop:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: reply.sent])
            self.close_connection = reply.sent is not None

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 512

        def handle_error(self, request: Any, client_address: Any) -> None:
            error = sys.exception()
            if error is not None and not isinstance(error, ConnectionError):  # a client that went away is no news
                stub.errors.append(error)

    server = Server(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
