"""Conversations that are too short to ask for anything, or too long for the models that answer them."""

from collections.abc import Sequence

from arena_etl.config import Cleaning


def problem(turns: Sequence[str], settings: Cleaning) -> str | None:
    """Which limit the conversation is outside of. Characters are counted without white space around the turns."""
    if len(turns) > settings.max_turns:
        return f"{len(turns)} user turns, more than cleaning.max_turns {settings.max_turns}"
    characters = sum(len(turn.strip()) for turn in turns)
    if characters < settings.min_characters:
        return f"{characters} characters, fewer than cleaning.min_characters {settings.min_characters}"
    if characters > settings.max_characters:
        return f"{characters} characters, more than cleaning.max_characters {settings.max_characters}"
    return None
