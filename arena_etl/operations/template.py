"""The commented configuration file that ``arena-etl init`` writes: generated from the model, so it cannot drift."""

import textwrap
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel

from arena_etl import config

_HEADER = """\
# arena_etl configuration. Every setting is shown (by default with the values of the embedded deployment: one machine, no
# service, no GPU, no network); delete what you do not change. Stronger than this file: environment
# (ARENA_BATTLES__SLICE_SIZE=100) and flags (--set battles.slice_size=100). Credentials do not belong here: object storage
# reads AWS_* variables.
"""


def paper() -> config.Config:
    """The defaults, with the stages, sizes and trainings of the paper, which assume tens of thousands of instructions."""
    return config.Config(
        stages=("sft", "dpo", "ppo"),
        decontamination=config.Decontamination(neighbours=5, similarity=-1),
        battles=config.Battles(slices=9),
        sft=config.SftTraining(),
        dpo=config.DpoTraining(),
        rm=config.RewardTraining(),
        ppo=config.PpoTraining(),
    )


def render(values: config.Config | None = None) -> str:
    """YAML text that loads to these values; None: to the defaults."""
    return "\n".join([_HEADER.rstrip(), "", *_section(values or config.Config(), 0)]) + "\n"


def _section(model: BaseModel, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        notes = [note for note in (field.description, bounds(field.metadata)) if note]
        if isinstance(value, BaseModel):
            about = (type(value).__doc__ or "").strip()
            if depth == 0:
                yield ""
                yield from (
                    f"# {line.strip()}" for line in about.splitlines() if line.strip() and "pydantic" not in about
                )
            yield f"{indent}{name}:"
            yield from _section(value, depth + 1)
        else:
            plain = (
                [v.model_dump(mode="json", exclude_defaults=True) if isinstance(v, BaseModel) else v for v in value]
                if isinstance(value, tuple)
                else value
            )
            comment = f"  # {'; '.join(notes)}" if notes else ""
            if len(comment) > 60:
                yield from textwrap.wrap(
                    comment.strip(" #"), 110, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
                )
                comment = ""
            if isinstance(plain, list) and plain and isinstance(plain[0], dict):
                yield f"{indent}{name}:{comment}"
                text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110)
                yield from (f"{indent}  {line}" for line in text.rstrip().splitlines())
            else:
                yield f"{indent}{name}: {scalar(plain)}{comment}"


def scalar(value: Any) -> str:
    """A value as it is written in YAML on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1000)
    return text.strip().removesuffix("...").strip()


def bounds(metadata: list[Any]) -> str:
    """What a number may be, from the metadata of its field."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    told = [f"{sign} {getattr(rule, name)}" for rule in metadata for name, sign in signs.items() if hasattr(rule, name)]
    return " and ".join(told)
