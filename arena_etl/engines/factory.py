"""From a model's settings to the engine that answers for it. A backend is a module with ``create`` and a name here."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from arena_etl.config import Engine as EngineSettings
from arena_etl.config import Model, Sampling
from arena_etl.engines.base import Engine, Order

_MODULES = {  # imported when asked for: torch and vllm are heavy, and optional
    "transformers": "transformers_engine",
    "vllm": "vllm_engine",
    "openai": "openai_engine",
    "recorded": "recorded",
}


@contextmanager
def open_engine(
    model: Model,
    settings: EngineSettings,
    folder: Path | None,
    *,
    sampling: Sampling,
    system_prompt: str | None = None,
    forced_prefix: str | None = None,
    response_schema: dict[str, Any] | None = None,
    logprobs: int = 0,
    answers: Mapping[str, str] | None = None,
) -> Iterator[Engine]:
    """The engine of a model, closed at the end of the block, whatever happens in it.

    ``folder``: the local checkpoint, for transformers and vllm. ``sampling``: of requests without their own.
    ``forced_prefix``: text that opens every answer; openai ignores it, for hosted APIs have no such thing.
    ``response_schema``: JSON schema that answers follow (openai, vllm; transformers ignores it). ``logprobs``: how many
    candidates per token come back with their log-probabilities. ``answers``: text by request key, for recorded; None
    reads the file that the checkpoint names. What an engine ignores is null in its ``request_settings``.

    Raises InputError when the model cannot be loaded or reached as it is configured.
    """
    order = Order(model, settings, folder, sampling, system_prompt, forced_prefix, response_schema, logprobs, answers)
    engine: Engine = import_module(f"arena_etl.engines.{_MODULES[model.backend]}").create(order)
    try:
        yield engine
    finally:
        engine.close()
