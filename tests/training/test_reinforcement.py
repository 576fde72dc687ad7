"""The reward model, and what learns from it: PPO and RLOO on a tiny random model."""

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from arena_etl.config import Guards, Lora, PpoTraining, RewardTraining
from arena_etl.errors import InputError
from arena_etl.training.callbacks import Watch
from arena_etl.training.trainers import TrainingResult, train_reward, train_rl
from tests.tiny_model import make_tiny_model
from tests.training.test_trainers import ENGINE, PAIRS, example, same, table, weights

QUESTIONS = [question for question, _, _ in PAIRS]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("base"))


def reward_settings(**changes: Any) -> RewardTraining:
    settings = {"learning_rate": 5e-3, "epochs": 4, "batch_size": 4, "micro_batch": 2, "max_length": 128}
    return RewardTraining(**(settings | {"held_out": 0.25} | changes))


def rl_settings(**changes: Any) -> PpoTraining:
    settings: dict[str, Any] = {
        "learning_rate": 3e-3,
        "epochs": 8,
        "batch_size": 8,
        "micro_batch": 4,
        "max_length": 128,
    }
    return PpoTraining(**(settings | {"max_new_tokens": 8, "kl_coefficient": 0.01} | changes))


@pytest.fixture(scope="module")
def reward(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, Path]:
    out = tmp_path_factory.mktemp("reward") / "reward"
    return train_reward(table(8), base, out, reward_settings(), ENGINE), out


def scores(folder: Path, answers: list[tuple[str, str]]) -> list[float]:
    """The reward of (question, answer), read at the token that ends the answer."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    found = []
    for question, answer in answers:
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        ids = tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
        ids = ids[: len(ids) - ids[::-1].index(tokenizer.eos_token_id)]
        with torch.no_grad():
            hidden = model.model(torch.tensor([ids])).last_hidden_state[0, -1]
            found.append(float(model.score(hidden)))
    return found


def test_the_reward_model_prefers_the_chosen_answers(reward: tuple[TrainingResult, Path]) -> None:
    result, out = reward
    assert result.held_out == 6 and result.accuracy == 1.0
    assert result.curve[-1].loss < result.curve[0].loss
    good = scores(out, [(question, chosen) for question, chosen, _ in PAIRS])
    bad = scores(out, [(question, rejected) for question, _, rejected in PAIRS])
    assert all(g > b + 0.5 for g, b in zip(good, bad, strict=True))


def test_its_padding_is_no_token_that_ends_answers(base: Path, tmp_path: Path) -> None:
    """As in many chat models, the tokenizer pads with the token that ends turns."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = tokenizer.eos_token
    model = make_tiny_model(tmp_path / "base")
    tokenizer.save_pretrained(model)
    train_reward(table(2), model, tmp_path / "out", reward_settings(epochs=1), ENGINE)
    saved = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert saved.pad_token_id != saved.eos_token_id


def test_held_out_pairs_are_not_learned_from(base: Path, tmp_path: Path) -> None:
    """Pairs that say the opposite of the others: held out, they are ordered wrongly, and the model is refused."""
    pairs = []
    for n in range(24):
        question, better, worse = PAIRS[n % 3]
        pairs.append(example(n, question, *((worse, better) if n < 6 else (better, worse))))
    guards = Guards(min_reward_accuracy=0.6, min_reward_pairs=6)
    result = train_reward(pa.Table.from_pylist(pairs), base, tmp_path / "out", reward_settings(), ENGINE, Watch(guards))
    assert result.accuracy == 0.0
    assert result.stopped is not None and "orders 0% of 6 held-out pairs rightly" in result.stopped
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("algorithm", ["ppo", "rloo"])
def test_the_policy_learns_from_rewarded_answers(
    base: Path, reward: tuple[TrainingResult, Path], tmp_path: Path, algorithm: str
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    settings = rl_settings(algorithm=algorithm, generations=4, epochs=4 if algorithm == "ppo" else 1)
    result = train_rl(table(2), base, tmp_path / "out", settings, ENGINE, reward_model=reward[1])
    assert result.stopped is None
    assert result.effective_batch_size == 8
    name = "objective/scores" if algorithm == "ppo" else "reward"
    rewards = [value for _, metric, value in result.metrics if metric == name]
    assert len(rewards) == result.steps == 3
    assert all(math.isfinite(value) for value in rewards) and len(set(rewards)) == 3
    assert {"kl", "entropy"} <= {metric for _, metric, _ in result.metrics}
    AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert AutoTokenizer.from_pretrained(tmp_path / "out").pad_token == AutoTokenizer.from_pretrained(base).pad_token
    assert not same(base, tmp_path / "out")


def test_fewer_prompts_than_a_batch_are_answered_several_times(
    base: Path, reward: tuple[TrainingResult, Path], tmp_path: Path
) -> None:
    result = train_rl(table(1), base, tmp_path / "out", rl_settings(epochs=1), ENGINE, reward_model=reward[1])
    assert result.steps == 1


def test_a_policy_that_runs_away_is_stopped(base: Path, reward: tuple[TrainingResult, Path], tmp_path: Path) -> None:
    watch = Watch(Guards(max_kl=0.5))
    settings = rl_settings(learning_rate=3e-2, kl_coefficient=0)
    result = train_rl(table(2), base, tmp_path / "out", settings, ENGINE, watch, reward_model=reward[1])
    assert result.stopped is not None and "nats per answer away" in result.stopped
    assert not (tmp_path / "out").exists()


def test_ppo_trains_an_adapter_and_merges_it(base: Path, reward: tuple[TrainingResult, Path], tmp_path: Path) -> None:
    settings = rl_settings(epochs=2, lora=Lora(rank=2))
    result = train_rl(table(1), base, tmp_path / "out", settings, ENGINE, reward_model=reward[1])
    assert result.stopped is None
    assert weights(base).keys() == weights(tmp_path / "out").keys()


def test_rloo_has_no_other_reference(base: Path, reward: tuple[TrainingResult, Path], tmp_path: Path) -> None:
    settings = rl_settings(algorithm="rloo")
    with pytest.raises(InputError, match="rloo pulls to the weights that it starts from"):
        train_rl(table(1), base, tmp_path / "out", settings, ENGINE, reward_model=reward[1], reference=tmp_path)


def test_groups_of_answers_must_fill_a_batch() -> None:
    with pytest.raises(ValueError, match="not a multiple of generations"):
        rl_settings(algorithm="rloo", generations=3)
