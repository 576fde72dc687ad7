"""Asking: one ruling per question, at most one repair, every text kept."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from arena_etl.engines.base import Completion, Request, failed
from arena_etl.verdicts.ask import Question, Ruling, ask
from arena_etl.verdicts.prompt import Exchange, load_set

GOOD = '{"explanation": "A is right.", "score_a": 8, "score_b": 3}'
Said = str | None


class ScriptedJudge:
    """Says the next of the texts under a request's key; None is a failed call. Keeps the requests."""

    def __init__(self, script: dict[str, list[Said]]) -> None:
        self.request_settings: dict[str, Any] = {}
        self.asked: list[Request] = []
        self._script = {key: list(texts) for key, texts in script.items()}

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        for request in reversed(requests):  # engines finish in any order
            self.asked.append(request)
            text = self._script[request.key].pop(0)
            if text is None:
                yield failed(request.key, "no connection", tokens_in=100)
            else:
                yield Completion(request.key, text, "stop", None, 100, 10, 0.1)


def _question(key: str, category: str = "writing", second: str = "b", reference: str | None = None) -> Question:
    return Question(key, (Exchange("Name a planet.", "a", second),), category, reference)


def _ask(said: list[Said], prompt: str = "arena-v1") -> tuple[Ruling, ScriptedJudge]:
    judge = ScriptedJudge({"k": said})
    (ruling,) = ask(judge, load_set(prompt), [_question("k")])
    return ruling, judge


def test_a_readable_answer_is_taken_at_once() -> None:
    ruling, judge = _ask([GOOD])
    assert (ruling.raw_text, ruling.first_text, ruling.error, ruling.attempts) == (GOOD, None, None, 1)
    assert (ruling.parsed.shown_a, ruling.parsed.shown_b, ruling.parsed.explanation) == (8, 3, "A is right.")
    assert (ruling.tokens_in, ruling.tokens_out) == (100, 10)
    assert len(judge.asked) == 1


def test_an_unreadable_answer_is_asked_again_with_the_form_shown() -> None:
    ruling, judge = _ask(["A is better.", GOOD])
    assert (ruling.raw_text, ruling.first_text, ruling.attempts) == (GOOD, "A is better.", 2)
    assert ruling.parsed.status == "ok"
    assert (ruling.tokens_in, ruling.tokens_out) == (200, 20)
    first, again = judge.asked
    assert again.messages[: len(first.messages)] == first.messages
    said, repair = again.messages[len(first.messages) :]
    assert said == {"role": "assistant", "content": "A is better."}
    assert '"score_a"' in repair["content"]


def test_there_is_no_third_call() -> None:
    ruling, judge = _ask(["A is better.", '{"score_a": 11, "score_b": 3}', GOOD])
    assert (ruling.parsed.status, ruling.attempts, len(judge.asked)) == ("out_of_range", 2, 2)
    assert ruling.parsed.reason == "score of A is 11, not from 1 to 10"
    assert (ruling.first_text, ruling.raw_text) == ("A is better.", '{"score_a": 11, "score_b": 3}')


def test_a_failed_call_is_no_answer_and_is_not_repaired() -> None:
    ruling, judge = _ask([None])
    assert (ruling.raw_text, ruling.error, ruling.parsed.status) == (None, "no connection", "engine_error")
    assert len(judge.asked) == 1


def test_the_first_text_stands_when_the_repair_fails() -> None:
    ruling, _ = _ask(["A is better.", None])
    assert (ruling.raw_text, ruling.first_text, ruling.error) == ("A is better.", None, "no connection")
    assert (ruling.parsed.status, ruling.attempts, ruling.tokens_in) == ("no_score", 2, 200)


def test_the_embedded_prompt_is_asked_once() -> None:
    ruling, judge = _ask(["Score-A: maybe"], "pairwise-v1")
    assert (ruling.parsed.status, ruling.attempts, len(judge.asked)) == ("no_score", 1, 1)


def test_every_question_has_one_ruling_by_the_variant_of_its_category() -> None:
    prompts = load_set("arena-v1")
    questions = [_question(f"{category}{n}", category, str(n), "ref") for category in ("math", "x") for n in range(3)]
    judge = ScriptedJudge({question.key: [GOOD] if "1" in question.key else ["?", GOOD] for question in questions})
    rulings = {ruling.key: ruling for ruling in ask(judge, prompts, iter(questions))}
    assert rulings.keys() == {question.key for question in questions}
    for question in questions:
        assert rulings[question.key].prompt_hash == prompts.variant(question.category).hash
        assert rulings[question.key].attempts == (1 if "1" in question.key else 2)


def test_questions_are_taken_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arena_etl.verdicts.ask.PORTION", 2)
    judge = ScriptedJudge({str(n): [GOOD] for n in range(5)})
    questions = (_question(str(n), second=str(n)) for n in range(5))
    rulings = ask(judge, load_set("arena-v1"), questions)
    assert next(rulings).key in "01"
    assert len(list(questions)) == 3  # nobody asked for them yet


def test_no_questions_are_no_calls() -> None:
    assert list(ask(ScriptedJudge({}), load_set("arena-v1"), [])) == []


def test_a_key_is_used_once() -> None:
    with pytest.raises(ValueError, match="same key"):
        list(ask(ScriptedJudge({}), load_set("arena-v1"), [_question("k"), _question("k", "math")]))


def test_expected_scores_need_log_probabilities() -> None:
    judge = ScriptedJudge({"k": [GOOD]})
    (ruling,) = ask(judge, load_set("arena-v1"), [_question("k")], expected_scores=True)
    assert (ruling.parsed.status, ruling.parsed.reason) == ("no_logprobs", "the engine gave no log-probabilities")
    assert (ruling.raw_text, ruling.attempts) == (GOOD, 1)
