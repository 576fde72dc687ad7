"""Difficulty and category without a model that is asked: cheap, offline, and no better than docs/features.md says."""

import hashlib
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from arena_etl.config import Config, digest
from arena_etl.instructions.encoder import Encoder

DIFFICULTY = "estimate-v1"
EXAMPLES = Path(__file__).parent / "examples-v1.yaml"
UNKNOWN = "unknown"
_WORD = re.compile(r"[^\W\d_]+")
_LONG = 6  # letters; a word with more is long, as in the LIX index of readability (Björnsson 1968)


def difficulty(turns: list[str]) -> float:
    """0 to 10, from the number of words and the share of long ones: who asks for more, in rarer words, asks for harder things.

    0.8 x (log2(1 + words) + 10 x share of words with more than six letters), at most 10.
    """
    words = _WORD.findall("\n".join(turns))
    share = sum(len(word) > _LONG for word in words) / max(1, len(words))
    return round(min(10.0, 0.8 * (math.log2(1 + len(words)) + 10 * share)), 2)


def category_id(config: Config) -> str:
    """Names the estimate of categories: the examples, the encoder and the limits decide it."""
    limits = [config.features.min_similarity, config.features.min_margin]
    return f"examples-{digest([_examples()[1], config.embedding.model_id, limits])[:8]}"


class Categories:
    """Finds the category whose examples an instruction is most like, by cosine to the mean direction of each."""

    def __init__(self, config: Config, encoder: Encoder) -> None:
        examples, _ = _examples()
        self._names = list(examples)
        means = np.stack([encoder.encode(texts).mean(axis=0) for texts in examples.values()])
        self._means = means / np.linalg.norm(means, axis=1, keepdims=True)
        self._limits = config.features

    def of(self, vectors: Any) -> list[str]:
        """A category per row of ``vectors`` (unit length); ``unknown`` where the limits are not met."""
        similarities = vectors @ self._means.T
        ordered = np.sort(similarities, axis=1)
        best, margin = ordered[:, -1], ordered[:, -1] - ordered[:, -2]
        sure = (best >= self._limits.min_similarity) & (margin >= self._limits.min_margin)
        return [
            self._names[place] if ok else UNKNOWN for place, ok in zip(similarities.argmax(axis=1), sure, strict=True)
        ]


@cache
def _examples() -> tuple[dict[str, list[str]], str]:
    content = EXAMPLES.read_bytes()
    return yaml.safe_load(content), hashlib.sha256(content).hexdigest()
