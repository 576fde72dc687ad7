"""How probable it is that a text is toxic.

By default the linear classifier of alt-profanity-check (scikit-learn, trained on 200k comments, English), which needs no
download; or any Hugging Face text classifier.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from arena_etl.config import Cleaning
from arena_etl.errors import InputError

BUNDLED = "alt-profanity-check"
BATCH = 32


def probabilities(texts: Sequence[str], settings: Cleaning) -> list[float]:
    """One probability per text, 0 to 1."""
    if not texts:
        return []
    if settings.toxicity_model == BUNDLED:
        from profanity_check import predict_prob

        return [float(value) for value in predict_prob(list(texts))]
    scores = _classifier(settings.toxicity_model)(list(texts), top_k=None, truncation=True, batch_size=BATCH)
    return [_score(labels, settings) for labels in scores]


def _score(labels: list[dict[str, Any]], settings: Cleaning) -> float:
    found = {str(each["label"]).lower(): float(each["score"]) for each in labels}
    try:
        return found[settings.toxic_label.lower()]
    except KeyError:
        raise InputError(
            f"cleaning.toxic_label {settings.toxic_label!r}: {settings.toxicity_model} has the labels {', '.join(sorted(found))}"
        ) from None


@cache
def _classifier(name: str) -> Any:
    from transformers import pipeline

    try:
        return pipeline(
            "text-classification", model=name, trust_remote_code=False, model_kwargs={"use_safetensors": True}
        )
    except (OSError, ValueError, ImportError) as error:
        raise InputError(
            f"cleaning.toxicity_model {name}: cannot be loaded from safetensors and without code of its own ({error}). Choose "
            "another, or alt-profanity-check."
        ) from error
