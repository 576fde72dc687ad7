"""Housekeeping: fewer files and less space, and not a row less for any reader that is promised one."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from arena_etl.config import Config, Retention
from arena_etl.errors import InputError
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.maintenance import collect, compact
from arena_etl.lake.releases import release, releases, resolve, rollback
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES
from arena_etl.quality.decisions import mute
from tests.lake.test_delta import FIRST, slices
from tests.quality.rows import batch

NOW = Retention(days=0)


def nights(config: Config, lake: Lake, count: int) -> None:
    """Releases 1 to ``count``; each replaces the slice, so that it has a file of its own, and mutes an alert."""
    for night in range(1, count + 1):
        lake.commit(FIRST, slices("2026-01-05", night), night, {})
        mute(lake, "slices", None, datetime.now(UTC) + timedelta(days=1), "person", f"night {night}")
        release(lake, config, "2026-01-05", "night", f"night {night}")


def rows(lake: Lake, as_of: str | None = None) -> tuple[int, int]:
    """How many slices and decisions a reader sees."""
    with lake.connect(["slices", "decisions"], resolve(lake, as_of)) as connection:
        [found] = connection.sql("select (select count(*) from slices), (select count(*) from decisions)").fetchall()
    return tuple(found)


def test_compaction_leaves_rows_steps_and_releases_as_they_are(config: Config, lake: Lake) -> None:
    nights(config, lake, 3)
    done = {each.table: each for each in compact(lake)}
    assert (done["decisions"].files_before, done["decisions"].files_after) == (3, 1)
    assert len(lake.files("decisions")) == 1
    assert [rows(lake, as_of) for as_of in ("1", "2", "3", "head")] == [(1, 1), (2, 2), (3, 3), (3, 3)]
    assert lake.fingerprint(FIRST) == 3
    assert [each.files_after for each in compact(lake) if each.table == "decisions"] == [1]


def test_a_compacted_table_is_released_and_rolled_back_like_any_other(config: Config, lake: Lake) -> None:
    nights(config, lake, 3)
    list(compact(lake))
    assert rows(lake, str(release(lake, config, None, "person", "compacted").release_id)) == (3, 3)
    rollback(lake, config, 1, "person", "looks wrong")
    assert rows(lake)[0] == 1
    assert lake.fingerprint(FIRST) == 1


def test_without_a_limit_every_release_stays(config: Config, lake: Lake) -> None:
    nights(config, lake, 3)
    list(compact(lake))
    found = collect(lake, NOW, "person", apply=True)
    assert [each.name for each in found] == ["releases"]  # the list of them is read in its newest version alone
    assert [rows(lake, as_of) for as_of in ("1", "2", "3")] == [(1, 1), (2, 2), (3, 3)]


def test_releases_beyond_the_limit_are_given_up_and_the_others_stay(config: Config, lake: Lake) -> None:
    nights(config, lake, 4)
    list(compact(lake))
    retention = Retention(releases=2, days=0)

    promised = collect(lake, retention, "person", apply=False)
    assert [rows(lake, as_of) for as_of in ("1", "2", "3", "4")] == [(1, 1), (2, 2), (3, 3), (4, 4)]

    done = collect(lake, retention, "person", apply=True)
    assert done == promised
    assert {each.name: each.files for each in done} == {"slices": 2, "releases": 4}  # 4 still names the small decisions
    assert all(each.bytes > 500 for each in done)
    assert [rows(lake, as_of) for as_of in ("3", "4", "head")] == [(3, 3), (4, 4), (4, 4)]
    for reader in (lambda: resolve(lake, "2"), lambda: rollback(lake, config, 1, "person", "too late")):
        with pytest.raises(InputError, match=r"given up.*oldest that can be read is 3"):
            reader()
    assert len(releases(lake)) == 4
    assert collect(lake, retention, "person", apply=True) == []


def test_young_files_stay(config: Config, lake: Lake) -> None:
    nights(config, lake, 3)
    assert collect(lake, Retention(releases=1), "person", apply=True) == []


def test_left_over_batches_go_and_paid_ones_stay(config: Config, lake: Lake) -> None:
    nights(config, lake, 1)
    waiting = Partition("responses", ("2026-01-06", "sft", "training"))
    Staging(lake, FIRST, 99).write("all", "part", slices("2026-01-05", 5))
    Staging(lake, waiting, 1).write("all", "part", batch("responses"))
    assert [(each.kind, each.files) for each in collect(lake, NOW, "person", apply=True)] == [("staged", 1)]
    assert Staging(lake, waiting, 1).read().num_rows > 0
    assert Staging(lake, FIRST, 99).read().num_rows == 0


def test_weights_that_no_run_names_go(config: Config, lake: Lake) -> None:
    run = batch("training_runs").to_pylist()[0] | {"checkpoint": "lake:checkpoints/named"}
    table = pa.Table.from_pylist([run], schema=TABLES["training_runs"].arrow_schema())
    lake.commit(Partition("training_runs", (run["round"], run["stage"])), table, 1, {})
    for name in ("named", "orphan"):
        lake.storage.put(lake.storage.uri("checkpoints", name, "model.safetensors"), b"12345")
    found = collect(lake, NOW, "person", apply=True)
    assert [(each.kind, each.files, each.bytes) for each in found] == [("checkpoints", 1, 5)]
    assert lake.storage.filesystem.exists(lake.storage.uri("checkpoints", "named", "model.safetensors"))
    assert not lake.storage.filesystem.exists(lake.storage.uri("checkpoints", "orphan"))
