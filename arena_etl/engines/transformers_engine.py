"""Batched generation with transformers on a CPU or one GPU."""

import hashlib
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena_etl.config import Engine as EngineSettings
from arena_etl.config import Sampling, digest
from arena_etl.engines import hardware
from arena_etl.engines.base import Completion, Order, Request, answered, batched, failed, models_extra
from arena_etl.engines.store import require_adapter
from arena_etl.errors import InputError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Prompt:
    key: str
    tokens: list[int]
    sampling: Sampling


class TransformersEngine:
    """Answers conversations with the checkpoint in ``model_dir``.

    The prompt is what the tokenizer's chat template makes of the messages, after ``system_prompt`` if there is one.
    ``forced_prefix``: text that opens every answer; the model goes on from it, and it is part of the returned text.
    The sampling parameters are ``sampling`` alone: defaults that came with the checkpoint do not count. An answer that
    is drawn at random depends on the seed and on the batch it is in, so equal calls give equal answers.

    Raises InputError when the checkpoint cannot be loaded, has no chat template, or one that refuses the system prompt.
    """

    def __init__(
        self,
        model_dir: Path,
        sampling: Sampling,
        system_prompt: str | None,
        settings: EngineSettings,
        forced_prefix: str | None = None,
        reasoning_tags: tuple[str, str] | None = None,
        logprobs: int = 0,
        adapter: str | None = None,
    ) -> None:
        with models_extra():
            import torch
            import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self._device = hardware.device(settings)
        dtype = hardware.dtype(settings)
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir, trust_remote_code=False)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                model_dir, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=False
            )
        except (OSError, ValueError, ImportError) as error:
            raise InputError(f"{model_dir}: cannot be loaded as a causal language model ({error}).") from error
        if adapter is not None:
            try:
                model.load_adapter(require_adapter(adapter))
            except (OSError, ValueError, ImportError) as error:
                raise InputError(
                    f"adapter {adapter}: cannot be loaded ({error}). It needs `pip install peft`."
                ) from error
        self._tags = reasoning_tags
        self._logprobs = logprobs
        self._model = model.to(self._device).eval()
        self._sampling = sampling
        self._batch_size = settings.batch_size
        self._system = [] if system_prompt is None else [{"role": "system", "content": system_prompt}]
        self._prefix = forced_prefix or ""
        self._stop_tokens = _stop_tokens(model, self._tokenizer)
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token_id = min(self._stop_tokens)
        # generate() takes what its argument leaves open from the model's own configuration, hence the replacement.
        model.generation_config = self._generation_config(sampling)
        template = self._chat_template(model_dir)
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._context: int | None = context
        self.request_settings: dict[str, Any] = {
            "engine": "transformers",
            "sampling": sampling.model_dump(),
            "system_prompt": system_prompt,
            "forced_prefix": forced_prefix,
            "template_sha256": hashlib.sha256(template.encode()).hexdigest(),
            "dtype": dtype,
        }

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield one completion per request, batch by batch, longest prompts first.

        A request that cannot be answered (too long, refused by the template, out of memory alone in its batch) gets an
        error and never stops the others.
        """
        from jinja2 import TemplateError

        groups: dict[Sampling, list[_Prompt]] = defaultdict(list)
        for request in requests:
            try:
                tokens = self._encode(request.messages)
            except TemplateError as error:
                yield failed(request.key, f"chat template: {error}")
                continue
            sampling = request.sampling or self._sampling
            longest = None if self._context is None else self._context - sampling.max_new_tokens
            if longest is not None and len(tokens) > longest:
                most = f"{longest} leave room for {sampling.max_new_tokens} new ones"
                yield failed(request.key, f"context too long ({len(tokens)} prompt tokens, {most})", len(tokens))
                continue
            groups[sampling].append(_Prompt(request.key, tokens, sampling))
        # Equal lengths together waste least padding; the longest first, so that memory runs out at once or never.
        for prompts in groups.values():
            prompts.sort(key=lambda prompt: (-len(prompt.tokens), prompt.key))
            for batch in batched(prompts, self._batch_size):
                yield from self._complete_batch(batch)

    def close(self) -> None:
        """Let the weights go."""
        self._model = None

    def _chat_template(self, model_dir: Path) -> str:
        from jinja2 import TemplateError

        try:
            template: str = self._tokenizer.get_chat_template()
            self._encode(({"role": "user", "content": "Hello"},))
        except ValueError as error:
            raise InputError(
                f"{model_dir}: its tokenizer has no chat template. Choose a model that was tuned to chat."
            ) from error
        except TemplateError as error:
            raise InputError(
                f"{model_dir}: its chat template refuses the system prompt ({error}). Remove `system_prompt`."
            ) from error
        return template

    def _encode(self, messages: Sequence[Any]) -> list[int]:
        conversation = [*self._system, *messages]
        text = self._tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        # The template has written the special tokens already.
        tokens: list[int] = self._tokenizer(text + self._prefix, add_special_tokens=False)["input_ids"]
        return tokens

    def _generation_config(self, sampling: Sampling) -> Any:
        from transformers import GenerationConfig

        drawn: dict[str, Any] = {"do_sample": False}
        if sampling.temperature > 0:
            # top_k is 50 unless it is switched off.
            drawn = {
                "do_sample": True,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": 0,
            }
        return GenerationConfig(
            max_new_tokens=sampling.max_new_tokens,
            eos_token_id=sorted(self._stop_tokens),
            pad_token_id=self._tokenizer.pad_token_id,
            **drawn,
        )

    def _complete_batch(self, batch: Sequence[_Prompt]) -> Iterator[Completion]:
        started = time.perf_counter()
        try:
            answers, top = self._generate(batch)
        except (RuntimeError, MemoryError) as error:  # torch's out-of-memory error is a RuntimeError
            answers = None
            code = "out of memory" if isinstance(error, MemoryError) or "memory" in str(error) else "engine failed"
            reason = f"{code}: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        latency = (time.perf_counter() - started) / len(batch)
        if answers is not None:
            for row, (prompt, tokens) in enumerate(zip(batch, answers, strict=True)):
                yield self._completion(prompt, tokens, latency, [step[row] for step in top])
        elif len(batch) == 1:
            yield failed(batch[0].key, reason, len(batch[0].tokens), latency_s=latency)
        else:
            # Out of the except block: the traceback held the failed batch's tensors.
            logger.warning("a batch of %d failed (%s), trying its halves", len(batch), reason)
            middle = len(batch) // 2
            yield from self._complete_batch(batch[:middle])
            yield from self._complete_batch(batch[middle:])

    def _generate(self, batch: Sequence[_Prompt]) -> tuple[list[list[int]], list[list[dict[int, float]]]]:
        """The tokens after each prompt, the stop token and the padding after it included, and per step and row the
        likeliest tokens with their log-probabilities before temperature and top_p."""
        import torch

        sampling = batch[0].sampling
        if sampling.temperature > 0:
            seed = digest([sampling.seed, [prompt.key for prompt in batch]])
            torch.manual_seed(int(seed[:15], 16))
        inputs = self._tokenizer.pad(
            {"input_ids": [prompt.tokens for prompt in batch]}, padding_side="left", return_tensors="pt"
        ).to(self._device)
        top: list[list[dict[int, float]]] = []

        def watch(_: Any, scores: Any) -> Any:  # keeps a few numbers per step, where output_logits keeps the vocabulary
            best = torch.log_softmax(scores.float(), dim=-1).topk(self._logprobs)
            rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            top.append([dict(zip(ids, values, strict=True)) for ids, values in rows])
            return scores

        watched = {"logits_processor": [watch]} if self._logprobs else {}
        with torch.inference_mode():
            output = self._model.generate(**inputs, generation_config=self._generation_config(sampling), **watched)
        tokens: list[list[int]] = output[:, inputs["input_ids"].shape[1] :].tolist()
        return tokens, top

    def _completion(
        self, prompt: _Prompt, tokens: list[int], latency: float, top: list[dict[int, float]]
    ) -> Completion:
        stop = next((place for place, token in enumerate(tokens) if token in self._stop_tokens), None)
        if stop is not None:  # all that follows is padding, which may be the same token
            tokens = tokens[: stop + 1]
        # Decoded behind the prompt: on its own, the first token may lose the space that parts it from the prefix.
        answer = self._decode(prompt.tokens + tokens)[len(self._decode(prompt.tokens)) :]
        if not answer.strip():
            return failed(prompt.key, "empty completion", len(prompt.tokens), len(tokens), latency)
        steps = top[: len(tokens)]
        return answered(
            prompt.key,
            self._prefix + answer,
            "length" if stop is None else "stop",
            tags=self._tags,
            tokens_in=len(prompt.tokens),
            tokens_out=len(tokens),
            latency_s=latency,
            top_logprobs=tuple({self._tokenizer.decode([t]): value for t, value in step.items()} for step in steps)
            if steps
            else None,
        )

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


def create(order: Order) -> TransformersEngine:
    """For ``factory.open_engine``."""
    return TransformersEngine(
        order.local_folder(),
        order.sampling,
        order.system_prompt,
        order.settings,
        order.forced_prefix,
        order.model.reasoning_tags,
        order.logprobs,
        order.model.adapter,
    )


def _stop_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """What ends an answer: the tokenizer's end token and those that came with the checkpoint."""
    own = model.generation_config.eos_token_id
    tokens = [tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
    found = frozenset(token for token in tokens if token is not None)
    if not found:
        raise InputError(f"{model.name_or_path}: neither the tokenizer nor the model names an end-of-answer token.")
    return found
