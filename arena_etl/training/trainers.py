"""SFT, DPO, reward model, PPO and RLOO on a model's weights or an adapter. The one module that knows the trainer library, TRL."""

import contextlib
import gc
import io
import logging
import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from arena_etl.config import DpoTraining, Engine, Guards, PpoTraining, RewardTraining, SftTraining, Training
from arena_etl.engines import hardware
from arena_etl.errors import ArenaError, InputError
from arena_etl.training import examples as datasets_of
from arena_etl.training.callbacks import VALUE_WEIGHT, Stopped, Watch, observer, standard
from arena_etl.training.guards import Guard, reward_accuracy

# Grouping reads the column `length`, which the trainer would otherwise drop as unknown to the model.
_BY_LENGTH = {"train_sampling_strategy": "group_by_length", "remove_unused_columns": False}
_SAFE = {"use_safetensors": True, "trust_remote_code": False}  # no pickle, no code that comes with weights
LIBRARIES = ("torch", "transformers", "trl", "accelerate", "datasets", "peft")


@dataclass(frozen=True)
class Step:
    """One optimizer step: mean loss of its batch, learning rate it used, gradient norm before clipping."""

    step: int
    loss: float
    learning_rate: float
    grad_norm: float | None


@dataclass(frozen=True)
class TrainingResult:
    """``effective_batch_size``: devices x micro batch x accumulation. ``seconds``: wall clock, loading and saving too.

    ``metrics``: (step, name, value) of everything else that was logged. ``stopped``: why a guard ended the training; there
    is no checkpoint then. ``accuracy``: share of held-out pairs that a reward model orders rightly, of ``held_out`` ones.
    """

    steps: int
    effective_batch_size: int
    curve: list[Step]
    metrics: list[tuple[int, str, float]]
    seconds: float
    versions: dict[str, str]
    stopped: str | None = None
    accuracy: float | None = None
    held_out: int = 0


@dataclass
class _Work:
    """One training under way."""

    base: Path
    out: Path
    settings: Training
    engine: Engine
    watch: Watch
    tokenizer: Any
    scratch: Path
    started: float = field(default_factory=time.monotonic)
    device: str = "cpu"
    prompts: list[list[int]] = field(default_factory=list)


def train_sft(
    examples: pa.Table, base: Path, out: Path, settings: SftTraining, engine: Engine, watch: Watch | None = None
) -> TrainingResult:
    """Teach the model in ``base`` the chosen answers; the loss is taken on the answers only.

    ``examples``: rows of the table training_sets, in any order. ``out``: the checkpoint to write; an older one there is
    replaced once the new one is complete. Answers are cut at ``settings.max_length`` tokens, prompts never. ``watch``:
    guards, checkpoints to resume from, and who hears of progress.

    Raises InputError for examples, models or settings that cannot be trained. Where a guard stops the training, the
    result says why and ``out`` is as it was before.
    """
    with _work(examples, base, out, settings, engine, watch) as work:
        from trl import SFTConfig, SFTTrainer

        dataset = datasets_of.answers(examples, work.tokenizer, settings.max_length)
        arguments = SFTConfig(
            **_arguments(work, len(dataset)),
            **({"packing": True} if settings.packing else _BY_LENGTH),
            max_length=settings.max_length,
            completion_only_loss=True,
        )
        _accumulate(arguments, settings)
        # Given a path, TRL loads the weights, and those of the reference, in float32.
        trainer = SFTTrainer(
            model=str(base),
            args=arguments,
            train_dataset=dataset,
            processing_class=work.tokenizer,
            peft_config=_lora(settings),
        )
        return _run(trainer, work, Guard(work.watch.guards, pairwise=False))


def train_dpo(
    examples: pa.Table,
    base: Path,
    out: Path,
    settings: DpoTraining,
    engine: Engine,
    watch: Watch | None = None,
    reference: Path | None = None,
) -> TrainingResult:
    """Teach the model in ``base`` to prefer the chosen over the rejected answers (Rafailov et al. 2023, sigmoid loss).

    ``reference``: the model that it is pulled to; None: ``base`` itself. Other arguments and errors as in ``train_sft``.
    """
    with _work(examples, base, out, settings, engine, watch) as work:
        from trl import DPOConfig, DPOTrainer

        dataset = datasets_of.preferences(examples, work.tokenizer, settings.max_length)
        # Computed once before training, the reference's log probabilities save a second model in memory. In bfloat16
        # they move by tenths with the padding of the batch, so there model and reference must see the same batch.
        arguments = DPOConfig(
            **_arguments(work, len(dataset)),
            **_BY_LENGTH,
            max_length=settings.max_length,
            beta=settings.beta,
            precompute_ref_log_probs=hardware.dtype(engine) == "float32",
        )
        _accumulate(arguments, settings)
        trainer = DPOTrainer(
            model=str(base),
            ref_model=None if reference in (None, base) else _causal_model(reference),
            args=arguments,
            train_dataset=dataset,
            processing_class=work.tokenizer,
            peft_config=_lora(settings),
        )
        return _run(trainer, work, Guard(work.watch.guards, pairwise=True))


def train_reward(
    examples: pa.Table, base: Path, out: Path, settings: RewardTraining, engine: Engine, watch: Watch | None = None
) -> TrainingResult:
    """Make a reward model out of ``base``: one number per conversation, larger for the chosen than for the rejected answer.

    Pairwise logistic loss. ``settings.held_out`` of the pairs, drawn by their ids, only measure its accuracy, and the guard
    on it may refuse the result. Other arguments and errors as in ``train_sft``.
    """
    with _work(examples, base, out, settings, engine, watch) as work:
        from trl import RewardConfig, RewardTrainer

        work.tokenizer.pad_token = _spare_token(work.tokenizer)
        pairs = examples.sort_by("example_id")  # ids are hashes: their order is a shuffle
        held_out = int(settings.held_out * pairs.num_rows)
        dataset = datasets_of.scored(pairs.slice(held_out), work.tokenizer, settings.max_length)
        test = datasets_of.scored(pairs.slice(0, held_out), work.tokenizer, settings.max_length) if held_out else None
        arguments = RewardConfig(
            **_arguments(work, len(dataset)),
            per_device_eval_batch_size=settings.micro_batch,
            max_length=None,
            pad_token=work.tokenizer.pad_token,
        )
        _accumulate(arguments, settings)
        trainer = RewardTrainer(
            model=str(base),
            args=arguments,
            train_dataset=dataset,
            eval_dataset=test,
            processing_class=work.tokenizer,
            peft_config=_lora(settings, "SEQ_CLS", ("score",)),
        )

        def judge(trained: Any) -> tuple[float | None, str | None]:
            accuracy = trained.evaluate()["eval_accuracy"] if held_out else None
            return accuracy, reward_accuracy(work.watch.guards, accuracy, held_out)

        return _run(trainer, work, Guard(work.watch.guards, pairwise=True), judge, held_out)


def train_rl(
    examples: pa.Table,
    base: Path,
    out: Path,
    settings: PpoTraining,
    engine: Engine,
    watch: Watch | None = None,
    *,
    reward_model: Path,
    reference: Path | None = None,
) -> TrainingResult:
    """Let the model in ``base`` answer the prompts, and reinforce what the reward model scores highly.

    ``settings.algorithm``: PPO with a critic that starts as the reward model, or RLOO without a critic. ``reference``: the
    model that the KL penalty pulls to; None: ``base`` itself. Other arguments and errors as in ``train_sft``.
    """
    with _work(examples, base, out, settings, engine, watch) as work:
        work.tokenizer.pad_token = _spare_token(work.tokenizer)
        work.tokenizer.padding_side = "left"
        # Both trainers drop an incomplete batch: few prompts are answered several times instead.
        group = settings.generations if settings.algorithm == "rloo" else 1
        copies = math.ceil(settings.batch_size / group / max(1, examples.num_rows))
        dataset = datasets_of.prompts(examples, work.tokenizer, settings.max_length, copies)
        maker = _rloo if settings.algorithm == "rloo" else _ppo
        trainer = maker(work, settings, dataset, examples.num_rows, reward_model, reference)
        return _run(trainer, work, Guard(work.watch.guards, pairwise=False))


def _ppo(
    work: _Work, settings: PpoTraining, dataset: Any, prompts: int, reward_model: Path, reference: Path | None
) -> Any:
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    policy = _causal_model(work.base)
    arguments = PPOConfig(
        **{**_arguments(work, prompts), "gradient_checkpointing": False, "save_strategy": "no"},
        total_episodes=math.ceil(settings.epochs * prompts),
        response_length=settings.max_new_tokens,
        stop_token="eos",
        temperature=settings.temperature,
        kl_coef=settings.kl_coefficient,
        num_ppo_epochs=settings.ppo_epochs,
        cliprange=settings.clip_range,
        vf_coef=VALUE_WEIGHT,
        missing_eos_penalty=settings.missing_end_penalty or None,
        local_rollout_forward_batch_size=settings.micro_batch,
        num_sample_generations=0,
    )
    _accumulate(arguments, settings)
    if _checkpointing(settings, work.device):  # PPOTrainer leaves that to its caller
        policy.gradient_checkpointing_enable()
    # A reference of its own is needed unless it is the start of an adapter, which can be switched off.
    shared = settings.lora is not None and reference in (None, work.base)
    return PPOTrainer(
        args=arguments,
        processing_class=work.tokenizer,
        model=policy,
        ref_model=None if shared else _causal_model(reference or work.base),
        reward_model=_reward_model(reward_model),
        value_model=_reward_model(reward_model),
        train_dataset=dataset.select_columns(["input_ids"]),
        peft_config=_lora(settings),
    )


def _rloo(
    work: _Work, settings: PpoTraining, dataset: Any, prompts: int, reward_model: Path, reference: Path | None
) -> Any:
    from trl import RLOOConfig, RLOOTrainer

    if reference not in (None, work.base):
        raise InputError(
            "ppo.reference: rloo pulls to the weights that it starts from. Set reference: start or algorithm: ppo."
        )
    arguments = RLOOConfig(
        **_arguments(work, prompts * settings.generations),
        num_generations=settings.generations,
        max_completion_length=settings.max_new_tokens,
        temperature=settings.temperature,
        beta=settings.kl_coefficient,
        epsilon=settings.clip_range,
    )
    _accumulate(arguments, settings)
    return RLOOTrainer(
        model=str(work.base),
        reward_funcs=_rewards(_reward_model(reward_model), work),
        args=arguments,
        train_dataset=dataset.select_columns(["prompt"]),
        processing_class=work.tokenizer,
        peft_config=_lora(settings),
    )


def _rewards(model: Any, work: _Work) -> Callable[..., list[float]]:
    """The scores of answers, read where they are read in the reward model's own training."""
    import torch

    model = model.to(work.device).eval()
    end = work.tokenizer.eos_token_id

    def reward(prompts: Any, completion_ids: Any, **_: Any) -> list[float]:
        encoded = work.tokenizer.apply_chat_template(prompts, add_generation_prompt=True, return_dict=True)
        scores = []
        for prompt, answer in zip(encoded["input_ids"], completion_ids, strict=True):
            answer = answer[: answer.index(end) + 1] if end in answer else answer
            ids = torch.tensor([list(prompt) + list(answer)], device=model.device)
            with torch.inference_mode():
                scores.append(float(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 0]))
        return scores

    return reward


@contextmanager
def _work(
    examples: pa.Table, base: Path, out: Path, settings: Training, engine: Engine, watch: Watch | None
) -> Iterator[_Work]:
    """What every training begins and ends with."""
    if not examples.num_rows:
        raise ArenaError("Training needs at least one example, and none was selected. Lower the selection's margin.")
    with _quiet(), contextlib.redirect_stdout(io.StringIO()):
        import torch
        from accelerate import PartialState
        from transformers import AutoTokenizer

        device = hardware.device(engine)
        if engine.threads:
            torch.set_num_threads(engine.threads)
        state = PartialState(cpu=device == "cpu")
        # All processes of a training write into one folder, the last checkpoints too.
        scratch = out.parent / f".{out.name}-work"
        if state.is_main_process:
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
        state.wait_for_everyone()
        tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
        work = _Work(base, out, settings, engine, watch or Watch(Guards()), tokenizer, scratch, device=device)
        if work.watch.guards.probe_steps and not isinstance(settings, RewardTraining):  # which does not answer
            probed = examples.sort_by("example_id").slice(0, work.watch.guards.probe_prompts)
            work.prompts += datasets_of.prompts(probed, tokenizer, settings.max_length)["input_ids"]
        gc.collect()
        gc.freeze()  # PPOTrainer collects garbage several times per step: it need not look at what was there before
        try:
            yield work
        finally:
            gc.unfreeze()
            state.wait_for_everyone()
            if state.is_main_process:
                shutil.rmtree(scratch, ignore_errors=True)


def _arguments(work: _Work, sequences: int) -> dict[str, Any]:
    """What the configurations of all trainers share. ``sequences``: of one epoch."""
    settings, watch = work.settings, work.watch
    saving = {"save_strategy": "steps", "save_steps": watch.save_steps, "save_total_limit": 1}
    return {
        "output_dir": str(work.scratch / "trainer"),
        "use_cpu": work.device == "cpu",
        "bf16": hardware.dtype(work.engine) == "bfloat16",  # products only: the weights are float32 in any case
        "learning_rate": settings.learning_rate,
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": settings.micro_batch,
        "lr_scheduler_type": "cosine",
        "warmup_steps": _warmup_steps(settings, sequences),
        "seed": settings.seed,
        # A GPU's memory is the smaller one: there, activations are computed twice instead of kept.
        "gradient_checkpointing": _checkpointing(settings, work.device),
        "dataloader_pin_memory": work.device == "cuda",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": watch.tracking,
        "disable_tqdm": False,
        **(saving if watch.save_steps and watch.save else {"save_strategy": "no"}),
    }


def _checkpointing(settings: Training, device: str) -> bool:
    return device == "cuda" if settings.gradient_checkpointing is None else settings.gradient_checkpointing


def _accumulate(arguments: Any, settings: Training) -> None:
    """Set the micro batches per optimizer step, so that one step takes ``settings.batch_size`` sequences."""
    sequences = arguments.train_batch_size * _processes()
    steps, rest = divmod(settings.batch_size, sequences)
    if rest:
        raise InputError(
            f"batch_size {settings.batch_size} is not a multiple of {sequences} (micro_batch {settings.micro_batch} x "
            f"{sequences // settings.micro_batch} devices). Change batch_size or micro_batch."
        )
    arguments.gradient_accumulation_steps = steps


def _processes() -> int:
    from accelerate import PartialState

    return int(PartialState().num_processes)


def _warmup_steps(settings: Training, examples: int) -> int:
    """Rounded down, because the first warmup step has learning rate 0: a run of one step would learn nothing."""
    steps = math.ceil(settings.epochs * math.ceil(examples / settings.batch_size))
    return int(settings.warmup_ratio * steps)


def _lora(settings: Training, task: str = "CAUSAL_LM", whole: tuple[str, ...] = ()) -> Any:
    """``whole``: layers that are trained in full beside the adapter."""
    if settings.lora is None:
        return None
    from peft import LoraConfig

    modules = settings.lora.target_modules
    return LoraConfig(
        r=settings.lora.rank,
        lora_alpha=settings.lora.alpha,
        lora_dropout=settings.lora.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        modules_to_save=list(whole) or None,
        task_type=task,
    )


def _causal_model(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **_SAFE)


def _reward_model(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32, **_SAFE)


def _spare_token(tokenizer: Any) -> str:
    """A padding token that no text contains. Where answers end with the padding token, as in many chat models, a reward
    model would score the token before the end, and PPO would take the ends of turns for padding.
    """
    if tokenizer.pad_token not in (None, tokenizer.eos_token):
        return str(tokenizer.pad_token)
    used = {tokenizer.eos_token, tokenizer.bos_token}
    template = str(tokenizer.chat_template)
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    for token in (tokenizer.unk_token, *special):
        if token is not None and token not in used and token not in template:
            return str(token)
    raise InputError(
        "The tokenizer has no special token to spare for padding: its own is the one that ends answers. Add one to the "
        "tokenizer of the checkpoint (pad_token)."
    )


def _run(
    trainer: Any,
    work: _Work,
    guard: Guard,
    judge: Callable[[Any], tuple[float | None, str | None]] = lambda trained: (None, None),
    held_out: int = 0,
) -> TrainingResult:
    from transformers import ProgressCallback

    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(observer(work.watch, guard, work.prompts))
    stopped, accuracy = None, None
    try:
        if work.watch.resume is not None and _resumes(trainer):
            trainer.train(resume_from_checkpoint=str(work.watch.resume))
        else:
            trainer.train()
        accuracy, stopped = judge(trainer)
    except Stopped as reason:
        stopped = str(reason)
    if stopped is None:
        _publish(trainer, work)
    arguments = trainer.args
    curve, metrics = _logged(trainer.state.log_history)
    return TrainingResult(
        steps=trainer.state.global_step,
        effective_batch_size=arguments.train_batch_size * _processes() * arguments.gradient_accumulation_steps,
        curve=curve,
        metrics=metrics,
        seconds=time.monotonic() - work.started,
        versions={library: version(library) for library in LIBRARIES},
        stopped=stopped,
        accuracy=accuracy,
        held_out=held_out,
    )


def _resumes(trainer: Any) -> bool:
    """PPOTrainer has a loop of its own, which starts at the beginning."""
    return type(trainer).__name__ != "PPOTrainer"


def _logged(history: list[Mapping[str, Any]]) -> tuple[list[Step], list[tuple[int, str, float]]]:
    curve, metrics = [], []
    for entry in map(standard, history):
        if "loss" in entry:
            curve.append(Step(entry["step"], entry["loss"], entry["learning_rate"], entry.get("grad_norm")))
        known = ("step", "loss", "learning_rate", "grad_norm", "epoch")
        metrics += [
            (entry["step"], name, float(value))
            for name, value in sorted(entry.items())
            if name not in known and isinstance(value, int | float)
        ]
    return curve, metrics


def _publish(trainer: Any, work: _Work) -> None:
    """Write beside ``out`` and rename, so that a killed run leaves the old checkpoint or none, never half of one."""
    model = getattr(trainer.accelerator.unwrap_model(trainer.model), "policy", trainer.model)
    model.config.use_cache = True  # off while training; what is saved is for answering
    saved = work.scratch / "checkpoint"
    trainer.save_model(str(saved))  # every process: the weights may be spread over all of them
    if not trainer.is_world_process_zero():
        return
    if work.settings.lora is not None:
        adapter = saved.rename(work.scratch / "adapter")
        _merged(adapter, work).save_pretrained(saved)
    (saved / "training_args.bin").unlink(missing_ok=True)  # pickled
    if not isinstance(work.settings, RewardTraining):  # its padding token is its own
        _tokenizer_of(work.base).save_pretrained(saved)
        if (generation := work.base / "generation_config.json").is_file():
            shutil.copy(generation, saved)
    else:
        work.tokenizer.save_pretrained(saved)
    if work.out.exists():
        work.out.rename(work.scratch / "replaced")
    saved.rename(work.out)


def _merged(adapter: Path, work: _Work) -> Any:
    from peft import PeftModel

    base = _reward_model(work.base) if isinstance(work.settings, RewardTraining) else _causal_model(work.base)
    base.config.pad_token_id = work.tokenizer.pad_token_id
    return PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()


def _tokenizer_of(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Only the training bar: no progress of data preparation, no log lines, no warnings, no usage statistics."""
    import datasets
    import huggingface_hub
    from transformers.utils import logging as transformers_logging

    # TRL's trainers report every construction over the network. The variable of this name is read at import only.
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
    loggers = {logging.getLogger(name): logging.getLogger(name).level for name in LIBRARIES}
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
