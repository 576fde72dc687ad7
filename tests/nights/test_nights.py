"""A real scheduler, killed, backfilled and rolled back: the script of docs/nights.md holds. Slow: `make test-slow` runs it."""

from pathlib import Path

import pytest

from tests.nights.run import NIGHTS, run


@pytest.mark.slow
@pytest.mark.timeout(4800)
def test_three_scheduled_nights_are_judged_again_and_rolled_back(tmp_path: Path) -> None:
    facts = run(tmp_path / "nights")
    assert len(facts["rounds"]) >= NIGHTS
    assert dict(facts["events"])["releases"] == len(facts["rounds"]) + 1
    assert facts["tasks"][1] > 0, "the killed scheduler's tasks were tried again"
