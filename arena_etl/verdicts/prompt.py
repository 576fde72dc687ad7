"""Judge prompts: versioned files under prompts/, rendered without ever naming a contestant."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from jinja2 import Environment, StrictUndefined
from jinja2 import Template as JinjaTemplate
from pydantic import BaseModel, ConfigDict

from arena_etl.engines.base import Message
from arena_etl.errors import InputError

FOLDER = Path(__file__).parent / "prompts"
_DELIMITERS = ("answer_a", "answer_b")


class Example(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    instruction: str
    answer_a: str
    answer_b: str
    verdict: str


class Template(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    user: str
    opening: str
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Exchange:
    """One user turn and what the two contestants, in the order shown, answered to it."""

    instruction: str
    answer_a: str
    answer_b: str


@cache
def load(name: str) -> tuple[Template, str]:
    """The prompt file ``name`` and its SHA-256.

    Raises InputError, listing the known prompts, when there is none of this name.
    """
    file = FOLDER / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))
        raise InputError(f"judge.prompt: no prompt {name!r}; known: {known}")
    content = file.read_bytes()
    return Template.model_validate(yaml.safe_load(content)), hashlib.sha256(content).hexdigest()


def messages(template: Template, exchanges: list[Exchange]) -> tuple[Message, ...]:
    """The judge's conversation: system, examples as earlier turns, then the game. The last exchange is judged."""
    turns: list[Message] = [{"role": "system", "content": template.system}]
    for example in template.examples:
        shown = Exchange(example.instruction, example.answer_a, example.answer_b)
        turns.append({"role": "user", "content": _user(template, [shown])})
        turns.append({"role": "assistant", "content": example.verdict})
    turns.append({"role": "user", "content": _user(template, exchanges)})
    return tuple(turns)


def _user(template: Template, exchanges: list[Exchange]) -> str:
    *history, current = [Exchange(e.instruction, _inert(e.answer_a), _inert(e.answer_b)) for e in exchanges]
    return _compiled(template.user).render(
        history=history, instruction=current.instruction, answer_a=current.answer_a, answer_b=current.answer_b
    )


@cache
def _compiled(text: str) -> JinjaTemplate:
    return Environment(undefined=StrictUndefined, autoescape=False).from_string(text)


def _inert(answer: str) -> str:
    """The answer with our own delimiters broken, so that it cannot close its frame and speak as the prompt."""
    for name in _DELIMITERS:
        answer = answer.replace(f"<{name}>", f"< {name}>").replace(f"</{name}>", f"< /{name}>")
    return answer
