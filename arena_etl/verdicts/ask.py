"""Ask a judge model about games, and once more where its answer cannot be read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from arena_etl.engines.base import Completion, Engine, Message, Request, batched
from arena_etl.verdicts import expected, hostile, prompt
from arena_etl.verdicts.parse import PARSERS, Parsed
from arena_etl.verdicts.prompt import Exchange, PromptSet, Variant

PORTION = 8192  # questions held at a time; at the end of each, a server with many places idles for a moment


@dataclass(frozen=True)
class Question:
    """One game as the judge sees it.

    ``exchanges``: the dialogue in the order shown; the last is judged. ``category`` chooses the variant of the prompt.
    ``reference``: a reference answer to the judged turn, where one is known.
    """

    key: str
    exchanges: tuple[Exchange, ...]
    category: str
    reference: str | None


@dataclass(frozen=True)
class Ruling:
    """What came of a question.

    ``raw_text``: the judge's last text, unchanged; ``first_text``: what it said before it was asked again, else None.
    ``error``: the engine's reason when the last call gave no text. ``attempts`` and tokens count all calls.
    ``prompt_hash``: of the variant that was used.
    """

    key: str
    raw_text: str | None
    first_text: str | None
    error: str | None
    parsed: Parsed
    attempts: int
    tokens_in: int
    tokens_out: int
    prompt_hash: str


@dataclass(frozen=True)
class _Asked:
    variant: Variant
    messages: tuple[Message, ...]


def ask(
    engine: Engine, prompts: PromptSet, questions: Iterable[Question], *, expected_scores: bool = False
) -> Iterator[Ruling]:
    """Yield one ruling per question as the engine finishes them; those that are asked again come later.

    Questions are taken in portions, so that a stream of millions fits in memory. Within a portion, calls go out in an
    order in which neighbours share the longest beginning: hand in the games of one instruction together.
    ``expected_scores``: weigh the scores by the log-probabilities of their tokens, which the engine must return.
    """
    for portion in batched(questions, PORTION):
        yield from _ask(engine, prompts, portion, expected_scores)


def _ask(engine: Engine, prompts: PromptSet, questions: list[Question], expected_scores: bool) -> Iterator[Ruling]:
    ordered = sorted(questions, key=lambda q: (prompts.variant(q.category).name, *prefix(q), q.key))
    asked = {question.key: _first(prompts, question) for question in ordered}
    if len(asked) < len(ordered):
        raise ValueError("two questions have the same key")
    again: dict[str, Ruling] = {}
    for completion in _complete(engine, asked):
        variant = asked[completion.key].variant
        ruling = _ruling(prompts, variant, completion, expected_scores)
        # Missing log-probabilities are the engine's fault: the same question would miss them again.
        unread = ruling.raw_text is not None and ruling.parsed.status not in ("ok", "no_logprobs")
        if unread and variant.template.repair is not None:
            again[ruling.key] = ruling
        else:
            yield ruling
    repaired = {key: _repair(asked[key], ruling) for key, ruling in again.items()}
    for completion in _complete(engine, repaired):
        second = _ruling(prompts, asked[completion.key].variant, completion, expected_scores)
        yield _joined(again[completion.key], second)


def prefix(question: Question) -> tuple[tuple[str, ...], str, str, str]:
    """Sort key of a question: see ``prompt.prefix_order``."""
    return prompt.prefix_order(question.exchanges, question.reference)


def _first(prompts: PromptSet, question: Question) -> _Asked:
    variant = prompts.variant(question.category)
    return _Asked(variant, prompt.messages(variant.template, list(question.exchanges), question.reference))


def _repair(first: _Asked, ruling: Ruling) -> _Asked:
    said: tuple[Message, ...] = (
        {"role": "assistant", "content": hostile.defuse(ruling.raw_text or "")},
        {"role": "user", "content": first.variant.template.repair or ""},
    )
    return _Asked(first.variant, (*first.messages, *said))


def _complete(engine: Engine, asked: dict[str, _Asked]) -> Iterator[Completion]:
    requests: Sequence[Request] = [Request(key, each.messages) for key, each in asked.items()]
    return engine.complete(requests) if requests else iter(())


def _ruling(prompts: PromptSet, variant: Variant, completion: Completion, expected_scores: bool) -> Ruling:
    parsed = PARSERS[prompts.parser](completion.text)
    if expected_scores and completion.text is not None:
        top = getattr(completion, "top_logprobs", None)
        parsed = expected.weigh(parsed, completion.text, variant.template.opening, top)
    return Ruling(
        key=completion.key,
        raw_text=completion.text,
        first_text=None,
        error=completion.error,
        parsed=parsed,
        attempts=1,
        tokens_in=completion.tokens_in or 0,
        tokens_out=completion.tokens_out or 0,
        prompt_hash=variant.hash,
    )


def _joined(first: Ruling, second: Ruling) -> Ruling:
    """Both calls as one ruling. If the second gave no text, the first one stands: it is all that the judge said."""
    answered = second.raw_text is not None
    return Ruling(
        key=first.key,
        raw_text=second.raw_text if answered else first.raw_text,
        first_text=first.raw_text if answered else None,
        error=second.error,
        parsed=second.parsed if answered else first.parsed,
        attempts=2,
        tokens_in=first.tokens_in + second.tokens_in,
        tokens_out=first.tokens_out + second.tokens_out,
        prompt_hash=first.prompt_hash,
    )
