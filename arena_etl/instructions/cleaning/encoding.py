"""Text that was decoded wrongly: repaired by ftfy where that is sure, else rejected."""

import re
from functools import cache
from typing import Any

REPLACEMENT = "\ufffd"
_SUSPECT = re.compile(r"[^\t\n\r\x20-\x7e]")  # plain ASCII cannot be mojibake


def repair(text: str) -> str:
    """The text without mojibake, control characters and lone surrogates; quotes, ligatures and HTML entities stay."""
    if not _SUSPECT.search(text):
        return text
    import ftfy

    repaired: str = ftfy.fix_text(text, _config())
    return repaired


def damage(text: str) -> str | None:
    """Why a repaired text is still damaged."""
    count = text.count(REPLACEMENT)
    return f"{count} characters were lost when the text was decoded" if count else None


@cache
def _config() -> Any:
    from ftfy import TextFixerConfig

    # What a user may have meant as it is, such as typographic quotes or &lt; in a question about HTML, is no damage.
    return TextFixerConfig(
        unescape_html=False,
        uncurl_quotes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        explain=False,
    )
