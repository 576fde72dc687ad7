"""What the reference pages have in common."""

import re
from collections.abc import Iterable, Iterator


def page(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def heading(title: str, origin: str) -> Iterator[str]:
    """The first lines of a page, with where its contents come from."""
    yield f"# {title}"
    yield ""
    yield f"Generated from {origin} by `make docs`; do not edit."


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A table after an empty line; nothing without rows."""
    lines = [_row(row) for row in rows]
    if lines:
        columns = list(header)
        yield from ("", _row(columns), _row(["---"] * len(columns)), *lines)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def code(text: str) -> str:
    """Inline code, whatever the text holds."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def linked(text: str) -> str:
    """The text with links for the pages that it names as docs/PAGE.md."""
    return re.sub(r"docs/([\w/-]+\.md(?:#[\w-]+)?)", r"[\1](../\1)", text)
