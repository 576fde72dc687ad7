"""What a model thinks before it answers is no part of the answer."""


def split(text: str, tags: tuple[str, str] | None) -> tuple[str | None, str]:
    """The reasoning (None: there is none) and the answer.

    Reasoning opens the text, or was opened by the chat template: then only the closing tag is there. Without a closing
    tag the answer never came. Tags in the middle of an answer are its own words.
    """
    if tags is None:
        return None, text
    opening, closing = tags
    opened = text.lstrip().startswith(opening)
    before, closed, after = text.partition(closing)
    if not opened and (not closed or opening in before):
        return None, text
    return before.lstrip().removeprefix(opening).strip() or None, after
