"""The beginning of a conversation: of several with the same one, one stays (the paper's third filter)."""

import hashlib
from collections.abc import Sequence

from arena_etl.config import Cleaning


def prefix(turns: Sequence[str], settings: Cleaning) -> str | None:
    """Hash of the beginning, in lower case and with single spaces; null where the filter is off.

    The length and its unit are part of the hash: rows that were loaded under another setting are not compared.
    """
    if settings.prefix is None:
        return None
    words = " ".join(turns).lower().split()
    text = (
        " ".join(words)[: settings.prefix]
        if settings.prefix_unit == "characters"
        else " ".join(words[: settings.prefix])
    )
    return hashlib.sha256(f"{settings.prefix} {settings.prefix_unit}\n{text}".encode()).hexdigest()[:16]
