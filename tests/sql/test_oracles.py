"""Ratings and win rates against independent implementations: evalica, and a bootstrap written out in Python."""

import hashlib
import math
import random
from collections import Counter, defaultdict
from typing import Any

import duckdb
import evalica
import numpy as np
import pyarrow as pa
import pytest

from arena_etl.lake import sql
from arena_etl.ranking import draw_resamples, fit_bradley_terry
from tests.shared_data import SHARED_DATA
from tests.sql.harness import RATING_PARAMETERS, empty_lake

WINNERS = {1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}

Battle = dict[str, Any]


def _random_battles(instructions: int, models: int, seed: int = 1) -> list[Battle]:
    """Battles of models whose skill grows with their number; about half of the pairs meet on an instruction."""
    generator = random.Random(seed)
    outcomes = []
    for instruction in range(instructions):
        for a in range(models):
            for b in range(a + 1, models):
                if generator.random() < 0.5:
                    chance = 1 / (1 + math.exp((b - a) / 3))
                    winner = generator.choices(["model_a", "model_b", "tie"], [chance, 1 - chance, 0.3])[0]
                    outcomes.append(_battle(f"i{instruction:04}", f"m{a:02}", f"m{b:02}", winner))
    return outcomes


def _battle(instruction: str, model_a: str, model_b: str, winner: str) -> Battle:
    score = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5}[winner]
    return {"instruction_id": instruction, "model_a": model_a, "model_b": model_b, "score": score}


def _lake(battles: list[Battle], threads: int = 1, shuffled: bool = False) -> duckdb.DuckDBPyConnection:
    """A connection with ``scoped_battles``, played in the order of the list."""
    connection = empty_lake()
    connection.execute(f"set threads = {threads}")
    numbered = [battle | {"scope": "overall", "position": position} for position, battle in enumerate(battles)]
    rows = pa.Table.from_pylist(random.Random(0).sample(numbered, len(numbered)) if shuffled else numbered)
    connection.execute("insert into scoped_battles by name select * from rows")
    assert rows.num_rows == len(battles)
    return connection


def _strengths(battles: list[Battle]) -> dict[str, float]:
    """evalica's Bradley-Terry log strengths, centred."""
    scores = evalica.bradley_terry(
        [battle["model_a"] for battle in battles],
        [battle["model_b"] for battle in battles],
        [WINNERS[battle["score"]] for battle in battles],
        tolerance=1e-13,
        limit=100_000,
    ).scores
    logs = {str(model): math.log(score) for model, score in scores.items()}
    centre = sum(logs.values()) / len(logs)
    return {model: value - centre for model, value in logs.items()}


def _fit(connection: duckdb.DuckDBPyConnection, **parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of resampled_ratings: scope, resample, model, log_strength, rating, n, converged, component, finite."""
    settings = RATING_PARAMETERS | parameters
    draw_resamples(connection, settings)
    fit_bradley_terry(connection, settings)
    return connection.execute("from resampled_ratings order by all").fetchall()


def _resamples(connection: duckdb.DuckDBPyConnection, **parameters: Any) -> dict[int, dict[str, float]]:
    resamples: dict[int, dict[str, float]] = defaultdict(dict)
    for _, resample, model, log_strength, *_ in _fit(connection, **parameters):
        resamples[resample][model] = log_strength
    return resamples


def _drawn(battles: list[Battle], resample: int, seed: int) -> list[Battle]:
    """The battles of one resample, drawn as the header of resampling/weights.sql says."""
    of = defaultdict(list)
    for battle in battles:
        of[battle["instruction_id"]].append(battle)
    ids = sorted(of)
    draws: list[int] = []
    for block in range(math.ceil(len(ids) / 8)):
        digest = hashlib.md5(f"{seed}|{resample}|{block}".encode()).digest()
        for half in (digest[8:], digest[:8]):
            number = int.from_bytes(half, "little")
            for _ in range(4):
                number, position = divmod(number, len(ids))
                draws.append(position)
    return [battle for position in draws[: len(ids)] for battle in of[ids[position]]]


def _published(where: str) -> list[Battle]:
    file = SHARED_DATA / "battles.parquet"
    if not file.is_file():
        pytest.skip(f"{file} is absent: set SHARED_DATA to the folder of the published votes")
    with duckdb.connect() as connection:
        rows = connection.execute(
            "select instruction_id, model_a, model_b, winner "
            f"from read_parquet($file) where {where} and winner is not null and model_a <> model_b order by tstamp, battle_id",
            {"file": str(file)},
        ).fetchall()
    return [_battle(*row) for row in rows]


@pytest.mark.parametrize("models", [2, 3, 12])
def test_bradley_terry_agrees_with_evalica(models: int) -> None:
    battles = _random_battles(60, models)
    assert _resamples(_lake(battles))[0] == pytest.approx(_strengths(battles), abs=1e-6)


def test_bradley_terry_of_a_star_agrees_with_evalica() -> None:
    # Everybody met only m00.
    battles = [battle for battle in _random_battles(60, 8) if battle["model_a"] == "m00"]
    assert _resamples(_lake(battles))[0] == pytest.approx(_strengths(battles), abs=1e-6)


def test_bradley_terry_of_a_chain_agrees_with_evalica() -> None:
    # Neighbours only and far from even: 18 log units from end to end, full Newton steps would overshoot.
    battles = [
        _battle(f"i{i}{j}", f"m{i}", f"m{i + 1}", "model_b" if j == 0 else "model_a")
        for i in range(8)
        for j in range(10)
    ]
    assert _resamples(_lake(battles))[0] == pytest.approx(_strengths(battles), abs=1e-6)


def test_group_that_nearly_always_loses() -> None:
    # Fixed-point iterations need thousands of steps here. At the maximum every model's expected score is its score.
    battles = [
        _battle(f"i{i}", f"m{a}", f"m{b}", "model_b" if (a < 3) == (b < 3) and i % 2 else "model_a")
        for a in range(6)
        for b in range(a + 1, 6)
        for i in range(60)
    ]
    battles.append(_battle("upset", "m0", "m3", "model_b"))
    rows = _fit(_lake(battles))
    assert all(row[6] for row in rows)
    strengths = {row[2]: row[3] for row in rows}
    residual = dict.fromkeys(strengths, 0.0)
    for battle in battles:
        a, b = battle["model_a"], battle["model_b"]
        surprise = battle["score"] - 1 / (1 + math.exp(strengths[b] - strengths[a]))
        residual[a] += surprise
        residual[b] -= surprise
    assert residual == pytest.approx(dict.fromkeys(strengths, 0.0), abs=1e-6)


@pytest.mark.parametrize(
    ("where", "battles_at_least"),
    [
        ("source = 'mt_bench' and judge_type = 'llm'", 2000),
        ("source = 'mt_bench' and judge_type = 'human'", 2000),
        ("source = 'vicuna_bench'", 1000),
        ("source = 'arena_2023'", 1000),
    ],
)
def test_published_votes_agree_with_evalica(where: str, battles_at_least: int) -> None:
    battles = _published(where)
    assert len(battles) > battles_at_least
    assert _resamples(_lake(battles))[0] == pytest.approx(_strengths(battles), abs=1e-6)


def test_textbook_example() -> None:
    # The four players of Wikipedia's article on the Bradley-Terry model, strengths with geometric mean 1.
    wins = {"ab": 2, "ad": 1, "ba": 3, "bc": 5, "cb": 3, "cd": 1, "da": 4, "dc": 3}
    battles = [
        _battle(f"{pair}{i}", min(pair), max(pair), "model_a" if pair[0] < pair[1] else "model_b")
        for pair, count in wins.items()
        for i in range(count)
    ]
    strengths = {model: math.exp(value) for model, value in _resamples(_lake(battles))[0].items()}
    assert strengths == pytest.approx({"a": 0.640, "b": 1.043, "c": 0.660, "d": 2.270}, abs=5e-4)


def test_prior_games_are_draws_against_one_average_opponent() -> None:
    battles = _random_battles(30, 5)
    models = sorted({battle[side] for battle in battles for side in ("model_a", "model_b")})
    virtual = [_battle("prior", model, "virtual", "tie") for model in models for _ in range(3)]
    expected = _strengths(battles + virtual)
    del expected["virtual"]
    centre = sum(expected.values()) / len(expected)
    found = _resamples(_lake(battles), prior_games=3)[0]
    assert found == pytest.approx({model: value - centre for model, value in expected.items()}, abs=1e-6)


def test_resamples_draw_whole_instructions_as_documented() -> None:
    battles = _random_battles(25, 4)
    resamples = _resamples(_lake(battles), resamples=20, seed=7)
    assert len(resamples) == 21
    for resample in range(1, 21):
        assert resamples[resample] == pytest.approx(_strengths(_drawn(battles, resample, 7)), abs=1e-6)


def test_resamples_do_not_depend_on_row_order_or_threads() -> None:
    battles = _random_battles(40, 6)
    expected = _resamples(_lake(battles), resamples=50, prior_games=1)
    assert _resamples(_lake(battles, threads=4, shuffled=True), resamples=50, prior_games=1) == expected
    assert _resamples(_lake(battles), resamples=50, prior_games=1, seed=1)[1] != expected[1]


def test_model_missing_from_a_resample_has_no_row_and_does_not_shift_the_others() -> None:
    # `weak` fought on one instruction only, so about a third of the resamples lack it.
    battles = [*_random_battles(20, 3), *[_battle("i0000", f"m{i:02}", "weak", "model_a") for i in range(3)]]
    resamples = _resamples(_lake(battles), resamples=100, prior_games=1)
    data = resamples.pop(0)
    without = [strengths for strengths in resamples.values() if "weak" not in strengths]
    assert 20 < len(without) < 60
    for strengths in resamples.values():
        present = sum(data[model] for model in strengths)
        assert sum(strengths.values()) == pytest.approx(present, abs=1e-7)
    assert data["weak"] < -0.5


def test_elo_agrees_with_evalica() -> None:
    battles = _random_battles(60, 12)
    expected = evalica.elo(
        [battle["model_a"] for battle in battles],
        [battle["model_b"] for battle in battles],
        [WINNERS[battle["score"]] for battle in battles],
        initial=1000,
        base=10,
        scale=400,
        k=4,
    ).scores
    rows = sql.run(_lake(battles, shuffled=True), "ratings/elo", **(RATING_PARAMETERS | {"k": 4})).project(
        "model, rating, n"
    )
    found = {model: (rating, n) for model, rating, n in rows.fetchall()}
    assert {model: rating for model, (rating, _) in found.items()} == pytest.approx(
        {str(model): rating for model, rating in expected.items()}, abs=1e-9
    )
    fought = Counter(battle[side] for battle in battles for side in ("model_a", "model_b"))
    assert {model: n for model, (_, n) in found.items()} == fought


def test_win_rate_intervals_are_percentiles_over_the_same_resamples() -> None:
    battles = _random_battles(25, 3)
    parameters = RATING_PARAMETERS | {"resamples": 100, "seed": 3, "confidence": 0.9}
    connection = _lake(battles)
    draw_resamples(connection, parameters)
    rows = sql.run(connection, "win_rates/pairwise", **parameters).project("model_a, model_b, lower, upper").fetchall()
    intervals = {(a, b): (lower, upper) for a, b, lower, upper in rows}
    rates = []
    for resample in range(1, 101):
        drawn = [b for b in _drawn(battles, resample, 3) if (b["model_a"], b["model_b"]) == ("m00", "m02")]
        rates.append(sum(battle["score"] for battle in drawn) / len(drawn))
    lower, upper = np.quantile(rates, [0.05, 0.95])
    assert intervals["m00", "m02"] == pytest.approx((lower, upper), abs=1e-9)
    assert intervals["m02", "m00"] == pytest.approx((1 - upper, 1 - lower), abs=1e-9)


def test_bradley_terry_intervals_are_percentiles_of_the_resamples() -> None:
    connection = _lake(_random_battles(30, 4))
    parameters = RATING_PARAMETERS | {"resamples": 100, "prior_games": 1, "confidence": 0.9}
    _fit(connection, **parameters)
    ratings = defaultdict(list)
    for model, rating in connection.execute(
        "select model, rating from resampled_ratings where resample > 0"
    ).fetchall():
        ratings[model].append(rating)
    rows = (
        sql.run(connection, "ratings/bradley_terry", **parameters)
        .project("model, rating, lower, upper, rank")
        .fetchall()
    )
    assert [rank for *_, rank in rows] == [1, 2, 3, 4]
    assert sum(rating for _, rating, *_ in rows) / 4 == pytest.approx(1000, abs=1e-6)
    for model, rating, lower, upper, _ in rows:
        assert (lower, upper) == pytest.approx(tuple(np.quantile(ratings[model], [0.05, 0.95])), abs=1e-9)
        assert lower < rating < upper
