"""Vectors of instructions: one per conversation and model, once, whatever the order and whatever interrupts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arena_etl import config as configuration
from arena_etl.config import Config, Embedding, Engine
from arena_etl.errors import ArenaError, InputError
from arena_etl.flywheel import do
from arena_etl.instructions.encoder import Encoder
from arena_etl.lake.delta import Lake

WEATHER = ["Will it rain in Paris tomorrow?", "Tell me tomorrow's weather forecast for Paris."]
OTHERS = [f"Write a Python function that returns the {n}-th prime number." for n in range(18)]


def setup(folder: Path, conversations: list[list[str]], **embedding: Any) -> tuple[Config, Lake]:
    folder.mkdir(exist_ok=True)
    lines = [
        {"conversation": [{"role": "user", "content": turn} for turn in turns], "category": "unknown"}
        for turns in conversations
    ]
    file = folder / "mine.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    flags: dict[str, Any] = {
        "root": str(folder / "lake"),
        "sources": [{"name": "mine", "path": str(file), "license": "CC0-1.0"}],
        "embedding": embedding,
        "engine": {"flush_s": 0},
    }
    config = configuration.load(flags=flags)
    return config, Lake.open(config)


def embed(config: Config, lake: Lake) -> dict[str, Any]:
    for name in ("land", "prepare"):
        do(config, lake, name, "mine")
    return do(config, lake, "embed", "mine")


def vectors(lake: Lake) -> dict[str, Any]:
    """The vector of every conversation, by its first turn."""
    with lake.connect(["instructions", "embeddings"]) as connection:
        rows = connection.sql(
            "select conversation[1].content, vector from embeddings join instructions using (instruction_id)"
        ).fetchall()
    return {text: np.array(vector) for text, vector in rows}


def single(*texts: str) -> list[list[str]]:
    return [[text] for text in texts]


def test_close_meanings_are_close_and_every_vector_has_unit_length(tmp_path: Path) -> None:
    config, lake = setup(tmp_path, single(*WEATHER, *OTHERS))
    assert embed(config, lake)["embedded"] == 20
    found = vectors(lake)
    assert np.linalg.norm(np.stack(list(found.values())), axis=1) == pytest.approx(np.ones(20), abs=1e-5)
    assert found[WEATHER[0]] @ found[WEATHER[1]] > 0.7 > 0.3 > found[WEATHER[0]] @ found[OTHERS[0]]


def test_the_order_of_the_lines_does_not_matter(tmp_path: Path) -> None:
    embed(*(first := setup(tmp_path / "a", single(*WEATHER, *OTHERS))))
    embed(*(second := setup(tmp_path / "b", single(*reversed([*WEATHER, *OTHERS])))))
    one, other = vectors(first[1]), vectors(second[1])
    assert all((one[text] == other[text]).all() for text in one)


def test_the_turns_of_a_conversation_are_read_together(tmp_path: Path) -> None:
    config, lake = setup(tmp_path, [["Name a river.", "Now one in Asia."]])
    embed(config, lake)
    [expected] = Encoder(config.embedding, config.engine).encode(["Name a river.\nNow one in Asia."])
    assert vectors(lake)["Name a river."] == pytest.approx(expected, abs=1e-6)


def test_only_what_is_new_is_embedded(tmp_path: Path) -> None:
    assert embed(*setup(tmp_path, single(*OTHERS)))["embedded"] == 18
    config, lake = setup(tmp_path, single(WEATHER[0], *OTHERS))
    assert embed(config, lake)["embedded"] == 1
    heads = lake.heads()
    assert embed(config, lake)["unchanged"]
    assert (len(vectors(lake)), lake.heads()) == (19, heads)


def test_an_interrupted_run_goes_on_from_what_it_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, lake = setup(tmp_path, single(*WEATHER, *OTHERS), batch_size=1)
    real, calls = Encoder.encode, []

    def encode(self: Encoder, texts: list[str]) -> Any:
        calls.append(len(texts))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, texts)

    monkeypatch.setattr(Encoder, "encode", encode)
    with pytest.raises(KeyboardInterrupt):
        embed(config, lake)
    assert vectors(lake) == {}
    embed(config, lake)
    assert calls == [8, 8, 8, 4]
    assert vectors(lake).keys() == {*WEATHER, *OTHERS}


def test_another_model_has_vectors_of_its_own(tmp_path: Path) -> None:
    embed(*setup(tmp_path, single(*WEATHER)))
    config, lake = setup(tmp_path, single(*WEATHER), max_tokens=8)
    assert embed(config, lake)["embedded"] == 2
    with lake.connect(["embeddings"]) as connection:
        counts = connection.sql("select model, count(*) from embeddings group by 1").fetchall()
    assert dict(counts) == {Embedding().model_id: 2, Embedding(max_tokens=8).model_id: 2}


def test_a_vector_without_a_direction_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Encoder, "encode", lambda self, texts: np.array([[np.nan, 0.0]], np.float32))
    with pytest.raises(ArenaError, match=r"instruction [0-9a-f]{64}: the encoder gave a vector of length nan"):
        embed(*setup(tmp_path, single(WEATHER[0])))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"checkpoint": "package:no-such-encoder"}, "no Python package 'no-such-encoder' is installed"),
        ({"checkpoint": "package:typer"}, "carries 0 sentence encoders"),
        ({"checkpoint": "/no/such/folder"}, "/no/such/folder: cannot be loaded as a sentence encoder"),
        ({"revision": "9.9"}, "version 0.1.0 is installed, the configuration asks for 9.9"),
        ({"max_tokens": 100_000}, "max_tokens 100000: all-minilm-l6-v2 reads 256 at most"),
    ],
)
def test_an_encoder_that_cannot_be_had_is_named_with_a_remedy(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Encoder(Embedding.model_validate(settings), Engine())
