"""Several URLs of one model in turn; one that fails is left alone for a while."""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass

logger = logging.getLogger(__name__)

_FAILURES = 3  # in a row: a single request may be at fault itself
_LONGEST_PAUSE_S = 30.0


@dataclass
class Endpoint:
    url: str
    failures: int = 0
    pauses: int = 0
    free_at: float = 0.0


class Endpoints:
    """Only for use inside one event loop."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._endpoints = [Endpoint(url) for url in urls]
        self._next = 0

    async def take(self) -> Endpoint:
        """The next endpoint that is not set aside; waits when all are."""
        while True:
            now = asyncio.get_running_loop().time()
            for step in range(len(self._endpoints)):
                place = (self._next + step) % len(self._endpoints)
                if self._endpoints[place].free_at <= now:
                    self._next = place + 1
                    return self._endpoints[place]
            # Spread a little, so that a recovered server is not hit by all at once.
            soonest = min(endpoint.free_at for endpoint in self._endpoints)
            await asyncio.sleep((soonest - now) * random.uniform(1.0, 1.2) + 0.01)

    def answered(self, endpoint: Endpoint) -> None:
        """It works (again)."""
        endpoint.failures = endpoint.pauses = 0

    def failed(self, endpoint: Endpoint) -> None:
        """It gave no answer. After some failures in a row it is set aside, longer each time."""
        endpoint.failures += 1
        if endpoint.failures >= _FAILURES:
            self.pause(endpoint, min(2.0**endpoint.pauses, _LONGEST_PAUSE_S))

    def pause(self, endpoint: Endpoint, seconds: float) -> None:
        """Set it aside; requests that were on their way when it failed do not make it longer."""
        now = asyncio.get_running_loop().time()
        if endpoint.free_at <= now:
            endpoint.free_at = now + seconds
            endpoint.failures = 0
            endpoint.pauses += 1
            logger.warning("%s is set aside for %.1f s", endpoint.url, seconds)
