"""All filters over a batch of drafts, in their order. A draft is kept, changed, or rejected by the first filter that objects."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from arena_etl.config import Cleaning, Source
from arena_etl.instructions.cleaning import (
    attachments,
    encoding,
    language,
    length,
    personal_data,
    prefixes,
    secrets,
    toxicity,
)
from arena_etl.instructions.shapes import Draft


@dataclass(frozen=True)
class Rejection:
    """``filter``: which one objected, as in ``config.Filter``."""

    filter: str
    reason: str


@dataclass(frozen=True)
class Clean:
    draft: Draft
    language: str
    prefix: str | None


def clean(drafts: Sequence[Draft], settings: Cleaning, source: Source) -> list[Clean | Rejection]:
    """One result per draft, in their order.

    A draft of a test set is never changed or rejected: what a benchmark asks is not ours to choose.
    """
    return _scored([_one(draft, settings, source) for draft in drafts], settings, source)


def _one(draft: Draft, settings: Cleaning, source: Source) -> Clean | Rejection:
    def on(name: str) -> bool:
        return name not in source.skip

    if (draft.split or source.split) != "train":
        return Clean(draft, _language(draft, settings), None)
    if settings.repair_encoding and on("encoding"):
        repaired = tuple(map(encoding.repair, draft.turns))
        draft = draft if repaired == draft.turns else replace(draft, turns=repaired)
        if problem := encoding.damage("".join(draft.turns)):
            return Rejection("encoding", problem)
    if on("length") and (problem := length.problem(draft.turns, settings)):
        return Rejection("length", problem)
    if settings.attachments and on("attachment"):
        if draft.attachment:
            return Rejection("attachment", f"it needs what is not there: a part of type {draft.attachment}")
        if problem := attachments.missing(draft.turns):
            return Rejection("attachment", problem)
    for name, handling in (("secrets", settings.secrets), ("personal_data", settings.personal_data)):
        if handling == "keep" or not on(name):
            continue
        redacted = _redacted(draft, name, settings.phone_region)
        if redacted is draft:
            continue
        if handling == "reject":
            return Rejection(name, f"it holds {name.replace('_', ' ')}")
        if draft.checker:
            return Rejection(name, f"it holds {name.replace('_', ' ')}, and its checker may ask for them")
        draft = redacted
    found = _language(draft, settings)
    if settings.languages is not None and on("language") and found not in (*settings.languages, language.UNDETERMINED):
        return Rejection("language", f"{found} is not one of cleaning.languages {', '.join(settings.languages)}")
    return Clean(draft, found, prefixes.prefix(draft.turns, settings) if on("prefix_duplicate") else None)


def _scored(results: list[Clean | Rejection], settings: Cleaning, source: Source) -> list[Clean | Rejection]:
    """The results with toxic ones rejected; the classifier takes them all at once."""
    if settings.max_toxicity is None or "toxicity" in source.skip:
        return results
    asked = [
        (index, result)
        for index, result in enumerate(results)
        if isinstance(result, Clean) and (result.draft.split or source.split) == "train"
    ]
    scores = toxicity.probabilities(["\n".join(result.draft.turns) for _, result in asked], settings)
    for (index, _), score in zip(asked, scores, strict=True):
        if score > settings.max_toxicity:
            results[index] = Rejection(
                "toxicity", f"{score:.3f} is above cleaning.max_toxicity {settings.max_toxicity:g}"
            )
    return results


def _language(draft: Draft, settings: Cleaning) -> str:
    """What the source says, else what is detected."""
    return draft.language or language.detect("\n".join(draft.turns), settings.min_language_confidence)


def _redacted(draft: Draft, name: str, region: str) -> Draft:
    """The draft with placeholders in turns and references; the same object where there was nothing to redact."""

    def redact(text: str) -> str:
        return secrets.redact(text) if name == "secrets" else personal_data.redact(text, region)

    turns = tuple(map(redact, draft.turns))
    reference = draft.reference and tuple(map(redact, draft.reference))
    return (
        draft
        if (turns, reference) == (draft.turns, draft.reference)
        else replace(draft, turns=turns, reference=reference)
    )
