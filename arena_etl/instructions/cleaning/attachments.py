"""Prompts about something that is not there: a file, a picture, or the text that should follow."""

import re

SHORT = 400  # characters: a longer prompt has its text before the colon

_THING = (
    r"(?:image|picture|photo(?:graph)?|screenshot|figure|diagram|chart|graph|map|video|audio|recording|file|document|pdf|"
    r"spreadsheet|csv|dataset|attachment|table|article|text|passage|paragraph|code|email|essay|poem|list|data|review|story)"
)
_SEEN = r"(?:image|picture|photo(?:graph)?|screenshot|video|audio|recording|pdf|spreadsheet|attachment)"
_RULES = (
    r"<(?:image|video|audio)>|\[(?:image|picture|photo|video|audio|file|attachment)\]",
    r"\b(?:see|in|open|read|use|review|analy[sz]e|check) (?:the |my |this )?attach(?:ed|ment)\b",
    rf"\b(?:the|this|my|an?) (?:attached|uploaded|enclosed) {_THING}s?\b",
    rf"\b{_SEEN}s? (?:above|below|attached|provided|shown|i (?:have )?(?:uploaded|attached|sent))\b",
    rf"\b(?:the|this) (?:following|above|given|below) {_SEEN}\b",
    r"\b(?:in|from|of|describe|caption) (?:the|this|these) (?:image|picture|photo(?:graph)?|screenshot)s?[.?!]*$",
)
_ABSENT = re.compile("|".join(_RULES), re.MULTILINE)
# Announced with a colon, and then nothing comes.
_ANNOUNCED = re.compile(rf"\bfollowing(?: \w+){{0,3}}? {_THING}s?(?: below)?\s*:\s*$|\b{_THING}s? below\s*:\s*$")
# Looked for first, because most prompts have none of them.
_HINTS = ("image", "picture", "photo", "screenshot", "video", "audio", "recording", "pdf", "spreadsheet", "attach", "upload",
          "enclosed", "file]")  # fmt: skip


def missing(turns: tuple[str, ...]) -> str | None:
    """Words of the prompt that point at what is not there. Only English is known.

    >>> missing(("Summarize the following article:",))
    'nothing follows: the following article:'
    """
    for turn in turns:
        text = turn.lower()
        if any(hint in text for hint in _HINTS) and (found := _ABSENT.search(text)):
            return f"it needs what is not there: {found[0]}"
        if len(text) < SHORT and text.rstrip().endswith(":") and (found := _ANNOUNCED.search(text)):
            return f"nothing follows: {found[0].strip()}"
    return None
