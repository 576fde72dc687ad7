"""When a training is to be ended early: rules on what it logs, and on answers that it gives meanwhile."""

import math
from collections.abc import Iterable, Mapping, Sequence

from arena_etl.config import Guards

LN2 = math.log(2)
RUN = 4  # tokens in a run whose repetition counts


class Guard:
    """Hears every step of one training, in order, and says why it should end.

    ``pairwise``: the loss is that of two answers (dpo, rm), so ln 2 means that nothing tells them apart.
    """

    def __init__(self, settings: Guards, pairwise: bool) -> None:
        self._settings, self._pairwise = settings, pairwise
        self._losses: list[float] = []
        self._first_length: float | None = None

    def hear(self, step: int, metrics: Mapping[str, float]) -> str | None:
        """The reason to stop after an optimizer step, or None.

        ``metrics``: loss and grad_norm where the trainer logs them; kl (nats per answer) and entropy (nats per token) of
        reinforcement learning.
        """
        rule = self._settings
        for name in ("loss", "grad_norm"):
            if not math.isfinite(metrics.get(name, 0.0)):
                return (
                    f"{name} is {metrics[name]} at step {step}: lower the learning rate, or check the weights of the model "
                    "that was trained"
                )
        if "loss" in metrics:
            self._losses.append(metrics["loss"])
        if self._pairwise and len(self._losses) == rule.ln2_steps:
            tail = self._losses[-max(1, rule.ln2_steps // 10) :]
            mean = sum(tail) / len(tail)
            if abs(mean - LN2) < rule.ln2_tolerance:
                return (
                    f"the loss is stuck at ln 2 ({mean:.4f}) after {step} steps: it does not tell chosen from rejected"
                )
        if (kl := metrics.get("kl", 0.0)) > rule.max_kl:
            return (
                f"the policy is {kl:.1f} nats per answer away from its reference at step {step} (limit {rule.max_kl:g})"
            )
        if (entropy := metrics.get("entropy", math.inf)) < rule.min_entropy:
            return (
                f"the policy's entropy fell to {entropy:.4f} nats per token at step {step} (limit {rule.min_entropy:g})"
            )
        return None

    def probe(self, step: int, answers: Sequence[Sequence[int]]) -> str | None:
        """The reason to stop after a look at answers (lists of tokens) to the same prompts; the first look sets the scale."""
        rule = self._settings
        length, repeated = mean(map(len, answers)), repetition(answers)
        if self._first_length is None:
            self._first_length = max(length, 1.0)
        elif length / self._first_length > rule.max_length_growth:
            return (
                f"answers grew from {self._first_length:.0f} to {length:.0f} tokens by step {step} (limit "
                f"{rule.max_length_growth:g} times)"
            )
        elif repeated > rule.max_repetition:
            return f"{repeated:.0%} of the answers repeats itself at step {step} (limit {rule.max_repetition:.0%})"
        return None


def reward_accuracy(settings: Guards, accuracy: float | None, pairs: int) -> str | None:
    """Why a reward model must not be used, by the share of held-out pairs that it orders rightly; None if it may."""
    if accuracy is None or pairs < settings.min_reward_pairs or accuracy >= settings.min_reward_accuracy:
        return None
    return (
        f"the reward model orders {accuracy:.0%} of {pairs} held-out pairs rightly, at least "
        f"{settings.min_reward_accuracy:.0%} are needed"
    )


def repetition(answers: Iterable[Sequence[int]]) -> float:
    """The share of runs of four tokens that occurred before in the same answer, over all answers; 0 without any run."""
    runs = distinct = 0
    for answer in answers:
        found = [tuple(answer[start : start + RUN]) for start in range(len(answer) - RUN + 1)]
        runs += len(found)
        distinct += len(set(found))
    return 1 - distinct / runs if runs else 0.0


def mean(numbers: Iterable[float]) -> float:
    values = list(numbers)
    return sum(values) / len(values) if values else 0.0
