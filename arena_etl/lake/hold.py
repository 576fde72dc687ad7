"""A mark in the lake that keeps releases back: whoever holds it is in the middle of something that others must not publish."""

import json
from typing import Any

from arena_etl.lake.delta import Lake

_NAME = "arena-hold.json"


def take(lake: Lake, holder: dict[str, Any]) -> dict[str, Any]:
    """Leave the mark, unless somebody has. Returns who holds it now, as it was written."""
    place, mark = lake.storage.uri(_NAME), json.dumps(holder).encode()
    try:
        lake.storage.filesystem.pipe_file(place, mark, mode="create")
    except FileExistsError:
        return held(lake) or take(lake, holder)
    return dict(json.loads(mark))


def held(lake: Lake) -> dict[str, Any] | None:
    """Who holds releases back; None: nobody."""
    try:
        return dict(json.loads(lake.storage.filesystem.cat_file(lake.storage.uri(_NAME))))
    except FileNotFoundError:
        return None


def let_go(lake: Lake) -> None:
    """Take the mark away."""
    lake.storage.filesystem.rm_file(lake.storage.uri(_NAME))
