"""The rules that end a training early, on curves written by hand."""

import math
from typing import Any

import pytest

from arena_etl.config import Guards
from arena_etl.training.guards import Guard, repetition, reward_accuracy


def heard(guard: Guard, curve: list[dict[str, float]]) -> tuple[int, str] | None:
    for step, metrics in enumerate(curve, 1):
        if (reason := guard.hear(step, metrics)) is not None:
            return step, reason
    return None


@pytest.mark.parametrize(
    "curve, step, says",
    [
        ([{"loss": 1.0}, {"loss": math.nan}], 2, "loss is nan"),
        ([{"loss": 1.0, "grad_norm": math.inf}], 1, "grad_norm is inf"),
        ([{"kl": 1.0}, {"kl": 51.0}], 2, "51.0 nats per answer away"),
        ([{"entropy": 1.0}, {"entropy": 0.001}], 2, "entropy fell to 0.0010"),
    ],
)
def test_numbers_that_say_stop(curve: list[dict[str, float]], step: int, says: str) -> None:
    found = heard(Guard(Guards(), pairwise=False), curve)
    assert found is not None and found[0] == step and says in found[1]


@pytest.mark.parametrize(
    "last, pairwise, stops",
    [(math.log(2), True, True), (0.69, True, False), (math.log(2), False, False)],
)
def test_a_loss_of_ln_2_says_nothing_was_learned(last: float, pairwise: bool, stops: bool) -> None:
    curve = [{"loss": 0.8}] * 30 + [{"loss": last}] * 10
    found = heard(Guard(Guards(ln2_steps=40), pairwise), curve)
    assert (found is not None) == stops
    assert not stops or (found is not None and found[0] == 40)


def test_a_healthy_run_is_left_alone() -> None:
    curve: list[dict[str, Any]] = [{"loss": 2 / step, "grad_norm": 1.0, "kl": 0.1 * step} for step in range(1, 200)]
    assert heard(Guard(Guards(), pairwise=True), curve) is None


def test_answers_may_not_grow_or_repeat() -> None:
    start = [[1, 2, 3, 4], [5, 6, 7, 8]]
    guard = Guard(Guards(max_length_growth=2, max_repetition=0.5), pairwise=False)
    assert guard.probe(0, start) is None
    assert guard.probe(5, [list(range(8))] * 2) is None
    assert "grew from 4 to 9 tokens by step 6" in str(guard.probe(6, [list(range(9))] * 2))
    assert "repeats itself at step 7" in str(guard.probe(7, [[1] * 8]))


def test_repetition_is_the_share_of_runs_seen_before() -> None:
    assert repetition([[1, 2, 3, 4, 1, 2, 3, 4]]) == pytest.approx(1 / 5)
    assert repetition([[1, 2, 3], []]) == 0
    assert repetition([[1, 2, 3, 4], [1, 2, 3, 4]]) == 0  # another answer may say the same


def test_a_reward_model_must_order_pairs_better_than_asked() -> None:
    rule = Guards(min_reward_accuracy=0.6, min_reward_pairs=10)
    assert "orders 50% of 10 held-out pairs rightly, at least 60%" in str(reward_accuracy(rule, 0.5, 10))
    assert reward_accuracy(rule, 0.6, 10) is None
    assert reward_accuracy(rule, 0.1, 9) is None
    assert reward_accuracy(rule, None, 0) is None
