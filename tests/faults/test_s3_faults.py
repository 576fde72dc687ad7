"""A lake on an S3 server that refuses, loses, stalls and throttles, and whose replies get lost after it did what was asked."""

import logging
from typing import Any

import pytest

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.errors import ArenaError, InputError
from arena_etl.lake.delta import Lake, Partition, fingerprint
from arena_etl.lake.releases import release, releases, resolve
from arena_etl.lake.staging import Staging
from arena_etl.lake.storage import fault
from tests.faults.s3_proxy import Proxy
from tests.lake.test_delta import slices
from tests.quality.rows import batch

logger = logging.getLogger(__name__)
NIGHTS = ("2026-01-05", "2026-01-06")
ROWS = 6
LOG = r"PUT .*_delta_log/\d+\.json"
DATA = r"PUT .*\.parquet"
RERUNS = 20


def publish(config: Config, night: str) -> None:
    """What a night does with the store: stage in parts, publish what is staged, add to a growing table, release."""
    lake = Lake.open(config)
    partition = Partition("slices", (night, "sft"))
    staging = Staging(lake, partition, fingerprint(night))
    if lake.fingerprint(partition) != staging.fingerprint:
        for unit in ("a", "b"):
            if unit in staging.finished():
                continue
            half = slices(night, ROWS).slice(0 if unit == "a" else ROWS // 2, ROWS // 2)
            staging.write(unit, "rows", half)
            staging.finish(unit, seconds=0)
        lake.commit(partition, staging.read(["a", "b"]), staging.fingerprint, {})
    staging.clear()
    lake.commit(Partition("models", (night, "audit")), batch("models"), 1, {})
    release(lake, config, night, "test", f"round {night}")


def check(config: Config) -> None:
    """Every row once, one commit per batch and one release per night, and nothing left in staging."""
    lake = Lake.open(config)
    with lake.connect(["slices", "models"], resolve(lake)) as connection:
        found = connection.sql(
            "select round, count(*), count(distinct instruction_id) from slices group by 1"
        ).fetchall()
        models = connection.sql("select count(*), count(distinct contestant_id) from models").fetchall()
    assert sorted(found) == [(night, ROWS, ROWS) for night in NIGHTS]
    assert models == [(len(batch("models")),) * 2]
    assert [each.round for each in releases(lake)] == list(NIGHTS)
    for name, commits in (("slices", len(NIGHTS)), ("models", len(NIGHTS))):
        table = lake.table(name)
        assert table is not None and sum("key" in commit for commit in table.history()) == commits
    assert lake.storage.filesystem.find(lake.storage.uri("_staging")) == []


def until_done(config: Config, night: str) -> int:
    """Publish a night, again after every error as a person or Airflow would; how often it failed. Errors are clear."""
    for failures in range(RERUNS):
        try:
            publish(config, night)
            return failures
        except Exception as error:  # noqa: BLE001 - what kind it may be is asserted
            assert isinstance(error, ArenaError) or fault(error), error  # what a person sees without a traceback
    raise AssertionError(f"not done after {RERUNS} attempts")


@pytest.mark.parametrize("where", [LOG, DATA], ids=["log", "data"])
@pytest.mark.parametrize("kind", ["reply_lost", "lost", "error", "slow_down", "throttled"])
def test_one_fault_is_overcome_without_a_word(proxied: dict[str, Any], s3_proxy: Proxy, kind: str, where: str) -> None:
    """A reply that is lost after the commit is the trap: the second attempt finds that the entry exists, its own."""
    config = configuration.load(flags=proxied)
    publish(config, NIGHTS[0])
    s3_proxy.does(kind, only=where, limit=1)
    publish(config, NIGHTS[1])
    assert s3_proxy.faults() == 1
    s3_proxy.does()
    check(config)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 11))])
def test_many_faults_lose_nothing_and_double_nothing(proxied: dict[str, Any], s3_proxy: Proxy, seed: int) -> None:
    """One request in ten meets a fault of any kind, those of retries too."""
    config = configuration.load(flags=proxied)
    kinds = ("reply_lost", "lost", "error", "slow_down", "throttled", "stalled")
    s3_proxy.does(*kinds, rate=0.1, seed=seed, stall_s=0.5)
    failures = [until_done(config, night) for night in NIGHTS]
    faults = s3_proxy.faults()
    s3_proxy.does()
    logger.info("seed %d: %d faults, %d attempts failed", seed, faults, sum(failures))
    assert faults > 5
    check(config)


def test_a_store_that_is_down_for_a_while_is_worth_another_attempt(proxied: dict[str, Any], s3_proxy: Proxy) -> None:
    """Airflow gives up at once on an InputError, which another attempt cannot cure."""
    config = configuration.load(flags=proxied)
    s3_proxy.does("error")
    with pytest.raises(ArenaError, match="cannot be read or written") as failure:
        Lake.open(config)
    assert not isinstance(failure.value, InputError)
