"""Bradley-Terry in SQL against evalica on the same Parquet file, and the coverage of the intervals."""

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
import evalica
import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from arena_etl.lake import sql

MODELS = 30
INSTRUCTIONS = 5_000
RESAMPLES = 200
AGREEMENT = 1e-6  # rating points
WINNERS = {"model_a": evalica.Winner.X, "model_b": evalica.Winner.Y, "tie": evalica.Winner.Draw}
SCOPE = {"round": "2026-01-01", "arena": "wizard_arena"}
SETTINGS: dict[str, Any] = {
    "round": SCOPE["round"],
    "scope": SCOPE["arena"],
    "prior_games": 0,
    "scale": 400,
    "base": 10,
    "initial": 1000,
    "seed": 0,
}
POINTS = SETTINGS["scale"] / math.log(SETTINGS["base"])  # rating points per unit of log strength

# The clustered simulation: every pair meets twice on every instruction (two turns).
STRENGTHS = {"a": 0.6, "b": 0.2, "c": -0.2, "d": -0.6}
PAIRS = [(a, b) for a in STRENGTHS for b in STRENGTHS if a < b]
CLUSTERS = 200
TURNS = 2
EFFECT = 1.0  # standard deviation of how much better or worse a model is on one instruction
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Timing:
    """Median seconds of the alternating repetitions; ``ratio``: SQL divided by evalica, per repetition."""

    task: str
    battles: int
    sql_s: float
    evalica_s: float
    counted_s: float | None
    floor_s: float | None
    ratio: float
    ratio_min: float
    ratio_max: float
    largest_difference: float | None


@dataclass(frozen=True)
class Coverage:
    """Share of the intervals that hold the true rating. The standard error treats a simulation as one observation."""

    resampled: str
    covered: float
    standard_error: float
    mean_width: float


def synthetic_battles(battles: int, seed: int) -> pl.DataFrame:
    """Battles of 30 models whose pairs and instructions are drawn uniformly; one in five is a tie."""
    generator = np.random.default_rng(seed)
    strengths = generator.normal(size=MODELS)
    one = generator.integers(MODELS, size=battles)
    other = (one + generator.integers(1, MODELS, size=battles)) % MODELS
    a, b = np.minimum(one, other), np.maximum(one, other)
    won = generator.random(battles) < 1 / (1 + np.exp(strengths[b] - strengths[a]))
    tied = generator.random(battles) < 0.2
    names = np.array([f"model-{number:02}-0123abcd" for number in range(MODELS)])
    return _in_scope(
        instruction_id=np.char.mod("instruction-%05d", generator.integers(INSTRUCTIONS, size=battles)),
        model_a=names[a],
        model_b=names[b],
        winner=np.where(tied, "tie", np.where(won, "model_a", "model_b")),
    )


def clustered_battles(seed: int) -> pl.DataFrame:
    """Battles in which each model has a good or a bad day on each instruction, the same in all its battles there."""
    generator = np.random.default_rng(seed)
    effects = generator.normal(scale=EFFECT, size=(CLUSTERS, len(STRENGTHS)))
    position = {model: number for number, model in enumerate(STRENGTHS)}
    columns: dict[str, list[Any]] = {"instruction_id": [], "model_a": [], "model_b": [], "winner": []}
    for instruction in range(CLUSTERS):
        for a, b in PAIRS:
            own = STRENGTHS[a] + effects[instruction, position[a]]
            theirs = STRENGTHS[b] + effects[instruction, position[b]]
            for won in generator.random(TURNS) < 1 / (1 + math.exp(theirs - own)):
                columns["instruction_id"].append(f"{instruction:05}")
                columns["model_a"].append(a)
                columns["model_b"].append(b)
                columns["winner"].append("model_a" if won else "model_b")
    return _in_scope(**columns)


def clustered_truth() -> dict[str, float]:
    """The ratings that endless clustered battles converge to.

    Not STRENGTHS: averaged over the instructions, the effects pull every win probability towards one half. The averages
    come from Gauss-Hermite quadrature over the difference of two effects; evalica fits them as weights.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    wins = []
    for a, b in PAIRS:
        gaps = STRENGTHS[a] - STRENGTHS[b] + math.sqrt(2) * EFFECT * nodes
        wins.append(float(weights @ (1 / (1 + np.exp(-gaps))) / weights.sum()))
    left, right = [a for a, _ in PAIRS], [b for _, b in PAIRS]
    return _ratings(
        evalica.bradley_terry(
            left + left,
            right + right,
            [evalica.Winner.X] * len(PAIRS) + [evalica.Winner.Y] * len(PAIRS),
            weights=wins + [1 - win for win in wins],
            tolerance=1e-12,
            limit=10_000,
        )
    )


def _in_scope(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame(columns).with_columns(**{name: pl.lit(value) for name, value in SCOPE.items()})


def _ratings(result: evalica.BradleyTerryResult) -> dict[str, float]:
    """evalica's scores on our scale: mean 1000, 400 points for odds of 10 to 1."""
    assert result.iterations < result.limit, "evalica did not converge"
    logs = {str(model): math.log(score) for model, score in result.scores.items()}
    centre = statistics.fmean(logs.values())
    return {model: SETTINGS["initial"] + POINTS * (value - centre) for model, value in logs.items()}


def with_sql(file: Path, resamples: int = 0) -> dict[str, float]:
    """Ratings of resample 0 from the shipped statement."""
    with duckdb.connect() as connection:
        connection.read_parquet(str(file)).create_view("battles")
        rows = sql.run(connection, "ratings/bradley_terry_resamples", **SETTINGS, resamples=resamples).fetchall()
    return {model: rating for resample, model, _, rating, *_ in rows if resample == 0}


def with_evalica(file: Path) -> dict[str, float]:
    """Ratings from lists, one element per battle: evalica's documented input, and its fastest one for rows."""
    left, right, winners = _lists(file)
    return _ratings(evalica.bradley_terry(left, right, winners, tolerance=1e-12, limit=10_000))


def with_evalica_on_counts(file: Path) -> dict[str, float]:
    """Ratings from counts of equal battles, made by polars and given to evalica as weights."""
    counts = pl.scan_parquet(file).group_by("model_a", "model_b", "winner").len().collect()
    return _ratings(
        evalica.bradley_terry(
            counts["model_a"].to_list(),
            counts["model_b"].to_list(),
            [WINNERS[winner] for winner in counts["winner"]],
            weights=counts["len"].cast(pl.Float64).to_list(),
            tolerance=1e-12,
            limit=10_000,
        )
    )


def evalica_bootstrap(file: Path) -> None:
    """As many resamples, but of single battles: evalica has no resampling of groups."""
    left, right, winners = _lists(file)
    evalica.bootstrap(
        evalica.bradley_terry,  # type: ignore[arg-type] # its own protocol has fewer parameters
        left,
        right,
        winners,
        n_resamples=RESAMPLES,
        bootstrap_method="percentile",
        random_state=0,
        tolerance=1e-12,
        limit=10_000,
    )


def _lists(file: Path) -> tuple[list[str], list[str], list[evalica.Winner]]:
    battles = pl.read_parquet(file, columns=["model_a", "model_b", "winner"])
    return (
        battles["model_a"].to_list(),
        battles["model_b"].to_list(),
        [WINNERS[winner] for winner in battles["winner"].to_list()],
    )


def floor(file: Path) -> None:
    """What no solver can save: reading the columns and counting the outcomes of every pair."""
    with duckdb.connect() as connection:
        connection.execute(
            "select model_a, model_b, winner, count(*) from read_parquet($file) "
            "where arena = $arena and round <= $round group by all",
            {"file": str(file), **SCOPE},
        ).fetchall()


def alternate(repetitions: int, *tasks: Callable[[], object]) -> list[list[float]]:
    """Seconds per task and repetition. The tasks take turns, so that a busy moment meets all of them."""
    seconds: list[list[float]] = [[] for _ in tasks]
    for _ in range(repetitions):
        for task, measured in zip(tasks, seconds, strict=True):
            started = time.perf_counter()
            task()
            measured.append(time.perf_counter() - started)
    return seconds


def time_point_estimates(battles: int, repetitions: int, folder: Path) -> Timing:
    """SQL against evalica on ``battles`` battles. Raises AssertionError if their ratings differ."""
    file = folder / f"{battles}.parquet"
    synthetic_battles(battles, seed=battles).write_parquet(file)
    ours, theirs = with_sql(file), with_evalica(file)  # also the warm-up
    difference = max(abs(ours[model] - theirs[model]) for model in ours.keys() | theirs.keys())
    assert difference <= AGREEMENT, f"{battles} battles: the ratings differ by {difference}"
    seconds = alternate(
        repetitions,
        lambda: with_sql(file),
        lambda: with_evalica(file),
        lambda: with_evalica_on_counts(file),
        lambda: floor(file),
    )
    ours_s, theirs_s, counted_s, floor_s = map(statistics.median, seconds)
    return Timing("point", battles, ours_s, theirs_s, counted_s, floor_s, *_ratios(seconds[0], seconds[1]), difference)


def time_resamples(battles: int, repetitions: int, folder: Path) -> Timing:
    """200 resamples: of whole instructions in SQL, of single battles in evalica. Uses the file of that size."""
    file = folder / f"{battles}.parquet"
    seconds = alternate(repetitions, lambda: with_sql(file, RESAMPLES), lambda: evalica_bootstrap(file))
    ours_s, theirs_s = map(statistics.median, seconds)
    return Timing(f"{RESAMPLES} resamples", battles, ours_s, theirs_s, None, None, *_ratios(*seconds), None)


def _ratios(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    ratios = [own / other for own, other in zip(ours, theirs, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def coverage(simulations: int) -> list[Coverage]:
    """How often the 95% intervals hold the truth when whole instructions, or single battles, are resampled."""
    truth = clustered_truth()
    shares: dict[str, list[float]] = {"whole instructions": [], "single battles": []}
    widths: dict[str, list[float]] = {unit: [] for unit in shares}
    for simulation in tqdm(range(simulations), desc="coverage", unit="simulation", disable=None):
        battles = clustered_battles(simulation)
        # Every battle under an instruction of its own: the same statement then resamples single battles.
        single = battles.with_columns(instruction_id=pl.int_range(pl.len()).cast(pl.String).str.zfill(5))
        for unit, frame in zip(shares, (battles, single), strict=True):
            intervals = _intervals(frame, seed=simulation)
            shares[unit].append(statistics.fmean(low <= truth[model] <= high for model, low, high in intervals))
            widths[unit].append(statistics.fmean(high - low for _, low, high in intervals))
    return [
        Coverage(
            unit,
            statistics.fmean(shares[unit]),
            statistics.stdev(shares[unit]) / math.sqrt(simulations),
            statistics.fmean(widths[unit]),
        )
        for unit in shares
    ]


def _intervals(battles: pl.DataFrame, seed: int) -> list[tuple[str, float, float]]:
    parameters = {**SETTINGS, "resamples": RESAMPLES, "seed": seed, "confidence": CONFIDENCE}
    with duckdb.connect() as connection:
        connection.register("battles", battles)
        sql.materialize(connection, "resampled_ratings", "ratings/bradley_terry_resamples", **parameters)
        return sql.run(connection, "ratings/bradley_terry", **parameters).project("model, lower, upper").fetchall()


def main(
    repetitions: Annotated[int, typer.Option(min=1, help="timed repetitions of every task")] = 5,
    simulations: Annotated[int, typer.Option(min=2, help="simulated data sets for the coverage")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of tables")] = False,
) -> None:
    """Time Bradley-Terry in SQL against evalica, and simulate the coverage of its intervals."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timings = [time_point_estimates(battles, repetitions, folder) for battles in (10_000, 1_000_000)]
        timings.append(time_resamples(10_000, repetitions, folder))
    covered = coverage(simulations)
    if as_json:
        result = {
            "cores": os.cpu_count(),
            "repetitions": repetitions,
            "timings": [asdict(timing) for timing in timings],
            "simulations": simulations,
            "nominal": CONFIDENCE,
            "coverage": [asdict(row) for row in covered],
        }
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return
    console = Console()
    console.print(_timing_table(timings, repetitions))
    console.print(_coverage_table(covered, simulations))


def _timing_table(timings: list[Timing], repetitions: int) -> Table:
    table = Table(title=f"Bradley-Terry from Parquet: median seconds of {repetitions}, {os.cpu_count()} cores")
    table.add_column()
    for timing in timings:
        table.add_column(f"{timing.task}\n{timing.battles:,}", justify="right")
    rows = {
        "SQL": [_seconds(t.sql_s) for t in timings],
        "evalica": [_seconds(t.evalica_s) for t in timings],
        "evalica on counts": [_seconds(t.counted_s) for t in timings],
        "floor: read and count": [_seconds(t.floor_s) for t in timings],
        "SQL / evalica": [f"{t.ratio:.2f}" for t in timings],
        "  min..max": [f"{t.ratio_min:.2f}..{t.ratio_max:.2f}" for t in timings],
        "largest difference": ["" if t.largest_difference is None else f"{t.largest_difference:.0e}" for t in timings],
    }
    for heading, cells in rows.items():
        table.add_row(heading, *cells)
    return table


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _coverage_table(covered: list[Coverage], simulations: int) -> Table:
    table = Table(title=f"Nominal {CONFIDENCE:.0%} intervals in {simulations} simulations with clustered battles")
    for heading in ("resampled", "covered", "standard error", "mean width"):
        table.add_column(heading, justify="left" if heading == "resampled" else "right")
    for row in covered:
        table.add_row(row.resampled, f"{row.covered:.1%}", f"{row.standard_error:.1%}", f"{row.mean_width:.1f}")
    return table


if __name__ == "__main__":
    typer.run(main)
