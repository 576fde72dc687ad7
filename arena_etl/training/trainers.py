"""Supervised (SFT) and preference (DPO) training of a whole model. The one module that knows the trainer library, TRL."""

import logging
import math
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from arena_etl.config import DpoTraining, Engine, Training
from arena_etl.engines import hardware
from arena_etl.errors import ArenaError, InputError

_LIBRARIES = ("torch", "transformers", "trl", "accelerate", "datasets")


@dataclass(frozen=True)
class Step:
    """One optimizer step: mean loss of its batch, learning rate it used, gradient norm before clipping."""

    step: int
    loss: float
    learning_rate: float
    grad_norm: float | None


@dataclass(frozen=True)
class TrainingResult:
    """``effective_batch_size``: devices x micro batch x accumulation. ``seconds``: wall clock, loading and saving too."""

    steps: int
    effective_batch_size: int
    curve: list[Step]
    seconds: float
    versions: dict[str, str]


def train_sft(examples: pa.Table, base: Path, out: Path, settings: Training, engine: Engine) -> TrainingResult:
    """Teach the model in ``base`` the chosen answers; the loss is taken on the answers only.

    ``examples``: rows of the table training_sets, in any order. ``out``: the checkpoint to write; an older one there is
    replaced once the new one is complete. Answers are cut at ``settings.max_length`` tokens, prompts never.

    Raises InputError for examples, models or settings that cannot be trained, ArenaError when the loss stops being
    a number; ``out`` is then as it was before.
    """
    with _quiet():
        from trl import SFTConfig, SFTTrainer

        options = {"completion_only_loss": True}
        return _train(SFTTrainer, SFTConfig, options, {"completion": "chosen"}, examples, base, out, settings, engine)


def train_dpo(examples: pa.Table, base: Path, out: Path, settings: DpoTraining, engine: Engine) -> TrainingResult:
    """Teach the model in ``base`` to prefer the chosen over the rejected answers (Rafailov et al. 2023, sigmoid loss).

    The reference model is ``base`` itself. Arguments and errors as in ``train_sft``.
    """
    with _quiet():
        from trl import DPOConfig, DPOTrainer

        # Computed once before training, the reference's log probabilities save a second model in memory. In bfloat16
        # they move by tenths with the padding of the batch, so there model and reference must see the same batch.
        precompute = hardware.dtype(engine) == "float32"
        options = {"beta": settings.beta, "precompute_ref_log_probs": precompute}
        answers = {"chosen": "chosen", "rejected": "rejected"}
        return _train(DPOTrainer, DPOConfig, options, answers, examples, base, out, settings, engine)


def _train(
    trainer_class: Any,
    config_class: Any,
    options: Mapping[str, Any],
    answers: Mapping[str, str],
    examples: pa.Table,
    base: Path,
    out: Path,
    settings: Training,
    engine: Engine,
) -> TrainingResult:
    """``answers``: name of the field that the trainer reads -> column of ``examples``."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer, ProgressCallback

    started = time.monotonic()
    if not examples.num_rows:
        raise ArenaError("Training needs at least one example, and none was selected. Lower the selection's margin.")
    device = hardware.device(engine)
    if engine.threads:
        torch.set_num_threads(engine.threads)
    tokenizer = AutoTokenizer.from_pretrained(base)
    dataset = Dataset.from_list(_conversations(examples, answers, tokenizer, settings.max_length))

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        arguments = config_class(
            output_dir=f"{scratch}/trainer",
            use_cpu=device == "cpu",
            bf16=hardware.dtype(engine) == "bfloat16",  # products only: the weights are float32 in any case
            learning_rate=settings.learning_rate,
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.micro_batch,
            max_length=settings.max_length,
            lr_scheduler_type="cosine",
            warmup_steps=_warmup_steps(settings, len(dataset)),
            seed=settings.seed,
            # Grouping reads the column `length`, which the trainer would otherwise drop as unknown to the model.
            train_sampling_strategy="group_by_length",
            remove_unused_columns=False,
            # A GPU's memory is the smaller one: there, activations are computed twice instead of kept.
            gradient_checkpointing=device == "cuda",
            dataloader_pin_memory=device == "cuda",
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=False,
            **options,
        )
        arguments.gradient_accumulation_steps = _accumulation(
            settings, arguments.train_batch_size * arguments.world_size
        )
        # Given a path, TRL loads the weights, and those of the reference, in float32.
        trainer = trainer_class(model=str(base), args=arguments, train_dataset=dataset, processing_class=tokenizer)
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(_progress())
        trainer.train()
        _publish(trainer.model, tokenizer, Path(scratch), out)

    curve = [
        Step(entry["step"], entry["loss"], entry["learning_rate"], entry.get("grad_norm"))
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    return TrainingResult(
        steps=trainer.state.global_step,
        effective_batch_size=trainer.args.train_batch_size
        * trainer.args.world_size
        * trainer.args.gradient_accumulation_steps,
        curve=curve,
        seconds=time.monotonic() - started,
        versions={library: version(library) for library in _LIBRARIES},
    )


def _conversations(
    examples: pa.Table, answers: Mapping[str, str], tokenizer: Any, max_length: int
) -> list[dict[str, Any]]:
    """The examples in TRL's conversational format, by example_id, with their length in tokens.

    TRL drops prompts that fill max_length and only logs a template whose prompt is not a prefix of the conversation (it
    would mask the wrong tokens): both are refused here.
    """
    if not tokenizer.chat_template:
        raise InputError("The model to train has no chat template. Choose an instruction-tuned checkpoint.")
    conversations = []
    for example in examples.sort_by("example_id").to_pylist():
        name, prompt = example["example_id"], example["prompt"]
        prompt_ids = _tokens(tokenizer, prompt, add_generation_prompt=True)
        if len(prompt_ids) >= max_length:
            raise InputError(
                f"Example {name}: its prompt takes {len(prompt_ids)} tokens, so max_length {max_length} leaves no room "
                "for the answer. Raise the stage's max_length, or leave the instruction out."
            )
        fields: dict[str, Any] = {"prompt": prompt, "length": 0}
        for field, column in answers.items():
            if example[column] is None:
                raise InputError(f"Example {name}: `{column}` is null. This stage needs it for every example.")
            fields[field] = [{"role": "assistant", "content": example[column]}]
            ids = _tokens(tokenizer, prompt + fields[field])
            if ids[: len(prompt_ids)] != prompt_ids:
                raise InputError(
                    f"Example {name}: the model's chat template renders the prompt differently once an answer follows, "
                    "so the answer's tokens cannot be told apart. Choose a checkpoint with an append-only template."
                )
            fields["length"] = max(fields["length"], min(len(ids), max_length))
        conversations.append(fields)
    return conversations


def _tokens(tokenizer: Any, messages: Sequence[Mapping[str, str]], **options: Any) -> list[int]:
    return list(tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **options)["input_ids"])


def _accumulation(settings: Training, sequences: int) -> int:
    """Micro batches per optimizer step, where one pass over all devices takes ``sequences`` sequences."""
    steps, rest = divmod(settings.batch_size, sequences)
    if rest:
        raise InputError(
            f"batch_size {settings.batch_size} is not a multiple of {sequences} (micro_batch {settings.micro_batch} x "
            f"{sequences // settings.micro_batch} devices). Change batch_size or micro_batch."
        )
    return steps


def _warmup_steps(settings: Training, examples: int) -> int:
    """Rounded down, because the first warmup step has learning rate 0: a run of one step would learn nothing."""
    steps = math.ceil(settings.epochs * math.ceil(examples / settings.batch_size))
    return int(settings.warmup_ratio * steps)


def _progress() -> Any:
    from transformers import ProgressCallback

    class Progress(ProgressCallback):  # type: ignore[misc]
        """The trainer's bar on stderr, without its lines on stdout. Stops at the first number that is none."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            for name in ("loss", "grad_norm"):
                value = logs.get(name, 0.0)
                if not math.isfinite(value):
                    self.training_bar.close()
                    raise ArenaError(
                        f"Training broke off at step {state.global_step}: {name} is {value}. Nothing was kept. "
                        "Lower the learning rate, or check the weights of the model that was trained."
                    )

    return Progress()


def _publish(model: Any, tokenizer: Any, scratch: Path, out: Path) -> None:
    """Write beside ``out`` and rename, so that a killed run leaves the old checkpoint or none, never half of one."""
    model.config.use_cache = True  # off while training; what is saved is for answering
    model.save_pretrained(scratch / "checkpoint")
    tokenizer.save_pretrained(scratch / "checkpoint")
    if out.exists():
        out.rename(scratch / "replaced")
    (scratch / "checkpoint").rename(out)


@contextmanager
def _quiet() -> Iterator[None]:
    """Only the training bar: no progress of data preparation, no log lines, no warnings, no usage statistics."""
    import datasets
    import huggingface_hub
    from transformers.utils import logging as transformers_logging

    # TRL's trainers report every construction over the network. The variable of this name is read at import only.
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
    loggers = {logging.getLogger(name): logging.getLogger(name).level for name in _LIBRARIES}
    weights_bar, data_bar = transformers_logging.is_progress_bar_enabled(), not datasets.are_progress_bars_disabled()
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        transformers_logging.disable_progress_bar()
        datasets.disable_progress_bars()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in loggers.items():
            logger.setLevel(level)
        if weights_bar:
            transformers_logging.enable_progress_bar()
        if data_bar:
            datasets.enable_progress_bars()
