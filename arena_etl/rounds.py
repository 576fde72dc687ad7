"""Round identity: one nightly turn of the pipeline, keyed by its UTC date."""

from datetime import UTC, datetime

from arena_etl.errors import InputError

TRAINING = "training"
WIZARD_ARENA = "wizard_arena"
ARENAS = (TRAINING, WIZARD_ARENA)


def fought_in(stage: str) -> str:
    """The stage of the round whose battles a training learns from: the reward model shares those of ppo."""
    return "ppo" if stage == "rm" else stage


def parse_round(text: str | None) -> str:
    """The round named by ``YYYY-MM-DD``; ``today`` is today's UTC date.

    Raises InputError for anything else: a round is never guessed.
    """
    if text == "today":
        return datetime.now(UTC).date().isoformat()
    try:
        return datetime.strptime(text or "", "%Y-%m-%d").date().isoformat()
    except ValueError:
        raise InputError(f"round {text!r}: a round is a UTC date, YYYY-MM-DD (for example 2026-01-05).") from None
