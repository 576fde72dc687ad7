"""The openai engine against a server that answers and fails on demand."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from arena_etl.config import Contestant, Engine, Sampling
from arena_etl.engines.base import ERRORS, Completion, Request
from arena_etl.engines.factory import open_engine
from arena_etl.errors import InputError
from tests.stub_openai import Reply, Stub, chat, fault, serve


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arena_etl.engines.openai_engine._LONGEST_BACKOFF_S", 0.01)
    monkeypatch.setattr("arena_etl.engines.endpoints._LONGEST_PAUSE_S", 0.05)


def model(*urls: str, **settings: Any) -> Contestant:
    return Contestant(name="m", backend="openai", checkpoint="served", base_urls=urls, **settings)


def asked(count: int, sampling: Sampling | None = None) -> Iterator[Request]:
    return (Request(f"k{n}", ({"role": "user", "content": f"question {n}"},), sampling) for n in range(count))


def answers(contestant: Contestant, count: int = 1, megabytes: float = 16, **order: Any) -> list[Completion]:
    order = {"sampling": Sampling()} | order
    with open_engine(contestant, Engine(max_answer_mb=megabytes), None, **order) as engine:
        return sorted(engine.complete(asked(count)), key=lambda completion: completion.key)


def first(respond: Callable[[dict[str, Any], int], Reply], **settings: Any) -> tuple[Completion, Stub]:
    with serve(respond) as stub:
        return answers(model(stub.url, **settings))[0], stub


def test_each_request_is_answered_within_the_bound() -> None:
    with serve(lambda body, _: Reply(chat(body["messages"][-1]["content"]).body, delay_s=0.02)) as stub:
        found = answers(model(stub.url, max_concurrency=8), 60, system_prompt="Be brief.")
    assert {c.key: c.text for c in found} == {f"k{n}": f"question {n}" for n in range(60)}
    assert 2 <= stub.most_in_flight <= 8
    assert stub.calls[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (found[0].tokens_in, found[0].tokens_out, found[0].finish_reason) == (7, 3, "stop")


def test_256_requests_are_in_flight_at_once() -> None:
    all_there = threading.Event()

    def respond(body: dict[str, Any], number: int) -> Reply:
        if number == 256:
            all_there.set()
        all_there.wait(60)  # nobody is answered before the 256th has come
        return chat("fine")

    with serve(respond) as stub:
        found = answers(model(stub.url, max_concurrency=256), 300)
    assert all_there.is_set() and [completion.text for completion in found] == ["fine"] * 300
    assert stub.most_in_flight <= 256


def test_a_server_that_names_a_pause_gets_it() -> None:
    called: list[float] = []

    def respond(body: dict[str, Any], number: int) -> Reply:
        called.append(time.monotonic())
        return fault(429, headers={"Retry-After": "1"}) if number == 1 else chat("fine")

    found, _ = first(respond)
    assert found.text == "fine" and called[1] - called[0] >= 0.95


@pytest.mark.parametrize(
    "passing",
    [fault(429), fault(500), fault(503), Reply(b"", drop=True), Reply(b'{"choices": []}', sent=5), Reply(b"<html>")],
)
def test_what_passes_is_tried_again(passing: Reply) -> None:
    found, stub = first(lambda _, number: passing if number < 3 else chat("fine"))
    assert found.text == "fine" and len(stub.calls) == 3


@pytest.mark.parametrize(
    ("reply", "code", "calls"),
    [
        (fault(500), "server unavailable", 3),
        (fault(429, headers={"Retry-After": "3600"}), "server unavailable", 1),
        (Reply(b"", drop=True), "server unavailable", 3),
        (Reply(chat("late").body, delay_s=0.6), "timeout", 3),
        (Reply(chat("x" * 100).body, sent=40), "truncated stream", 3),
        (Reply(b'{"choices": [{"mess'), "truncated stream", 3),
        (Reply(b"All is well."), "invalid answer", 3),
        (Reply(b'{"object": "list"}'), "invalid answer", 1),
        (fault(400, "This model's maximum context length is 512 tokens"), "context too long", 1),
        (fault(400, "no such parameter"), "refused by server", 1),
        (Reply(chat("abc").body.replace(b"abc", b"\xff\xfe")), "invalid text", 1),
        (Reply(chat("abc").body.replace(b"abc", b"\\ud800")), "invalid text", 1),
        (Reply(chat("x" * 200_000).body), "answer too large", 1),
        (chat(None), "empty completion", 1),
        (chat(" \n"), "empty completion", 1),
        (chat("<think>hm", "length"), "empty completion", 1),
    ],
)
def test_what_goes_wrong_with_one_request_is_its_error(reply: Reply, code: str, calls: int) -> None:
    with serve(lambda *_: reply) as stub:
        timeout = 0.2 if reply.delay_s else 20
        (found,) = answers(model(stub.url, max_retries=2, timeout_s=timeout), megabytes=0.1)
    assert code in ERRORS and found.error is not None and found.error.startswith(code), found
    assert (found.text, found.finish_reason, len(stub.calls)) == (None, "error", calls)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (fault(401, "bad key hunter2"), "refuses the key .*environment variable MY_KEY"),
        (fault(404, "The model `served` does not exist"), "checkpoint 'served': .*does not exist"),
        (fault(400, "model served not found"), "checkpoint 'served'"),
    ],
)
def test_what_no_request_survives_ends_the_run(
    reply: Reply, message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", "hunter2")
    with pytest.raises(InputError, match=message) as raised:
        first(lambda *_: reply, api_key_env="MY_KEY")
    assert "hunter2" not in str(raised.value) + caplog.text


def test_the_key_is_sent_and_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "hunter2")
    found, stub = first(lambda *_: fault(400, "you sent hunter2"), api_key_env="MY_KEY")
    assert stub.headers[0]["Authorization"] == "Bearer hunter2"
    assert found.error == "refused by server: 400 you sent ***"
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(InputError, match="MY_KEY is not set"):
        answers(model("http://127.0.0.1:1/v1", api_key_env="MY_KEY"))


def test_a_dead_url_is_set_aside_and_a_dead_pool_fails_fast() -> None:
    with serve(lambda *_: chat("fine")) as stub:
        found = answers(model("http://127.0.0.1:9/v1", stub.url, max_concurrency=4), 40)
        assert [c.text for c in found] == ["fine"] * 40
    lost = answers(model("http://127.0.0.1:9/v1", max_concurrency=2, max_retries=1), 20)
    assert all((c.error or "").startswith("server unavailable") for c in lost) and len(lost) == 20


def test_reasoning_is_no_part_of_the_answer() -> None:
    for reply in (
        chat("<think>hm</think> yes"),
        chat("hm</think>yes"),
        chat("yes", reasoning_content="hm"),
        chat("yes", reasoning="hm"),
    ):
        found, _ = first(lambda *_, reply=reply: reply)
        assert (found.text, found.reasoning) == ("yes", "hm")
    assert first(lambda *_: chat("<think>hm</think> yes"), reasoning_tags=None)[0].text == "<think>hm</think> yes"


def test_the_request_says_what_is_asked_for() -> None:
    schema = {"type": "object"}
    content = [{"token": "y", "logprob": -0.1, "top_logprobs": [{"token": "y", "logprob": -0.1}]}]
    document = json.loads(chat("yes").body)
    document["choices"][0]["logprobs"] = {"content": content}
    with serve(lambda *_: Reply(json.dumps(document).encode())) as stub:
        contestant = model(stub.url, extra_body={"max_tokens": None, "max_completion_tokens": 5})
        (found,) = answers(contestant, response_schema=schema, logprobs=2, sampling=Sampling(temperature=0.5, seed=1))
    body = stub.calls[0]
    assert found.top_logprobs == ({"y": -0.1},)
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert (body["temperature"], body["max_completion_tokens"], body["top_logprobs"]) == (0.5, 5, 2)
    assert "max_tokens" not in body and isinstance(body["seed"], int)


def test_requests_are_taken_as_places_get_free_and_a_consumer_may_stop() -> None:
    taken = []

    def endless() -> Iterator[Request]:
        for request in asked(1_000_000):
            taken.append(request.key)
            yield request

    before = threading.active_count()
    with (
        serve(lambda *_: chat("fine")) as stub,
        open_engine(model(stub.url, max_concurrency=4), Engine(), None, sampling=Sampling()) as engine,
    ):
        completions = engine.complete(endless())
        assert [next(completions).text for _ in range(10)] == ["fine"] * 10
        completions.close()
        assert len(taken) <= 10 + 2 * 4
        engine.close()
    assert not [t for t in threading.enumerate() if t.name == "openai-engine"], before
