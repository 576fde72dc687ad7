"""Style-controlled ratings against scipy's maximum of the documented likelihood, and against their own symmetries."""

from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import spearmanr

from arena_etl.lake import sql
from arena_etl.ranking import fit_bradley_terry
from tests.shared_data import SHARED_DATA
from tests.sql.harness import RATING_PARAMETERS, empty_lake

FEATURES = ["length", "headers", "bold", "lists"]
INPUTS = {
    "clusters": "resampling/clusters",
    "resample_weights": "resampling/weights",
    "style_pairs": "ratings/style_pairs",
    "style_observations": "ratings/style_observations",
    "style_estimates": "ratings/style_estimates",
}
PARAMETERS = RATING_PARAMETERS | {"anchor": None, "anchor_rating": 1000}

Floats = NDArray[np.float64]


def _battles(scope: str, models: int, battles: int, seed: int, instructions: int = 100) -> pl.DataFrame:
    """Battles between models of growing skill and growing verbosity; a fifth are ties and a tenth soft scores."""
    generator = np.random.default_rng(seed)
    a = generator.integers(models, size=battles)
    b = (a + generator.integers(1, models, size=battles)) % models
    counts = {
        f"{feature}_{side}": generator.poisson(mean * (1 + model / models)).astype(float)
        for feature, mean in zip(FEATURES, (200, 1, 3, 5), strict=True)
        for side, model in (("a", a), ("b", b))
    }
    gap = (a - b) / models + 0.8 * sum(_share(counts[f"{f}_a"], counts[f"{f}_b"]) for f in FEATURES)
    score = np.where(generator.random(battles) < expit(gap), 1.0, 0.0)
    score = np.where(generator.random(battles) < 0.2, 0.5, score)
    score = np.where(generator.random(battles) < 0.1, generator.random(battles), score)
    return pl.DataFrame(
        {
            "scope": [scope] * battles,
            "position": np.arange(battles),
            "instruction_id": [f"i{number:05}" for number in generator.integers(instructions, size=battles)],
            "model_a": [f"m{number:02}" for number in a],
            "model_b": [f"m{number:02}" for number in b],
            "score": score,
            **counts,
        }
    )


def _share(a: Floats, b: Floats) -> Floats:
    return (a - b) / np.where(a + b == 0, 1, a + b)


def _swapped(battles: pl.DataFrame, where: pl.Expr) -> pl.DataFrame:
    """The same battles, some of them told from the other side."""
    sides = [("model_a", "model_b"), *((f"{feature}_a", f"{feature}_b") for feature in FEATURES)]
    return battles.with_columns(
        pl.when(where).then(1 - pl.col("score")).otherwise("score").alias("score"),
        *(pl.when(where).then(b).otherwise(a).alias(a) for a, b in sides),
        *(pl.when(where).then(a).otherwise(b).alias(b) for a, b in sides),
    )


def _connect(rows: pl.DataFrame, **parameters: Any) -> duckdb.DuckDBPyConnection:
    connection = empty_lake()
    connection.execute("insert into scoped_battles by name select * from rows")
    assert rows.height
    for table, file in INPUTS.items():
        sql.materialize(connection, table, file, **(PARAMETERS | parameters))
    return connection


def _estimates(
    connection: duckdb.DuckDBPyConnection, scope: str, resample: int = 0
) -> tuple[dict[str, float], list[float]]:
    """Log strengths by model and the coefficients in the order of FEATURES."""
    rows = connection.execute(
        "select model, feature, estimate, converged from style_estimates where scope = $scope and resample = $resample",
        {"scope": scope, "resample": resample},
    ).fetchall()
    assert all(converged for *_, converged in rows)
    strengths = {model: estimate for model, _, estimate, _ in rows if model}
    coefficients = {feature: estimate for _, feature, estimate, _ in rows if feature}
    return strengths, [coefficients[feature] for feature in FEATURES]


def _fit(
    battles: pl.DataFrame, prior_games: float, ridge: float, weights: Sequence[float] | Floats | None = None
) -> tuple[dict[str, float], list[float]]:
    """The maximum of the likelihood in the header of style_estimates.sql; ``weights``: times that each battle counts."""
    models = sorted(set(battles["model_a"]) | set(battles["model_b"]))
    place = {model: number for number, model in enumerate(models)}
    differences = np.column_stack(
        [_share(battles[f"{feature}_a"].to_numpy(), battles[f"{feature}_b"].to_numpy()) for feature in FEATURES]
    )
    scale = np.sqrt((differences**2).mean(axis=0))
    # Columns: models, the virtual opponent, features. Rows: battles, then the virtual games.
    size = len(models) + 1
    design = np.zeros((len(battles) + len(models), size + len(FEATURES)))
    rows = np.arange(len(battles))
    design[rows, [place[model] for model in battles["model_a"]]] = 1
    design[rows, [place[model] for model in battles["model_b"]]] = -1
    design[: len(battles), size:] = differences / np.where(scale == 0, 1, scale)
    design[len(battles) :, : len(models)] = np.eye(len(models))
    design[len(battles) :, size - 1] = -1
    played = np.append(np.ones(len(battles)) if weights is None else weights, np.full(len(models), prior_games))
    wins = played * np.append(battles["score"].to_numpy(), np.full(len(models), 0.5))
    penalty = np.append(np.zeros(size), np.full(len(FEATURES), ridge))
    # The likelihood does not depend on the mean of all strengths: this holds it without moving the maximum.
    hold = np.append(np.ones(size), np.zeros(len(FEATURES)))

    def loss(parameters: Floats) -> float:
        logits = design @ parameters
        likelihood = wins @ logits - played @ np.logaddexp(0, logits)
        return float((penalty @ parameters**2 + (hold @ parameters) ** 2) / 2 - likelihood)

    def gradient(parameters: Floats) -> Floats:
        surprise = wins - played * expit(design @ parameters)
        return np.asarray(penalty * parameters + hold * (hold @ parameters) - design.T @ surprise)

    def curvature(parameters: Floats) -> Floats:
        expected = expit(design @ parameters)
        return np.asarray(
            np.diag(penalty) + np.outer(hold, hold) + (design.T * (played * expected * (1 - expected))) @ design
        )

    start = np.zeros(size + len(FEATURES))
    found = minimize(loss, start, method="trust-exact", jac=gradient, hess=curvature, options={"gtol": 1e-9}).x
    strengths = found[: len(models)] - found[: len(models)].mean()
    return dict(zip(models, strengths.tolist(), strict=True)), found[size:].tolist()


@pytest.mark.parametrize(("prior_games", "ridge"), [(0, 1), (1, 1), (3, 0.01), (0, 500)])
def test_estimates_are_the_maximum_of_the_documented_likelihood(prior_games: float, ridge: float) -> None:
    scopes = {"one": _battles("one", 6, 500, seed=1), "other": _battles("other", 3, 80, seed=2)}
    connection = _connect(pl.concat(scopes.values()), prior_games=prior_games, style_ridge=ridge)
    for scope, battles in scopes.items():
        strengths, coefficients = _estimates(connection, scope)
        expected_strengths, expected_coefficients = _fit(battles, prior_games, ridge)
        assert strengths == pytest.approx(expected_strengths, abs=1e-6)
        assert coefficients == pytest.approx(expected_coefficients, abs=1e-6)


def test_far_from_even_battles_converge() -> None:
    # The longer answer and the stronger model nearly always win: full Newton steps would overshoot.
    battles = _battles("overall", 8, 400, seed=3)
    longer = pl.col("length_a") > pl.col("length_b")
    upset = pl.col("position") % 37 == 0
    battles = battles.with_columns(
        ((longer | (pl.col("model_a") > pl.col("model_b"))) ^ upset).cast(pl.Float64).alias("score")
    )
    strengths, coefficients = _estimates(_connect(battles, style_ridge=0.001), "overall")
    expected_strengths, expected_coefficients = _fit(battles, 0, 0.001)
    assert strengths == pytest.approx(expected_strengths, abs=1e-6)
    assert coefficients == pytest.approx(expected_coefficients, abs=1e-6)


@pytest.mark.parametrize("prior_games", [0, 1])
def test_answers_of_one_style_give_plain_bradley_terry(prior_games: float) -> None:
    battles = _battles("overall", 6, 300, seed=4).with_columns(
        **{f"{feature}_b": pl.col(f"{feature}_a") for feature in FEATURES}
    )
    connection = _connect(battles, prior_games=prior_games)
    strengths, coefficients = _estimates(connection, "overall")
    assert coefficients == [None] * 4
    fit_bradley_terry(connection, PARAMETERS | {"prior_games": prior_games})
    rows = connection.execute("select model, log_strength from resampled_ratings").fetchall()
    assert strengths == pytest.approx(dict(rows), abs=1e-8)


@pytest.mark.parametrize("where", [pl.lit(True), pl.col("position") % 3 == 0], ids=["all", "some"])
def test_who_is_called_model_a_does_not_matter(where: pl.Expr) -> None:
    battles = _battles("overall", 5, 300, seed=5)
    told, retold = (_connect(side, resamples=5) for side in (battles, _swapped(battles, where)))
    assert told.table("style_estimates").fetchall() == retold.table("style_estimates").fetchall()


def test_battles_of_unknown_style_are_left_out() -> None:
    battles = _battles("overall", 5, 300, seed=6)
    unknown = battles.with_columns(position=pl.col("position") + 300, headers_a=None)
    nothing = battles.with_columns(
        pl.lit("nothing").alias("scope"), *(pl.lit(None).alias(f"{f}_{side}") for f in FEATURES for side in "ab")
    )
    alone, together = (
        sql.run(_connect(rows), "ratings/style_controlled", **PARAMETERS).fetchall()
        for rows in (battles, pl.concat([battles, unknown, nothing], how="vertical_relaxed"))
    )
    assert alone == together


def test_one_step_resamples_are_close_to_full_fits() -> None:
    battles = _battles("overall", 5, 1500, seed=7, instructions=150)
    connection = _connect(battles, resamples=100, seed=3)
    drawn = connection.sql(
        "select resample, position, coalesce(weight, 0) as weight from range(1, 101) as resamples (resample) "
        "cross join scoped_battles inner join clusters using (scope, instruction_id) "
        "left join resample_weights using (resample, cluster) order by resample, position"
    ).fetchnumpy()
    weights = drawn["weight"].reshape(100, len(battles))
    one_step = np.array([_vector(*_estimates(connection, "overall", resample)) for resample in range(1, 101)])
    refitted = np.array([_vector(*_fit(battles, 0, 1, weights[resample])) for resample in range(100)])
    assert one_step.std(axis=0) == pytest.approx(refitted.std(axis=0), rel=0.05)
    assert all(
        np.corrcoef(one_step[:, column], refitted[:, column])[0, 1] > 0.99 for column in range(one_step.shape[1])
    )


def _vector(strengths: dict[str, float], coefficients: list[float]) -> list[float]:
    return [*(strengths[model] for model in sorted(strengths)), *coefficients]


def test_style_explains_part_of_the_verdicts_of_alpaca_eval() -> None:
    folder = SHARED_DATA / "alpaca_eval"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: set SHARED_DATA to the folder of the published verdicts")
    connection = empty_lake()
    connection.execute(f"set file_search_path = '{folder}'")
    connection.execute(
        "insert into judged_answers by name select instruction_id, model as contestant_id, 1 as turn, output as text "
        "from 'outputs.parquet'"
    )
    sql.materialize(connection, "answer_style", "battles/answer_style")
    connection.execute(
        "insert into scoped_battles by name select 'overall' as scope, row_number() over () as position, "
        "instruction_id, baseline as model_a, model as model_b, "
        "case winner when 'baseline' then 1 when 'tie' then 0.5 else 0 end as score, "
        + ", ".join(f"{side}.{feature} as {feature}_{side}" for feature in FEATURES for side in "ab")
        + " from 'verdicts.parquet' inner join answer_style as a using (instruction_id) "
        "inner join answer_style as b using (instruction_id) where judge = 'weighted_alpaca_eval_gpt4_turbo' "
        "and a.contestant_id = baseline_output_ref and b.contestant_id = model and model <> baseline"
    )
    parameters = PARAMETERS | {"prior_games": 1}
    for table, file in INPUTS.items():
        sql.materialize(connection, table, file, **(parameters | {"resamples": 100}))
    fit_bradley_terry(connection, parameters)
    sql.materialize(connection, "controlled", "ratings/style_controlled", **parameters)
    effects = {row[1]: row[2:] for row in sql.run(connection, "ratings/style_effects", **parameters).fetchall()}
    for feature in FEATURES:
        coefficient, lower, upper, _ = effects[feature]
        assert 0 < lower < coefficient < upper

    ratings = {
        model: {"controlled": controlled, "plain": plain, "length": length}
        for model, controlled, plain, length in connection.execute(
            "select model, controlled.rating, plain.rating, mean_output_chars from controlled "
            "inner join resampled_ratings as plain using (model) inner join 'models.parquet' using (model) "
            "where plain.resample = 0 order by model"
        ).fetchall()
    }
    assert len(ratings) == 31
    # The longer a model's answers, the more it loses.
    gains = [row["controlled"] - row["plain"] for row in ratings.values()]
    assert spearmanr(gains, [row["length"] for row in ratings.values()]).statistic < -0.8
    # One model told to be brief and told to be wordy: nearly the same rating once style is held equal.
    for brief, wordy in (
        ("gpt-3.5-turbo-1106_concise", "gpt-3.5-turbo-1106_verbose"),
        ("claude-2.1_concise", "claude-2.1"),
    ):
        apart = {kind: abs(ratings[brief][kind] - ratings[wordy][kind]) for kind in ("controlled", "plain")}
        assert apart["controlled"] < apart["plain"] / 3
