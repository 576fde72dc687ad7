"""What `arena-etl ingest` brings in, and what became of it."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from arena_etl.config import Config, Source, Split
from arena_etl.errors import InputError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake

_PLACE = re.compile(r"[/\\*?]|\.[a-z]+(\.[a-z0-9]+)?$|://")


def with_sources(config: Config, chosen: Sequence[str], license_: str, split: Split) -> Config:
    """The configuration with these sources alone: names of configured ones, or places that become sources of this run.

    Raises InputError for a name that is not configured, and for a place whose name is taken.
    """
    configured = {source.name: source for source in config.sources}
    sources = []
    for each in dict.fromkeys(chosen):
        if each in configured:
            sources.append(configured[each])
            continue
        if not _PLACE.search(each):
            raise InputError(
                f"source {each!r}: not in the configuration, which names {list(configured)}, and no path either"
            )
        name = _name(each)
        if name in configured or name in {source.name for source in sources}:
            raise InputError(f"{each}: a source is called {name} already. Give this one a name in `sources`.")
        sources.append(Source(name=name, path=each, license=license_, split=split))
    return config.model_copy(update={"sources": tuple(sources)})


def funnel(lake: Lake, sources: Sequence[str]) -> list[dict[str, Any]]:
    """Rows in, removed by reason, and left, per source and in order (sql/instructions/funnel.sql)."""
    with lake.connect(
        ["raw_instructions", "instructions", "quarantine", "near_duplicates", "contamination"]
    ) as connection:
        rows = sql.run(connection, "instructions/funnel").to_arrow_table().to_pylist()
    return [row for row in rows if row["source"] in sources]


def _name(place: str) -> str:
    """A name for a source, from the last part of its place that says something."""
    parts = [part for part in re.split(r"[/\\]", place.partition("://")[2] or place) if re.search(r"\w", part)]
    stem = PurePosixPath(parts[-1] if parts else "source").name.partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:60] or "source"
