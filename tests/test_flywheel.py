"""A whole round on a tiny random model: real answers, verdicts, gradient steps and releases; killed, resumed, repeated."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from arena_etl import config as configuration
from arena_etl.config import Config, Contestant, Guards
from arena_etl.errors import ArenaError, GateStopped
from arena_etl.flywheel import STEPS, do, release_round
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.releases import releases
from arena_etl.operations.status import status
from arena_etl.steps import perform
from tests.tiny_round import NEXT, ROUND, run, settings

SLICE = (ROUND, "sft", "training")


def rows(config: Config, text: str) -> list[Any]:
    with Lake.open(config).connect() as connection:
        return connection.sql(text).fetchall()


def check_round(config: Config, round_: str = ROUND) -> None:
    """What must hold of every finished round."""
    [entry] = status(config, Lake.open(config), round_)
    steps = {state for stage in entry["stages"].values() for state in stage.values()} | set(entry["steps"].values())
    assert steps == {"done"}
    assert entry["release"] is not None
    # Every pair of every judged turn in both orders, nothing twice.
    assert rows(
        config,
        """
        select count(*) from (
            select instruction_id, turn, model_a, model_b, judge_id, count(*) games, count(distinct shown_first) orders
            from verdicts group by all having games <> 2 or orders <> 2
        )
        """,
    ) == [(0,)]
    # Every verdict has its instruction and both answers.
    assert rows(
        config,
        """
        select count(*) from verdicts v
        where not exists (from responses r where r.instruction_id = v.instruction_id and r.turn = v.turn
                          and r.contestant_id = v.model_a)
           or not exists (from responses r where r.instruction_id = v.instruction_id and r.turn = v.turn
                          and r.contestant_id = v.model_b)
           or v.instruction_id not in (select instruction_id from instructions)
        """,
    ) == [(0,)]
    # No test instruction was drawn or trained on.
    assert rows(
        config,
        """
        select count(*) from instructions join (select instruction_id from slices union select instruction_id from training_sets)
        using (instruction_id) where split <> 'train'
        """,
    ) == [(0,)]


def test_a_round_turns_the_flywheel(first_night: Config) -> None:
    check_round(first_night)
    audited = {table for (table,) in rows(first_night, 'select distinct "table" from quality_results')}
    assert audited == {step.table for step in STEPS.values()} - {"wizard_arena"}  # built by hand
    trained = rows(
        first_night, "select stage, status, steps, len(curve), checkpoint from training_runs order by stage desc"
    )
    assert [(stage, state) for stage, state, *_ in trained] == [("sft", "trained"), ("dpo", "trained")]
    assert all(steps == curve > 0 for _, _, steps, curve, _ in trained)
    for *_, checkpoint in trained:
        assert (Path(first_night.root) / checkpoint.removeprefix("lake:") / "config.json").is_file()
    board = rows(first_night, "select model from ratings where method = 'bradley_terry' and scope = 'wizard_arena'")
    assert len(board) == 5  # the target, two rivals, two candidates
    styled = rows(first_night, "select model from ratings where method = 'style_controlled' and scope = 'wizard_arena'")
    assert sorted(styled) == sorted(board)  # also those that fought with answers of an earlier stage
    assert len(rows(first_night, "select 1 from promotions")) == 2


@pytest.mark.slow
def test_a_round_turns_on_s3_as_well(tiny: Config, s3_settings: dict[str, Any]) -> None:
    """The candidate's weights travel through the bucket: they are uploaded by training and fetched to fight."""
    config = tiny.model_copy(update={**s3_settings, "stages": ("sft",)})
    run(config)
    check_round(config)
    [(checkpoint,)] = rows(config, "select checkpoint from training_runs")
    lake = Lake.open(config)
    assert lake.storage.filesystem.exists(lake.storage.uri(checkpoint.removeprefix("lake:"), "config.json"))
    heads = lake.heads()
    assert all(summary["unchanged"] for summary in run(config))
    assert lake.heads() == heads


def test_a_second_run_changes_nothing(first_night: Config) -> None:
    heads = Lake.open(first_night).heads()
    assert all(summary["unchanged"] for summary in run(first_night))
    assert Lake.open(first_night).heads() == heads
    assert len(releases(Lake.open(first_night))) == 1


def test_the_next_round_draws_fresh_instructions_and_reuses_test_answers(second_night: Config) -> None:
    before = rows(
        second_night,
        "select count(*) from responses where contestant_id like 'references-%' and arena = 'wizard_arena'",
    )
    run(second_night, NEXT)
    check_round(second_night, NEXT)
    assert rows(second_night, "select count(*), count(distinct instruction_id) from slices") == [(32, 32)]
    after = rows(
        second_night,
        "select count(*) from responses where contestant_id like 'references-%' and arena = 'wizard_arena'",
    )
    assert after == before


def test_the_champion_opens_the_next_stage(tiny: Config) -> None:
    """With a test that anything passes, every candidate is promoted: each stage trains on the one before."""
    lax = {"margin": -1e6, "min_length_controlled": 0, "min_category_instructions": 100, "max_length_growth": 100}
    promotion = tiny.promotion.model_copy(update={**lax, "max_repetition": 1})
    always = tiny.model_copy(update={"promotion": promotion})
    run(always)
    chain = rows(always, "select candidate, parent from training_runs order by round, stage desc")
    assert [parent for _, parent in chain[1:]] == [candidate for candidate, _ in chain[:-1]]
    assert chain[0][1] == tiny.target.contestant_id


def test_a_round_of_reinforcement_learning(tiny: Config) -> None:
    """A reward model on the stage's pairs, PPO against it, and a candidate that fights like any other."""
    quality = tiny.quality.model_copy(update={"max_error_rate": 0.2})  # a random model sometimes says nothing
    config = tiny.model_copy(update={"stages": ("ppo",), "quality": quality})
    run(config)
    check_round(config)
    trained = rows(config, "select stage, status, candidate is null from training_runs order by stage")
    assert trained == [("ppo", "trained", False), ("rm", "trained", True)]
    sets = rows(
        config, "select stage, count(chosen), count(rejected), count(*) > 0 from training_sets group by 1 order by 1"
    )
    assert sets[0] == ("ppo", 0, 0, True) and sets[1][1] == sets[1][2] > 0
    [(candidate, fought)] = rows(
        config,
        "select any_value(p.candidate), count(*) from promotions p join battles b on p.candidate in (b.model_a, b.model_b)",
    )
    assert candidate.startswith("tiny-2026-01-05-ppo-") and fought > 0


def test_a_diverged_training_is_marked_and_the_round_goes_on(tiny: Config) -> None:
    """With an absurd learning rate the model soon says one thing for ever: no candidate, and the champion stays."""
    wild = tiny.sft.model_copy(update={"learning_rate": 0.9, "epochs": 20.0})
    guards = Guards(probe_steps=2, max_repetition=0.3, max_length_growth=100)
    config = tiny.model_copy(update={"stages": ("sft",), "sft": wild, "guards": guards})
    run(config)
    check_round(config)
    [(status_, reason, decision, why)] = rows(
        config,
        "select r.status, r.reason, p.decision, p.reason from training_runs r join promotions p using (round, stage)",
    )
    assert (status_, decision) == ("stopped", "kept")
    assert "repeats itself at step" in reason or "is nan at step" in reason
    assert why == f"the training was stopped: {reason}"


def test_a_stopped_gate_publishes_nothing_and_the_repaired_run_goes_on(tiny: Config) -> None:
    strict = tiny.model_copy(update={"quality": tiny.quality.model_copy(update={"min_parse_rate": 1.0})})
    with pytest.raises(GateStopped, match=f"verdicts/{ROUND}/sft/training.*nothing of it was published"):
        run(strict)
    assert rows(strict, "select count(*) from verdicts") == [(0,)]
    assert (
        rows(strict, "select count(*) from quality_results where severity = 'critical' and outcome = 'fail'")[0][0] > 0
    )
    answered = rows(strict, "select count(*) from responses")
    run(tiny)
    check_round(tiny)
    assert rows(tiny, "select count(*) from responses where stage = 'sft' and arena = 'training'") == answered


def recorded(tiny: Config, tmp_path: Path, answers: dict[tuple[str, int], str]) -> Config:
    """The round on recordings only: no model, quick."""
    file = tmp_path / "recording.jsonl"
    lines = [json.dumps({"instruction_id": i, "turn": t, "text": a}) for (i, t), a in answers.items()]
    file.write_text("\n".join(lines) + "\n")
    player = Contestant(name="player", backend="recorded", checkpoint=str(file))
    return tiny.model_copy(update={"target": player, "rivals": tiny.rivals[1:]})


def drawn(config: Config) -> list[tuple[str, int]]:
    lake = Lake.open(config)
    for name, values in (("land", ("train",)), ("prepare", ("train",)), ("draw", SLICE[:2])):
        do(config, lake, name, *values)
    turns = rows(config, "select instruction_id, turns from slices join instructions using (instruction_id)")
    return [(instruction_id, turn) for instruction_id, count in turns for turn in range(1, count + 1)]


def test_a_stopped_step_goes_on_when_its_data_is_repaired(tiny: Config, tmp_path: Path) -> None:
    owed = drawn(tiny)
    broken = recorded(tiny, tmp_path, dict.fromkeys(owed[:3], "4"))
    with pytest.raises(GateStopped, match="responses"):
        do(broken, Lake.open(broken), "generate", *SLICE)
    repaired = recorded(tiny, tmp_path, dict.fromkeys(owed, "4"))
    do(repaired, Lake.open(repaired), "generate", *SLICE)
    assert rows(repaired, "select count(*), count(text) from responses") == [(2 * len(owed), 2 * len(owed))]


def test_another_number_of_shards_in_the_middle_loses_and_doubles_nothing(tiny: Config, tmp_path: Path) -> None:
    owed = drawn(tiny)
    one = recorded(tiny, tmp_path, dict.fromkeys(owed, "4"))
    two = one.model_copy(update={"battles": one.battles.model_copy(update={"shards": 2})})
    lake = Lake.open(one)
    first, *_ = STEPS["generate"].units(two, lake, *SLICE)
    perform(STEPS["generate"], two, lake, *SLICE, unit=first)
    do(one, lake, "generate", *SLICE)
    assert rows(one, "select count(*) from responses") == [(2 * len(owed),)]
    do(two, lake, "judge", *SLICE)
    games = rows(one, "select count(*) from verdicts")
    judged = rows(one, "select count(*) from verdicts where parse_status <> 'engine_error'")
    assert games == [(2 * len(owed),)]
    # A rival more: what is there is kept, by whichever shard, and only the rest is made.
    more = two.model_copy(
        update={"rivals": (*two.rivals, Contestant(name="again", backend="recorded", checkpoint="references"))}
    )
    do(more, lake, "generate", *SLICE)
    assert do(more, lake, "judge", *SLICE)["reused"] == judged[0][0]
    assert rows(more, "select count(*) from verdicts") == [(6 * len(owed),)]
    # A rival less: its verdicts leave with it.
    do(two, lake, "generate", *SLICE)
    do(two, lake, "judge", *SLICE)
    assert rows(two, "select count(*) from verdicts") == games


@pytest.mark.parametrize("name", ["judge", "merge", "select", "train", "promote"])
def test_a_step_before_its_turn_says_what_comes_first(tiny: Config, name: str) -> None:
    keys = SLICE if name in ("judge", "merge") else SLICE[:2]
    with pytest.raises(ArenaError, match="comes first"):
        do(tiny, Lake.open(tiny), name, *keys)


def test_an_answer_that_failed_in_another_round_is_asked_for_again(second_night: Config) -> None:
    lake = Lake.open(second_night)
    do(second_night, lake, "draw", NEXT, "sft")
    drawn_next = f"from slices join instructions using (instruction_id) where slices.round = '{NEXT}'"
    with lake.connect(["responses", "slices", "instructions"]) as connection:
        failed = connection.sql(
            f"select * replace ((select min(instruction_id) {drawn_next}) as instruction_id, null as text) from responses "
            f"where stage = 'dpo' and arena = 'training' and contestant_id like 'references-%' and turn = 1 limit 1"
        ).to_arrow_table()
    lake.commit(Partition("responses", (ROUND, "dpo", "training")), failed, 1, {})
    [(owed,)] = rows(second_night, f"select sum(turns) {drawn_next}")
    unit = f"{failed['contestant_id'][0]}/0-of-1"
    assert perform(STEPS["generate"], second_night, lake, NEXT, "sft", "training", unit=unit)["answers"] == owed


def test_a_release_waits_for_rounds_that_are_half_done(tiny: Config) -> None:
    drawn(tiny)
    with pytest.raises(ArenaError, match=f"round {ROUND} is half done"):
        release_round(tiny, Lake.open(tiny), NEXT, "test", "too early")


def test_an_interrupted_step_keeps_its_finished_units(tiny: Config) -> None:
    lake = Lake.open(tiny)
    drawn(tiny)
    unit, *_ = STEPS["generate"].units(tiny, lake, *SLICE)
    assert perform(STEPS["generate"], tiny, lake, *SLICE, unit=unit)["answers"] > 0
    [(owed,)] = rows(tiny, "select sum(i.turns) from slices s join instructions i using (instruction_id)")
    assert perform(STEPS["generate"], tiny, lake, *SLICE)["answers"] == 2 * owed  # the two other contestants


@pytest.mark.parametrize("kills", [pytest.param(2, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.soak)])
def test_a_killed_round_goes_on_from_what_was_committed(tmp_path: Path, tiny_model: Path, kills: int) -> None:
    """kill -9 at several moments of a real `arena-etl run`; the run after the last one ends like an undisturbed one."""
    import yaml

    file = tmp_path / "arena.yaml"
    file.write_text(yaml.safe_dump({"root": str(tmp_path / "lake"), **settings(tmp_path, tiny_model)}))
    command = [sys.executable, "-m", "arena_etl", "--config", str(file), "run", "--round", ROUND]
    config = configuration.load(file)
    for progress in range(kills):
        process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "2"},
        )
        assert process.stderr is not None
        seen = 0
        for line in process.stderr:  # let a few more steps through each time, then kill inside the next one
            seen += ": " in line and "unchanged" not in line
            if seen > 4:
                time.sleep(0.3 * progress)
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
    finished = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    check_round(config)
    assert len(releases(Lake.open(config))) == 1
    double = "select count(*) - count(distinct (instruction_id, contestant_id, turn)) from responses"
    assert rows(config, double) == [(0,)]
