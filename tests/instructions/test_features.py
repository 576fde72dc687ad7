"""Clusters, difficulty and category: found once, the same for any order, and never a number that nobody gave."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.errors import ArenaError, InputError
from arena_etl.flywheel import do
from arena_etl.instructions import clusters, estimates, rating
from arena_etl.instructions.encoder import Encoder
from arena_etl.lake.delta import Lake
from tests.stub_openai import Stub, chat, fault, serve

TOPICS = {
    "coding": "Write a Python function that computes the {}-th Fibonacci number and explain its complexity.",
    "writing": "Write a short poem about {} rainy days in autumn, in a melancholy tone.",
    "math": "What is the remainder when {} is divided by 7? Show the calculation.",
    "roleplay": "Act as a ship's captain in a storm with {} sailors and stay in character.",
}


def lines(numbers: range) -> list[dict[str, Any]]:
    return [
        {"conversation": [{"role": "user", "content": text.format(n)}], "category": "unknown"}
        for n in numbers
        for text in TOPICS.values()
    ]


def setup(folder: Path, rows: list[dict[str, Any]], **features: Any) -> tuple[Config, Lake]:
    folder.mkdir(exist_ok=True)
    (folder / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    flags: dict[str, Any] = {
        "root": str(folder / "lake"),
        "sources": [{"name": "mine", "path": str(folder / "mine.jsonl"), "license": "CC0-1.0"}],
        "features": {"clusters": 4, "rows_per_cluster": 4, **features},
        "engine": {"flush_s": 0},
    }
    config = configuration.load(flags=flags)
    return config, Lake.open(config)


def describe(config: Config, lake: Lake) -> dict[str, Any]:
    for name in ("land", "prepare", "embed"):
        do(config, lake, name, "mine")
    do(config, lake, "cluster", config.embedding.model_id)
    return do(config, lake, "describe", "mine")


def features(lake: Lake, columns: str = "cluster, difficulty, category") -> dict[str, tuple[Any, ...]]:
    """The newest features by the text of the instruction."""
    with lake.connect(["instructions", "features"]) as connection:
        rows = connection.sql(
            f"""
            select conversation[1].content, {columns} from (
                select features.* from features
                qualify row_number() over (partition by instruction_id order by created_at desc) = 1
            ) as features join (select instruction_id, conversation from instructions) using (instruction_id)
            """
        ).fetchall()
    return {text: tuple(rest) for text, *rest in rows}


def test_topics_become_clusters_and_categories(tmp_path: Path) -> None:
    config, lake = setup(tmp_path, lines(range(10, 18)))
    assert describe(config, lake)["described"] == 32
    found = features(lake)
    by_topic = {name: {found[text.format(n)] for n in range(10, 18)} for name, text in TOPICS.items()}
    assert {name: len({cluster for cluster, *_ in rows}) for name, rows in by_topic.items()} == dict.fromkeys(TOPICS, 1)
    assert len({next(iter(rows))[0] for rows in by_topic.values()}) == 4
    assert {name: {category for *_, category in rows} for name, rows in by_topic.items()} == {n: {n} for n in TOPICS}
    assert all(0 < difficulty <= 10 for rows in by_topic.values() for _, difficulty, _ in rows)


def test_the_order_of_the_lines_does_not_matter(tmp_path: Path) -> None:
    rows = lines(range(8))
    describe(*(first := setup(tmp_path / "a", rows)))
    describe(*(second := setup(tmp_path / "b", rows[::-1])))
    assert features(first[1]) == features(second[1])


def test_an_increment_is_assigned_to_the_clusters_that_are_there(tmp_path: Path) -> None:
    rows = lines(range(10, 18))
    describe(*setup(tmp_path, rows))
    config, lake = setup(tmp_path, [*rows, *lines(range(20, 22))])
    before, heads = features(lake), lake.heads()
    assert describe(config, lake)["described"] == 8
    after = features(lake)
    assert {text: after[text] for text in before} == before
    assert after[TOPICS["math"].format(20)][0] == before[TOPICS["math"].format(10)][0]
    assert lake.heads()["centroids"] == heads["centroids"]
    assert describe(config, lake)["unchanged"]


def test_clusters_are_made_anew_when_a_small_lake_has_grown(tmp_path: Path) -> None:
    describe(*setup(tmp_path, lines(range(2))))
    config, lake = setup(tmp_path, lines(range(8)))
    assert describe(config, lake)["described"] == 32
    with lake.connect(["centroids", "features"]) as connection:
        assert connection.sql("select count(*), sum(instructions) from centroids").fetchall() == [(4, 32)]
        assert connection.sql("select count(*) from features").fetchall() == [(8 + 32,)]


@pytest.mark.parametrize(("rows", "wanted"), [(0, 1), (19, 1), (240, 8), (9_999, 256), (10_000, 500), (10**7, 500)])
def test_the_number_of_clusters_grows_in_steps(rows: int, wanted: int) -> None:
    assert clusters.number_of(rows, clusters=500, rows_per_cluster=20) == wanted


def test_the_source_s_word_wins(tmp_path: Path) -> None:
    rows = lines(range(4))
    rows[0] |= {"category": "humanities", "difficulty": 9.5}
    config, lake = setup(tmp_path, rows)
    describe(config, lake)
    [(_, difficulty, category, *by)] = [
        row for text, row in features(lake, "cluster, difficulty, category, difficulty_by, category_by").items()
        if text == rows[0]["conversation"][0]["content"]
    ]  # fmt: skip
    assert (difficulty, category, by) == (9.5, "humanities", ["source", "source"])


def test_what_is_like_no_category_is_unknown() -> None:
    config = configuration.load(flags={"features": {"min_similarity": 0.3}})
    encoder = Encoder(config.embedding, config.engine)
    categories = estimates.Categories(config, encoder)
    texts = ["Solve 4x - 9 = 15 for x.", "asdf qwer zxcv", "Hi"]
    assert categories.of(encoder.encode(texts)) == ["math", "unknown", "unknown"]


def test_longer_words_and_more_of_them_are_harder() -> None:
    easy, hard = ["Hi there"], ["Derive the computational complexity of distributed consensus algorithms rigorously."]
    assert 0 <= estimates.difficulty(["!?"]) < estimates.difficulty(easy) < estimates.difficulty(hard) <= 10
    assert estimates.difficulty(["incomprehensibilities " * 10_000]) == 10
    assert estimates.difficulty(["What is two", "and three?"]) == estimates.difficulty(["What is two and three?"])


# A rater


def rated(folder: Path, stub: Stub, rows: list[dict[str, Any]], **settings: Any) -> tuple[Config, Lake]:
    rater = {"name": "gpt", "backend": "openai", "checkpoint": "m", "base_urls": [stub.url], "max_retries": 0}
    return setup(folder, rows, rater=rater | settings)


def answer(difficulty: Any = 7, category: Any = "stem") -> str:
    return json.dumps({"reason": "because", "difficulty": difficulty, "category": category})


def test_a_rater_is_asked_about_what_the_source_leaves_open_and_once(tmp_path: Path) -> None:
    rows = lines(range(2))
    rows[0] |= {"category": "humanities", "difficulty": 1}
    rows[1] |= {"category": "humanities"}
    with serve(lambda body, number: chat(answer())) as stub:
        describe(*rated(tmp_path, stub, rows))
        assert len(stub.calls) == 7
        found = sorted(
            features(rated(tmp_path, stub, rows)[1], "difficulty, category, difficulty_by <> 'source'").values()
        )
        assert found == [(1, "humanities", False), (7, "humanities", True), *[(7, "stem", True)] * 6]
        config, lake = rated(tmp_path, stub, rows)
        again = config.model_copy(update={"features": config.features.model_copy(update={"clusters": 1, "seed": 1})})
        assert describe(again, lake)["described"] == 8
        assert len(stub.calls) == 7, "other clusters ask nobody anew"
        asked = json.loads(stub.calls[0]["messages"][1]["content"].split("\n")[1])
        assert isinstance(asked, list)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (answer(difficulty=11), "difficulty is no whole number from 0 to 10"),
        (answer(difficulty="7"), "difficulty is no whole number"),
        (answer(difficulty=True), "difficulty is no whole number"),
        (answer(category="cooking"), "unknown category"),
        ("Difficulty: 7", "not JSON: Difficulty: 7"),
        (answer() + " and so on", "not JSON"),
        ('{"difficulty": 7}', "not an object with reason, difficulty, category"),
        ("[7]", "not an object"),
    ],
)
def test_an_answer_that_cannot_be_read_is_a_reason_and_no_number(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        rating.read(text)


def test_unread_answers_are_kept_with_their_reason(tmp_path: Path) -> None:
    with serve(lambda body, number: chat("no idea" if number == 1 else answer())) as stub:
        summary = describe(*(made := rated(tmp_path, stub, lines(range(5)))))
    assert summary["unrated"] == 1
    found = sorted(features(made[1], "difficulty is null, error").values(), key=str)
    assert found == [(False, None)] * 19 + [(True, "not JSON: no idea")]


def test_a_rater_that_fails_stops_the_step_and_what_it_said_is_kept(tmp_path: Path) -> None:
    with serve(lambda body, number: chat(answer()) if number <= 5 else fault(500)) as stub:
        config, lake = rated(tmp_path, stub, lines(range(2)), max_concurrency=1)
        with pytest.raises(ArenaError, match=r"did not answer for 3 of 8 .*max_error_rate 2%; the first: server unav"):
            describe(config, lake)
        stub.respond = lambda body, number: chat(answer(2))
        assert describe(config, lake)["unrated"] == 0
    assert sorted(difficulty for _, difficulty, _ in features(lake).values()) == [2, 2, 2, 7, 7, 7, 7, 7]


def test_an_unknown_prompt_is_named(tmp_path: Path) -> None:
    with serve(lambda body, number: chat(answer())) as stub, pytest.raises(InputError, match="known: instruction-v1"):
        describe(*rated(tmp_path, stub, lines(range(1)), prompt="other"))


def test_equal_sentences_are_nearest_to_their_own_centre() -> None:
    vectors = np.eye(3, dtype=np.float32)
    places, similarities = clusters.nearest(vectors, vectors[[2, 0, 1]])
    assert (places.tolist(), similarities.tolist()) == ([1, 2, 0], [1, 1, 1])
