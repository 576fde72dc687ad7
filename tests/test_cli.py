"""The command line: results on stdout, JSON for machines, errors in a line, exit codes that mean something."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from arena_etl import cli
from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.tables import TABLES
from tests.tiny_round import ROUND, settings


def arena(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "arena_etl", *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def ask(config: Config, *arguments: str) -> Any:
    """stdout of a command that must succeed, parsed as JSON."""
    result = CliRunner().invoke(cli.app, ["--root", config.root, *arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_verb_explains_itself() -> None:
    steps = ["ingest", "run", "battle", "judge", "rate", "select", "train", "evaluate", "promote"]
    listing = CliRunner().invoke(cli.app, ["--help"]).stdout
    asking = ["leaderboard", "calibrate", "status", "sql", "shell", "views", "report"]
    for verb in ["init", *steps, *asking, "quality", "quarantine", "releases", "backfill", "rollback", "doctor"]:
        assert verb in listing
        result = CliRunner().invoke(cli.app, [verb, "--help"])
        assert result.exit_code == 0
        assert len(result.stdout) > 100


def test_the_leaderboard_has_the_target_before_and_after_and_the_rivals(first_night: Config) -> None:
    board = ask(first_night, "leaderboard")
    keys = ("component", "flag", "lower", "model", "n", "rank", "rank_lower", "rank_upper", "rating", "upper")
    assert {tuple(sorted(row)) for row in board} == {keys}
    models = [row["model"] for row in board]
    for name in ("tiny-warm-", "references-", f"tiny-{ROUND}-sft-", f"tiny-{ROUND}-dpo-"):
        assert any(model.startswith(name) for model in models)
    assert all(row["lower"] <= row["rating"] <= row["upper"] for row in board)
    assert [row["rank"] for row in board] == sorted(row["rank"] for row in board)


def test_status_tells_every_step_of_both_stages(first_night: Config) -> None:
    [entry] = ask(first_night, "status")
    assert entry["round"] == ROUND
    assert set(entry["stages"]) == {"sft", "dpo"}
    assert {state for steps in entry["stages"].values() for state in steps.values()} == {"done"}
    assert entry["release"] == 1


def test_sql_asks_the_newest_release(first_night: Config) -> None:
    assert ask(first_night, "sql", "select count(*) n from verdicts")[0]["n"] > 0
    assert ask(first_night, "sql", "select max(created_at) t from verdicts")[0]["t"].endswith("+00:00")


def test_a_release_is_shown_and_compared(second_night: Config) -> None:
    assert ask(second_night, "releases", "show", "1")["round"] == ROUND
    same = ask(second_night, "releases", "diff", "1", "head")
    assert same["what_changed"] == []
    assert {row["change"] for row in same["rating_changes"]} == {0}

    lake = Lake.open(second_night)
    judged = Partition("battles", (ROUND, "sft", "training"))
    lake.commit(judged, TABLES["battles"].arrow_schema().empty_table(), 1, {})
    [changed] = ask(second_night, "releases", "diff", "1", "head")["what_changed"]
    assert (changed["table"], changed["round"], changed["rows_now"] < changed["rows_before"]) == (
        "battles",
        ROUND,
        True,
    )


def test_a_backfill_is_planned_before_anything_is_done(first_night: Config) -> None:
    planned = ask(first_night, "backfill", ROUND, "--what", "rate", "--dry-run")
    assert planned["rounds"] == [ROUND]
    assert [each["step"] for each in planned["steps"]] == ["rate", "win_rates"]
    result = CliRunner().invoke(cli.app, ["--root", first_night.root, "backfill", "2027-01-01"])
    assert "no round in this window" in str(result.exception)


def test_housekeeping_says_what_it_would_do(second_night: Config) -> None:
    done = {each["table"]: each for each in ask(second_night, "compact")}
    assert done["quality_results"]["files_before"] > done["quality_results"]["files_after"]
    found = ask(second_night, "--set", "retention.days=0", "gc")
    assert found["applied"] is False
    assert found["given_up"] == []
    assert ask(second_night, "leaderboard")


def test_releases_name_their_round_and_configuration(first_night: Config) -> None:
    [release] = ask(first_night, "releases", "list")
    assert release["round"] == ROUND
    assert release["config"]["battles"]["slice_size"] == 8


def test_the_report_is_written_where_it_says(first_night: Config) -> None:
    result = CliRunner().invoke(cli.app, ["--root", first_night.root, "report"])
    assert result.exit_code == 0, result.output
    assert "<html" in Path(result.stdout.strip()).read_text()


def test_init_writes_a_file_that_loads_and_never_overwrites(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    assert arena("init", str(file)).returncode == 0
    assert configuration.load(file) == Config()
    again = arena("init", str(file))
    assert again.returncode == 2
    assert "exists already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--round", "yesterday"], "a round is a UTC date"),
        (["battle", "--round", ROUND, "--stage", "grpo"], "'grpo' is not one of"),
        (["battle", "--round", ROUND, "--arena", "colosseum"], "'colosseum' is not one of"),
        (["leaderboard"], "there is none. `arena-etl run"),
        (["sql", "select 1"], "there is none. `arena-etl run"),
        (["--set", "battles.size=3", "status"], "battles.size: unknown setting"),
        (["--set", "nonsense", "status"], "name=value"),
        (["--config", "absent.yaml", "status"], "absent.yaml"),
        (["--root", "gs://bucket", "status"], "not gs://"),
        (["rollback", "7", "--reason", "x"], "release 7: there is none"),
        (["promote", "--round", ROUND, "--force"], "--force needs --reason"),
        (["export", "--output", "out"], "give one of --stage and --champion"),
        (["frobnicate"], "No such command"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_clear_message(arguments: list[str], message: str) -> None:
    result = arena(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_stopped_gate_ends_with_3(tmp_path: Path, tiny_model: Path) -> None:
    import yaml

    file = tmp_path / "arena.yaml"
    mine = {"root": str(tmp_path / "lake"), **settings(tmp_path, tiny_model)}
    (tmp_path / "train.jsonl").write_text("{broken\n{broken too\n")
    file.write_text(yaml.safe_dump(mine))
    result = arena("--config", str(file), "ingest")
    assert result.returncode == 3
    assert "quality gate stopped raw_instructions/train" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_model_is_named_with_its_remedy(tmp_path: Path, tiny_model: Path) -> None:
    import yaml

    mine = {"root": str(tmp_path / "lake"), **settings(tmp_path, tiny_model)}
    mine["target"]["checkpoint"] = str(tmp_path / "nowhere")
    file = tmp_path / "arena.yaml"
    file.write_text(yaml.safe_dump(mine))
    result = arena("--config", str(file), "run", "--round", ROUND)
    assert result.returncode == 2
    assert "nowhere" in result.stderr
    assert "Traceback" not in result.stderr


def test_doctor_checks_and_fails_with_1(tmp_path: Path) -> None:
    checks = CliRunner().invoke(cli.app, ["--root", str(tmp_path / "lake"), "doctor", "--json"])
    names = {check["name"]: check["ok"] for check in json.loads(checks.stdout)}
    assert names["storage put-if-absent"]
    result = arena("--root", str(tmp_path / "lake"), "--set", "judge.checkpoint=./nowhere", "doctor")
    assert result.returncode == 1
    assert "FAIL  checkpoints: ./nowhere: no such folder" in result.stdout


def test_contamination_tells_what_the_test_sets_removed(first_night: Config) -> None:
    [row] = ask(first_night, "contamination")
    assert (row["benchmark"], row["items"], row["removed"]) == (
        "test",
        8,
        len(ask(first_night, "contamination", "test")),
    )
    unknown = arena("--root", first_night.root, "contamination", "nothing")
    assert (unknown.returncode, "no test set of this release, which has test" in unknown.stderr) == (2, True)


def in_terminal(columns: int, *arguments: str) -> str:
    """What a command prints to a terminal of this width, without colours."""
    reader, writer = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "LINES": "50", "NO_COLOR": "1", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "arena_etl", *arguments]
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(writer)
        chunks = []
        with contextlib.suppress(OSError):  # Linux's end of a terminal
            while chunk := os.read(reader, 65536):
                chunks.append(chunk)
    os.close(reader)
    assert process.returncode == 0
    return b"".join(chunks).decode().replace("\r\n", "\n")


def test_tables_fit_the_terminal_and_no_number_is_cut(first_night: Config) -> None:
    board = ask(first_night, "leaderboard")
    ratings = [f"{row['rating']:.0f}" for row in board]
    table = in_terminal(100, "--root", first_night.root, "leaderboard")
    header, *lines = (re.sub(r"\x1b\[[0-9;]*m", "", line) for line in table.splitlines())
    assert header.split() == ["rank", "model", "role", "rating", "interval", "ranks", "battles", "remark"]
    assert all(len(line) <= 100 for line in lines) and "…" not in table
    assert [rating for rating in ratings if not any(f" {rating} " in line for line in lines)] == []
    blocks = in_terminal(40, "--root", first_night.root, "leaderboard")
    assert [f"rating: {rating}" for rating in ratings] == [line for line in blocks.splitlines() if "rating" in line]
    status = in_terminal(40, "--root", first_night.root, "status")
    assert "11 of 11" in status and "…" not in status
    for output in (table, blocks, status):
        assert not re.search(r"\x1b\[[0-9;]*(3[0-9]|4[0-9]|9[0-9])m", output)  # NO_COLOR
