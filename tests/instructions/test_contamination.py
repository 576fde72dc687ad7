"""Contamination: whatever a test set has is found in the training data, whichever of the two comes first."""

import math
import random
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from arena_etl.config import Config
from arena_etl.errors import ArenaError
from arena_etl.instructions import neighbours, slices
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES
from tests.instructions.supply import contaminated, do, ingest, rows, sources
from tests.instructions.test_near_duplicates import jaccard, text, variants

ITEM = "Explain how a lighthouse keeper of old kept the lamp burning through a long winter storm, and what he ate."
WITHIN = "Dear all! " + ITEM.upper() + " Then translate your text into Latin, " + text(1)
HALF = "Explain how a lighthouse keeper of old kept the lamp. " + text(2)  # ten words of twenty
LESS = "Explain how a lighthouse keeper of old kept the sheep. " + text(5)
SHORT = "Name three rivers that flow into the sea"  # eight words
SHORT_WITHIN = "First: name three rivers that flow into the sea. " + text(3)
TINY = "Name three rivers"


@pytest.mark.parametrize("order", [("train", "bench"), ("bench", "train")])
def test_a_shared_run_of_words_is_found_in_either_order(tmp_path: Path, order: tuple[str, ...]) -> None:
    texts = {"train": [WITHIN, HALF, LESS, SHORT_WITHIN, text(4), TINY + " of France"], "bench": [ITEM, SHORT, TINY]}
    config = sources(tmp_path, {name: texts[name] for name in order}, tests=["bench"])
    ingest(config)
    assert contaminated(config) == {
        (WITHIN, "ngram", ITEM),
        (HALF, "ngram", ITEM),
        (SHORT_WITHIN, "ngram", SHORT),
    }
    assert rows(config, "select source, benchmark, overlap from contamination order by overlap") == [
        ("train", "bench", 8),
        ("train", "bench", 10),
        ("train", "bench", 20),
    ]


def test_the_same_conversation_is_found_although_it_stays_the_training_source_s_row(tmp_path: Path) -> None:
    config = sources(tmp_path, {"train": [TINY, WITHIN], "bench": [TINY]}, tests=["bench"])
    ingest(config)
    assert contaminated(config) == {(TINY, "identical", TINY)}
    assert ingest(config)["decontaminate"]["unchanged"]


def test_a_conversation_that_became_a_test_item_contaminates_later_rows(tmp_path: Path) -> None:
    config = sources(tmp_path, {"train": [ITEM], "bench": [ITEM]}, tests=["bench"])
    ingest(config)
    config = sources(tmp_path, {"train": [ITEM, WITHIN], "bench": [ITEM]}, tests=["bench"])
    ingest(config)
    assert contaminated(config) == {(ITEM, "identical", ITEM), (WITHIN, "ngram", ITEM)}


def test_an_increment_is_examined_alone_and_a_new_test_set_examines_all(tmp_path: Path) -> None:
    old = [text(number) for number in range(10, 20)]
    texts = {"train": old, "bench": [ITEM]}
    assert ingest(sources(tmp_path, texts, tests=["bench"]), "train")["decontaminate"]["examined"] == 10
    texts["train"] = [*old, WITHIN]
    assert ingest(sources(tmp_path, texts, tests=["bench"]), "train")["decontaminate"]["examined"] == 1
    summary = ingest(sources(tmp_path, texts, tests=["bench"]), "bench")["decontaminate"]
    assert (summary["examined"], summary["contaminated"]) == (11, 1)


@pytest.mark.parametrize("ngram", [6, 13, 20])
def test_no_shared_run_is_missed_and_none_invented(tmp_path: Path, ngram: int) -> None:
    """Against a search of every run in every text."""
    draw = random.Random(ngram)
    items = [text(100 + number) for number in range(6)]
    train = []
    for number in range(60):
        item, length, start = draw.choice(items).split(), draw.randint(3, 30), draw.randint(0, 27)
        train.append(" ".join([*text(number).split()[:7], *item[start : start + length], *text(number).split()[7:]]))
    config = sources(
        tmp_path,
        {"train": train, "bench": items},
        tests=["bench"],
        decontamination={"ngram": ngram, "shortest": 4, "neighbours": 0},
    )
    ingest(config)

    def share(one: list[str], item: list[str]) -> bool:
        size = min(ngram, len(item) // 2)
        runs = [{tuple(w[i : i + size]) for i in range(len(w) - size + 1)} for w in (one, item)]
        return bool(runs[0] & runs[1])

    expected = {(t, "ngram", i) for t in train for i in items if share(t.split(), i.split())}
    assert contaminated(config) == expected and expected


def test_no_member_of_a_test_set_and_nothing_like_it_is_ever_drawn(tmp_path: Path) -> None:
    items = [text(number) for number in range(8)]
    train = [v for number in range(16) for v in variants(number)] + [f"{text(90)} {item} {text(91)}" for item in items]
    random.Random(3).shuffle(train)
    config = sources(tmp_path, {"train": train[:60], "bench": items[:6], "more": train[60:], "late": items[6:]},
                     tests=["bench", "late"], battles={"slice_size": 1000})  # fmt: skip
    ingest(config)
    lake = Lake.open(config)
    slices.draw(
        config,
        lake,
        staging := Staging(lake, Partition("slices", ("2026-01-05", "sft")), 1),
        "2026-01-05",
        "sft",
        "all",
    )
    drawn = set(staging.read()["instruction_id"].to_pylist())
    texts = {
        t for i, t in rows(config, "select instruction_id, conversation[1].content from instructions") if i in drawn
    }
    assert len(texts) == 8
    assert not any(jaccard(t, item) >= 0.7 or item in t for t in texts for item in items)
    assert all(jaccard(one, other) < 0.7 for one in texts for other in texts if one != other)


def embed(config: Config, angles: dict[str, float]) -> None:
    """Hand-made vectors: the cosine of two texts is the cosine of the difference of their angles."""
    lake = Lake.open(config)
    found = rows(config, "select source, instruction_id, conversation[1].content from instructions")
    for number, (source, instruction_id, content) in enumerate(found):
        row = {
            "source": source,
            "instruction_id": instruction_id,
            "model": config.embedding.model_id,
            "vector": [math.cos(angles[content]), math.sin(angles[content])],
            "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        }
        batch = pa.Table.from_pylist([row], schema=TABLES["embeddings"].arrow_schema())
        lake.commit(Partition("embeddings", (source,)), batch, number + 1, {})


def neighbourhood(folder: Path, angles: dict[str, float], **settings: float) -> set[tuple[str, str, str]]:
    """What is found among texts at these angles when the test item at 0 comes."""
    config = sources(folder, {"train": angles, "bench": [ITEM]}, tests=["bench"], decontamination=settings)
    lake = Lake.open(config)
    for name in ("train", "bench"):
        for step in ("land", "prepare"):
            do(config, lake, step, name)
    embed(config, {ITEM: 0.0, **angles})
    do(config, lake, "decontaminate", "bench")
    return contaminated(config)


def test_the_nearest_of_each_item_are_found_if_they_are_near(tmp_path: Path) -> None:
    angles = {text(number): number / 10 for number in range(1, 9)}
    for folder, settings, expected in (
        ("three", {"neighbours": 3, "similarity": -1.0}, [1, 2, 3]),
        ("near", {"neighbours": 8, "similarity": 0.92}, [1, 2, 3, 4]),  # cos 0.4 = 0.921, cos 0.5 = 0.878
        ("none", {"neighbours": 0, "similarity": -1.0}, []),
    ):
        (tmp_path / folder).mkdir()
        found = neighbourhood(tmp_path / folder, angles, **settings)
        assert found == {(text(number), "embedding", ITEM) for number in expected}


def test_rows_that_are_not_embedded_stop_the_step(tmp_path: Path) -> None:
    config = sources(tmp_path, {"train": [text(1), text(2)]}, decontamination={"neighbours": 5})
    with pytest.raises(ArenaError, match="train: 2 instructions have no embedding by all-minilm"):
        ingest(config)


def test_every_batch_of_vectors_gives_what_all_together_give() -> None:
    """The nearest are taken per batch and ranked at the end."""
    draw = np.random.default_rng(1)
    vectors = draw.normal(size=(500, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with duckdb.connect() as connection:
        names = [f"i{number:03d}" for number in range(500)]
        embeddings = pa.table(
            {"instruction_id": names, "source": ["s"] * 500, "model": ["m"] * 500, "vector": [*vectors]}
        )
        connection.register("embeddings", embeddings)
        connection.execute("create table items as select instruction_id from embeddings where instruction_id < 'i020'")
        connection.execute(
            "create table subjects as select instruction_id from embeddings where instruction_id >= 'i020'"
        )
        found = {}
        for cells in (20 * 37, 20 * 10_000):
            connection.register("similarities", neighbours.nearest(connection, "m", 5, -1, cells))
            found[cells] = sql.run(connection, "decontamination/neighbours", neighbours=5, similarity=-1).fetchall()
    expected = np.argsort(-(vectors[20:] @ vectors[:20].T), axis=0)[:5] + 20
    pairs = {(f"i{row:03d}", f"i{item:03d}") for item in range(20) for row in expected[:, item]}
    for nearest in found.values():
        assert {(subject, item) for subject, item, _ in nearest} == pairs
