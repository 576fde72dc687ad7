"""Prompts about something that is not there: a file, a picture, or the text that should follow."""

import re

_THING = (
    r"(?:image|picture|photo(?:graph)?|screenshot|figure|diagram|chart|graph|map|video|audio|recording|file|document|pdf|"
    r"spreadsheet|csv|dataset|attachment|table|article|text|passage|paragraph|code|email|essay|poem|list|data|review|story)"
)
_SEEN = r"(?:image|picture|photo(?:graph)?|screenshot|video|audio|recording|pdf|spreadsheet|attachment)"
_RULES = (
    r"<(?:image|img|video|audio|file)>|\[(?:image|picture|photo|video|audio|file|attachment)\]",
    r"\b(?:see|in|open|read|use|review|analy[sz]e|check) (?:the |my |this )?attach(?:ed|ment)\b",
    rf"\b(?:the|this|my|an?) (?:attached|uploaded|enclosed) {_THING}s?\b",
    rf"\b{_SEEN}s? (?:above|below|attached|provided|shown|i (?:have )?(?:uploaded|attached|sent))\b",
    rf"\b(?:the|this) (?:following|above|given|below) {_SEEN}\b",
    r"\b(?:in|from|of|describe|caption) (?:the|this|these) (?:image|picture|photo(?:graph)?|screenshot)s?[.?!]*$",
)
_ABSENT = re.compile("|".join(_RULES), re.IGNORECASE | re.MULTILINE)
# Announced with a colon, and then nothing comes.
_ANNOUNCED = re.compile(rf"\b(?:following|below|this|these)(?: \w+){{0,3}}? {_THING}s?(?: below)?\s*:\s*$", re.I)


def missing(turns: tuple[str, ...]) -> str | None:
    """Words of the prompt that point at what is not there. Only English is known.

    >>> missing(("Summarize the following article:",))
    'nothing follows: the following article:'
    """
    for turn in turns:
        if found := _ABSENT.search(turn):
            return f"it needs what is not there: {found[0]}"
        if len(turn) < 400 and (found := _ANNOUNCED.search(turn)):
            return f"nothing follows: {found[0].strip()}"
    return None
