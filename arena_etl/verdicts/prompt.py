"""Judge prompts: versioned files under prompts/, rendered without ever naming a contestant.

A file holds one prompt, or a family: ``variants`` for kinds of instructions that share system, user and repair text.
Either way it is a ``PromptSet``, whose hash is that of the file.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from jinja2 import Template as JinjaTemplate
from pydantic import BaseModel, ConfigDict

from arena_etl.config import digest
from arena_etl.engines.base import Message
from arena_etl.errors import InputError
from arena_etl.verdicts import hostile
from arena_etl.verdicts.parse import HIGHEST, KEYS, LOWEST

FOLDER = Path(__file__).parent / "prompts"
_DELIMITERS = ("answer_a", "answer_b")
# The explanation comes first: a score that follows its reasons is better than reasons that follow a score.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "explanation": {"type": "string"},
        **{key: {"type": "integer", "minimum": LOWEST, "maximum": HIGHEST} for key in KEYS},
    },
    "required": ["explanation", *KEYS],
    "additionalProperties": False,
}


class Example(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    instruction: str
    answer_a: str
    answer_b: str
    verdict: str


class Template(BaseModel):
    """``opening``: how the judge's answer begins, if it is forced. ``repair``: what is said to a judge whose answer
    cannot be read; without it nobody asks again. ``parser``: the reader of the answers, see parse.PARSERS."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    user: str
    opening: str = ""
    examples: tuple[Example, ...] = ()
    repair: str | None = None
    parser: str = "lines-v1"


class _Variant(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    categories: tuple[str, ...] = ()


class _Family(Template):
    variants: dict[str, _Variant]


@dataclass(frozen=True)
class Exchange:
    """One user turn and what the two contestants, in the order shown, answered to it."""

    instruction: str
    answer_a: str
    answer_b: str


@dataclass(frozen=True)
class Variant:
    """``hash``: SHA-256 of what this variant says; it is stored with every verdict."""

    name: str
    template: Template
    hash: str


@dataclass(frozen=True)
class PromptSet:
    """The variants of a prompt. ``hash``: SHA-256 of the file, part of the judge's identity.

    ``schema``: JSON schema of the answer, for engines that can enforce one; None where the answer is not JSON.
    """

    name: str
    hash: str
    variants: tuple[Variant, ...]
    categories: Mapping[str, int]
    parser: str
    schema: dict[str, Any] | None

    @property
    def opening(self) -> str:
        """How every answer begins, if it is forced."""
        return self.variants[0].template.opening

    def variant(self, category: str) -> Variant:
        """The variant for a category of instructions; the first is for all that are not named."""
        return self.variants[self.categories.get(category, 0)]


@cache
def load_set(name: str) -> PromptSet:
    """The prompt or the family of prompts in the file ``name``.

    Raises InputError, listing the known prompts, when there is none of this name.
    """
    content = _content(name)
    file_hash = hashlib.sha256(content).hexdigest()
    document = yaml.safe_load(content)
    if "variants" not in document:
        template = Template.model_validate(document)
        only = Variant("general", template, file_hash)
        return PromptSet(name, file_hash, (only,), {}, template.parser, _schema(template))
    family = _Family.model_validate(document)
    common = family.model_dump(exclude={"variants", "system"})
    variants = tuple(
        _variant(key, Template(system=f"{family.system}\n\n{variant.system}", **common))
        for key, variant in family.variants.items()
    )
    categories = {
        category: place for place, variant in enumerate(family.variants.values()) for category in variant.categories
    }
    return PromptSet(name, file_hash, variants, categories, family.parser, _schema(family))


def by_hash(prompt_hash: str) -> PromptSet | None:
    """The prompt that a stored verdict answers, by its ``prompt_hash``; None if no shipped file has it."""
    sets = (load_set(path.stem) for path in sorted(FOLDER.glob("*.yaml")))
    return next((each for each in sets if any(variant.hash == prompt_hash for variant in each.variants)), None)


@cache
def load(name: str) -> tuple[Template, str]:
    """The first variant of the prompt file ``name`` and its hash. Raises InputError as ``load_set``."""
    first = load_set(name).variants[0]
    return first.template, first.hash


def messages(template: Template, exchanges: list[Exchange], reference: str | None = None) -> tuple[Message, ...]:
    """The judge's conversation: system, examples as earlier turns, then the game. The last exchange is judged."""
    turns: list[Message] = [{"role": "system", "content": template.system.strip()}]
    for example in template.examples:
        shown = Exchange(example.instruction, example.answer_a, example.answer_b)
        turns.append({"role": "user", "content": _user(template, [shown], None)})
        turns.append({"role": "assistant", "content": example.verdict})
    turns.append({"role": "user", "content": _user(template, exchanges, reference)})
    return tuple(turns)


def prefix_order(exchanges: tuple[Exchange, ...], reference: str | None) -> tuple[tuple[str, ...], str, str, str]:
    """Sort key that puts games next to each other whose prompts begin alike: first the dialogue, then answer A."""
    instructions = tuple(exchange.instruction for exchange in exchanges)
    first, second = ("\0".join(getattr(e, name) for e in exchanges) for name in _DELIMITERS)
    return instructions, reference or "", first, second


def framed(text: str, label: str) -> str:
    """The text between a pair of tags that it cannot write itself: their id is a hash of the text.

    The id depends on nothing else, so that prompts which share the text share its frame too.
    """
    text = hostile.defuse(text)
    salt = 0
    while True:
        mark = hashlib.sha256(f"{label}\0{salt}\0{text}".encode()).hexdigest()[:12]
        if mark not in text:
            return f'<{label} id="{mark}">\n{text}\n</{label} id="{mark}">'
        salt += 1


def _content(name: str) -> bytes:
    file = FOLDER / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))
        raise InputError(f"judge.prompt: no prompt {name!r}; known: {known}")
    return file.read_bytes()


def _variant(name: str, template: Template) -> Variant:
    return Variant(name, template, digest(template.model_dump()))


def _schema(template: Template) -> dict[str, Any] | None:
    return SCHEMA if template.parser.startswith("json") else None


def _user(template: Template, exchanges: list[Exchange], reference: str | None) -> str:
    *history, current = [Exchange(_safe(e.instruction), _inert(e.answer_a), _inert(e.answer_b)) for e in exchanges]
    return _compiled(template.user).render(
        history=history,
        exchanges=exchanges,
        reference=reference,
        instruction=current.instruction,
        answer_a=current.answer_a,
        answer_b=current.answer_b,
    )


@cache
def _compiled(text: str) -> JinjaTemplate:
    environment = Environment(undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True)
    environment.filters["framed"] = framed
    return environment.from_string(text)


def _inert(answer: str) -> str:
    """The answer with our own delimiters broken, so that it cannot close its frame and speak as the prompt."""
    for name in _DELIMITERS:
        answer = answer.replace(f"<{name}>", f"< {name}>").replace(f"</{name}>", f"< /{name}>")
    return _safe(answer)


_safe = hostile.defuse
