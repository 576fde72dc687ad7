"""Past rounds done again: planned, compared and released as one, and taken back."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.errors import ArenaError, GateStopped, InputError
from arena_etl.flywheel import release_round
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.releases import releases, resolve, rollback
from arena_etl.operations import backfill
from arena_etl.operations.backfill import Window
from tests.lake.test_delta import slices
from tests.tiny_round import NEXT, ROUND, run, settings

BOTH = Window(ROUND, NEXT, "judge")


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Config:
    """A lake with two finished rounds of one stage."""
    folder = tmp_path_factory.mktemp("two-nights")
    flags = {"root": str(folder / "lake"), **settings(folder, tiny_model), "stages": ["sft"]}
    config = configuration.load(flags=flags)
    for round_ in (ROUND, NEXT):
        run(config, round_)
    return config


@pytest.fixture
def lake_config(two_nights: Config, tmp_path: Path) -> Config:
    """A copy of it whose judge is another one: it shows its prompt differently."""
    shutil.copytree(two_nights.root, tmp_path / "lake")
    judge = two_nights.judge.model_copy(update={"name": "new-judge", "max_new_tokens": 9})
    return two_nights.model_copy(update={"root": str(tmp_path / "lake"), "judge": judge})


def rows(config: Config, query: str, as_of: str | None = None) -> list[Any]:
    lake = Lake.open(config)
    with lake.connect(versions=resolve(lake, as_of)) as connection:
        return connection.sql(query).fetchall()


def perform(config: Config, window: Window = BOTH) -> backfill.Comparison:
    return backfill.run(config, Lake.open(config), window, "person", "new judge", lambda *_: None)


JUDGES = "select distinct round, judge_id from verdicts where judge_kind = 'model' order by all"
OLD = "select count(*) from verdicts where judge_id like 'tiny-judge-%'"


def test_a_plan_tells_the_work_and_changes_nothing(lake_config: Config) -> None:
    lake = Lake.open(lake_config)
    before = lake.heads()
    planned = backfill.plan(lake_config, lake, Window(ROUND, ROUND, "judge"))
    assert (planned.rounds, planned.later) == ([ROUND], [NEXT])
    states = {(each.keys[0], each.step): each.state for each in planned.steps}
    assert states == {
        (ROUND, "judge"): "redo",
        (ROUND, "merge"): "redo",
        (ROUND, "rate"): "redo",
        (ROUND, "win_rates"): "redo",
        (NEXT, "rate"): "redo",
        (NEXT, "win_rates"): "redo",
    }
    calls = {row["name"]: (row["calls"] > 0, row["done"]) for row in planned.calls if row["arena"] == "training"}
    assert calls["new-judge"] == (True, 0)
    verifier = [row for row in planned.calls if row["name"] == "verifier"]
    assert all((row["calls"], row["done"] > 0) == (0, True) for row in verifier)
    assert {row["kind"] for row in planned.calls} == {"verdict"}
    assert lake.heads() == before


def test_the_same_configuration_reuses_everything(two_nights: Config) -> None:
    planned = backfill.plan(two_nights, Lake.open(two_nights), Window(ROUND, NEXT, "all"))
    assert {each.state for each in planned.steps} == {"reuse"}
    assert planned.calls == []


def test_readers_see_all_of_it_at_once_and_can_go_back(lake_config: Config) -> None:
    lake = Lake.open(lake_config)
    old = rows(lake_config, JUDGES)
    answers = rows(lake_config, "select count(*), max(created_at)::varchar from responses")
    decided = rows(lake_config, "select round, stage, decision, created_at::varchar from promotions order by all")

    compared = perform(lake_config)
    assert rows(lake_config, JUDGES) == old  # not released yet
    changed = {(row["table"], row["round"]) for row in compared.what_changed}
    # The judge cannot judge, so its battles are unusable and the ratings those of the verifier, then and now.
    assert changed == {(table, round_) for table in ("verdicts", "battles") for round_ in (ROUND, NEXT)}
    assert {row["change"] for row in compared.rating_changes} == {0}

    number = backfill.publish(lake_config, lake, BOTH, "person", "new judge").release_id
    new = rows(lake_config, JUDGES)
    assert [round_ for round_, _ in new] == [ROUND, NEXT]
    assert all(judge.startswith("new-judge-") for _, judge in new)
    assert rows(lake_config, OLD) == [(0,)]
    assert rows(lake_config, "select count(*), max(created_at)::varchar from responses") == answers
    assert (
        rows(lake_config, "select round, stage, decision, created_at::varchar from promotions order by all") == decided
    )
    assert "new judge" in releases(lake)[-1].reason

    assert rows(lake_config, JUDGES, str(number - 1)) == old
    rollback(lake, lake_config, number - 1, "person", "the old one was better")
    assert rows(lake_config, JUDGES) == old


def test_decisions_that_would_be_others_are_told_and_not_made(lake_config: Config) -> None:
    easy = lake_config.model_copy(
        update={
            "promotion": lake_config.promotion.model_copy(update={"margin": -10_000.0, "min_length_controlled": 0.0})
        }
    )
    lake = Lake.open(easy)
    kept = {
        (round_, stage)
        for round_, stage, decision in rows(easy, "select round, stage, decision from promotions")
        if decision == "kept"
    }
    found = {(row["round"], row["stage"]): row for row in backfill.compare(easy, lake, [ROUND, NEXT]).promotions}
    assert set(found) <= kept
    assert found, "with such a margin some candidate passes"
    assert {(row["decision"], row["decision_now"]) for row in found.values()} == {("kept", "promoted")}
    assert rows(easy, "select count(*) from promotions where decision = 'kept'", "head") == [(len(kept),)]


def test_it_goes_on_after_it_was_ended_and_nobody_comes_between(lake_config: Config, two_nights: Config) -> None:
    lake = Lake.open(lake_config)

    def interrupt(name: str, keys: tuple[str, ...], summary: dict[str, Any]) -> None:
        if name == "merge":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backfill.run(lake_config, lake, BOTH, "person", "new judge", interrupt)

    other = Window(ROUND, ROUND, "judge")
    with pytest.raises(ArenaError, match=r"judge 2026-01-05\.\.2026-01-06 by person is under way"):
        perform(lake_config, other)
    with pytest.raises(ArenaError, match="under way"):
        perform(two_nights.model_copy(update={"root": lake_config.root}))  # its configuration is another
    with pytest.raises(ArenaError, match="would become visible half done"):
        release_round(lake_config, lake, NEXT, "night", "round")

    first = lake.fingerprint(Partition("verdicts", (ROUND, "sft", "training")))
    summaries = []
    backfill.run(lake_config, lake, BOTH, "person", "new judge", lambda name, keys, summary: summaries.append(summary))
    assert summaries[0]["unchanged"]
    assert lake.fingerprint(Partition("verdicts", (ROUND, "sft", "training"))) == first
    backfill.publish(lake_config, lake, BOTH, "person", "new judge")
    with pytest.raises(ArenaError, match="not under way"):
        backfill.publish(lake_config, lake, BOTH, "person", "new judge")


def test_an_unfinished_one_is_taken_back(lake_config: Config) -> None:
    lake = Lake.open(lake_config)
    old = rows(lake_config, JUDGES)
    perform(lake_config)

    tonight = Partition("slices", ("2026-01-07", "sft"))
    lake.commit(tonight, slices("2026-01-07", 3), 1, {})
    with pytest.raises(ArenaError, match="round 2026-01-07 began meanwhile"):
        backfill.give_up(lake_config, lake, "person")
    lake.commit(tonight, slices("2026-01-07", 0), 2, {})

    backfill.give_up(lake_config, lake, "person")
    assert rows(lake_config, JUDGES, "head") == rows(lake_config, JUDGES) == old
    assert "given up" in releases(lake)[-1].reason
    with pytest.raises(ArenaError, match="nothing to give up"):
        backfill.give_up(lake_config, lake, "person")


def test_a_gate_stops_a_backfill_like_a_night(lake_config: Config) -> None:
    strict = lake_config.model_copy(update={"quality": lake_config.quality.model_copy(update={"min_parse_rate": 0.99})})
    with pytest.raises(GateStopped):
        perform(strict)
    assert all(judge.startswith("tiny-judge") for _, judge in rows(strict, JUDGES))
    backfill.give_up(strict, Lake.open(strict), "person")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-01-06..2026-01-05", "ends before it begins"),
        ("2025-01-01..2025-12-31", "no round in this window. There are 2026-01-05 to 2026-01-06"),
        ("2026-01-05..2026-02-01", "has not come yet"),
        ("january", "YYYY-MM-DD"),
    ],
)
def test_a_wrong_window_is_refused(two_nights: Config, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        backfill.plan(two_nights, Lake.open(two_nights), Window.parse(text, "judge"))


def test_it_asks_for_a_reason_and_a_kind_that_it_knows(two_nights: Config) -> None:
    with pytest.raises(InputError, match="say why"):
        backfill.run(two_nights, Lake.open(two_nights), BOTH, "person", " ", lambda *_: None)
    with pytest.raises(InputError, match="choose one of judge, select, rate, battles, all"):
        Window.parse(ROUND, "everything")


def test_a_stage_that_was_dropped_since_is_not_left_out_in_silence(lake_config: Config) -> None:
    without = lake_config.model_copy(update={"stages": ("dpo",)})
    with pytest.raises(InputError, match=r"round 2026-01-05 fought in the stages sft, and `stages` is dpo"):
        backfill.plan(without, Lake.open(without), BOTH)


def test_an_unfinished_round_waits_for_its_night(lake_config: Config) -> None:
    lake = Lake.open(lake_config)
    lake.commit(Partition("slices", ("2026-01-07", "sft")), slices("2026-01-07", 3), 1, {})
    with pytest.raises(InputError, match="round 2026-01-07 is not finished"):
        backfill.plan(lake_config, lake, Window(ROUND, "2026-01-07", "rate"))
