"""What a row of a source says, whatever its shape: the user's turns and what is known about them. Pure functions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from arena_etl import verifiers
from arena_etl.config import ColumnRole, Source, Split
from arena_etl.errors import InputError

Category = Literal["writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities", "unknown"]
CATEGORIES = frozenset(get_args(Category))

# In order: the first column that a row has decides.
COLUMNS = {
    "messages": ("messages", "conversation"),
    "sharegpt": ("conversations",),
    "turns": ("turns",),
    "instruction": ("instruction",),
    "prompt": ("prompt",),
}
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "tool": "tool",
    "function": "tool",
    "function_call": "tool",
    "observation": "tool",
}


class Malformed(ValueError):
    """The row has a known shape, but no conversation: wrong roles or empty turns."""


@dataclass(frozen=True)
class Draft:
    """One row before cleaning. ``language``: what the source says. ``attachment``: the kind of a part that is no text.

    ``checker``: JSON list with one checker per turn.
    """

    turns: tuple[str, ...]
    category: str = "unknown"
    language: str | None = None
    difficulty: float | None = None
    split: Split | None = None
    reference: tuple[str, ...] | None = None
    checker: str | None = None
    attachment: str | None = None


class Turn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["user"]
    content: str = Field(min_length=1, pattern=r"\S")


class Line(BaseModel):
    """A row of the project's own shape: docs/instructions.md."""

    model_config = ConfigDict(extra="forbid")

    id: str | int | None = None
    conversation: list[Turn] = Field(min_length=1)
    category: Category
    language: str | None = Field(None, pattern=r"^[a-z]{2,3}$")
    difficulty: float | None = Field(None, ge=0, le=10)
    license: str | None = None
    split: Split | None = None
    reference: list[str] | None = None
    checker: list[dict[str, Any] | None] | None = None

    @model_validator(mode="after")
    def _one_per_turn(self) -> "Line":
        for name in ("reference", "checker"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.conversation):
                raise ValueError(f"{name} has {len(values)} entries for {len(self.conversation)} turns")
        return self

    @model_validator(mode="after")
    def _checkers_known(self) -> "Line":
        for checker in self.checker or []:
            if checker is not None:
                try:
                    verifiers.validate(checker)
                except InputError as error:
                    raise ValueError(str(error)) from error
        return self


def draft(row: Mapping[str, Any], source: Source) -> Draft:
    """Read one row (a JSON object) of a source.

    Raises Malformed for wrong roles and empty turns, and ValueError with the reason for everything else that cannot be read.
    """
    shape = detect(row, source) if source.shape == "auto" else source.shape
    if shape == "native":
        return _native(row)
    turns, attachment = _READERS[shape](row, source)
    if not all(turn.strip() for turn in turns):
        raise Malformed("a user turn is empty")
    return Draft(
        turns=tuple(turn.strip() for turn in turns),
        category=_category(_value(row, source, "category")),
        language=_language(_value(row, source, "language")),
        difficulty=_difficulty(_mapped(row, source, "difficulty")),
        reference=_reference(_mapped(row, source, "reference"), len(turns)),
        attachment=attachment,
    )


def detect(row: Mapping[str, Any], source: Source) -> str:
    """The shape of a row by its columns. Raises ValueError that names the columns when none is known."""
    if "conversation" in row and "category" in row and not source.columns:
        return "native"
    for shape in COLUMNS:
        if _column(row, source, shape) is not None:
            return shape
    known = ", ".join(name for names in COLUMNS.values() for name in names)
    raise ValueError(f"none of the columns {known} is there, but {', '.join(row)[:200]}: name yours in `columns`")


def _column(row: Mapping[str, Any], source: Source, shape: str) -> str | None:
    """The column that holds the turns of a row of this shape."""
    role = "messages" if shape == "sharegpt" else shape
    names = (source.columns[role],) if role in source.columns else COLUMNS[shape]
    return next((name for name in names if name is not None and get(row, name) is not None), None)


def _content(row: Mapping[str, Any], source: Source, shape: str) -> Any:
    column = _column(row, source, shape)
    if column is None:
        raise ValueError(f"{' or '.join(COLUMNS[shape])}: missing, by this name or the one in `columns`")
    return get(row, column)


def get(row: Mapping[str, Any], name: str) -> Any:
    """A column of a row; `request.messages` is one inside another."""
    if name in row:
        return row[name]
    outer, dot, inner = name.partition(".")
    value = row.get(outer) if dot else None
    return get(value, inner) if isinstance(value, Mapping) else None


def _native(row: Mapping[str, Any]) -> Draft:
    try:
        line = Line.model_validate(row)
    except ValidationError as error:
        problems = [f"{'.'.join(str(p) for p in e['loc']) or 'row'}: {e['msg']}" for e in error.errors()]
        raise ValueError("; ".join(problems)) from error
    return Draft(
        turns=tuple(turn.content for turn in line.conversation),
        category=line.category,
        language=line.language,
        difficulty=line.difficulty,
        split=line.split,
        reference=tuple(line.reference) if line.reference is not None else None,
        checker=json.dumps(line.checker, ensure_ascii=False) if line.checker else None,
    )


def _instruction(row: Mapping[str, Any], source: Source) -> tuple[list[str], None]:
    text = _text(_content(row, source, "instruction"), "instruction")
    context = _text(_value(row, source, "input") or "", "input").strip()
    return [f"{text.strip()}\n\n{context}" if context else text], None


def _prompt(row: Mapping[str, Any], source: Source) -> tuple[list[str], None]:
    return [_text(_content(row, source, "prompt"), "prompt")], None


def _turns(row: Mapping[str, Any], source: Source) -> tuple[list[str], None]:
    turns = _list(_content(row, source, "turns"), "turns")
    if not turns:
        raise Malformed("there is no user turn")
    return [_text(turn, "turns") for turn in turns], None


def _messages(row: Mapping[str, Any], source: Source) -> tuple[list[str], str | None]:
    """The user's turns of a chat, with `role` and `content` as OpenAI writes them or `from` and `value` as ShareGPT does."""
    shape = "sharegpt" if _column(row, source, "messages") is None else "messages"
    messages = _list(_content(row, source, shape), "messages")
    turns: list[str] = []
    system, attachment, last = "", None, ""
    for message in messages:
        if not isinstance(message, Mapping):
            raise ValueError(f"messages: a message is an object, not {_kind(message)}")
        given = message.get("role", message.get("from"))
        role = ROLES.get(str(given).lower())
        if role is None:
            raise Malformed(f"unknown role {given!r}")
        if role == "user":
            if last == "user":
                raise Malformed("two user turns follow each other")
            text, other = _parts(message.get("content", message.get("value")))
            attachment = attachment or other
            turns.append(text)
        elif role == "system" and not turns:
            system = _parts(message.get("content", message.get("value")))[0].strip()
            continue
        elif not turns:
            raise Malformed(f"the conversation begins with the {role}, not with the user")
        last = role
    if not turns:
        raise Malformed("there is no user turn")
    if system and source.system_message == "prepend":
        turns[0] = f"{system}\n\n{turns[0]}"
    return turns, attachment


_READERS = {
    "instruction": _instruction,
    "prompt": _prompt,
    "turns": _turns,
    "messages": _messages,
    "sharegpt": _messages,
}


def _parts(content: Any) -> tuple[str, str | None]:
    """The text of a message, and the type of a part that is not text: content is a string or a list of typed parts."""
    if content is None:
        return "", None
    if not isinstance(content, list):
        return _text(content, "content"), None
    texts, other = [], None
    for part in content:
        if not isinstance(part, Mapping):
            texts.append(_text(part, "content"))
        elif part.get("type") in ("text", "input_text"):
            texts.append(_text(part.get("text"), "content"))
        else:
            other = str(part.get("type"))
    return "\n".join(texts) or (f"<{other}>" if other else ""), other


def _value(row: Mapping[str, Any], source: Source, role: ColumnRole) -> Any:
    """What the row has in the column of this role, by the source's name for it or by its usual one."""
    name = source.columns.get(role, role)
    return None if name is None else get(row, name)


def _mapped(row: Mapping[str, Any], source: Source, role: ColumnRole) -> Any:
    """The same, but only where the configuration names the column: what it means differs from source to source."""
    return _value(row, source, role) if role in source.columns else None


def _category(value: Any) -> str:
    name = str(value).strip().lower()
    return name if name in CATEGORIES else "unknown"


def _language(value: Any) -> str | None:
    """An ISO 639 code; anything else says nothing, and the language is detected."""
    return value if isinstance(value, str) and len(value) in (2, 3) and value.isalpha() and value.islower() else None


def _difficulty(value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"difficulty: {value!r} is no number") from None
    if not 0 <= number <= 10:
        raise ValueError(f"difficulty: {number:g} is outside 0 to 10")
    return number


def _reference(value: Any, turns: int) -> tuple[str, ...] | None:
    """Answers per turn. One text beside several turns answers none of them in particular and is left out."""
    if not value or (isinstance(value, str) and turns > 1):
        return None
    texts = tuple(_text(each, "reference") for each in (value if isinstance(value, list) else [value]))
    if len(texts) != turns:
        raise ValueError(f"reference has {len(texts)} entries for {turns} turns")
    return texts


def _text(value: Any, column: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{column}: text is expected, not {_kind(value)}")
    return value


def _list(value: Any, column: str) -> Sequence[Any]:
    """A list; CSV files hold it as JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(f"{column}: a list is expected, and this text is no JSON") from None
    if not isinstance(value, list):
        raise ValueError(f"{column}: a list is expected, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        type(None): "null",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), type(value).__name__)
