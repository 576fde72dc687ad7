"""Text that was decoded wrongly: repaired by ftfy where that is sure, else rejected."""

import re
import unicodedata
from functools import cache
from typing import Any

REPLACEMENT = "\ufffd"
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\ufff9-\ufffc]")


def repair(text: str) -> str:
    """The text without mojibake and control characters, in NFC; quotes, ligatures and HTML entities stay."""
    if text.isascii() and not _CONTROL.search(text):
        return text
    import ftfy
    from ftfy.badness import is_bad

    text = unicodedata.normalize("NFC", text)
    if is_bad(text) or _CONTROL.search(text):  # the repair takes milliseconds, and asks the same first
        text = ftfy.fix_text(text, _config())
    return text


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
