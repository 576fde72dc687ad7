"""What is looked at while a trainer works: its bar, the guards, checkpoints to resume from, answers on the way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena_etl.config import Guards
from arena_etl.training.guards import Guard

VALUE_WEIGHT = 0.1  # of the critic in the loss of PPO


class Stopped(Exception):
    """A guard ended the training; the message says why."""


def _nobody(step: int, total: int, metrics: Mapping[str, float]) -> None:
    """Hears of progress, and does nothing."""


@dataclass(frozen=True)
class Watch:
    """What a training is accompanied by.

    ``heard``: told of every optimizer step, of how many, with what was logged. ``save``: given the folder of a trainer's
    checkpoint every ``save_steps`` steps. ``resume``: such a folder, to go on from. ``tracking``: see ``config.Launch``.
    """

    guards: Guards
    heard: Callable[[int, int, Mapping[str, float]], None] = _nobody
    save: Callable[[Path], None] | None = None
    save_steps: int = 0
    resume: Path | None = None
    tracking: str = "none"


def observer(watch: Watch, guard: Guard, prompts: Sequence[Sequence[int]]) -> Any:
    """A callback for transformers' trainers. Raises Stopped out of the trainer when a guard says so.

    ``prompts``: tokens of prompts that the model answers on the way where ``guards.probe_steps`` asks for it.
    """
    from transformers import ProgressCallback

    class Observer(ProgressCallback):  # type: ignore[misc]
        """The trainer's bar on stderr, without its lines on stdout."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **context: Any) -> None:
            super().on_train_begin(args, state, control, **context)
            if watch.guards.probe_steps and _alone():
                self._look(0, context)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **context: Any) -> None:
            if "train_runtime" in logs or any(name.startswith("eval_") for name in logs):
                return
            metrics = standard({name: value for name, value in logs.items() if isinstance(value, int | float)})
            if state.is_world_process_zero:
                watch.heard(state.global_step, state.max_steps, metrics)
            self._stop(guard.hear(state.global_step, metrics))

        def on_step_end(self, args: Any, state: Any, control: Any, **context: Any) -> None:
            super().on_step_end(args, state, control, **context)
            every = watch.guards.probe_steps
            if every and state.global_step % every == 0 and _alone():
                self._look(state.global_step, context)

        def on_save(self, args: Any, state: Any, control: Any, **context: Any) -> None:
            if watch.save is not None and state.is_world_process_zero:
                watch.save(Path(args.output_dir) / f"checkpoint-{state.global_step}")

        def _look(self, step: int, context: Mapping[str, Any]) -> None:
            if prompts:
                model, tokenizer = context["model"], context["processing_class"]
                self._stop(guard.probe(step, _answers(model, tokenizer, prompts, watch.guards.probe_tokens)))

        def _stop(self, reason: str | None) -> None:
            if reason is not None:
                if self.training_bar is not None:
                    self.training_bar.close()
                raise Stopped(reason)

    return Observer()


def _alone() -> bool:
    """Whether the whole model is in this process."""
    from accelerate import PartialState

    return int(PartialState().num_processes) == 1


def _answers(model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
    """Greedy answers of the model as it is, in tokens, without what ends them."""
    import torch

    model = getattr(model, "policy", model)  # PPO trains policy and critic as one
    was_training = model.training
    model.eval()
    answers = []
    with torch.inference_mode():
        for prompt in prompts:
            ids = torch.tensor([list(prompt)], device=model.device)
            output = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
            answers.append([token for token in output[0, ids.shape[1] :].tolist() if token != tokenizer.eos_token_id])
    model.train(was_training)
    return answers


def standard(logs: Mapping[str, Any]) -> dict[str, Any]:
    """What a trainer logs, under one name each: loss, learning_rate, kl (nats per answer), entropy (nats per token)."""
    named = dict(logs)
    if "loss/policy_avg" in logs:  # PPOTrainer
        named["loss"] = logs["loss/policy_avg"] + VALUE_WEIGHT * logs["loss/value_avg"]
        named["learning_rate"] = logs["lr"]
        named["kl"] = logs["objective/kl"]
        named["entropy"] = logs["policy/entropy_avg"]
    elif "kl" in logs and "completions/mean_length" in logs:  # RLOOTrainer, which tells it per token
        named["kl"] = logs["kl"] * logs["completions/mean_length"]
    return named
