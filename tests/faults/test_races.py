"""Eight processes publish at the same moment: different rounds, the same round, the same batch."""

import os
from multiprocessing import get_context
from typing import Any

import pytest

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.errors import ArenaError
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.releases import release, releases, resolve
from tests.lake.test_delta import counts, slices

PROCESSES = 8
WORKERS = get_context("forkserver")  # they start at once, from a process that has done the imports
WORKERS.set_forkserver_preload(["arena_etl.lake.releases"])


def _publish(
    flags: dict[str, Any], environment: dict[str, str], round_: str, rows: int, barrier: Any, results: Any
) -> None:
    """Commit and release a round; all workers look at the table before the first of them commits."""
    os.environ.update(environment)
    config = configuration.load(flags=flags)
    lake = Lake.open(config)
    create = lake.create

    def together(*arguments: Any) -> Any:
        table = create(*arguments)
        if lake.create is together:  # the first time
            lake.create = create  # type: ignore[method-assign]
            barrier.wait(600)
        return table

    lake.create = together  # type: ignore[method-assign]
    try:
        lake.commit(Partition("slices", (round_, "sft")), slices(round_, rows), rows, {})
        release(lake, config, round_, f"worker {rows}", f"round {round_}")
        results.put((rows, None))
    except ArenaError as error:
        results.put((rows, str(error)))


# On a busy machine eight processes take long to start; nothing here waits for a time to pass.
pytestmark = pytest.mark.timeout(1800)
ON_S3_TOO = pytest.mark.parametrize("config", ["folder", pytest.param("s3", marks=pytest.mark.slow)], indirect=True)


def race(config: Config, batches: list[tuple[str, int]]) -> tuple[dict[int, str | None], Lake]:
    """What became of every batch, (round, number of rows), by its number of rows; and the lake."""
    flags = {"root": config.root, "s3_endpoint": config.s3_endpoint}
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    lake = Lake.open(config)
    barrier, results = WORKERS.Barrier(len(batches)), WORKERS.Queue()
    workers = [
        WORKERS.Process(target=_publish, args=(flags, environment, *batch, barrier, results)) for batch in batches
    ]
    for worker in workers:
        worker.start()
    outcomes = dict(results.get(timeout=900) for _ in workers)
    for worker in workers:
        worker.join(60)
    return outcomes, lake


def check_releases(lake: Lake) -> None:
    """One chain without a gap, each beside the one before, and the newest shows everything."""
    chain = releases(lake)
    assert [each.release_id for each in chain] == list(range(1, len(chain) + 1))
    assert [each.parent for each in chain] == [None, *range(1, len(chain))]
    assert [each.versions["slices"] for each in chain] == sorted({each.versions["slices"] for each in chain})
    with lake.connect(["slices"], resolve(lake)) as connection:
        released = dict(connection.sql("select round, count(*) from slices group by 1").fetchall())
    assert released == counts(lake)


def commits(lake: Lake) -> int:
    table = lake.table("slices")
    assert table is not None
    return sum("key" in commit for commit in table.history())


@ON_S3_TOO
def test_of_eight_different_rounds_none_is_lost(config: Config) -> None:
    batches = [(f"2026-01-{day:02d}", day) for day in range(1, PROCESSES + 1)]
    outcomes, lake = race(config, batches)
    assert outcomes == dict.fromkeys(range(1, PROCESSES + 1))
    assert counts(lake) == dict(batches)
    assert commits(lake) == PROCESSES
    check_releases(lake)


@ON_S3_TOO
def test_of_eight_versions_of_one_round_one_wins(config: Config) -> None:
    outcomes, lake = race(config, [("2026-01-01", rows) for rows in range(1, PROCESSES + 1)])
    [winner] = [rows for rows, error in outcomes.items() if error is None]
    assert counts(lake) == {"2026-01-01": winner}
    assert commits(lake) == 1
    assert all(
        "another writer published it" in str(e) and "run the step again" in str(e) for e in outcomes.values() if e
    )
    check_releases(lake)


@ON_S3_TOO
def test_the_same_batch_from_eight_processes_is_there_once(config: Config) -> None:
    _, lake = race(config, [("2026-01-01", 5)] * PROCESSES)
    assert counts(lake) == {"2026-01-01": 5}
    assert commits(lake) == 1
    assert len(releases(lake)) == 1
    check_releases(lake)
