"""The openai engine against a bare asyncio loop on the same local server, which runs in a process of its own.

The bare loop uses aiohttp as the engine does.
"""

import asyncio
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import aiohttp
from aiohttp import web

from arena_etl.config import Contestant, Engine, Sampling
from arena_etl.engines.base import Request
from arena_etl.engines.factory import open_engine

REQUESTS = 2048
AT_ONCE = 256
DELAY_S = 0.5
ANSWER = {
    "choices": [{"message": {"role": "assistant", "content": "word " * 300}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 300, "completion_tokens": 300},
}


def _serve(pipe: Connection) -> None:
    async def respond(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(DELAY_S)
        return web.json_response(ANSWER)

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", respond)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


def with_engine(url: str) -> int:
    model = Contestant(name="m", backend="openai", checkpoint="m", base_urls=(url,), max_concurrency=AT_ONCE)
    requests = (Request(str(n), ({"role": "user", "content": "why? " * 200},)) for n in range(REQUESTS))
    with open_engine(model, Engine(), None, sampling=Sampling()) as engine:
        return sum(completion.text is not None for completion in engine.complete(requests))


def with_bare_loop(url: str) -> int:
    async def run() -> int:
        gate = asyncio.Semaphore(AT_ONCE)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as client:

            async def ask(number: int) -> bool:
                body = {"model": "m", "messages": [{"role": "user", "content": "why? " * 200}], "max_tokens": 72}
                async with gate, client.post(f"{url}/chat/completions", json=body) as response:
                    answer = await response.json()
                return bool(answer["choices"][0]["message"]["content"])

            return sum(await asyncio.gather(*(ask(number) for number in range(REQUESTS))))

    return asyncio.run(run())


def measure(run: Callable[[str], int], url: str) -> dict[str, float]:
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    assert run(url) == REQUESTS, "a request has no answer"
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"requests_per_s": REQUESTS / seconds, "cores": cpu / seconds, "cpu_ms_per_request": 1000 * cpu / REQUESTS}


def main() -> None:
    """Print JSON. Fails if the engine uses a core or more."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    runs = (("openai engine", with_engine), ("bare aiohttp loop", with_bare_loop))
    results = {}
    for name, run in runs:
        results[name] = measure(run, url)
        sys.stderr.write(f"{name}: {results[name]}\n")
    server.terminate()
    sys.stdout.write(json.dumps(results, indent=2) + "\n")
    assert results["openai engine"]["cores"] < 1


if __name__ == "__main__":
    main()
