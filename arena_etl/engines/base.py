"""The one interface between the stages and whatever produces text."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypedDict, TypeVar

from arena_etl.config import Engine as EngineSettings
from arena_etl.config import Model, Sampling, digest
from arena_etl.engines.reasoning import split
from arena_etl.errors import ArenaError

T = TypeVar("T")


class Message(TypedDict):
    """One turn. ``role``: system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Request:
    """A conversation that waits for an answer. ``key`` comes back with the completion.

    ``sampling``: None takes the engine's own.
    """

    key: str
    messages: tuple[Message, ...]
    sampling: Sampling | None = None


@dataclass(frozen=True)
class Completion:
    """The answer to one request.

    ``finish_reason``: stop, length, recorded, what else a server says, or error; with error, ``text`` is None and
    ``error`` says why: it starts with one of ``ERRORS``. A refusal to answer is text as any other.
    ``tokens_in``, ``tokens_out``: prompt and generated tokens without padding, the stop token included; None if not
    counted. ``latency_s``: seconds of the batch that made it, divided by its rows; of a server: of the attempt that
    answered. ``reasoning``: what the model thought before the answer; never part of ``text``.
    ``top_logprobs``: per generated token, reasoning included, the candidates' texts with their log-probabilities; only
    when asked for.
    """

    key: str
    text: str | None
    finish_reason: str
    error: str | None
    tokens_in: int | None
    tokens_out: int | None
    latency_s: float
    reasoning: str | None = None
    top_logprobs: tuple[Mapping[str, float], ...] | None = None


ERRORS = (
    "server unavailable",  # no connection, 429 or 5xx, after all attempts
    "timeout",  # no whole answer within timeout_s, after all attempts
    "truncated stream",  # the answer broke off or is no JSON, after all attempts
    "context too long",  # the prompt and the new tokens do not fit
    "refused by server",  # any other 4xx, with the server's words
    "invalid answer",  # JSON, but no chat completion
    "invalid text",  # not UTF-8, or half of a surrogate pair
    "answer too large",  # above engine.max_answer_mb
    "empty completion",  # nothing, blanks or only reasoning
    "chat template",  # the template refuses the conversation
    "out of memory",  # alone in its batch
    "engine failed",  # what else a local engine reports for this one request
    "no recorded answer",
)


class Engine(Protocol):
    """What answers conversations.

    ``request_settings``: the effective request (sampling, system prompt, template hash), stored with each answer.
    """

    request_settings: dict[str, Any]

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield exactly one completion per request, as they finish, in any order.

        What goes wrong with one request is a completion. InputError means that no request can be answered.
        """
        ...

    def close(self) -> None:
        """Give back memory, threads and connections. Closing twice is allowed."""
        ...


@dataclass(frozen=True)
class Order:
    """What an engine is asked for; see ``factory.open_engine``."""

    model: Model
    settings: EngineSettings
    folder: Path | None
    sampling: Sampling
    system_prompt: str | None = None
    forced_prefix: str | None = None
    response_schema: dict[str, Any] | None = None
    logprobs: int = 0
    answers: Mapping[str, str] | None = None

    def local_folder(self) -> Path:
        """The checkpoint, for engines that load it."""
        if self.folder is None:
            raise ValueError(f"the backend {self.model.backend} needs the folder of the checkpoint")
        return self.folder


def failed(
    key: str, error: str, tokens_in: int | None = None, tokens_out: int | None = None, latency_s: float = 0.0
) -> Completion:
    """The completion of a request that has no answer."""
    return Completion(key, None, "error", error, tokens_in, tokens_out, latency_s)


def answered(
    key: str,
    text: str,
    finish_reason: str,
    *,
    tags: tuple[str, str] | None,
    tokens_in: int | None,
    tokens_out: int | None,
    latency_s: float,
    reasoning: str | None = None,
    top_logprobs: tuple[Mapping[str, float], ...] | None = None,
) -> Completion:
    """The completion of what a model said: reasoning apart from the answer, and an error where no answer is left.

    ``reasoning``: what a server has parted from the text already.
    """
    inside, answer = split(text, tags)
    answer = answer.strip()
    error = None if answer else "empty completion"
    if not _is_text(answer) or not _is_text(inside or "") or not _is_text(reasoning or ""):
        error, inside, reasoning = "invalid text: half of a surrogate pair", None, None
    return Completion(
        key=key,
        text=answer if error is None else None,
        finish_reason=finish_reason if error is None else "error",
        error=error,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        latency_s=latency_s,
        reasoning=reasoning or inside,
        top_logprobs=top_logprobs,
    )


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def request_seed(sampling: Sampling, key: str) -> int:
    """The seed of one request, so that its answer depends on no other request. 31 bits: every server takes those."""
    return int(digest([sampling.seed, key])[:8], 16) >> 1


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
