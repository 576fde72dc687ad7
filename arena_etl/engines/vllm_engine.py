"""vLLM in this process: continuous batching over all requests in flight."""

import hashlib
import itertools
import time
from collections.abc import Iterable, Iterator
from typing import Any

from arena_etl.config import Sampling, digest
from arena_etl.engines import hardware
from arena_etl.engines.background import Background
from arena_etl.engines.base import Completion, Order, Request, answered, failed, request_seed
from arena_etl.engines.store import require_adapter
from arena_etl.errors import ArenaError, InputError


class VllmEngine:
    """Answers with the checkpoint in the order's folder, ``max_concurrency`` requests at once.

    It is vLLM's asynchronous engine, not ``vllm.LLM``: that one refuses data_parallel_size above 1, and gives a chunk's
    answers only when its last is there. The prompt is what the tokenizer's chat template makes of the messages. Answers
    that are drawn at random have a seed of their own, made of the sampling's seed and the key: they depend on no batch.

    Raises InputError when vLLM refuses the checkpoint or an argument of ``vllm``.
    """

    def __init__(self, order: Order) -> None:
        from transformers import AutoTokenizer
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.lora.request import LoRARequest
        from vllm.v1.engine.async_llm import AsyncLLM

        model, folder = order.model, str(order.local_folder())
        self._order = order
        self._system = [] if order.system_prompt is None else [{"role": "system", "content": order.system_prompt}]
        self._prefix = order.forced_prefix or ""
        self._adapter = None if model.adapter is None else LoRARequest("adapter", 1, require_adapter(model.adapter))
        self._numbers = itertools.count()
        self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        try:
            template = self._tokenizer.get_chat_template()
        except ValueError as error:
            raise InputError(
                f"{folder}: its tokenizer has no chat template. Choose a model that was tuned to chat."
            ) from error
        arguments = {
            "dtype": hardware.dtype(order.settings),
            "enable_lora": self._adapter is not None,
            "trust_remote_code": False,
            "disable_log_stats": True,
        } | model.vllm
        self._background = Background("vllm-engine")

        async def start() -> Any:
            return AsyncLLM.from_engine_args(AsyncEngineArgs(model=folder, **arguments))

        try:
            self._llm: Any = self._background.run(start())
        except (ValueError, TypeError, RuntimeError, OSError) as error:
            self._background.close()
            raise InputError(
                f"{folder}: vLLM does not start ({error}). Check the checkpoint and the model's vllm arguments: {arguments}."
            ) from error
        except BaseException:
            self._background.close()
            raise
        self.request_settings: dict[str, Any] = {
            "engine": "vllm",
            "sampling": order.sampling.model_dump(),
            "system_prompt": order.system_prompt,
            "forced_prefix": order.forced_prefix,
            "template_sha256": hashlib.sha256(template.encode()).hexdigest(),
            "response_schema_sha256": digest(order.response_schema) if order.response_schema is not None else None,
            "dtype": arguments["dtype"],
        }

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield one completion per request as they finish; requests are taken as places get free."""
        yield from self._background.map(self._answer, requests, self._order.model.max_concurrency)

    def close(self) -> None:
        """Stop vLLM's processes and give back its memory."""
        self._background.close(self._shut_down)

    async def _shut_down(self) -> None:
        self._llm.shutdown()
        self._llm = None  # else it shuts down again when the interpreter ends, and complains

    async def _answer(self, request: Request) -> Completion:
        from jinja2 import TemplateError
        from vllm.v1.engine.exceptions import EngineDeadError

        sampling = request.sampling or self._order.sampling
        try:
            text = self._tokenizer.apply_chat_template(
                [*self._system, *request.messages], tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            return failed(request.key, f"chat template: {error}")
        tokens = self._tokenizer(text + self._prefix, add_special_tokens=False)["input_ids"]
        longest = self._llm.model_config.max_model_len - sampling.max_new_tokens
        if len(tokens) > longest:
            most = f"{longest} leave room for {sampling.max_new_tokens} new ones"
            return failed(request.key, f"context too long ({len(tokens)} prompt tokens, {most})", len(tokens))
        started = time.perf_counter()
        final = None
        try:
            async for final in self._llm.generate(  # noqa: B007 (FINAL_ONLY: one output)
                {"prompt_token_ids": tokens},
                self._parameters(request.key, sampling),
                str(next(self._numbers)),  # keys may repeat, vLLM's ids may not
                lora_request=self._adapter,
            ):
                pass
        except EngineDeadError as error:
            raise ArenaError(
                "vLLM died: its own messages above say why. Run again: finished answers are kept."
            ) from error
        except (ValueError, RuntimeError) as error:
            return failed(request.key, f"engine failed: {error}", len(tokens))
        if final is None:
            return failed(request.key, "engine failed: no output", len(tokens))
        output = final.outputs[0]
        return answered(
            request.key,
            self._prefix + output.text,
            output.finish_reason or "stop",
            tags=self._order.model.reasoning_tags,
            tokens_in=len(tokens),
            tokens_out=len(output.token_ids),
            latency_s=time.perf_counter() - started,
            top_logprobs=tuple({c.decoded_token or "": c.logprob for c in step.values()} for step in output.logprobs)
            if output.logprobs
            else None,
        )

    def _parameters(self, key: str, sampling: Sampling) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

        schema = self._order.response_schema
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            seed=request_seed(sampling, key),
            logprobs=self._order.logprobs or None,
            structured_outputs=None if schema is None else StructuredOutputsParams(json=schema),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )


def create(order: Order) -> VllmEngine:
    """For ``factory.open_engine``."""
    try:
        import vllm  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"the backend vllm needs a library that is not installed ({error}). Install it in an environment of its own: "
            "pip install 'arena-etl[vllm]', or let `vllm serve` run elsewhere and choose the backend openai."
        ) from error
    return VllmEngine(order)
