"""Near-duplicates: none is missed, none is invented, and neither the order of rows nor of nights changes the rules."""

import random
import re
from itertools import combinations
from pathlib import Path

import duckdb
import pytest
from tqdm import tqdm

from arena_etl.instructions.near_duplicates import remove
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from tests.instructions.supply import do, ingest, removed, rows, sources

WORDS = [f"word{number}" for number in range(16)]


def text(number: int) -> str:
    return " ".join(random.Random(number).choices(WORDS, k=30))


def variants(number: int) -> list[str]:
    """A text and copies of it with one word less, one more, another one, and other case and punctuation."""
    words = text(number).split()
    return [
        " ".join(words),
        " ".join(words[1:]),
        " ".join(["please", *words]),
        " ".join([*words[:15], "harbour", *words[16:]]),
        "; ".join(words).upper() + "!",
    ]


def jaccard(one: str, other: str) -> float:
    a, b = (
        {tuple(w[i : i + 3]) for i in range(len(w) - 2)} for w in (re.findall(r"\w+", t.lower()) for t in (one, other))
    )
    return len(a & b) / len(a | b)


def test_every_removed_row_resembles_one_that_stays_and_no_two_that_stay_do(tmp_path: Path) -> None:
    texts = [v for number in range(12) for v in variants(number)]
    config = sources(tmp_path, {"train": texts})
    ingest(config)
    gone = removed(config)
    stay = set(texts) - set(gone)
    assert len(stay) == 12
    assert all(kept in stay and jaccard(lost, kept) >= 0.7 for lost, kept in gone.items())
    assert all(jaccard(one, other) < 0.7 for one, other in combinations(sorted(stay), 2))
    [(same,)] = rows(config, "select count(*) from near_duplicates where jaccard = 1")
    assert same <= 12


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    texts = [v for number in range(8) for v in variants(number)]
    found = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        config = sources(folder, {"train": random.Random(seed).sample(texts, len(texts))})
        ingest(config)
        found.append(rows(config, "select instruction_id, kept_id, jaccard from near_duplicates order by all"))
    assert found[0] == found[1] and found[0]


def test_what_the_lake_has_wins_and_running_again_changes_nothing(tmp_path: Path) -> None:
    first, *copies = variants(1)
    config = sources(tmp_path, {"train": [first, text(2)]})
    ingest(config)
    config = sources(tmp_path, {"train": [first, text(2), *copies, text(3)]})
    assert ingest(config)["deduplicate"]["compared"] >= len(copies)
    assert removed(config) == dict.fromkeys(copies, first)
    heads = Lake.open(config).heads()
    assert ingest(config)["deduplicate"]["unchanged"]
    assert Lake.open(config).heads() == heads


def test_an_increment_compares_only_its_own_rows(tmp_path: Path) -> None:
    old = [v for number in range(6) for v in variants(number)]
    config = sources(tmp_path, {"train": old})
    ingest(config)
    summaries = ingest(sources(tmp_path, {"train": [*old, text(50), *variants(51)[:2]]}))
    assert summaries["sign"]["signed"] == 3
    assert summaries["deduplicate"]["compared"] == 1


def test_sources_are_compared_with_each_other(tmp_path: Path) -> None:
    config = sources(tmp_path, {"one": [variants(1)[0]], "two": [variants(1)[1]]})
    ingest(config)
    assert removed(config) == {variants(1)[1]: variants(1)[0]}


@pytest.mark.parametrize("order", [("train", "bench"), ("bench", "train")])
def test_of_a_test_item_and_a_training_row_the_training_row_goes(tmp_path: Path, order: tuple[str, ...]) -> None:
    texts = {"train": variants(1)[:3], "bench": variants(1)[3:]}
    config = sources(tmp_path, {name: texts[name] for name in order}, tests=["bench"])
    ingest(config)
    assert set(removed(config)) == set(texts["train"])
    kept = rows(
        config,
        "select split from instructions where instruction_id not in (select instruction_id from near_duplicates)",
    )
    assert kept == [("benchmark",)] * 2


def test_near_duplicates_of_a_conversation_that_a_test_set_has_too_are_removed(tmp_path: Path) -> None:
    """The training row that was removed before, as a near-duplicate of another one, is the test item now."""
    texts = variants(1)[:2]
    config = sources(tmp_path, {"train": texts})
    ingest(config)
    [lost] = removed(config)
    config = sources(tmp_path, {"train": texts, "bench": [lost]}, tests=["bench"])
    ingest(config)
    gone = set(
        rows(config, "select instruction_id from near_duplicates union select instruction_id from contamination")
    )
    assert gone == set(rows(config, "select instruction_id from instructions"))


def test_other_settings_look_at_all_rows_again(tmp_path: Path) -> None:
    texts = variants(1)[:2]
    config = sources(tmp_path, {"train": texts}, deduplication={"threshold": 0.99})
    ingest(config)
    assert removed(config) == {}
    for settings in ({"threshold": 0.7}, {"threshold": 0.7, "bands": 30}):
        config = sources(tmp_path, {"train": texts}, deduplication=settings)
        ingest(config)
        assert len(removed(config)) == 1
    assert rows(config, "select count(*), count(distinct scheme) from signatures") == [(4, 2)]


def test_a_rolled_back_source_is_compared_again(tmp_path: Path) -> None:
    config = sources(tmp_path, {"train": [variants(1)[0]]})
    ingest(config)
    lake = Lake.open(config)
    before = lake.heads()
    config = sources(tmp_path, {"train": variants(1)[:2]})
    ingest(config)
    lake.restore("near_duplicates", before["near_duplicates"])
    assert removed(config) == {}
    do(config, lake, "deduplicate", "train")
    assert len(removed(config)) == 1


def test_many_copies_of_a_template_are_found_within_the_window(tmp_path: Path) -> None:
    """A bucket above the window: each row is compared with the first of it, which is enough where all are alike."""
    base = " ".join(text(number) for number in range(4))
    config = sources(tmp_path, {"train": [f"{base} ending {n}" for n in range(80)]}, deduplication={"window": 5})
    compared = ingest(config)["deduplicate"]["compared"]
    assert len(removed(config)) == 79
    assert compared < 80 * 79 / 2


@pytest.mark.parametrize(
    ("one", "other", "shingle", "sizes", "common"),
    [
        ("a b c d", "b c d a", 3, (2, 2), 1),
        ("a b a b a b", "b a b", 3, (2, 1), 1),
        ("hello", "hello", 3, (1, 1), 1),
        ("hello world", "hello", 3, (1, 1), 0),
        ("a b c d", "a b c e", 4, (1, 1), 0),
        ("a b", "b a", 1, (2, 2), 2),
    ],
)
def test_shingles_are_the_distinct_runs_of_words(
    one: str, other: str, shingle: int, sizes: tuple[int, int], common: int
) -> None:
    with duckdb.connect() as connection:
        connection.execute("create table words (instruction_id varchar, words varchar[])")
        connection.executemany("insert into words values (?, ?)", [("one", one.split()), ("other", other.split())])
        connection.execute(
            "create table colliding as from (values (1, 'one'), (2, 'other')) rows(place, instruction_id)"
        )
        (_, a), (_, b) = sql.run(connection, "deduplication/shingles", shingle=shingle).fetchall()
    assert (len(a), len(b)) == sizes
    assert len(set(a) & set(b)) == common


def test_the_first_of_a_chain_stays() -> None:
    """1 removes 2, so 2 cannot remove 3, and 3 removes 4."""
    with duckdb.connect() as connection:
        connection.execute(
            "create table candidate_pairs as from (values (1, 2), (2, 3), (3, 4), (5, 6)) pairs(first, second)"
        )
        connection.execute(
            "create table shingles as from (values (1, [1, 2, 3, 4]), (2, [2, 3, 4, 5]), (3, [3, 4, 5, 6]), (4, [4, 5, 6, 7]), "
            "(5, [1, 2]), (6, [2, 3])) texts(place, hashes)"
        )
        remove(connection, 0.6, tqdm(disable=True))
        assert connection.sql("from removed order by place").fetchall() == [(2, 1, 0.6), (4, 3, 0.6)]
