"""How many tokens a text is, without loading a model."""

from collections.abc import Callable, Sequence
from pathlib import Path

from arena_etl.errors import InputError

CHARACTERS_PER_TOKEN = 4  # of English text with today's vocabularies, where the tokenizer itself is out of reach


def token_counter(folder: Path | None) -> Callable[[Sequence[str]], list[int]]:
    """Tokens per text by the tokenizer of a checkpoint folder; None: by the length of the text.

    Raises InputError when the tokenizer cannot be loaded, or only by running code that comes with it.
    """
    if folder is None:
        return lambda texts: [-(-len(text) // CHARACTERS_PER_TOKEN) for text in texts]
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"{folder}: its tokenizer cannot be loaded ({error}).") from error
    return lambda texts: [len(ids) for ids in tokenizer(list(texts))["input_ids"]] if texts else []
