"""From settings to engines."""

import importlib.util
import json
from pathlib import Path

import pytest

from arena_etl.config import Contestant, Engine, Sampling
from arena_etl.engines.base import Request
from arena_etl.engines.factory import open_engine
from arena_etl.errors import InputError


def test_recorded_answers_come_from_the_file_that_the_checkpoint_names(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text(json.dumps({"instruction_id": "q", "turn": 2, "text": "42"}))
    recorded = Contestant(name="r", backend="recorded", checkpoint=str(file))
    with open_engine(recorded, Engine(), None, sampling=Sampling()) as engine:
        found = {
            each.key: (each.text, each.error) for each in engine.complete([Request("q/2", ()), Request("q/1", ())])
        }
    assert found == {"q/2": ("42", None), "q/1": (None, "no recorded answer")}


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_a_missing_library_is_named_with_its_remedy(tmp_path: Path) -> None:
    absent = Contestant(name="v", backend="vllm", checkpoint=str(tmp_path))
    with (
        pytest.raises(InputError, match=r"not installed.*pip install 'arena-etl\[vllm\]'"),
        open_engine(absent, Engine(), tmp_path, sampling=Sampling()),
    ):
        pass
