"""The one interface between the stages and whatever produces text."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypedDict, TypeVar

from arena_etl.errors import ArenaError

T = TypeVar("T")


class Message(TypedDict):
    """One turn. ``role``: system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Request:
    """A conversation that waits for an answer. ``key`` comes back with the completion."""

    key: str
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Completion:
    """The answer to one request.

    ``finish_reason``: stop, length, recorded or error; with error, ``text`` is None and ``error`` says why.
    ``tokens_in``, ``tokens_out``: prompt and generated tokens without padding, the stop token included; None if not
    counted. ``latency_s``: seconds of the batch that made it, divided by its rows.
    """

    key: str
    text: str | None
    finish_reason: str
    error: str | None
    tokens_in: int | None
    tokens_out: int | None
    latency_s: float


class Engine(Protocol):
    """``request_settings``: the effective request (sampling, system prompt, template hash), stored with each answer."""

    request_settings: dict[str, Any]

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield exactly one completion per request, as batches finish, in any order."""
        ...


def failed(
    key: str, error: str, tokens_in: int | None = None, tokens_out: int | None = None, latency_s: float = 0.0
) -> Completion:
    """The completion of a request that has no answer."""
    return Completion(key, None, "error", error, tokens_in, tokens_out, latency_s)


@contextmanager
def models_extra() -> Iterator[None]:
    """Around imports of the optional model libraries. Raises ArenaError that names what to install."""
    try:
        yield
    except ImportError as error:
        raise ArenaError(
            f"running models needs libraries that are not installed ({error}). Install them: "
            "pip install 'arena-etl[models]'"
        ) from error


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of ``size``; the last may be shorter. (``itertools.batched`` needs Python 3.12.)"""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
