"""Style-controlled ratings in SQL against arena-rank on the same Parquet file, and the coverage of the intervals."""

import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.special import expit, ndtr
from tqdm import tqdm

from arena_etl.lake import sql

MODELS = 30
INSTRUCTIONS = 5_000
FEATURES = ("length", "headers", "bold", "lists")
MEANS = (300, 1, 3, 5)  # of the features, per answer
EFFECTS = (1.2, 0.2, 0.4, 0.3)  # log strength per unit of (a - b) / (a + b)
RESAMPLES = 200
RIDGE = 1.0
AGREEMENT = 1.0  # rating points
SETTINGS: dict[str, Any] = {
    "round": "2026-01-01",
    "max_clusters": 10_000,
    "resamples": RESAMPLES,
    "seed": 0,
    "prior_games": 0,
    "scale": 400,
    "base": 10,
    "initial": 1000,
    "anchor": None,
    "anchor_rating": 1000,
    "confidence": 0.95,
}
STEPS = {
    "clusters": "resampling/clusters",
    "resample_weights": "resampling/weights",
    "style_pairs": "ratings/style_pairs",
    "style_observations": "ratings/style_observations",
    "style_estimates": "ratings/style_estimates",
}

# The clustered simulation: every pair meets twice on every instruction (two turns).
STRENGTHS = np.array([0.6, 0.2, -0.2, -0.6])
PAIRS = [(a, b) for a in range(len(STRENGTHS)) for b in range(a + 1, len(STRENGTHS))]
CLUSTERS = 200
TURNS = 2
SHARED = 0.7  # how much of a battle's luck comes from how well the two models do on the instruction, 0 to 1

Floats = NDArray[np.float64]
Ratings = dict[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Timing:
    """Median seconds of the alternating repetitions; ``ratio``: arena-rank divided by SQL, per repetition.

    ``mean_penalty``: the ridge as arena-rank counts it, on the mean log likelihood. ``largest_difference``: rating points.
    ``widths``: mean width of SQL's intervals divided by arena-rank's.
    """

    battles: int
    mean_penalty: float
    sql_s: float
    arena_rank_s: float
    ratio: float
    ratio_min: float
    ratio_max: float
    largest_difference: float
    widths: float


@dataclass(frozen=True)
class Coverage:
    """Share of the intervals that hold the true rating. The standard error treats a simulation as one observation."""

    method: str
    covered: float
    standard_error: float
    mean_width: float


def synthetic_battles(battles: int, seed: int) -> pa.Table:
    """Battles of 30 models on 5,000 instructions, sides drawn by lot; stronger models write more; one in five is a tie.

    The columns length, headers, bold and lists hold the differences (a - b) / (a + b), which arena-rank reads.
    """
    generator = np.random.default_rng(seed)
    strengths = generator.normal(size=MODELS)
    verbosity = np.exp(0.3 * strengths + 0.3 * generator.normal(size=MODELS))
    a = generator.integers(MODELS, size=battles)
    b = (a + generator.integers(1, MODELS, size=battles)) % MODELS
    columns = _styles(generator, verbosity[a], verbosity[b])
    gap = strengths[a] - strengths[b] + sum(e * columns[f] for e, f in zip(EFFECTS, FEATURES, strict=True))
    won = generator.random(battles) < expit(gap)
    score = np.where(generator.random(battles) < 0.2, 0.5, won)
    names = np.array([f"model-{number:02}-0123abcd" for number in range(MODELS)])
    instructions = np.char.mod("instruction-%05d", generator.integers(INSTRUCTIONS, size=battles))
    return _table(instructions, names[a], names[b], score, columns)


def clustered_battles(seed: int) -> pa.Table:
    """Battles on one instruction share their luck: a model is lucky or not in all its battles there.

    The luck of a battle is a normal variable with a part from either model and a part of its own. A model wins if the
    luck's quantile is below its chance, so chances are exactly those of the fitted likelihood, whatever is shared.
    """
    generator = np.random.default_rng(seed)
    instruction = np.repeat(np.arange(CLUSTERS), len(PAIRS) * TURNS)
    a, b = np.tile(np.repeat(np.array(PAIRS), TURNS, axis=0), (CLUSTERS, 1)).T
    verbosity = np.exp(0.5 * STRENGTHS)
    columns = _styles(generator, verbosity[a], verbosity[b])
    gap = STRENGTHS[a] - STRENGTHS[b] + sum(e * columns[f] for e, f in zip(EFFECTS, FEATURES, strict=True))
    models = generator.normal(size=(CLUSTERS, len(STRENGTHS)))
    luck = SHARED * (models[instruction, a] - models[instruction, b]) / math.sqrt(2)
    luck += math.sqrt(1 - SHARED**2) * generator.normal(size=len(luck))
    names = np.array(list("abcd"))
    return _table(np.char.mod("%05d", instruction), names[a], names[b], ndtr(luck) < expit(gap), columns)


def _styles(generator: np.random.Generator, a: Floats, b: Floats) -> dict[str, Floats]:
    """Counts of both answers and their differences, for answers of models of that verbosity."""
    columns: dict[str, Floats] = {}
    # Answers of one model differ in length by a factor of about 1.6, and their Markdown goes with the length.
    long_a, long_b = (side * np.exp(0.5 * generator.normal(size=len(side))) for side in (a, b))
    for feature, mean in zip(FEATURES, MEANS, strict=True):
        one, other = generator.poisson(mean * long_a).astype(float), generator.poisson(mean * long_b).astype(float)
        columns |= {f"{feature}_a": one, f"{feature}_b": other}
        columns[feature] = (one - other) / np.where(one + other == 0, 1, one + other)
    return columns


def _table(instructions: Any, model_a: Any, model_b: Any, score: Any, columns: dict[str, Floats]) -> pa.Table:
    count = len(instructions)
    score = np.asarray(score, dtype=float)
    return pa.table(
        {
            "scope": ["overall"] * count,
            "position": np.arange(count),
            "instruction_id": instructions,
            "model_a": model_a,
            "model_b": model_b,
            "score": score,
            "winner": np.array(["model_b", "tie", "model_a"])[(2 * score).astype(int)],
            **columns,
        }
    )


def with_sql(battles: Path | pa.Table, ridge: float, seed: int = 0) -> Ratings:
    """Ratings and intervals from the shipped statements."""
    parameters = {**SETTINGS, "style_ridge": ridge, "seed": seed}
    with duckdb.connect() as connection:
        if isinstance(battles, Path):
            connection.read_parquet(str(battles)).create_view("scoped_battles")
        else:
            connection.register("scoped_battles", battles)
        for table, file in STEPS.items():
            sql.materialize(connection, table, file, **parameters)
        rows = (
            sql.run(connection, "ratings/style_controlled", **parameters)
            .project("model, rating, lower, upper")
            .fetchall()
        )
    return {model: (rating, lower, upper) for model, rating, lower, upper in rows}


def with_arena_rank(file: Path, mean_penalty: float) -> Ratings:
    """arena-rank's ratings and sandwich intervals, every battle counting once (its own default is by pair)."""
    try:
        import pandas as pd
        from arena_rank.models.contextual_bradley_terry import ContextualBradleyTerry
        from arena_rank.utils.data_utils import ContextualPairDataset
    except ImportError as error:
        raise SystemExit(f"This benchmark compares with arena-rank: uv pip install arena-rank ({error}).") from error
    frame = pd.read_parquet(file, columns=["model_a", "model_b", "winner", *FEATURES])
    dataset = ContextualPairDataset.from_pandas(frame, feature_cols=list(FEATURES), reweighted=False)
    model = ContextualBradleyTerry(len(dataset.competitors), len(FEATURES), reg=mean_penalty)
    found = model.compute_ratings_and_cis(dataset)
    bounds = np.array([found["ratings"], found["rating_lower"], found["rating_upper"]]).T
    return {name: (row[0], row[1], row[2]) for name, row in zip(found["competitors"], bounds.tolist(), strict=True)}


def compare(battles: int, mean_penalty: float, repetitions: int, folder: Path) -> Timing:
    """SQL against arena-rank on ``battles`` battles. Raises AssertionError if their ratings differ by a point."""
    file = folder / f"{battles}.parquet"
    if not file.exists():
        pq.write_table(synthetic_battles(battles, seed=battles), file)
    ridge = mean_penalty * battles
    ours, theirs = with_sql(file, ridge), with_arena_rank(file, mean_penalty)  # also the warm-up
    difference = max(abs(ours[model][0] - theirs[model][0]) for model in ours.keys() | theirs.keys())
    assert difference <= AGREEMENT, f"{battles} battles, ridge {ridge}: the ratings differ by {difference}"
    widths = [sum(high - low for _, low, high in found.values()) for found in (ours, theirs)]
    seconds = alternate(repetitions, lambda: with_sql(file, ridge), lambda: with_arena_rank(file, mean_penalty))
    ours_s, theirs_s = map(statistics.median, seconds)
    ratios = [other / own for own, other in zip(*seconds, strict=True)]
    ratio = statistics.median(ratios)
    return Timing(
        battles, mean_penalty, ours_s, theirs_s, ratio, min(ratios), max(ratios), difference, widths[0] / widths[1]
    )


def alternate(repetitions: int, *tasks: Callable[[], object]) -> list[list[float]]:
    """Seconds per task and repetition. The tasks take turns, so that a busy moment meets all of them."""
    seconds: list[list[float]] = [[] for _ in tasks]
    for _ in range(repetitions):
        for task, measured in zip(tasks, seconds, strict=True):
            started = time.perf_counter()
            task()
            measured.append(time.perf_counter() - started)
    return seconds


def refitted(battles: pa.Table, seed: int) -> list[tuple[float, float]]:
    """Percentile intervals from a full fit of every resample of whole instructions."""
    generator = np.random.default_rng(seed)
    design = _design(battles)
    cluster = np.unique(battles["instruction_id"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    score = battles["score"].to_numpy()
    clusters = cluster.max() + 1
    fits = []
    for _ in range(RESAMPLES):
        drawn = np.bincount(generator.integers(clusters, size=clusters), minlength=clusters)
        fits.append(_ratings(_fit(design, score, drawn[cluster].astype(float))[0]))
    bounds = np.quantile(fits, [0.025, 0.975], axis=0)
    return list(zip(*bounds.tolist(), strict=True))


def unclustered(battles: pa.Table) -> list[tuple[float, float]]:
    """Normal intervals from the inverse information, as if every battle were independent of all others."""
    design = _design(battles)
    estimates, information = _fit(design, battles["score"].to_numpy(), np.ones(len(design)))
    models = len(STRENGTHS)
    points = SETTINGS["scale"] / math.log(SETTINGS["base"])
    # Holding the mean adds 1 / models^2 to every cell of the inverse.
    errors = points * np.sqrt(np.diag(np.linalg.inv(information))[:models] - 1 / models**2)
    return [
        (rating - 1.96 * error, rating + 1.96 * error)
        for rating, error in zip(_ratings(estimates), errors, strict=True)
    ]


def _design(battles: pa.Table) -> Floats:
    differences = np.column_stack([battles[feature].to_numpy() for feature in FEATURES])
    names = np.array(list("abcd"))
    sides = [battles[side].to_numpy(zero_copy_only=False)[:, None] == names for side in ("model_a", "model_b")]
    gaps = sides[0].astype(float) - sides[1].astype(float)
    return np.column_stack([gaps, differences / np.sqrt((differences**2).mean(axis=0))])


def _fit(design: Floats, score: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Estimates and information by Newton's method, written in numpy: independent of the statements."""
    models = len(STRENGTHS)
    penalty = np.append(np.zeros(models), np.full(len(FEATURES), RIDGE))
    hold = np.append(np.ones(models), np.zeros(len(FEATURES)))
    estimates = np.zeros(design.shape[1])
    while True:
        expected = expit(design @ estimates)
        information = (
            (design.T * (weights * expected * (1 - expected))) @ design + np.diag(penalty) + np.outer(hold, hold)
        )
        move = np.linalg.solve(information, design.T @ (weights * (score - expected)) - penalty * estimates)
        estimates += move
        if np.abs(move).max() < 1e-9:
            return estimates, information


def _ratings(estimates: Floats) -> list[float]:
    strengths = estimates[: len(STRENGTHS)]
    points = SETTINGS["scale"] / math.log(SETTINGS["base"])
    return list(SETTINGS["initial"] + points * (strengths - strengths.mean()))


def coverage(simulations: int) -> list[Coverage]:
    """How often nominal 95% intervals hold the truth: one-step resamples, full fits, and battles taken as independent."""
    truth = _ratings(STRENGTHS)
    found: dict[str, list[list[tuple[float, float]]]] = {
        "one step (SQL)": [],
        "full fits": [],
        "independent battles": [],
    }
    for simulation in tqdm(range(simulations), desc="coverage", unit="simulation", disable=None):
        battles = clustered_battles(simulation)
        ours = with_sql(battles, RIDGE, seed=simulation)
        intervals = ([ours[model][1:] for model in "abcd"], refitted(battles, simulation), unclustered(battles))
        for method, bounds in zip(found, intervals, strict=True):
            found[method].append(bounds)
    rows = []
    for method, simulated in found.items():
        shares = [
            statistics.fmean(low <= true <= high for true, (low, high) in zip(truth, bounds, strict=True))
            for bounds in simulated
        ]
        width = statistics.fmean(high - low for bounds in simulated for low, high in bounds)
        error = statistics.stdev(shares) / math.sqrt(simulations)
        rows.append(Coverage(method, statistics.fmean(shares), error, width))
    return rows


def main(
    repetitions: Annotated[int, typer.Option(min=1, help="timed repetitions of every task")] = 5,
    simulations: Annotated[int, typer.Option(min=2, help="simulated data sets for the coverage")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of tables")] = False,
) -> None:
    """Time style-controlled ratings in SQL against arena-rank, and simulate the coverage of the intervals."""
    with tempfile.TemporaryDirectory() as name:
        # The ridge as we set it, then as arena-rank does.
        timings = [
            compare(battles, mean_penalty, repetitions, Path(name))
            for battles in (10_000, 1_000_000)
            for mean_penalty in (RIDGE / battles, 1.0)
        ]
    covered = coverage(simulations)
    if as_json:
        result = {
            "cores": os.cpu_count(),
            "repetitions": repetitions,
            "timings": [asdict(timing) for timing in timings],
            "simulations": simulations,
            "nominal": SETTINGS["confidence"],
            "coverage": [asdict(row) for row in covered],
        }
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return
    console = Console()
    console.print(_timing_table(timings, repetitions))
    console.print(_coverage_table(covered, simulations))


def _timing_table(timings: list[Timing], repetitions: int) -> Table:
    table = Table(title=f"Style control from Parquet: median seconds of {repetitions}, {os.cpu_count()} cores")
    table.add_column()
    for timing in timings:
        table.add_column(f"{timing.battles:,}\nridge {timing.mean_penalty * timing.battles:,.0f}", justify="right")
    rows = {
        "SQL": [f"{t.sql_s:.3f}" for t in timings],
        "arena-rank": [f"{t.arena_rank_s:.3f}" for t in timings],
        "arena-rank / SQL": [f"{t.ratio:.2f}" for t in timings],
        "  min..max": [f"{t.ratio_min:.2f}..{t.ratio_max:.2f}" for t in timings],
        "largest difference": [f"{t.largest_difference:.3f}" for t in timings],
        "widths, SQL / arena-rank": [f"{t.widths:.3f}" for t in timings],
    }
    for heading, cells in rows.items():
        table.add_row(heading, *cells)
    return table


def _coverage_table(covered: list[Coverage], simulations: int) -> Table:
    table = Table(title=f"Nominal 95% intervals in {simulations} simulations with clustered battles")
    for heading in ("intervals from", "covered", "standard error", "mean width"):
        table.add_column(heading, justify="left" if heading == "intervals from" else "right")
    for row in covered:
        table.add_row(row.method, f"{row.covered:.1%}", f"{row.standard_error:.1%}", f"{row.mean_width:.1f}")
    return table


if __name__ == "__main__":
    typer.run(main)
