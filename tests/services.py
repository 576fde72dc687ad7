"""Processes that a test or a trial night needs beside it, such as an S3 server; they end with the block that started them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(f"{what} did not answer on port {port} within {seconds:.0f} s")


@contextmanager
def service(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its children in a group of their own; all of them end with the block."""
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        yield process
    finally:
        end(process, signal.SIGTERM)


def end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """Send a signal to a service and all of its children, and wait for it."""
    if process.poll() is None:
        os.killpg(process.pid, how)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def s3(log: Path) -> Iterator[str]:
    """moto's S3 server, in a process of its own: delta-rs blocks the threads of the process that asks for a history.

    Yields its endpoint.
    """
    port = free_port()
    start = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    with service([sys.executable, "-c", start], os.environ, log):
        wait_for(port, "the S3 server")
        yield f"http://127.0.0.1:{port}"
