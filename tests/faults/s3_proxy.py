"""A proxy in front of an S3 server that does to requests what stores and networks do, and remembers every request.

``python s3_proxy.py UPSTREAM`` serves on a free port, which it prints. It is a process of its own because delta-rs blocks the
threads of the process that calls it. It never changes what is asked or answered: requests are refused, lost, stalled, or
carried out while their reply is lost.
"""

import asyncio
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from aiohttp import ClientConnectionResetError, ClientSession, web
from yarl import URL

# What a store says in place of doing it: status, S3's code, its message.
REFUSALS = {
    "error": (500, "InternalError", "We encountered an internal error. Please try again."),
    "slow_down": (503, "SlowDown", "Please reduce your request rate."),
    "throttled": (429, "TooManyRequests", "Please reduce your request rate."),
    "expired": (400, "ExpiredToken", "The provided token has expired."),
    "forbidden": (403, "AccessDenied", "Access Denied"),
}
# lost: the connection breaks before the request arrives; reply_lost: after it was carried out; stalled: nothing for ``stall_s``.
LOSSES = ("lost", "reply_lost", "stalled")
_UNCARRIED = {"host", "connection", "transfer-encoding", "keep-alive"}


@dataclass(frozen=True)
class Faults:
    """``only``: a regular expression that ``METHOD /path?query`` must match; ``limit``: of faults in all."""

    kinds: tuple[str, ...] = ()
    rate: float = 1.0
    seed: int = 0
    only: str = ""
    limit: int = 1_000_000
    stall_s: float = 1.0


@dataclass
class Server:
    upstream: str
    faults: Faults = Faults()
    log: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/_proxy":
            return await self._command(request)
        entry: dict[str, Any] = {"method": request.method, "path": request.raw_path, "fault": self._fault(request)}
        entry["conditional"] = "If-None-Match" in request.headers
        self.log.append(entry)
        body = await request.read()
        if "delete" in request.query:
            entry["deleted"] = re.findall(r"<Key>([^<]*)</Key>", body.decode())
        fault = entry["fault"]
        if fault in REFUSALS:
            status, code, message = REFUSALS[fault]
            entry["status"] = status
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
            return web.Response(status=status, text=text, content_type="application/xml")
        if fault == "stalled":
            await asyncio.sleep(self.faults.stall_s)
        if fault == "lost":
            return _lose(request)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _UNCARRIED}
        url = URL(self.upstream + request.raw_path, encoded=True)
        async with (
            ClientSession(auto_decompress=False) as session,
            session.request(request.method, url, headers=headers, data=body, allow_redirects=False) as reply,
        ):
            content = await reply.read()
            entry["status"] = reply.status
            if fault == "reply_lost":
                return _lose(request)
            carried = {name: value for name, value in reply.headers.items() if name.lower() not in _UNCARRIED}
            response = web.StreamResponse(status=reply.status, headers=carried)
        with suppress(ClientConnectionResetError):  # nobody listens any more
            await response.prepare(request)
            if request.method != "HEAD":
                await response.write(content)
            await response.write_eof()
        return response

    def _fault(self, request: web.Request) -> str | None:
        done = sum(entry["fault"] is not None for entry in self.log)
        if not self.faults.kinds or done >= self.faults.limit:
            return None
        if not re.search(self.faults.only, f"{request.method} {request.raw_path}"):
            return None
        return self._random.choice(self.faults.kinds) if self._random.random() < self.faults.rate else None

    async def _command(self, request: web.Request) -> web.Response:
        """GET: the requests so far. PUT: forget them, and do this from now on."""
        if request.method == "PUT":
            wanted = json.loads(await request.read())
            self.faults = Faults(**{**wanted, "kinds": tuple(wanted["kinds"])})
            self._random = random.Random(self.faults.seed)
            self.log.clear()
        return web.json_response(self.log)


def _lose(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


class Proxy:
    """The handle of a test."""

    def __init__(self, url: str) -> None:
        self.url = url

    def does(self, *kinds: str, **more: Any) -> None:
        """From now on, and with an empty log. Without kinds: nothing but passing on."""
        content = json.dumps(asdict(Faults(kinds, **more))).encode()
        urlopen(Request(f"{self.url}/_proxy", content, method="PUT")).close()

    def log(self) -> list[dict[str, Any]]:
        with urlopen(f"{self.url}/_proxy") as reply:
            requests: list[dict[str, Any]] = json.load(reply)
            return requests

    def faults(self) -> int:
        """How many requests met with one."""
        return sum(request["fault"] is not None for request in self.log())


@contextmanager
def serve(upstream: str) -> Iterator[Proxy]:
    server = subprocess.Popen([sys.executable, Path(__file__), upstream], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield Proxy(f"http://127.0.0.1:{int(server.stdout.readline())}")
    finally:
        server.terminate()
        server.wait(10)


async def _main(upstream: str) -> None:
    # Two hops on one machine need no limit of size.
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", Server(upstream).answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201 - the port, for whoever started it
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
