"""Faults in a round's tables are caught by the gate that is meant for them, and clean rounds pass."""

import random
from pathlib import Path

import pytest

from tests.quality.corruption import FAULTS, Fault, Rounds, inspect, remember

HISTORY = 3  # released rounds that tell what is usual


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> Rounds:
    """Three released rounds and one that is not."""
    made = Rounds(tmp_path_factory.mktemp("rounds") / "lake", HISTORY + 1)
    for number in range(HISTORY):
        for step, keys, batch in made.play(number):
            remember(made, step, keys, batch)
    return made


@pytest.fixture(scope="module")
def audited(rounds: Rounds) -> dict[str, dict[str, str]]:
    """Per batch of the last round what the gates found while it was clean: expectation to severity."""
    found = {}
    for step, keys, batch in rounds.play(HISTORY):
        result = inspect(rounds, step, keys, batch)
        found["/".join((result.table, *keys[2:]))] = {
            o.expectation: o.severity for o in result.outcomes if o.outcome != "pass"
        }
    return found


def test_a_clean_round_raises_nothing(audited: dict[str, dict[str, str]]) -> None:
    assert len(audited) == 13
    assert {batch: problems for batch, problems in audited.items() if problems} == {}


def test_there_are_enough_different_faults() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 40


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_fault_is_caught_by_the_gate_meant_for_it(
    rounds: Rounds, audited: dict[str, dict[str, str]], fault: Fault
) -> None:
    assert audited
    step, keys = rounds.steps[fault.batch]
    batch = fault.change(rounds.batches[fault.batch], random.Random(0))
    caught = [o.expectation for o in inspect(rounds, step, keys, batch).outcomes if o.outcome == "fail"]
    assert any(fault.gate in expectation for expectation in caught), caught


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [pytest.param(8, marks=pytest.mark.slow), pytest.param(40, marks=pytest.mark.soak)])
def test_clean_rounds_raise_nothing_critical(tmp_path: Path, count: int) -> None:
    rounds = Rounds(tmp_path / "lake", count, seed=7)
    for number in range(count):
        for step, keys, batch in rounds.play(number):
            result = inspect(rounds, step, keys, batch)
            assert not result.stopped, result.reasons
            remember(rounds, step, keys, batch)
