"""What models and categories are called on pages and plots."""

from collections import Counter
from collections.abc import Iterable

_LENGTH = 70  # the longest contestant id of a configured model


def label(name: str | None) -> str:
    """A name on one short line without control characters, which SVG cannot hold and which could turn text around."""
    clean = "".join(c if c.isprintable() else " " for c in name or "none")
    return clean if len(clean) <= _LENGTH else clean[: _LENGTH - 1] + "…"


def display_names(models: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Labels by contestant id; models that share one go by their id. ``models``: id and name."""
    by_id = {model: label(name) for model, name in models}
    shared = Counter(by_id.values())
    return {model: name if shared[name] == 1 else model for model, name in by_id.items()}
