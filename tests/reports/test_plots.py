"""Plots by name: every one of them from the same hand-made round."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from arena_etl import cli
from arena_etl.config import Config
from arena_etl.errors import InputError
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import release
from arena_etl.reports.plots import CONSISTENCY, PLOTS, write
from tests.reports.test_report import HOSTILE, ROUND, commit, configure, full_round, identity

Plotted = tuple[Config, Lake]


@pytest.fixture(scope="module")
def plotted(tmp_path_factory: pytest.TempPathFactory) -> Plotted:
    config = configure(tmp_path_factory.mktemp("plots"))
    lake = Lake.open(config)
    commit(lake, full_round())
    release(lake, config, ROUND, "tester", "nightly")
    return config, lake


def leaderboard(folder: Path) -> Path:
    file = folder / "people.csv"
    file.write_text(f"model,rating,lower,upper\nalpha,1200,1190,1210\n{HOSTILE},1000,990,1010\nother,1,0,2\n")
    return file


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_names_its_origin(plotted: Plotted, tmp_path: Path, name: str) -> None:
    output = tmp_path / "plot.svg"
    write(*plotted, name, output, ROUND, reference=leaderboard(tmp_path) if name == CONSISTENCY else None)
    picture = output.read_text()
    assert picture.startswith("<svg") and "<script" not in picture
    assert f"sql/{PLOTS[name].file}.sql, release 1" in picture and f"round {ROUND}" in picture
    assert 'aria-roledescription="' in picture  # there are marks, not only axes


def test_a_png_by_its_ending(plotted: Plotted, tmp_path: Path) -> None:
    write(*plotted, "win-rates", tmp_path / "rates.PNG", ROUND)
    assert (tmp_path / "rates.PNG").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "file", "round_", "reference", "message"),
    [
        ("pie", "x.svg", ROUND, False, "plot 'pie': there is none of this name. Plots: rating-forest, "),
        ("win-rates", "x.jpg", ROUND, False, "x.jpg: a plot is an .svg or a .png file"),
        ("win-rates", "x.svg", "2025-12-31", False, "sql/reports/win_matrix.sql gives no rows for round 2025-12-31 in release 1"),
        ("win-rates", "x.svg", ROUND, True, "--reference FILE is for the plot consistency"),
        (CONSISTENCY, "x.svg", ROUND, False, "--reference FILE is for the plot consistency, which needs it"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn(
    plotted: Plotted, tmp_path: Path, name: str, file: str, round_: str, reference: bool, message: str
) -> None:
    with pytest.raises(InputError, match=message.split("(")[0]):
        write(*plotted, name, tmp_path / file, round_, reference=leaderboard(tmp_path) if reference else None)
    assert not (tmp_path / file).exists()


def test_the_verb_draws_and_its_help_lists_every_plot(plotted: Plotted, tmp_path: Path) -> None:
    config, _ = plotted
    output = tmp_path / "trend.svg"
    arguments = ["--root", config.root, "plot", "quality-trend", "--round", ROUND, "-o", str(output)]
    assert CliRunner().invoke(cli.app, arguments).exit_code == 0
    assert output.exists()
    listing = CliRunner().invoke(cli.app, ["plot", "--help"]).stdout
    assert [name for name in PLOTS if name not in listing] == []


def test_a_round_at_work_does_not_hide_the_released_ones(tmp_path: Path) -> None:
    config = configure(tmp_path)
    lake = Lake.open(config)
    commit(lake, full_round())
    release(lake, config, ROUND, "tester", "nightly")
    begun = {**full_round()["slices"][0], "round": "2026-01-02", "instruction_id": identity(9)}
    commit(lake, {"slices": [begun]})
    output = tmp_path / "forest.svg"
    done = CliRunner().invoke(cli.app, ["--root", config.root, "plot", "rating-forest", "-o", str(output)])
    assert done.exit_code == 0, done.output
    assert f"round {ROUND}" in output.read_text()
