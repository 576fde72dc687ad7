"""`arena-etl rate FILE...`: ratings of battle files, against evalica and by hand, and what it says about bad ones."""

import json
import math
from pathlib import Path
from typing import Any

import duckdb
import evalica
import pytest
from click.testing import Result
from typer.testing import CliRunner

from arena_etl import cli
from arena_etl.analytics.battle_files import rate_files
from arena_etl.config import Ratings
from arena_etl.errors import InputError
from tests.analytics.test_battle_files import battles, published, read, write

SETTINGS = Ratings().model_dump() | {"prior_games": 0, "resamples": 0}
WINNERS = {1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}


def rate(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["rate", *arguments])


def rated(*arguments: str) -> dict[str, Any]:
    result = rate(*arguments, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def refused(*arguments: str) -> str:
    """The message of an error that the user can correct."""
    result = rate(*arguments)
    assert isinstance(result.exception, InputError), result.output
    assert result.exception.exit_code == 2
    assert result.stdout == ""
    return str(result.exception)


def games(*files: str) -> tuple[list[str], list[str], list[evalica.Winner]]:
    """The battles of the files in time order, for evalica."""
    rows = sorted(read(*files, columns="position, model_a, model_b, score, reason"))
    usable = [row for row in rows if row[4] is None]
    return [row[1] for row in usable], [row[2] for row in usable], [WINNERS[row[3]] for row in usable]


def published_votes(source: str, folder: Path) -> str:
    """The battles of one source."""
    part = folder / "part.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"copy (from read_parquet('{published('battles.parquet')}') where source = '{source}') to '{part}'"
        )
    return str(part)


@pytest.mark.parametrize("source", ["mt_bench", "vicuna_bench", "arena_2023"])
def test_bradley_terry_agrees_with_evalica(tmp_path: Path, source: str) -> None:
    file = published_votes(source, tmp_path)
    scores = evalica.bradley_terry(*games(file), tolerance=1e-13, limit=1_000_000).scores
    logs = {str(model): math.log(score) for model, score in scores.items()}
    centre = sum(logs.values()) / len(logs)
    result = rate_files([file], "bradley_terry", SETTINGS)
    assert (result["converged"], result["components"]) == (True, 1)
    strengths = {row["model"]: row["log_strength"] for row in result["ratings"] if row["flag"] is None}
    assert len(strengths) == len(logs)
    assert strengths == pytest.approx({model: value - centre for model, value in logs.items()}, abs=1e-6)
    points = {row["model"]: 1000 + row["log_strength"] * 400 / math.log(10) for row in result["ratings"]}
    assert {row["model"]: row["rating"] for row in result["ratings"]} == pytest.approx(points, abs=1e-9)


@pytest.mark.parametrize("source", ["mt_bench", "vicuna_bench", "arena_2023"])
@pytest.mark.parametrize("k", [4, 32])
def test_online_elo_agrees_with_evalica(tmp_path: Path, source: str, k: float) -> None:
    file = published_votes(source, tmp_path)
    expected = evalica.elo(*games(file), initial=1000, base=10, scale=400, k=k).scores
    result = rate_files([file], "elo", SETTINGS | {"k": k})
    found = {row["model"]: row["rating"] for row in result["ratings"]}
    assert found == pytest.approx({str(model): score for model, score in expected.items()}, abs=1e-9)


def test_json_says_all_that_was_promised(tmp_path: Path) -> None:
    rows = [*battles("model_a", "model_a", "model_b", "tie"), *battles("?", "model_a", lang="en")]
    file = write(tmp_path / "b.jsonl", rows)
    result = rated(file, "--scope", "lang", "--bootstrap", "20")
    keys = ["method", "n_battles", "n_unusable", "converged", "components", "ratings", "unusable"]
    assert list(result) == keys
    assert {key: result[key] for key in keys[:5]} == {
        "method": "bradley-terry",
        "n_battles": 5,
        "n_unusable": 1,
        "converged": True,
        "components": 1,
    }
    assert result["unusable"] == [{"file": file, "row": 5, "reason": "label unknown", "value": "?"}]
    assert [(row["scope"], row["model"], row["rank"], row["n"], row["flag"]) for row in result["ratings"]] == [
        ("overall", "x", 1, 5, None),
        ("overall", "y", 2, 5, None),
        ("overall/lang=en", "x", 1, 1, "undefeated"),
        ("overall/lang=en", "y", 2, 1, "winless"),
    ]
    row = result["ratings"][0]
    assert row["log_strength"] == pytest.approx(math.log(3.5 / 1.5) / 2)
    assert row["rating"] == pytest.approx(1000 + 200 * math.log10(3.5 / 1.5))
    assert row["lower"] <= row["rating"] <= row["upper"]
    assert set(row) == {
        *("scope", "model", "rating", "log_strength", "lower", "upper", "rank", "rank_lower", "rank_upper"),
        *("n", "converged", "component", "flag"),
    }


def test_the_same_seed_gives_the_same_intervals(tmp_path: Path) -> None:
    file = write(tmp_path / "b.csv", battles(*["model_a", "model_b", "tie", "model_a"] * 10))
    first = rated(file)
    assert rated(file) == first
    assert rated(file, "--seed", "1") != first
    assert all(row["lower"] is None for row in rated(file, "--bootstrap", "0")["ratings"])


def test_rows_of_one_instruction_are_resampled_together(tmp_path: Path) -> None:
    winners = ["model_a", "model_b", "tie", "model_a"] * 10
    apart = [row | {"question_id": i} for i, row in enumerate(battles(*winners))]
    together = [row | {"question_id": i // 20} for i, row in enumerate(battles(*sorted(winners)))]

    def width(file: str) -> float:
        row = rated(file)["ratings"][0]
        return float(row["upper"] - row["lower"])

    assert width(write(tmp_path / "together.jsonl", together)) > width(write(tmp_path / "apart.jsonl", apart))


def test_elo_plays_in_time_order_with_the_scale_asked_for(tmp_path: Path) -> None:
    rows = [*battles("model_b", tstamp=2), *battles("model_a", tstamp=1)]
    file = write(tmp_path / "b.jsonl", rows)
    result = rated(file, "--method", "elo", "--k", "10", "--scale", "100", "--base", "2", "--initial", "0")
    after_first = 5.0
    expected = after_first - 10 / (1 + 2 ** (-2 * after_first / 100))
    assert {row["model"]: row["rating"] for row in result["ratings"]} == pytest.approx({"x": expected, "y": -expected})
    assert (result["method"], result["converged"], result["components"]) == ("elo", None, None)


@pytest.mark.parametrize("method", ["elo", "bradley-terry"])
def test_the_anchor_has_the_rating_asked_for(tmp_path: Path, method: str) -> None:
    file = write(tmp_path / "b.jsonl", battles("model_a", "model_a", "model_b"))
    free = {row["model"]: row["rating"] for row in rated(file, "--method", method)["ratings"]}
    result = rated(file, "--method", method, "--anchor", "y=1100")
    assert {row["model"]: row["rating"] for row in result["ratings"]} == pytest.approx(
        {"x": 1100 + free["x"] - free["y"], "y": 1100}
    )


def test_an_anchor_may_have_an_equals_sign_in_its_name(tmp_path: Path) -> None:
    rows = [{"model_a": "x=1", "model_b": "y", "winner": label} for label in ("A", "B")]
    assert rated(write(tmp_path / "b.jsonl", rows), "--anchor", "x=1=900")["ratings"][0]["rating"] == 900


def test_style_control_explains_wins_by_length(tmp_path: Path) -> None:
    # Two equal models; the longer answer wins three times out of four, and x writes long more often.
    rows = [
        row | {"response_a": "a" * (90 if long else 30), "response_b": "b" * (30 if long else 90), "question_id": i}
        for i, (long, wins) in enumerate([(True, 3)] * 30 + [(False, 1)] * 10)
        for row in battles(*(["model_a"] * wins + ["model_b"] * (4 - wins)))
    ]
    file = write(tmp_path / "b.jsonl", rows)
    gap = {}
    for method in ("bradley-terry", "style"):
        result = rated(file, "--method", method, "--bootstrap", "0")
        ratings = {row["model"]: row["rating"] for row in result["ratings"]}
        gap[method] = ratings["x"] - ratings["y"]
    assert gap["bradley-terry"] > 80
    assert abs(gap["style"]) < 10


def test_style_needs_answers(tmp_path: Path) -> None:
    message = refused(write(tmp_path / "b.jsonl", battles("tie")), "--method", "style")
    assert "no battle with known style. Looked for conv_metadata; response_a and response_b" in message


def test_problems_are_counted_and_listed_on_stderr(tmp_path: Path) -> None:
    file = write(tmp_path / "b.jsonl", battles("model_a", "model_b", *["?"] * 30, None))
    result = rate(file)
    assert result.exit_code == 0
    assert "Unusable rows: 30 label unknown, 1 label missing." in result.stderr
    assert f"{file} row 3: label unknown (?)" in result.stderr
    assert f"{file} row 22: label unknown (?)" in result.stderr
    assert "row 23" not in result.stderr
    assert "Unusable" not in result.stdout
    assert len(rated(file)["unusable"]) == 31


def test_a_table_for_people(tmp_path: Path) -> None:
    file = write(tmp_path / "b.jsonl", battles("model_a", "model_a", "model_b", "tie", model_a="[x]", lang="[en]"))
    lines = rate(file, "--scope", "lang").stdout.splitlines()
    assert lines[0].split() == ["rank", "model", "rating", "interval", "ranks", "battles", "remark"]
    assert lines[1].split()[:3] == ["1", "[x]", "1044"]
    assert lines[3].strip() == "lang=[en]"


def test_groups_that_never_met_are_told_apart(tmp_path: Path) -> None:
    others = [{"model_a": "v", "model_b": "w", "winner": label} for label in ("A", "B")]
    file = write(tmp_path / "b.jsonl", [*battles("model_a", "model_b"), *others])
    assert rated(file)["components"] == 2
    result = rate(file)
    assert result.exit_code == 0
    assert "The models form 2 groups without a battle between them" in result.stderr
    assert result.stdout.count("group 2") == 2


def test_all_ties_rate_all_models_the_same(tmp_path: Path) -> None:
    file = write(tmp_path / "b.jsonl", battles("tie", "both_bad"))
    for method in ("elo", "bradley-terry"):
        result = rate(file, "--method", method)
        assert "Every battle is a tie" in result.stderr
        assert {row["rating"] for row in rated(file, "--method", method)["ratings"]} == {1000}
        assert {row["rank"] for row in rated(file, "--method", method)["ratings"]} == {1}


def test_a_model_that_never_lost_is_finite_and_flagged(tmp_path: Path) -> None:
    file = write(tmp_path / "b.jsonl", battles("model_a", "model_a"))
    result = rate(file)
    assert "held by a prior game: x, y" in result.stderr
    assert "undefeated" in result.stdout
    assert all(math.isfinite(row["rating"]) for row in rated(file)["ratings"])
    gaps = [rated(file, "--prior-games", games)["ratings"][0]["rating"] for games in ("1", "8")]
    assert gaps[0] > gaps[1] > 1000


def test_unreadable_times_play_last_and_are_told(tmp_path: Path) -> None:
    file = write(tmp_path / "b.jsonl", [*battles("model_a", tstamp="soon"), *battles("model_b", tstamp="2023-01-31")])
    assert "1 battles without a readable time are played last" in rate(file, "--method", "elo").stderr
    assert "time" not in rate(file).stderr


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no usable battle. Unusable rows: none, there are no rows at all"),
        ([("x", "x", "model_a")] * 2, "no usable battle. Unusable rows: 2 model against itself"),
        ([("x", "y", "?"), ("x", None, "tie")], "no usable battle. Unusable rows: 1 label unknown, 1 model missing"),
    ],
)
def test_files_without_a_usable_battle_are_refused(tmp_path: Path, rows: list[Any], message: str) -> None:
    file = tmp_path / "b.csv"
    file.write_text(
        "\n".join(["model_a,model_b,winner", *(",".join(cell or "" for cell in row) for row in rows)]) + "\n"
    )
    assert message in refused(str(file))


def test_usage_errors(tmp_path: Path) -> None:
    file = write(tmp_path / "b.jsonl", [{"model_a": "gpt-4", "model_b": "claude-1", "winner": "tie"}])
    assert "nothing to rate" in refused()
    assert "--round and files: a round is rated as the configuration says" in refused(file, "--round", "2026-01-31")
    assert "--round and method:" in refused("--method", "elo", "--round", "2026-01-31")
    assert "--anchor gpt4: write it as MODEL=RATING" in refused(file, "--anchor", "gpt4")
    assert "--anchor =1: write it as" in refused(file, "--anchor", "=1")
    assert "--anchor gpt4: no such model in the battles. Near: gpt-4" in refused(file, "--anchor", "gpt4=1100")
    assert "above 0" in refused(file, "--k", "0")
    assert "--scope topic: no such column" in refused(file, "--scope", "topic")
    assert "no such file" in refused(str(tmp_path / "absent.csv"))


def test_neither_a_lake_nor_a_configuration_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "b.csv", battles("model_a", "model_b"))
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert rated(file)["n_battles"] == 2
    assert list(empty.iterdir()) == []
