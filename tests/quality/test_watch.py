"""The watch: what nobody would tell of, because nothing ran."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from arena_etl import cli
from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.errors import InputError
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.outcomes import Outcome, standing
from arena_etl.lake.releases import release
from arena_etl.quality import watch as watching
from arena_etl.quality.alerts import alert
from arena_etl.quality.watch import watch
from arena_etl.steps import perform
from arena_etl.verdicts import calibration
from arena_etl.verdicts.ask import Question, Ruling
from arena_etl.verdicts.judge import judge_id
from arena_etl.verdicts.parse import Parsed
from tests.quality import rows as make
from tests.quality.test_publish import KEYS, put, step, tolerant

NOW = datetime.now(UTC)
TODAY = NOW.date().isoformat()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A lake in which a batch was audited just now and today's round is released; of six verdicts one is held."""
    config = tolerant(configuration.load(flags={"root": str(tmp_path / "lake"), "watch": {"max_held_share": 0.2}}))
    put(config, "verdicts", make.batch("verdicts", {0: {"score_a": 11.0}}), *KEYS)
    release(Lake.open(config), config, TODAY, "test", "r")
    return config


def states(outcomes: Sequence[Outcome]) -> dict[str, str]:
    return {outcome.expectation: outcome.outcome for outcome in outcomes}


def settings(config: Config, **values: Any) -> Config:
    return config.model_copy(update={"watch": config.watch.model_copy(update=values)})


WELL = dict.fromkeys(("freshness", "silence", "stuck", "held-rows"), "pass")


def test_a_lake_that_is_alive(config: Config) -> None:
    assert states(watch(config, Lake.open(config))) == WELL


def test_an_empty_lake_is_neither_fresh_nor_alive(tmp_path: Path) -> None:
    config = configuration.load(flags={"root": str(tmp_path / "empty")})
    assert states(watch(config, Lake.open(config))) == WELL | {"freshness": "fail", "silence": "fail"}


@pytest.mark.parametrize(("hours", "late"), [(25, []), (27, ["silence"]), (24 * 3, ["freshness", "silence"])])
def test_time_that_passes_without_a_round(config: Config, hours: float, late: list[str]) -> None:
    patient = settings(config, released_by_hours=30)  # due 30 to 54 hours from now, whatever the time of day
    found = watch(patient, Lake.open(config), NOW + timedelta(hours=hours))
    assert [o.expectation for o in found if o.outcome == "fail"] == late


def test_a_half_made_batch_that_nobody_goes_on_with(config: Config) -> None:
    lake = Lake.open(config)
    perform(step("verdicts", make.batch("verdicts"), "other inputs"), config, lake, *KEYS)
    assert states(watch(config, lake)) == WELL
    [stuck] = [o for o in watch(config, lake, NOW + timedelta(hours=4)) if o.outcome == "fail"]
    assert stuck.expectation == "stuck" and "verdicts/2026-01-01/sft/training" in stuck.observed


def test_quarantine_that_grows(config: Config) -> None:
    [grown] = [o for o in watch(settings(config, max_held_share=0.1), Lake.open(config)) if o.outcome == "fail"]
    assert json.loads(grown.observed) == {"share_by_round": {"2026-01-01": 0.1667}}


def test_a_check_that_breaks_leaves_the_others(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no such disk")

    monkeypatch.setattr(watching, "last_written", broken)
    found = watch(config, Lake.open(config))
    assert states(found) == WELL | {"stuck": "broken"}
    assert "no such disk" in next(o.observed for o in found if o.expectation == "stuck")


def test_the_watch_is_told_once_and_its_end_once(config: Config) -> None:
    lake = Lake.open(config)
    told: list[str] = []
    for hours in (0, 48, 49, 0):
        watch(config, lake, NOW + timedelta(hours=hours))
        alert(config, lake, None, told.append)
    titles = [text.splitlines()[0] for text in told]
    assert titles == ["arena_etl: watch: critical problems", "arena_etl: watch: recovered"]
    assert "docs/runbook.md#silence" in told[0]
    assert standing(lake) == [p for p in standing(lake) if p["table"] != "watch"]


def arena(config: Config, *arguments: str) -> Any:
    return CliRunner().invoke(cli.app, ["--root", config.root, "--set", "watch.max_held_share=0.2", *arguments])


def test_verbs_look_tell_and_mute(config: Config) -> None:
    strict = ("--set", "watch.silent_hours=0.000001", "quality", "watch")
    looked = arena(config, *strict, "--json")
    assert looked.exit_code == 1
    assert {o["expectation"]: o["outcome"] for o in json.loads(looked.stdout)}["silence"] == "fail"
    assert json.loads(arena(config, "quality", "alert", "--json").stdout) == []  # the watch has told already
    muted = arena(config, "quality", "mute", "verdicts", "--until", "2100-01-01", "--reason", "known")
    assert muted.exit_code == 0 and "muted until 2100-01-01" in muted.stdout
    refused = arena(config, "quality", "mute", "verdict", "--until", "2100-01-01", "--reason", "known")
    assert isinstance(refused.exception, InputError)
    table = arena(config, "quality", "watch")
    assert table.exit_code == 0 and "freshness" in table.stdout


@pytest.fixture
def judged(config: Config) -> Config:
    """Three games of the configured judge, on answers and instructions that are there."""
    lake = Lake.open(config)
    judge = judge_id(config.judge)
    answers = {make.A: make.identity(1), make.B: make.identity(2)}
    responses = [
        {**make.responses()[0], "instruction_id": make.identity(i), "contestant_id": name, "text": name,
         "response_id": f"{i}{answers[name][1:]}"}
        for i in (1, 2, 3) for name in answers
    ]  # fmt: skip
    verdicts = [
        {**make.verdicts()[0], "instruction_id": make.identity(i), "judge_id": judge, "shown_first": first,
         "response_a": f"{i}{answers[make.A][1:]}", "response_b": f"{i}{answers[make.B][1:]}"}
        for i, first in ((1, "model_a"), (2, "model_b"), (3, "model_a"))
    ]  # fmt: skip
    keys = ("2026-01-02", *KEYS[1:])
    for name, rows in (("responses", responses), ("verdicts", verdicts)):
        batch = make.table_of(name, [{**row, "round": keys[0]} for row in rows])
        lake.commit(Partition(name, keys), batch, 5, {})
    lake.commit(Partition("instructions", ("s",)), make.batch("instructions"), 5, {})
    return settings(config, audit_sample=3)


@pytest.mark.parametrize(
    ("scores", "outcome", "changed"), [((7, 4), "pass", 0.0), ((4, 7), "fail", 1.0), ((9, 6), "pass", 0.0)]
)
def test_a_judge_that_judges_otherwise_than_it_did(
    judged: Config, monkeypatch: pytest.MonkeyPatch, scores: tuple[int, int], outcome: str, changed: float
) -> None:
    """The answer of the first model got 7, the other 4, in either order."""

    def play(config: Config, lake: Lake, judge: Any, questions: Sequence[Question]) -> Iterator[Ruling]:
        for question in questions:
            shown = scores if question.exchanges[0].answer_a == make.A else scores[::-1]
            yield ruling(question.key, *shown)

    monkeypatch.setattr(calibration, "play", play)
    lake = Lake.open(judged)
    [drift] = [o for o in watch(judged, lake) if o.expectation.startswith("judge-drift")]
    found = json.loads(drift.observed)
    assert (drift.outcome, found["games"], found["changed"]) == (outcome, 3, changed)
    assert found["mean_score_shift"] == (2.0 if scores == (9, 6) else 0.0)
    assert not [o for o in watch(judged, lake) if o.expectation.startswith("judge-drift")]  # once a day


def ruling(key: str, first: float, second: float) -> Ruling:
    return Ruling(key, "text", None, None, Parsed("ok", first, second), 1, 9, 1, make.identity(7))
