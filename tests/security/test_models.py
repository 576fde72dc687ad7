"""Weights are safetensors, and no code that comes with a model or lies in the lake is ever run."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arena_etl.config import Embedding, Engine, Guards, Sampling, SftTraining
from arena_etl.engines import store
from arena_etl.errors import InputError

ENGINE = Engine(device="cpu", dtype="float32")


class Bomb:
    """Unpickled, it writes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that is there as soon as anything of a model's own was run."""
    return tmp_path / "was-run"


@pytest.fixture
def with_code(tiny_model: Path, tmp_path: Path, mark: Path) -> Path:
    """A checkpoint of an architecture that is in none of the libraries, with the code that would define it."""
    folder = tmp_path / "with-code"
    shutil.copytree(tiny_model, folder)
    names = ("AutoConfig", "AutoModelForCausalLM", "AutoModelForSequenceClassification", "AutoModel")
    own = {"model_type": "own", "architectures": ["Own"], "auto_map": dict.fromkeys(names, "modeling_own.Own")}
    config = json.loads((folder / "config.json").read_text()) | own
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer |= {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["modeling_own.Own", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "modeling_own.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass Own: pass\n")
    return folder


def _answer(folder: Path) -> None:
    from arena_etl.engines.transformers_engine import TransformersEngine

    TransformersEngine(folder, Sampling(), None, ENGINE)


def _reward(folder: Path) -> None:
    from arena_etl.verdicts.reward import RewardModel

    RewardModel(folder, ENGINE)


def _count(folder: Path) -> None:
    from arena_etl.engines.tokens import token_counter

    token_counter(folder)


def _embed(folder: Path) -> None:
    from arena_etl.instructions.encoder import Encoder

    Encoder(Embedding(name="own", checkpoint=str(folder)), ENGINE)


def _classify(folder: Path) -> None:
    from arena_etl.instructions.cleaning.toxicity import _classifier

    _classifier(str(folder))


LOADERS = [_answer, _reward, _count, _embed, _classify]


@pytest.mark.parametrize("load", LOADERS, ids=lambda load: load.__name__.strip("_"))
def test_a_model_with_code_of_its_own_is_refused(load: Callable[[Path], None], with_code: Path, mark: Path) -> None:
    with pytest.raises(InputError, match=r"with-code.*cannot be (loaded|used)"):
        load(with_code)
    assert not mark.exists()


@pytest.mark.parametrize("load", [_answer, _reward, _embed, _classify], ids=lambda load: load.__name__.strip("_"))
def test_pickled_weights_are_refused(
    load: Callable[[Path], None], tiny_model: Path, tmp_path: Path, mark: Path
) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(InputError, match=r"cannot be (loaded|used)"):
        load(folder)
    with pytest.raises(InputError, match=r"pickled ones are not loaded\. Save it with save_pretrained"):
        store.fetch(str(folder), None, tmp_path)
    assert not mark.exists()


def test_a_pickled_adapter_is_refused(tmp_path: Path, mark: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(InputError, match=r"no adapter_model\.safetensors, and pickled weights are not loaded"):
        store.require_adapter(str(tmp_path))
    assert not mark.exists()


@pytest.mark.soak
@pytest.mark.parametrize("file", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_training_goes_on_from_no_pickle_that_runs_code(
    tiny_model: Path, tmp_path: Path, mark: Path, file: str
) -> None:
    """Checkpoints to resume from lie in the lake: whoever may write there must not run code in the training pod."""
    from arena_etl.training.callbacks import Watch
    from arena_etl.training.trainers import train_sft
    from tests.training.test_trainers import table

    settings = SftTraining(learning_rate=1e-3, epochs=2, batch_size=4, max_length=256)
    kept = tmp_path / "kept"

    def keep_first(folder: Path) -> None:  # after the last step nothing is left to draw, and no random state is read
        if not kept.exists():
            shutil.copytree(folder, kept)

    train_sft(table(), tiny_model, tmp_path / "out", settings, ENGINE, Watch(Guards(), save=keep_first, save_steps=1))
    assert (kept / file).is_file()
    (kept / file).write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        train_sft(table(), tiny_model, tmp_path / "again", settings, ENGINE, Watch(Guards(), resume=kept))
    assert not mark.exists()
