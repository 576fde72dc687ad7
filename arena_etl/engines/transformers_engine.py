"""Batched generation with transformers on a CPU or one GPU."""

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena_etl.config import Engine as EngineSettings
from arena_etl.config import Sampling, digest
from arena_etl.engines import hardware
from arena_etl.engines.base import Completion, Request, failed, models_extra
from arena_etl.errors import InputError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Prompt:
    key: str
    tokens: list[int]


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
        self._model = model.to(self._device).eval()
        self._sampling = sampling
        self._batch_size = settings.batch_size
        self._system = [] if system_prompt is None else [{"role": "system", "content": system_prompt}]
        self._prefix = forced_prefix or ""
        self._stop_tokens = _stop_tokens(model, self._tokenizer)
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token_id = min(self._stop_tokens)
        # generate() takes what its argument leaves open from the model's own configuration, hence the replacement.
        model.generation_config = self._generation_config()
        template = self._chat_template(model_dir)
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._longest_prompt = None if context is None else context - sampling.max_new_tokens
        self.request_settings: dict[str, Any] = {
            "engine": "transformers",
            "sampling": sampling.model_dump(),
            "system_prompt": system_prompt,
            "forced_prefix": forced_prefix,
            "template_sha256": hashlib.sha256(template.encode()).hexdigest(),
            "dtype": dtype,
        }

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield one completion per request, batch by batch, longest prompts first.

        A request that cannot be answered (too long, refused by the template, out of memory alone in its batch) gets an
        error and never stops the others.
        """
        from jinja2 import TemplateError

        prompts = []
        for request in requests:
            try:
                tokens = self._encode(request.messages)
            except TemplateError as error:
                yield failed(request.key, f"chat template: {error}")
                continue
            if self._longest_prompt is not None and len(tokens) > self._longest_prompt:
                most = f"{self._longest_prompt} leave room for {self._sampling.max_new_tokens} new ones"
                yield failed(request.key, f"context too long ({len(tokens)} prompt tokens, {most})", len(tokens))
                continue
            prompts.append(_Prompt(request.key, tokens))
        # Equal lengths together waste least padding; the longest first, so that memory runs out at once or never.
        prompts.sort(key=lambda prompt: (-len(prompt.tokens), prompt.key))
        for start in range(0, len(prompts), self._batch_size):
            yield from self._complete_batch(prompts[start : start + self._batch_size])

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

    def _generation_config(self) -> Any:
        from transformers import GenerationConfig

        drawn: dict[str, Any] = {"do_sample": False}
        if self._sampling.temperature > 0:
            # top_k is 50 unless it is switched off.
            drawn = {
                "do_sample": True,
                "temperature": self._sampling.temperature,
                "top_p": self._sampling.top_p,
                "top_k": 0,
            }
        return GenerationConfig(
            max_new_tokens=self._sampling.max_new_tokens,
            eos_token_id=sorted(self._stop_tokens),
            pad_token_id=self._tokenizer.pad_token_id,
            **drawn,
        )

    def _complete_batch(self, batch: Sequence[_Prompt]) -> Iterator[Completion]:
        started = time.perf_counter()
        try:
            answers = self._generate(batch)
        except (RuntimeError, MemoryError) as error:  # torch's out-of-memory error is a RuntimeError
            answers = None
            reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        latency = (time.perf_counter() - started) / len(batch)
        if answers is not None:
            for prompt, tokens in zip(batch, answers, strict=True):
                yield self._completion(prompt, tokens, latency)
        elif len(batch) == 1:
            yield failed(batch[0].key, reason, len(batch[0].tokens), latency_s=latency)
        else:
            # Out of the except block: the traceback held the failed batch's tensors.
            logger.warning("a batch of %d failed (%s), trying its halves", len(batch), reason)
            middle = len(batch) // 2
            yield from self._complete_batch(batch[:middle])
            yield from self._complete_batch(batch[middle:])

    def _generate(self, batch: Sequence[_Prompt]) -> list[list[int]]:
        """The tokens after each prompt, up to the stop token and the padding after it."""
        import torch

        if self._sampling.temperature > 0:
            seed = digest([self._sampling.seed, [prompt.key for prompt in batch]])
            torch.manual_seed(int(seed[:15], 16))
        inputs = self._tokenizer.pad(
            {"input_ids": [prompt.tokens for prompt in batch]}, padding_side="left", return_tensors="pt"
        ).to(self._device)
        with torch.inference_mode():
            output = self._model.generate(**inputs)
        tokens: list[list[int]] = output[:, inputs["input_ids"].shape[1] :].tolist()
        return tokens

    def _completion(self, prompt: _Prompt, tokens: list[int], latency: float) -> Completion:
        stop = next((place for place, token in enumerate(tokens) if token in self._stop_tokens), None)
        if stop is not None:  # all that follows is padding, which may be the same token
            tokens = tokens[: stop + 1]
        # Decoded behind the prompt: on its own, the first token may lose the space that parts it from the prefix.
        answer = self._decode(prompt.tokens + tokens)[len(self._decode(prompt.tokens)) :]
        if not answer.strip():
            return failed(prompt.key, "empty completion", len(prompt.tokens), len(tokens), latency)
        return Completion(
            key=prompt.key,
            text=(self._prefix + answer).strip(),
            finish_reason="length" if stop is None else "stop",
            error=None,
            tokens_in=len(prompt.tokens),
            tokens_out=len(tokens),
            latency_s=latency,
        )

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


def _stop_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """What ends an answer: the tokenizer's end token and those that came with the checkpoint."""
    own = model.generation_config.eos_token_id
    tokens = [tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
    found = frozenset(token for token in tokens if token is not None)
    if not found:
        raise InputError(f"{model.name_or_path}: neither the tokenizer nor the model names an end-of-answer token.")
    return found
