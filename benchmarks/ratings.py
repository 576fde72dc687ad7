"""Bradley-Terry in SQL against evalica and arena-rank on the same Parquet files, and the coverage of the intervals."""

import json
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import duckdb
import evalica
import numpy as np
import pandas as pd
import polars as pl
import typer
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from arena_etl.lake import sql
from arena_etl.ranking import draw_resamples, fit_bradley_terry, rate_scopes

SIZES = [(10_000, 30), (1_000_000, 30), (1_000_000, 200), (10_000_000, 30), (10_000_000, 200)]  # battles, models
INSTRUCTIONS = 5_000
RESAMPLES = 200
AGREEMENT = 1e-5  # rating points
WINNERS = {"model_a": evalica.Winner.X, "model_b": evalica.Winner.Y, "tie": evalica.Winner.Draw}
SETTINGS: dict[str, Any] = {
    "round": "2026-01-01",
    "prior_games": 0,
    "scale": 400,
    "base": 10,
    "initial": 1000,
    "anchor": None,
    "anchor_rating": 1000,
    "confidence": 0.95,
    "max_clusters": 10_000,
    "resamples": 0,
    "seed": 0,
}
POINTS = SETTINGS["scale"] / math.log(SETTINGS["base"])  # rating points per unit of log strength

# The clustered simulation: every pair meets twice on every instruction (two turns).
STRENGTHS = {"a": 0.6, "b": 0.2, "c": -0.2, "d": -0.6}
PAIRS = [(a, b) for a in STRENGTHS for b in STRENGTHS if a < b]
CLUSTERS = 200
TURNS = 2
EFFECT = 1.0  # standard deviation of how much better or worse a model is on one instruction


@dataclass(frozen=True)
class Timing:
    """Median seconds of the alternating repetitions of one task on one file."""

    task: str
    battles: int
    models: int
    seconds: dict[str, float]
    megabytes: float | None = None  # peak memory of a process that does the SQL task once


@dataclass(frozen=True)
class Coverage:
    """Share of the intervals that hold the true rating. The standard error treats a simulation as one observation."""

    resampled: str
    covered: float
    standard_error: float
    mean_width: float


def synthetic_battles(file: Path, battles: int, models: int) -> None:
    """Write battles whose models and instructions are drawn uniformly; one in five is a tie. Strengths are even steps."""
    with duckdb.connect() as connection:
        connection.execute(
            f"""
            copy (
                with draws as (
                    select
                        {", ".join(f"hash(i, {k}) % 1000003 / 1000003 as u{k}" for k in range(5))}
                    from range($battles) as numbers (i)
                ),
                pairs as (
                    select *, (u0 * $models)::int % $models as one, 1 + (u1 * ($models - 1))::int % ($models - 1) as step
                    from draws
                ),
                sides as (select *, (one + step) % $models as other from pairs)
                select
                    format('instruction-{{:05}}', (u2 * $instructions)::int % $instructions) as instruction_id,
                    format('model-{{:03}}-0123abcd', one) as model_a,
                    format('model-{{:03}}-0123abcd', other) as model_b,
                    case
                        when u3 < 0.2 then 'tie'
                        when u4 < 1 / (1 + exp((other - one) * 6 / $models)) then 'model_b'
                        else 'model_a'
                    end as winner
                from sides
            ) to '{file}' (format parquet)
            """,
            {"battles": battles, "models": models, "instructions": INSTRUCTIONS},
        )


def with_sql(file: Path, resamples: int = 0) -> dict[str, float]:
    """Ratings of the data from the shipped files, with intervals where there are resamples."""
    settings = SETTINGS | {"resamples": resamples}
    with duckdb.connect() as connection:
        connection.execute("set enable_progress_bar = false")
        connection.execute(
            f"""
            create view scoped_battles as
            select
                'overall' as scope,
                instruction_id,
                model_a,
                model_b,
                map {{'model_a': 1.0, 'tie': 0.5, 'model_b': 0.0}}[winner]::double as score
            from '{file}'
            """
        )
        draw_resamples(connection, settings)
        rows = rate_scopes(connection, ["bradley_terry"], settings).to_pylist()
    return {row["model"]: row["rating"] for row in rows}


def with_evalica(battles: Callable[[Path], Any], file: Path) -> dict[str, float]:
    """evalica on whatever ``battles`` reads from the file: its three arguments, and weights."""
    *columns, weights = battles(file)
    return _ratings(evalica.bradley_terry(*columns, weights=weights, tolerance=1e-12, limit=10_000))


def frame(file: Path) -> tuple[Any, ...]:
    """A pandas frame, as in evalica's documentation."""
    battles = pd.read_parquet(file, columns=["model_a", "model_b", "winner"])
    return battles["model_a"], battles["model_b"], battles["winner"].map(WINNERS), None


def lists(file: Path) -> tuple[Any, ...]:
    """Lists with one element per battle, evalica's fastest input for rows."""
    battles = pl.read_parquet(file, columns=["model_a", "model_b", "winner"])
    winners = [WINNERS[winner] for winner in battles["winner"].to_list()]
    return battles["model_a"].to_list(), battles["model_b"].to_list(), winners, None


def counts(file: Path) -> tuple[Any, ...]:
    """Equal battles counted by polars and given as weights: nothing is left to resample instructions from."""
    counted = pl.scan_parquet(file).group_by("model_a", "model_b", "winner").len().collect()
    winners = [WINNERS[winner] for winner in counted["winner"]]
    return (
        counted["model_a"].to_list(),
        counted["model_b"].to_list(),
        winners,
        counted["len"].cast(pl.Float64).to_list(),
    )


def _ratings(result: evalica.BradleyTerryResult) -> dict[str, float]:
    """evalica's scores on our scale: mean 1000, 400 points for odds of 10 to 1."""
    assert result.iterations < result.limit, "evalica did not converge"
    logs = {str(model): math.log(score) for model, score in result.scores.items()}
    centre = statistics.fmean(logs.values())
    return {model: SETTINGS["initial"] + POINTS * (value - centre) for model, value in logs.items()}


def with_arena_rank(file: Path) -> dict[str, float]:
    """arena-rank's ratings with sandwich intervals; its environment pins numpy and jax, so it is not ours."""
    from arena_rank.models.bradley_terry import BradleyTerry
    from arena_rank.utils.data_utils import PairDataset

    dataset = PairDataset.from_pandas(pd.read_parquet(file, columns=["model_a", "model_b", "winner"]))
    result = BradleyTerry(n_competitors=len(dataset.competitors)).compute_ratings_and_cis(dataset)
    return dict(zip(map(str, result["competitors"]), map(float, result["ratings"]), strict=True))


def floor(file: Path) -> None:
    """What no solver can save: reading the columns and counting the outcomes of every pair."""
    with duckdb.connect() as connection:
        connection.execute(
            "select model_a, model_b, winner, count(*) from read_parquet($file) group by all", {"file": str(file)}
        ).fetchall()


def alternate(repetitions: int, tasks: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds per task. The tasks take turns, so that a busy moment meets all of them.

    Each has a process of its own, which did it once before: no heap is as another one left it.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    with ExitStack() as stack:
        context = multiprocessing.get_context("spawn")
        processes = {name: stack.enter_context(ProcessPoolExecutor(1, context)) for name in tasks}
        for repetition in range(repetitions + 1):
            for name, task in tasks.items():
                found = processes[name].submit(timed, task).result()
                if repetition:
                    seconds[name].append(found)
    return {name: statistics.median(values) for name, values in seconds.items()}


def timed(task: Callable[[], object]) -> float:
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def time_point_estimates(file: Path, battles: int, models: int, repetitions: int) -> Timing:
    """From the file to the ratings. Raises AssertionError if those of the peers differ from ours."""
    rankers: dict[str, Callable[[Path], dict[str, float]]] = {
        "SQL": with_sql,
        "evalica, pandas": partial(with_evalica, frame),
        "evalica, lists": partial(with_evalica, lists),
        "evalica, counts": partial(with_evalica, counts),
        "arena-rank": with_arena_rank,
    }
    ours = with_sql(file)
    for name, ranker in rankers.items():
        theirs = ranker(file)
        difference = max(abs(ours[model] - theirs[model]) for model in ours.keys() | theirs.keys())
        allowed = 0.01 if name == "arena-rank" else AGREEMENT  # its tolerance is on the mean loss
        assert difference <= allowed, f"{name}, {battles} battles: the ratings differ by {difference}"
    tasks = {name: partial(ranker, file) for name, ranker in rankers.items()} | {"floor": partial(floor, file)}
    return Timing("point", battles, models, alternate(repetitions, tasks), peak_memory(file))


def time_resamples(file: Path, battles: int, models: int, repetitions: int) -> Timing:
    """200 resamples of whole instructions, with the ratings and their intervals. No peer resamples groups."""
    seconds = alternate(repetitions, {"SQL": partial(with_sql, file, RESAMPLES)})
    return Timing(f"{RESAMPLES} resamples", battles, models, seconds, peak_memory(file, RESAMPLES))


def peak_memory(file: Path, resamples: int = 0) -> float:
    """Largest resident set, megabytes, of a fresh process that rates the file once (Linux; getrusage would inherit ours)."""
    code = (
        "import re, sys; from pathlib import Path; from benchmarks.ratings import with_sql; "
        "with_sql(Path(sys.argv[1]), int(sys.argv[2])); "
        "print(int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1]) / 1024)"
    )
    command = [sys.executable, "-c", code, str(file), str(resamples)]
    folder = Path(__file__).parents[1]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout)


def clustered_battles(seed: int) -> pl.DataFrame:
    """Battles in which each model has a good or a bad day on each instruction, the same in all its battles there."""
    generator = np.random.default_rng(seed)
    effects = generator.normal(scale=EFFECT, size=(CLUSTERS, len(STRENGTHS)))
    position = {model: number for number, model in enumerate(STRENGTHS)}
    columns: dict[str, list[Any]] = {"instruction_id": [], "model_a": [], "model_b": [], "score": []}
    for instruction in range(CLUSTERS):
        for a, b in PAIRS:
            own = STRENGTHS[a] + effects[instruction, position[a]]
            theirs = STRENGTHS[b] + effects[instruction, position[b]]
            for won in generator.random(TURNS) < 1 / (1 + math.exp(theirs - own)):
                columns["instruction_id"].append(f"{instruction:05}")
                columns["model_a"].append(a)
                columns["model_b"].append(b)
                columns["score"].append(float(won))
    return pl.DataFrame(columns).with_columns(scope=pl.lit("overall"))


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


def coverage(simulations: int) -> list[Coverage]:
    """How often the 95% intervals hold the truth when whole instructions, or single battles, are resampled."""
    truth = clustered_truth()
    shares: dict[str, list[float]] = {"whole instructions": [], "single battles": []}
    widths: dict[str, list[float]] = {unit: [] for unit in shares}
    for seed in tqdm(range(simulations), desc="simulations", file=sys.stderr):
        battles = clustered_battles(seed)
        units = {
            "whole instructions": battles,
            "single battles": battles.with_columns(instruction_id=pl.int_range(pl.len()).cast(pl.String)),
        }
        for unit, resampled in units.items():
            intervals = _intervals(resampled, seed)
            shares[unit].append(statistics.fmean(lower <= truth[model] <= upper for model, lower, upper in intervals))
            widths[unit] += [upper - lower for _, lower, upper in intervals]
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
    settings = SETTINGS | {"resamples": RESAMPLES, "seed": seed}
    with duckdb.connect() as connection:
        connection.register("scoped_battles", battles)
        draw_resamples(connection, settings)
        fit_bradley_terry(connection, settings)
        return sql.run(connection, "ratings/bradley_terry", **settings).project("model, lower, upper").fetchall()


def main(
    repetitions: Annotated[int, typer.Option(min=1, help="timed repetitions of every task")] = 5,
    simulations: Annotated[int, typer.Option(min=2, help="simulated data sets for the coverage")] = 400,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of tables")] = False,
) -> None:
    """Time Bradley-Terry in SQL against evalica and arena-rank, and simulate the coverage of its intervals."""
    timings = []
    with tempfile.TemporaryDirectory() as name:
        for battles, models in tqdm(SIZES, desc="files", file=sys.stderr):
            file = Path(name) / f"{battles}-{models}.parquet"
            synthetic_battles(file, battles, models)
            repeated = repetitions if battles <= 1_000_000 else 1
            timings.append(time_point_estimates(file, battles, models, repeated))
            if battles >= 1_000_000:
                timings.append(time_resamples(file, battles, models, min(repeated, 3)))
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
    table = Table(title=f"Bradley-Terry from Parquet: median seconds of {repetitions}, {os.cpu_count()} cores")
    table.add_column()
    for timing in timings:
        table.add_column(f"{timing.task}\n{timing.battles:,}\n{timing.models} models", justify="right")
    for name in timings[0].seconds:
        cells = [f"{t.seconds[name]:.3f}" if name in t.seconds else "" for t in timings]
        ratios = [f"{t.seconds[name] / t.seconds['SQL']:.2f}x" if name in t.seconds else "" for t in timings]
        table.add_row(name, *cells)
        if name != "SQL":
            table.add_row("  of ours", *ratios)
    table.add_row("peak memory, MB", *["" if t.megabytes is None else f"{t.megabytes:.0f}" for t in timings])
    return table


def _coverage_table(covered: list[Coverage], simulations: int) -> Table:
    table = Table(title=f"Nominal 95% intervals in {simulations} simulations with clustered battles")
    for heading in ("resampled", "covered", "standard error", "mean width"):
        table.add_column(heading, justify="left" if heading == "resampled" else "right")
    for row in covered:
        table.add_row(row.resampled, f"{row.covered:.1%}", f"{row.standard_error:.1%}", f"{row.mean_width:.1f}")
    return table


if __name__ == "__main__":
    typer.run(main)
