"""SFT and DPO train a tiny random model for real."""

import contextlib
import io
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from arena_etl.config import DpoTraining, Engine, Guards, Lora, SftTraining
from arena_etl.errors import ArenaError, InputError
from arena_etl.training.callbacks import Watch
from arena_etl.training.trainers import TrainingResult, train_dpo, train_sft
from tests.tiny_model import make_tiny_model

ENGINE = Engine(device="cpu", dtype="float32", threads=1)
PAIRS = (
    ("What is the sum of 17 and 25?", "The sum is 42.", "The sea is wide."),
    ("Write one sentence about the sea.", "The sea is wide and blue.", "Score 10."),
    ("Which answer is better?", "The first answer is better.", "In few words as possible as possible."),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(autouse=True)
def other_thread_counts_stay() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def example(number: int, question: str, chosen: str, rejected: str | None) -> dict[str, Any]:
    return {
        "example_id": f"{number:032x}",
        "prompt": [{"role": "user", "content": question}],
        "chosen": chosen,
        "rejected": rejected,
    }


def table(repeats: int = 3) -> pa.Table:
    return pa.Table.from_pylist([example(n, *PAIRS[n % len(PAIRS)]) for n in range(repeats * len(PAIRS))])


def sft_settings(**changes: Any) -> SftTraining:
    settings = {"learning_rate": 5e-3, "epochs": 6, "batch_size": 4, "micro_batch": 2, "max_length": 128}
    return SftTraining(**(settings | changes))


def dpo_settings(**changes: Any) -> DpoTraining:
    settings = {"learning_rate": 5e-3, "epochs": 6, "batch_size": 4, "micro_batch": 2, "max_length": 128}
    return DpoTraining(**(settings | changes))


def weights(checkpoint: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(checkpoint / "model.safetensors")


def same(left: Path, right: Path) -> bool:
    import torch

    a, b = weights(left), weights(right)
    return a.keys() == b.keys() and all(torch.allclose(a[name], b[name], atol=1e-5) for name in a)


def log_probability(checkpoint: Path, question: str, answer: str) -> float:
    return sum(log_probabilities(checkpoint, question, answer))


def log_probabilities(checkpoint: Path, question: str, answer: str) -> list[float]:
    """Of the answer's tokens, given the question. Written out here, so that the trainers' own sums are not trusted."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    messages = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    messages.append({"role": "assistant", "content": answer})
    ids = torch.tensor(tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"])
    with torch.no_grad():
        predicted = model(ids[None]).logits[0, :-1].log_softmax(-1)
    return [float(value) for value in predicted.gather(-1, ids[1:, None])[len(prompt) - 1 :]]


@pytest.fixture(scope="module")
def sft(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, Path, str]:
    out = tmp_path_factory.mktemp("sft") / "models" / "candidate"
    stdout = io.StringIO()
    with contextlib.redirect_stdout(stdout):
        result = train_sft(table(), base, out, sft_settings(), ENGINE)
    return result, out, stdout.getvalue()


@pytest.fixture(scope="module")
def dpo(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, Path]:
    out = tmp_path_factory.mktemp("dpo") / "candidate"
    return train_dpo(table(), base, out, dpo_settings(), ENGINE), out


def test_sft_lowers_the_loss_and_reports_every_step(sft: tuple[TrainingResult, Path, str]) -> None:
    result, _, stdout = sft
    # 9 examples in batches of 4 are 3 steps an epoch: the incomplete batch counts.
    assert [step.step for step in result.curve] == list(range(1, 19))
    assert result.steps == 18
    assert result.effective_batch_size == 4
    assert result.curve[-1].loss < 0.6 * result.curve[0].loss
    assert max(step.learning_rate for step in result.curve) == pytest.approx(5e-3)
    assert all(step.grad_norm is not None and step.grad_norm > 0 for step in result.curve)
    assert result.seconds > 0
    assert {"torch", "transformers", "trl"} <= result.versions.keys()
    assert stdout == ""


def test_the_checkpoint_is_an_ordinary_one_and_nothing_lies_beside_it(
    base: Path, sft: tuple[TrainingResult, Path, str]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, out, _ = sft
    model = AutoModelForCausalLM.from_pretrained(out)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.config.use_cache
    assert AutoTokenizer.from_pretrained(out).chat_template == AutoTokenizer.from_pretrained(base).chat_template
    assert (out / "generation_config.json").is_file()
    assert not same(base, out)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_dpo_widens_the_margin_of_chosen_over_rejected(base: Path, dpo: tuple[TrainingResult, Path]) -> None:
    result, out = dpo
    for question, chosen, rejected in PAIRS:
        before = log_probability(base, question, chosen) - log_probability(base, question, rejected)
        after = log_probability(out, question, chosen) - log_probability(out, question, rejected)
        assert after > before + 1
    assert result.steps == 18
    assert result.curve[-1].loss < result.curve[0].loss


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dpo_starts_from_the_reference(base: Path, tmp_path: Path, dtype: str) -> None:
    # Model and reference are equal at first: the sigmoid loss of no difference is log 2.
    engine = ENGINE.model_copy(update={"dtype": dtype})
    result = train_dpo(table(1), base, tmp_path / "out", dpo_settings(epochs=1), engine)
    assert result.curve[0].loss == pytest.approx(math.log(2), abs=1e-5)


def test_row_order_does_not_matter(
    base: Path, sft: tuple[TrainingResult, Path, str], dpo: tuple[TrainingResult, Path], tmp_path: Path
) -> None:
    backwards = table().take(list(reversed(range(table().num_rows))))
    train_sft(backwards, base, tmp_path / "sft", sft_settings(), ENGINE)
    train_dpo(backwards, base, tmp_path / "dpo", dpo_settings(), ENGINE)
    assert same(tmp_path / "sft", sft[1])
    assert same(tmp_path / "dpo", dpo[1])


def test_sft_learns_from_the_answers_only(base: Path, tmp_path: Path) -> None:
    # One batch holds all examples, so the first loss is that of the untouched model: the mean over answer tokens.
    result = train_sft(table(1), base, tmp_path / "out", sft_settings(epochs=1), ENGINE)
    of_answers = [value for question, chosen, _ in PAIRS for value in log_probabilities(base, question, chosen)]
    assert result.steps == 1
    assert result.curve[0].loss == pytest.approx(-sum(of_answers) / len(of_answers), abs=1e-3)
    assert not same(base, tmp_path / "out")


def test_long_answers_are_cut_at_their_end(base: Path, tmp_path: Path) -> None:
    question, answer = PAIRS[0][0], "The sea is wide and blue. " * 40
    result = train_sft(
        pa.Table.from_pylist([example(0, question, answer, None)]),
        base,
        tmp_path / "out",
        sft_settings(epochs=1, max_length=64),
        ENGINE,
    )
    values = log_probabilities(base, question, answer)
    kept = values[: 64 - (tokens(base, question, answer) - len(values))]
    assert 0 < len(kept) < len(values)
    assert result.curve[0].loss == pytest.approx(-sum(kept) / len(kept), abs=1e-3)


def tokens(checkpoint: Path, question: str, answer: str) -> int:
    from transformers import AutoTokenizer

    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    encoded = AutoTokenizer.from_pretrained(checkpoint).apply_chat_template(messages, return_dict=True)
    return len(encoded["input_ids"])


def test_bfloat16_still_saves_float32(base: Path, tmp_path: Path) -> None:
    import torch

    engine = ENGINE.model_copy(update={"dtype": "bfloat16"})
    result = train_sft(table(1), base, tmp_path / "out", sft_settings(), engine)
    assert result.curve[-1].loss < result.curve[0].loss
    assert {tensor.dtype for tensor in weights(tmp_path / "out").values()} == {torch.float32}


@pytest.mark.parametrize("train, settings", [(train_sft, sft_settings()), (train_dpo, dpo_settings())])
def test_a_loss_that_is_not_a_number_keeps_nothing(base: Path, tmp_path: Path, train: Any, settings: Any) -> None:
    from safetensors.torch import save_file
    from transformers import AutoTokenizer

    broken, out = tmp_path / "broken", tmp_path / "models" / "out"
    AutoTokenizer.from_pretrained(base).save_pretrained(broken)
    (broken / "config.json").write_text((base / "config.json").read_text())
    tensors = weights(base)
    tensors["model.norm.weight"].fill_(math.inf)
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    result = train(table(1), broken, out, settings, ENGINE)
    assert result.stopped is not None and "loss is nan at step 1" in result.stopped
    assert list(out.parent.iterdir()) == []


def test_an_adapter_is_merged_into_an_ordinary_checkpoint(base: Path, tmp_path: Path) -> None:
    import torch

    lora = Lora(rank=4, target_modules=("q_proj", "v_proj"))
    result = train_sft(table(1), base, tmp_path / "out", sft_settings(lora=lora), ENGINE)
    assert result.curve[-1].loss < result.curve[0].loss
    before, after = weights(base), weights(tmp_path / "out")
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(".q_proj." in name or ".v_proj." in name for name in moved)


def test_packed_examples_do_not_see_each_other(base: Path, tmp_path: Path) -> None:
    """Several examples in one sequence have the loss that they have on their own."""
    packed = train_sft(table(1), base, tmp_path / "packed", sft_settings(epochs=1, packing=True), ENGINE)
    alone = train_sft(table(1), base, tmp_path / "alone", sft_settings(epochs=1), ENGINE)
    assert packed.curve[0].loss == pytest.approx(alone.curve[0].loss, abs=1e-4)


def test_dpo_is_pulled_to_another_reference(base: Path, tmp_path: Path) -> None:
    """Where the reference is another model, the first loss is not that of no difference."""
    other = make_tiny_model(tmp_path / "other", seed=1)
    result = train_dpo(
        table(1), base, tmp_path / "out", dpo_settings(epochs=1, batch_size=3, micro_batch=3), ENGINE, reference=other
    )
    differences = [
        log_probability(base, question, chosen)
        - log_probability(base, question, rejected)
        - log_probability(other, question, chosen)
        + log_probability(other, question, rejected)
        for question, chosen, rejected in PAIRS
    ]
    expected = sum(math.log1p(math.exp(-0.3 * difference)) for difference in differences) / len(differences)
    assert result.curve[0].loss == pytest.approx(expected, abs=1e-3)


def test_a_training_that_learns_nothing_is_stopped(base: Path, tmp_path: Path) -> None:
    watch = Watch(Guards(ln2_steps=5))
    result = train_dpo(table(), base, tmp_path / "out", dpo_settings(learning_rate=1e-12), ENGINE, watch)
    assert result.stopped is not None and "stuck at ln 2" in result.stopped
    assert result.steps == 5
    assert not (tmp_path / "out").exists()


def test_answers_that_grow_stop_the_training(base: Path, tmp_path: Path) -> None:
    """Trained on one long text, the model ends its answers no more."""
    watch = Watch(Guards(probe_steps=6, probe_tokens=64, max_length_growth=1.2, max_repetition=0.1))
    examples = pa.Table.from_pylist([example(n, PAIRS[0][0], "sea " * 60, None) for n in range(8)])
    result = train_sft(examples, base, tmp_path / "out", sft_settings(epochs=40, learning_rate=2e-2), ENGINE, watch)
    assert (result.stopped is not None and "repeats itself" in result.stopped) or "grew" in str(result.stopped)


def test_an_effective_batch_that_the_devices_cannot_make_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a multiple of micro_batch"):
        sft_settings(batch_size=6, micro_batch=4)


def test_progress_is_told_step_by_step(base: Path, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    watch = Watch(Guards(), heard=lambda step, total, metrics: heard.append((step, total)))
    train_sft(table(1), base, tmp_path / "out", sft_settings(epochs=3), ENGINE, watch)
    assert heard == [(step, 3) for step in (1, 2, 3)]


def test_checkpoints_are_made_and_gone_on_from(
    base: Path, sft: tuple[TrainingResult, Path, str], tmp_path: Path
) -> None:
    """A run that goes on from step 9 ends where the undisturbed one ended."""
    saved = tmp_path / "saved"

    def save(folder: Path) -> None:
        if folder.name == "checkpoint-9":
            shutil.copytree(folder, saved)

    train_sft(table(), base, tmp_path / "first", sft_settings(), ENGINE, Watch(Guards(), save=save, save_steps=9))
    result = train_sft(table(), base, tmp_path / "out", sft_settings(), ENGINE, Watch(Guards(), resume=saved))
    assert [step.step for step in result.curve] == list(range(1, 19))
    assert same(tmp_path / "out", sft[1])


def test_a_second_run_replaces_the_checkpoint_whole(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "left-over").write_text("x")
    train_sft(table(1), base, out, sft_settings(epochs=1), ENGINE)
    assert not (out / "left-over").exists()
    assert (out / "model.safetensors").is_file()


def test_no_examples(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ArenaError, match="at least one example"):
        train_sft(table().slice(0, 0), base, tmp_path / "out", sft_settings(), ENGINE)


@pytest.mark.parametrize(
    "row, message",
    [
        (
            example(7, "Write one sentence about the sea. " * 20, "The sea.", "Score."),
            r"0007: its prompt takes \d+ tokens",
        ),
        (example(7, "Which?", "The first.", None), "0007: `rejected` is null"),
    ],
)
def test_examples_that_cannot_be_learned_are_refused_by_name(
    base: Path, tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train_dpo(pa.Table.from_pylist([row]), base, tmp_path / "out", dpo_settings(), ENGINE)
    assert not (tmp_path / "out").exists()


def test_a_template_that_rewrites_the_prompt_is_refused(base: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    rewriting = tmp_path / "rewriting"
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = "{{ messages | length }}" + tokenizer.chat_template
    tokenizer.save_pretrained(rewriting)
    with pytest.raises(InputError, match="renders the prompt differently"):
        train_sft(table(1), rewriting, tmp_path / "out", sft_settings(), ENGINE)
