"""Any OpenAI-compatible endpoint: ``vllm serve``, a router in front of replicas, a hosted API."""

import json
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

from arena_etl.config import digest
from arena_etl.engines.background import Background
from arena_etl.engines.base import Completion, Message, Order, Request, answered, failed, request_seed
from arena_etl.engines.endpoints import Endpoint, Endpoints
from arena_etl.errors import ArenaError, InputError

if TYPE_CHECKING:
    import aiohttp

logger = logging.getLogger(__name__)

_LONGEST_BACKOFF_S = 60.0
_CONNECT_S = 30.0
_CONTEXT = re.compile(
    r"context[ _](length|window|size)|maximum (context|model) length|max_model_len|(prompt|input) is too long"
    r"|too many (input )?tokens|longer than the maximum",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"model_not_found|invalid[ _]model|model\W.{0,200}(does not exist|not found)", re.IGNORECASE)


class _Fault(Exception):
    """This request has no answer: the message is the completion's error."""


class _Passing(_Fault):
    """Another attempt may succeed."""


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Candidate(BaseModel):
    token: str
    logprob: float


class _Token(BaseModel):
    top_logprobs: list[_Candidate] = []


class _Logprobs(BaseModel):
    content: list[_Token] | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Answer(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


class OpenAIEngine:
    """Asks the endpoints of a model, ``max_concurrency`` requests at once.

    The chat template is the server's. Every request carries a seed of its own where its answer is drawn at random, made of
    the sampling's seed and the request's key; whether it counts is up to the server. Attempts that time out, lose the
    connection or meet 429 or 5xx are repeated with a growing random delay, on the next endpoint if there are several; an
    endpoint's Retry-After holds for every request to it. When ``max_concurrency`` requests in a row found no server, the
    others fail at once, for a server that stays away would cost each of them all attempts.

    The key is read from the environment when the engine is made, and written nowhere.

    Raises InputError when the key's variable is not set; ``complete`` raises it when an endpoint refuses the key or does
    not know the model.
    """

    def __init__(self, order: Order) -> None:
        model = order.model
        self._model = model
        self._sampling = order.sampling
        self._system: list[Message] = (
            [] if order.system_prompt is None else [{"role": "system", "content": order.system_prompt}]
        )
        self._extras: dict[str, Any] = {}
        if order.response_schema is not None:
            form = {"name": "answer", "strict": True, "schema": order.response_schema}
            self._extras["response_format"] = {"type": "json_schema", "json_schema": form}
        if order.logprobs:
            self._extras |= {"logprobs": True, "top_logprobs": order.logprobs}
        self._extras |= model.extra_body
        self._largest = int(order.settings.max_answer_mb * 1e6)
        self._key = _key(model.api_key_env)
        self._endpoints = Endpoints([f"{url}/chat/completions" for url in model.base_urls])
        self._lost_in_a_row = 0
        self.request_settings: dict[str, Any] = {
            "engine": "openai",
            "model": model.checkpoint,
            "sampling": order.sampling.model_dump(),
            "system_prompt": order.system_prompt,
            "forced_prefix": None,
            "template_sha256": None,  # the server's
            "response_schema_sha256": digest(order.response_schema) if order.response_schema is not None else None,
            "extra_body": model.extra_body,
        }
        self._background = Background("openai-engine")
        try:
            self._session = self._background.run(self._connect())
        except BaseException:
            self._background.close()
            raise

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield one completion per request as the answers come; requests are taken as places get free."""
        self._lost_in_a_row = 0
        yield from self._background.map(self._answer, requests, self._model.max_concurrency)

    def close(self) -> None:
        """Cancel requests on their way and close the connections."""
        self._background.close(self._session.close)

    async def _connect(self) -> "aiohttp.ClientSession":
        import aiohttp

        headers = {"Content-Type": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        seconds = self._model.timeout_s
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # max_concurrency limits already
            timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, _CONNECT_S)),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def _answer(self, request: Request) -> Completion:
        from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

        if self._lost_in_a_row >= self._model.max_concurrency:
            return failed(
                request.key, f"server unavailable: {self._lost_in_a_row} requests before had no answer either"
            )
        attempts = AsyncRetrying(
            stop=stop_after_attempt(self._model.max_retries + 1),
            wait=wait_random_exponential(multiplier=1, max=_LONGEST_BACKOFF_S),
            retry=retry_if_exception_type(_Passing),
            reraise=True,
        )
        try:
            completion: Completion = await attempts(self._attempt, request, self._body(request))
        except _Passing as fault:
            self._lost_in_a_row += 1
            return failed(request.key, str(fault))
        except _Fault as fault:
            completion = failed(request.key, str(fault))
        self._lost_in_a_row = 0
        return completion

    def _body(self, request: Request) -> bytes:
        sampling = request.sampling or self._sampling
        body: dict[str, Any] = {
            "model": self._model.checkpoint,
            "messages": [*self._system, *request.messages],
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        if sampling.temperature > 0:
            body["seed"] = request_seed(sampling, request.key)
        body |= self._extras
        return json.dumps({name: value for name, value in body.items() if value is not None}).encode()

    async def _attempt(self, request: Request, body: bytes) -> Completion:
        import aiohttp

        endpoint = await self._endpoints.take()
        started = time.perf_counter()
        try:
            async with self._session.post(endpoint.url, data=body, allow_redirects=False) as response:
                raw = await self._read(response)
        except _Passing:
            self._endpoints.failed(endpoint)
            raise
        except aiohttp.ConnectionTimeoutError as error:
            self._endpoints.failed(endpoint)
            raise _Passing(f"server unavailable: no connection to {endpoint.url} within {_CONNECT_S:g} s") from error
        except TimeoutError as error:
            self._endpoints.failed(endpoint)
            raise _Passing(f"timeout: no whole answer within timeout_s ({self._model.timeout_s:g})") from error
        except aiohttp.ClientError as error:
            self._endpoints.failed(endpoint)
            raise _Passing(f"server unavailable: {type(error).__name__}: {error}") from error
        if response.status >= 300:
            self._refused(endpoint, response.status, response.headers, raw)
        self._endpoints.answered(endpoint)
        return self._completion(request.key, raw, time.perf_counter() - started)

    async def _read(self, response: "aiohttp.ClientResponse") -> bytes:
        """The body. Its size is known only when it is here: a larger one than allowed is dropped on the way."""
        import aiohttp

        raw = bytearray()
        try:
            async for chunk in response.content.iter_any():
                raw += chunk
                if len(raw) > self._largest:
                    response.close()
                    raise _Fault(f"answer too large: more than engine.max_answer_mb ({self._largest / 1e6:g} MB)")
        except aiohttp.ClientError as error:
            if isinstance(error, TimeoutError):
                raise
            raise _Passing(f"truncated stream: the answer broke off after {len(raw)} bytes") from error
        return bytes(raw)

    def _refused(self, endpoint: Endpoint, status: int, headers: Mapping[str, str], raw: bytes) -> None:
        words = _words(raw, self._key)
        told = f"{status} {words}".strip()
        if status == 401:
            remedy = (
                f"check the environment variable {self._model.api_key_env}"
                if self._key is not None
                else "set api_key_env to the environment variable that holds the key"
            )
            raise InputError(f"base_urls: {endpoint.url} refuses the key (401): {remedy}.")
        if status == 404 or (status in (400, 422) and _NO_MODEL.search(words)):
            raise InputError(
                f"checkpoint {self._model.checkpoint!r}: {endpoint.url} has no such model or is no such endpoint "
                f"({told}). Check the model's name there, and that base_urls ends as the server wants it (/v1 mostly)."
            )
        if status == 429 and "insufficient_quota" in words:
            raise InputError(f"base_urls: the account at {endpoint.url} has no quota left ({told}).")
        if status in (408, 429) or status >= 500:
            pause = _retry_after(headers)
            if pause is not None and pause > self._model.timeout_s:
                raise _Fault(
                    f"server unavailable: {told}; to be asked again in {pause:.0f} s, which is above timeout_s"
                )
            if pause is not None:
                self._endpoints.pause(endpoint, pause)
            elif status != 429:  # too many requests are no failure of the server: this request waits, others may pass
                self._endpoints.failed(endpoint)
            raise _Passing(f"server unavailable: {told}")
        self._endpoints.answered(endpoint)
        raise _Fault(f"{'context too long' if _CONTEXT.search(words) else 'refused by server'}: {told}")

    def _completion(self, key: str, raw: bytes, latency: float) -> Completion:
        try:
            answer = _Answer.model_validate(json.loads(raw.decode()))
        except UnicodeDecodeError as error:
            raise _Fault(f"invalid text: not UTF-8 at byte {error.start}") from error
        except (json.JSONDecodeError, RecursionError) as error:
            if raw.lstrip().startswith(b"{"):
                raise _Passing(f"truncated stream: JSON without an end ({len(raw)} bytes)") from error
            raise _Passing(f"invalid answer: no JSON: {_words(raw, self._key)}") from error
        except ValidationError as error:
            problem = error.errors()[0]
            if problem["type"] == "string_unicode":
                raise _Fault("invalid text: half of a surrogate pair") from error
            where = ".".join(str(part) for part in problem["loc"])
            raise _Fault(f"invalid answer: no chat completion ({where}: {problem['msg']})") from error
        choice, usage = answer.choices[0], answer.usage or _Usage()
        message = choice.message
        tokens = choice.logprobs.content if choice.logprobs is not None else None
        return answered(
            key,
            message.content or message.refusal or "",
            choice.finish_reason or "stop",
            tags=self._model.reasoning_tags,
            reasoning=message.reasoning_content or message.reasoning,
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
            latency_s=latency,
            top_logprobs=tuple({c.token: c.logprob for c in token.top_logprobs} for token in tokens)
            if tokens
            else None,
        )


def create(order: Order) -> OpenAIEngine:
    """For ``factory.open_engine``."""
    try:
        import aiohttp  # noqa: F401
        import tenacity  # noqa: F401
    except ImportError as error:
        raise ArenaError(
            f"the backend openai needs libraries that are not installed ({error}). Install them: "
            "pip install 'arena-etl[openai]'"
        ) from error
    return OpenAIEngine(order)


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise InputError(
            f"api_key_env: the environment variable {variable} is not set. Export the endpoint's key there."
        )
    if not (key.isascii() and key.isprintable()):
        raise InputError(
            f"api_key_env: the environment variable {variable} holds no key: it has unprintable characters."
        )
    return key


def _words(raw: bytes, key: str | None) -> str:
    """What the server says about an error, short and without the key, which some servers repeat."""
    text = raw[:10_000].decode(errors="replace")
    try:
        document = json.loads(text)
        error = document.get("error", document)
        if isinstance(error, dict):
            text = " ".join(str(error[name]) for name in ("code", "message") if error.get(name)) or text
        elif isinstance(error, str):
            text = error
    except (ValueError, AttributeError, RecursionError):
        pass
    if key is not None:
        text = text.replace(key, "***")
    return " ".join(text.split())[:300]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from a number or a date."""
    value = headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
