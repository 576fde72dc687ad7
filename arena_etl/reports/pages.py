"""Templates to pages. Whatever a model, a judge or a source wrote is escaped."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from arena_etl.reports import words
from arena_etl.reports.names import label

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **facts: Any) -> str:
    """The page of a template under ``templates/``."""
    return _environment().get_template(template).render(**facts)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=words.number,
        count=words.count,
        percent=words.percent,
        signed=words.signed,
        shorten=words.shorten,
        label=label,
    )
    return environment
