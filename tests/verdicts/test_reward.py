"""A tiny reward model with one trained output as a judge."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from arena_etl.config import Engine
from arena_etl.errors import InputError
from arena_etl.verdicts.ask import Question, Ruling
from arena_etl.verdicts.prompt import Exchange
from arena_etl.verdicts.reward import RewardModel, scores
from tests.tiny_model import make_tiny_model
from tests.verdicts.test_judge import arena, rows

SETTINGS = Engine(batch_size=3, dtype="float32")


def make_reward_model(folder: Path, labels: int = 1) -> Path:
    """A classifier over the tiny model's trunk."""
    import torch
    from transformers import AutoModelForSequenceClassification

    make_tiny_model(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=labels, dtype=torch.float32)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_reward_model(tmp_path_factory.mktemp("models") / "reward")


def ruled(folder: Path, *games: Sequence[tuple[str, str, str]]) -> list[Ruling]:
    questions = [
        Question(str(n), tuple(Exchange(*each) for each in exchanges), "math", None)
        for n, exchanges in enumerate(games)
    ]
    return list(RewardModel(folder, SETTINGS).rule(questions))


def test_scores_share_out_the_scale_by_the_probability_of_the_preference() -> None:
    assert scores(2.0, 2.0) == (5.5, 5.5)
    better, worse = scores(1.0 + math.log(3), 1.0)  # preferred three times in four
    assert (better, worse) == pytest.approx((7.75, 3.25))
    assert scores(1e6, -1e6) == pytest.approx((10, 1))


def test_the_order_shown_and_the_batch_change_nothing(folder: Path) -> None:
    game, swapped, two_turns, other = (
        [("What is 2 + 2?", "4", "It is five, I think.")],
        [("What is 2 + 2?", "It is five, I think.", "4")],
        [("What is 2 + 2?", "4", "5"), ("And one more?", "5", "I do not know")],
        [("Write a line.", "The sea is wide.", "The sea is wide.")],
    )
    first, second, third, fourth = ruled(folder, game, swapped, two_turns, other)
    [alone] = ruled(folder, two_turns)
    assert first.parsed.shown_a == pytest.approx(second.parsed.shown_b, abs=1e-5)
    assert third.parsed.shown_a == pytest.approx(alone.parsed.shown_a, abs=1e-4)
    assert (fourth.parsed.shown_a, fourth.parsed.shown_b) == (5.5, 5.5)
    assert first.raw_text is not None and first.tokens_in > 0 and first.tokens_out == 0


def test_an_answer_that_is_too_long_is_an_error_of_its_own(folder: Path) -> None:
    long, short = ruled(folder, [("Hello", "x " * 600, "hi")], [("Hello", "hi", "ho")])
    assert long.raw_text is None and "answer A: context too long" in (long.error or "")
    assert long.parsed.status == "engine_error" and short.parsed.status == "ok"


@pytest.mark.parametrize("labels", [0, 2])
def test_what_is_no_reward_model_is_refused(tmp_path: Path, labels: int) -> None:
    """``labels`` 0: a chat model whose output layer would be drawn at random."""
    model = make_reward_model(tmp_path / "model", labels) if labels else make_tiny_model(tmp_path / "model")
    with pytest.raises(InputError, match="one trained output"):
        RewardModel(model, SETTINGS)


def test_an_arena_is_judged_by_a_reward_model(tmp_path: Path, folder: Path) -> None:
    from arena_etl.flywheel import do
    from arena_etl.lake.delta import Lake
    from tests.verdicts.test_judge import KEYS

    answers = {"short": lambda place: f"{place}", "long": lambda place: f"It is {place}, I think."}
    judge: dict[str, Any] = {"name": "reward", "backend": "reward", "checkpoint": str(folder), "verifiers": False}
    with arena(tmp_path, answers, judge=judge) as (config, _):
        do(config, Lake.open(config), "judge", *KEYS)
        do(config, Lake.open(config), "merge", *KEYS)
        assert rows(config, "select distinct parse_status, tokens_out, score_a + score_b from verdicts") == [
            ("ok", 0, 11.0)
        ]
        assert rows(config, "select count(*) from battles where not order_consistent") == [(0,)]
