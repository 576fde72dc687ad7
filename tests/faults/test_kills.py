"""kill -9 of a worker, again and again, at random moments of whatever it has to do next."""

import logging
import os
import random
import re
import sys
from collections import Counter
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest

from arena_etl import config as configuration
from arena_etl.flywheel import ingest_plan
from arena_etl.lake.delta import Lake
from arena_etl.lake.tables import TABLES
from tests.faults.recorded_round import ROUNDS, contents, doubles, write

logger = logging.getLogger(__name__)
SEED = 20260105
REACH_S = 1.0  # CPU seconds from which the moment of a kill is drawn: about two steps

# Workers are forked from a process that has done the imports: done by each of fifty workers they would cost more than the rounds.
WORKERS = get_context("forkserver")
WORKERS.set_forkserver_preload(["arena_etl.cli", "arena_etl.operations.preload"])


def _run(folder: Path, round_: str, log: Path) -> None:
    """``arena-etl run`` in a process of its own."""
    from arena_etl.cli import main

    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    sys.argv = ["arena-etl", "run", "--round", round_]
    main()


class Worker:
    """One attempt at a round."""

    def __init__(self, folder: Path, round_: str) -> None:
        self.log = folder / f"{round_}.log"
        self.process: BaseProcess = WORKERS.Process(target=_run, args=(folder, round_, self.log))
        self.log.write_text("")
        self.process.start()

    @property
    def steps(self) -> list[str]:
        """The steps that it reported as done, or as done before."""
        return re.findall(r"^(\w+ [\w./-]+): ", self.log.read_text(), re.MULTILINE)

    def finish(self) -> None:
        self.process.join(600)
        assert self.process.exitcode == 0, self.log.read_text()

    def kill(self, done: int, moment: float) -> bool:
        """Kill it so many CPU seconds after it reported the last of the steps that were done before; False: it ended."""
        cpu = psutil.Process(self.process.pid)
        begun = None
        while self.process.is_alive():
            try:
                used = sum(cpu.cpu_times()[:2])
            except psutil.Error:  # it ended
                break
            if begun is None and len(self.steps) >= done:
                begun = used
            if begun is not None and used - begun >= moment:
                self.process.kill()
                break
            self.process.join(0.01)
        self.process.join(600)
        return self.process.exitcode == -9


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [pytest.param(2, marks=pytest.mark.slow), pytest.param(50, marks=pytest.mark.soak)])
def test_a_round_killed_again_and_again_ends_like_an_undisturbed_one(
    tmp_path: Path, kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many rounds as the kills take. A kill counts only if the worker was alive, past the steps that were done before.

    Every table is compared but for VARYING; ``releases`` too: no round is released twice.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    disturbed, undisturbed = tmp_path / "disturbed", tmp_path / "undisturbed"
    for folder in (disturbed, undisturbed):
        folder.mkdir()
        config = configuration.load(write(folder))
    moments, hit, rounds = random.Random(SEED), Counter[str](), iter(ROUNDS)
    done, reach = 0, REACH_S
    while hit.total() < kills:
        round_ = next(rounds)
        while hit.total() < kills:
            worker = Worker(disturbed, round_)
            if not worker.kill(done, moments.uniform(0, reach)):
                break
            reach = REACH_S if len(worker.steps) > done else 2 * reach  # a longer step must end some time
            done = max(done, len(worker.steps))
            hit[f"after {worker.steps[-1].split()[0]}" if worker.steps else "before the first step"] += 1
        for folder in (disturbed, undisturbed):
            Worker(folder, round_).finish()
        done = len(ingest_plan(config))  # all that the next round finds done
    logger.info("%d kills in %d rounds: %s", hit.total(), ROUNDS.index(round_) + 1, dict(hit))
    assert hit.total() == kills

    places = [configuration.load(f / "arena.yaml", {"root": str(f / "lake")}) for f in (disturbed, undisturbed)]
    with Lake.open(places[0]).connect() as killed, Lake.open(places[1]).connect() as whole:
        for name, table in TABLES.items():
            assert contents(killed, name) == contents(whole, name), name
            assert doubles(killed, name, table.grain) == 0, name
        assert len(contents(whole, "releases")) == ROUNDS.index(round_) + 1
