"""The plots that a person can ask for by name: each is one SQL file, drawn."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import duckdb
import pyarrow as pa

from arena_etl.analytics import agreement
from arena_etl.config import Config
from arena_etl.errors import InputError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import find, table_versions
from arena_etl.reports import charts
from arena_etl.reports.charts import Chart, Row
from arena_etl.reports.names import display_names
from arena_etl.rounds import WIZARD_ARENA


class Plot(NamedTuple):
    title: str
    file: str  # under sql/
    draw: Callable[[Sequence[Row]], Chart]


CONSISTENCY = "consistency"
PLOTS = {
    "rating-forest": Plot("Ratings on the test set with their intervals", "ratings/leaderboard", charts.rating_forest),
    "rating-history": Plot("The champion and its candidates", "reports/rating_history", charts.rating_history),
    "win-rates": Plot("Win rates and battles on the test set", "reports/win_matrix", charts.win_rates),
    CONSISTENCY: Plot("Ratings against a reference", "agreement/common_models", charts.consistency),
    "position-bias": Plot("Does the answer shown first win", "adhoc/position_bias", charts.position_bias),
    "length-scores": Plot("Scores by length of the answer", "reports/length_scores", charts.length_scores),
    "difficulty": Plot("Difficulty of what was selected", "reports/selected_difficulty", charts.selected_difficulty),
    "training": Plot("Loss of the round's trainings", "reports/training", charts.training_curve),
    "quality-trend": Plot("Expectations that passed", "reports/quality_trend", charts.quality_trend),
}


def write(
    config: Config,
    lake: Lake,
    name: str,
    output: Path,
    round_: str,
    as_of: str | None = None,
    reference: Path | None = None,
) -> None:
    """Draw a plot as an SVG or PNG file, whose title names the round, the SQL file and the release.

    ``as_of``: as in ``releases.find``. ``reference``: a leaderboard, for the plot ``consistency`` only.
    Raises InputError for an unknown plot or kind of file, and where there is nothing to draw.
    """
    plot = PLOTS.get(name)
    if plot is None:
        raise InputError(f"plot {name!r}: there is none of this name. Plots: {', '.join(PLOTS)}.")
    image_format = output.suffix.lower().removeprefix(".")
    if image_format not in get_args(charts.ImageFormat):
        raise InputError(f"{output}: a plot is an .svg or a .png file.")
    if (name == CONSISTENCY) != (reference is not None):
        raise InputError(f"--reference FILE is for the plot {CONSISTENCY}, which needs it, and for no other.")
    release = find(lake, as_of)
    source = f"release {release.release_id}" if release else "unreleased tables"
    with lake.connect(versions=table_versions(lake, release)) as connection:
        rows = _rows(config, connection, plot.file, round_, reference)
    if not rows:
        raise InputError(
            f"plot {name}: sql/{plot.file}.sql gives no rows for round {round_} in {source}. `arena-etl status` shows what "
            "is done; --as-of head reads unreleased tables."
        )
    title = {"text": f"{plot.title}, round {round_}", "subtitle": f"sql/{plot.file}.sql, {source}"}
    output.write_bytes(charts.image(plot.draw(rows), image_format, title))  # type: ignore[arg-type]


def _rows(
    config: Config, connection: duckdb.DuckDBPyConnection, file: str, round_: str, reference: Path | None
) -> list[Row]:
    def run(name: str) -> list[Row]:
        relation = sql.run(
            connection,
            name,
            round=round_,
            target=config.target.contestant_id,
            scope=WIZARD_ARENA,
            method="bradley_terry",
        )
        names = display_names(connection.sql("select contestant_id, name from models").fetchall())
        return [_named(row, names) for row in relation.to_arrow_table().to_pylist()]

    if reference is not None:
        board = [{**row, "model": row["name"]} for row in run("ratings/leaderboard")]
        others = [row._asdict() for row in agreement.read_leaderboard(reference)]
        for table, rows in (("leaderboard", board), ("reference_leaderboard", others)):
            connection.register(table, pa.Table.from_pylist(rows, schema=agreement.SCHEMA))
    elif "described" in sql.load(file):
        sql.materialize(connection, "described", "instructions/described")
    return run(file)


def _named(row: Row, names: dict[str, str]) -> Row:
    """The row with names for people beside its contestant ids."""
    shown: dict[str, Any] = {}
    for column, name in (("model", "name"), ("model_a", "name_a"), ("model_b", "name_b")):
        if column in row:
            shown[name] = names.get(row[column], row.get("name", row[column]))
    return row | shown
