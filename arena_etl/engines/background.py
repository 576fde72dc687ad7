"""Coroutines for code that is none: an event loop in a thread, and answers as a plain iterator."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

A = TypeVar("A")
T = TypeVar("T")


class Background:
    """An event loop that runs in a daemon thread until ``close``."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result, when it is there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def map(self, function: Callable[[A], Awaitable[T]], items: Iterable[A], at_once: int) -> Iterator[T]:
        """Yield the results as they come, in any order, with at most ``at_once`` calls at work.

        ``items`` is read in the caller's thread, and at most twice ``at_once`` ahead of the results: the second half waits
        its turn, so that work goes on while the caller is busy with a result. The first exception ends the iteration.
        Whoever stops early, or is interrupted, cancels what is at work.
        """
        gate = asyncio.Semaphore(at_once)
        finished: SimpleQueue[Future[T]] = SimpleQueue()
        running: set[Future[T]] = set()
        waiting = iter(items)

        async def call(item: A) -> T:
            async with gate:
                return await function(item)

        try:
            while True:
                for item in islice(waiting, 2 * at_once - len(running)):
                    future = asyncio.run_coroutine_threadsafe(call(item), self._loop)
                    running.add(future)
                    future.add_done_callback(finished.put)
                if not running:
                    return
                future = finished.get()
                running.remove(future)
                yield future.result()
        finally:
            for future in running:
                future.cancel()

    def close(self, last: Callable[[], Awaitable[object]] | None = None) -> None:
        """Cancel what is at work, await ``last`` and end the thread."""
        if self._loop.is_closed():
            return
        try:
            self.run(self._wind_up(last))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _wind_up(self, last: Callable[[], Awaitable[object]] | None) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if last is not None:
            await last()
