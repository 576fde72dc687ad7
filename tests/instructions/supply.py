"""Small lakes of instructions for the tests of what is removed from them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from arena_etl import config as configuration
from arena_etl.config import Config, Filter
from arena_etl.flywheel import INGEST, STEPS
from arena_etl.lake.delta import Lake
from arena_etl.steps import is_done, perform


def sources(folder: Path, texts: Mapping[str, Iterable[str]], tests: Iterable[str] = (), **settings: Any) -> Config:
    """A configuration with one source per name, in this order; those of ``tests`` are test sets. Nothing is cleaned."""
    declared = []
    for name, lines in texts.items():
        rows = (
            {"conversation": [{"role": "user", "content": text}], "category": "writing", "license": "CC0-1.0"}
            for text in lines
        )
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        split = "benchmark" if name in tests else "train"
        path = str(folder / f"{name}.jsonl")
        declared.append({"name": name, "path": path, "split": split, "skip": get_args(Filter)})
    settings = {"decontamination": {"neighbours": 0}, **settings}
    return configuration.load(flags={"root": str(folder / "lake"), "sources": declared, **settings})


def ingest(config: Config, *names: str) -> dict[str, dict[str, Any]]:
    """Ingest these sources (none: all) without embedding them, and return the last summary of each step."""
    lake = Lake.open(config)
    chosen = names or tuple(source.name for source in config.sources)
    return {step: do(config, lake, step, name) for name in chosen for step in INGEST if step != "embed"}


def do(config: Config, lake: Lake, name: str, source: str) -> dict[str, Any]:
    """A step without its audit, which would take ten times as long as the step on so few rows."""
    step = STEPS[name]
    if is_done(step, config, lake, source):
        return {"unchanged": True}
    summary = perform(step, config, lake, source)
    staging = step.staging(config, lake, source)
    lake.commit(staging.partition, staging.read(), staging.fingerprint, {})
    staging.clear()
    return summary


def rows(config: Config, query: str) -> list[Any]:
    with Lake.open(config).connect() as connection:
        return connection.sql(query).fetchall()


def removed(config: Config) -> dict[str, str]:
    """The text that was kept, by the text that was removed as its near-duplicate."""
    return dict(
        rows(
            config,
            "select gone.conversation[1].content, kept.conversation[1].content from near_duplicates "
            "inner join instructions as gone using (instruction_id) "
            "inner join instructions as kept on kept.instruction_id = kept_id",
        )
    )


def contaminated(config: Config) -> set[tuple[str, str, str]]:
    """(training text, method, test text)"""
    return set(
        rows(
            config,
            "select train.conversation[1].content, method, test.conversation[1].content from contamination "
            "inner join instructions as train using (instruction_id) "
            "inner join instructions as test on test.instruction_id = test_id",
        )
    )
