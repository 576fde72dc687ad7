"""docs/reference/configuration.md: the settings of arena_etl/config.py."""

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from arena_etl.config import Config
from arena_etl.documentation.markdown import code, heading, linked, page, table
from arena_etl.operations.template import bounds, scalar

Fields = dict[str, FieldInfo]
_NAMES = {
    str: "text",
    SecretStr: "text",
    int: "integer",
    float: "number",
    bool: "true, false",
    type(None): "null",
    Any: "anything",
}


def reference() -> str:
    """All settings as Markdown: a table per section, then one per kind of object that sections contain."""
    return page(_lines())


def _lines() -> Iterator[str]:
    yield from heading("Configuration", "`arena_etl/config.py`")
    yield ""
    yield (
        "A YAML file (`--config`, else `$ARENA_CONFIG`, else `arena.yaml` in the working directory). Stronger than the file is "
        "the environment (`ARENA_BATTLES__SLICE_SIZE=100`), and stronger still are flags (`--set battles.slice_size=100`). "
        "`arena-etl init` writes a file with every setting, `arena-etl init --paper` with the paper's values. Credentials are no "
        "settings: object storage reads `AWS_*` variables."
    )
    objects = _objects()
    sections = {
        name: info
        for name, info in Config.model_fields.items()
        if isinstance(info.default, BaseModel) and type(info.default) not in objects
    }
    yield from ("", "## Top level")
    yield from _settings({name: info for name, info in Config.model_fields.items() if name not in sections})
    for name, info in sections.items():
        yield from _described(name, type(info.default), info.default)
    for kind in objects:
        yield from _described(kind.__name__, kind, None)


def _described(title: str, kind: type[BaseModel], values: BaseModel | None) -> Iterator[str]:
    yield from ("", f"## {title}")
    if about := kind.__dict__.get("__doc__"):
        yield from ("", linked(" ".join(about.split())))
    yield from _settings(kind.model_fields, values)


def _settings(fields: Fields, values: BaseModel | None = None) -> Iterator[str]:
    """Columns: the setting, its type, its default (``values`` has other ones than the class), what it means and may be."""
    yield from table(
        ["setting", "type", "default", "meaning"],
        (
            [
                code(name),
                _type(info.annotation),
                _default(info, getattr(values, name, info.default)),
                linked("; ".join(filter(None, [info.description, bounds(info.metadata)]))),
            ]
            for name, info in fields.items()
        ),
    )


def _default(info: FieldInfo, value: Any) -> str:
    if info.is_required() and not isinstance(value, str):
        return "required"
    if isinstance(value, BaseModel):
        return code(scalar(value.model_dump(mode="json", exclude_defaults=True)))
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        return code(scalar([each.model_dump(mode="json", exclude_defaults=True) for each in value]))
    return code(scalar(list(value) if isinstance(value, tuple) else value))


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return ", ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(_type(each) for each in arguments)
    if origin is tuple:
        return (
            "list of " + _type(arguments[0]) if Ellipsis in arguments else f"{len(arguments)} of {_type(arguments[0])}"
        )
    if origin is dict:
        return f"{_type(arguments[0])}: {_type(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return _NAMES[annotation]


def _objects() -> list[type[BaseModel]]:
    """Kinds of objects that are no section of their own: elements of lists, what may be null, parts of sections."""
    found: list[type[BaseModel]] = []
    for info in Config.model_fields.values():
        section = type(info.default) if isinstance(info.default, BaseModel) else None
        for field in section.model_fields.values() if section else [info]:
            found += _inside(field.annotation)
    return list(dict.fromkeys(found))


def _inside(annotation: Any) -> Iterator[type[BaseModel]]:
    """The kinds of objects that a value is or holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for info in annotation.model_fields.values():
            yield from _inside(info.annotation)
    for argument in get_args(annotation):
        yield from _inside(argument)
