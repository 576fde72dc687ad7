"""Contamination: whatever a test set has is found in the training data, whichever of the two comes first."""

import random
from pathlib import Path

import pytest

from arena_etl.instructions import slices
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from tests.instructions.supply import contaminated, ingest, rows, sources
from tests.instructions.test_near_duplicates import jaccard, text, variants

ITEM = "Explain how a lighthouse keeper of old kept the lamp burning through a long winter storm, and what he ate."
WITHIN = "Dear all! " + ITEM.upper() + " Then translate your text into Latin, " + text(1)
APART = "Explain how a lighthouse keeper of old kept the lamp. " + text(2)
SHORT = "Name three rivers that flow into the sea"  # eight words
SHORT_WITHIN = "First: name three rivers that flow into the sea. " + text(3)
TINY = "Name three rivers"


@pytest.mark.parametrize("order", [("train", "bench"), ("bench", "train")])
def test_a_shared_run_of_words_is_found_in_either_order(tmp_path: Path, order: tuple[str, ...]) -> None:
    texts = {"train": [WITHIN, APART, SHORT_WITHIN, text(4), TINY + " of France"], "bench": [ITEM, SHORT, TINY]}
    config = sources(tmp_path, {name: texts[name] for name in order}, tests=["bench"])
    ingest(config)
    assert contaminated(config) == {(WITHIN, "ngram", ITEM), (SHORT_WITHIN, "ngram", SHORT)}
    assert rows(config, "select source, benchmark, overlap from contamination order by overlap") == [
        ("train", "bench", 8),
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
        tmp_path, {"train": train, "bench": items}, tests=["bench"], decontamination={"ngram": ngram, "shortest": 4}
    )
    ingest(config)

    def share(one: list[str], other: list[str]) -> bool:
        runs = [{tuple(w[i : i + ngram]) for i in range(len(w) - ngram + 1)} for w in (one, other)]
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
