"""Ask a model how hard instructions are and of which category; what cannot be read is a reason, never a number."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

import yaml
from jinja2 import Environment, StrictUndefined

from arena_etl.config import Config, Rater, Sampling, digest
from arena_etl.contestants import checkpoint_dir
from arena_etl.engines.base import Engine, Request
from arena_etl.engines.factory import open_engine
from arena_etl.errors import InputError
from arena_etl.instructions.shapes import Category
from arena_etl.lake.delta import Lake

FOLDER = Path(__file__).parent / "prompts"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "difficulty": {"type": "integer", "minimum": 0, "maximum": 10},
        "category": {"type": "string", "enum": list(get_args(Category))},
    },
    "required": ["reason", "difficulty", "category"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Rating:
    """What came of one instruction. ``error``: why there is neither difficulty nor category.

    ``answered``: the model said something; False if the engine failed, so that another run may do better.
    """

    instruction_id: str
    difficulty: float | None
    category: str | None
    error: str | None
    answered: bool


def rater_id(rater: Rater) -> str:
    """The rater's name and a hash of model, prompt and decoding."""
    return f"{rater.name}-{digest([rater.identity, _prompt(rater.prompt)[1]])[:8]}"


def open_rater(config: Config, lake: Lake, rater: Rater) -> AbstractContextManager[Engine]:
    """The engine that answers for a rater. Raises InputError when its checkpoint or its server cannot be used."""
    return open_engine(
        rater,
        config.engine,
        checkpoint_dir(config, lake, rater),
        sampling=Sampling(max_new_tokens=rater.max_new_tokens),
        response_schema=SCHEMA if rater.structured else None,
    )


def rate(engine: Engine, prompt: str, instructions: Iterable[tuple[str, list[str]]]) -> Iterator[Rating]:
    """One rating per (instruction_id, user turns), as they come."""
    template, _ = _prompt(prompt)
    user = Environment(undefined=StrictUndefined, autoescape=False).from_string(template["user"])
    requests = (
        Request(
            instruction_id,
            (
                {"role": "system", "content": template["system"]},
                {"role": "user", "content": user.render(messages=json.dumps(turns, ensure_ascii=False))},
            ),
        )
        for instruction_id, turns in instructions
    )
    for completion in engine.complete(requests):
        if completion.text is None:
            yield Rating(completion.key, None, None, completion.error, answered=False)
            continue
        try:
            difficulty, category = read(completion.text)
        except ValueError as error:
            yield Rating(completion.key, None, None, str(error), answered=True)
        else:
            yield Rating(completion.key, difficulty, category, None, answered=True)


def read(text: str) -> tuple[float, str]:
    """Difficulty and category of a rater's answer: one JSON object with exactly the keys that were asked for.

    Raises ValueError that says what is wrong and shows the beginning of the answer.
    """
    shown = " ".join(text.split())[:80]
    try:
        answer = json.loads(text)
    except ValueError:
        raise ValueError(f"not JSON: {shown}") from None
    if not isinstance(answer, dict) or set(answer) != set(SCHEMA["required"]):
        raise ValueError(f"not an object with {', '.join(SCHEMA['required'])}: {shown}")
    difficulty, category = answer["difficulty"], answer["category"]
    if type(difficulty) is not int or not 0 <= difficulty <= 10:
        raise ValueError(f"difficulty is no whole number from 0 to 10: {shown}")
    if category not in get_args(Category):
        raise ValueError(f"unknown category: {shown}")
    return float(difficulty), category


@cache
def _prompt(name: str) -> tuple[dict[str, str], str]:
    file = FOLDER / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))
        raise InputError(f"features.rater.prompt: no prompt {name!r}; known: {known}")
    content = file.read_bytes()
    return yaml.safe_load(content), hashlib.sha256(content).hexdigest()
