"""Committing partitions: exactly once, whole, and without losing a neighbour."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from arena_etl import config as configuration
from arena_etl.errors import ArenaError, InputError
from arena_etl.lake.delta import CHECKPOINT, MARKER, Lake, Partition, fingerprint
from arena_etl.lake.tables import SCHEMA_VERSION, TABLES
from tests.quality.rows import batch

FIRST = Partition("slices", ("2026-01-05", "sft"))
SECOND = Partition("slices", ("2026-01-06", "sft"))


def slices(round_: str, count: int) -> pa.Table:
    rows = [{"round": round_, "stage": "sft", "instruction_id": f"{round_}-{n}", "position": n} for n in range(count)]
    return pa.Table.from_pylist(rows, schema=TABLES["slices"].arrow_schema())


def counts(lake: Lake) -> dict[str, int]:
    with lake.connect(["slices"]) as connection:
        return dict(connection.sql("select round, count(*) from slices group by round order by round").fetchall())


def test_every_table_is_readable_before_anything_was_written(lake: Lake) -> None:
    with lake.connect() as connection:
        for name, table in TABLES.items():
            relation = connection.sql(f'select * from "{name}"')
            assert tuple(relation.columns) == table.column_names
            assert relation.fetchall() == []


def test_a_commit_replaces_its_partition_and_no_other(lake: Lake) -> None:
    lake.commit(FIRST, slices("2026-01-05", 3), 1, {})
    lake.commit(SECOND, slices("2026-01-06", 2), 2, {})
    lake.commit(FIRST, slices("2026-01-05", 5), 3, {})
    assert counts(lake) == {"2026-01-05": 5, "2026-01-06": 2}


def test_the_same_commit_again_changes_nothing(lake: Lake) -> None:
    version = lake.commit(FIRST, slices("2026-01-05", 3), 1, {})
    assert lake.commit(FIRST, slices("2026-01-05", 3), 1, {}) == version
    assert lake.heads() == {"slices": version}


def test_returning_to_earlier_inputs_is_a_commit_of_its_own(lake: Lake) -> None:
    for inputs, rows in ((1, 3), (2, 4), (1, 3)):
        lake.commit(FIRST, slices("2026-01-05", rows), inputs, {})
    assert counts(lake) == {"2026-01-05": 3}


def test_no_rows_empty_the_partition_and_count_as_done(lake: Lake) -> None:
    lake.commit(FIRST, slices("2026-01-05", 3), 1, {})
    lake.commit(FIRST, slices("2026-01-05", 0), 2, {})
    assert counts(lake) == {}
    assert lake.fingerprint(FIRST) == 2


def test_appending_tables_keep_what_they_had(lake: Lake) -> None:
    for audit in ("a", "b"):
        rows = batch("models").set_column(
            TABLES["models"].column_names.index("contestant_id"),
            "contestant_id",
            pa.array([f"{audit}-{n}" for n in range(len(batch("models")))]),
        )
        lake.commit(Partition("models", ("2026-01-05", audit)), rows, 1, {})
    with lake.connect(["models"]) as connection:
        assert len(connection.sql("select distinct contestant_id from models").fetchall()) == 2 * len(batch("models"))


def test_rows_of_another_partition_are_refused_and_nothing_is_written(lake: Lake) -> None:
    with pytest.raises(ArenaError, match="refused"):
        lake.commit(FIRST, slices("2026-01-06", 3), 1, {})
    assert counts(lake) == {}


def test_an_earlier_version_stays_readable(lake: Lake) -> None:
    version = lake.commit(FIRST, slices("2026-01-05", 3), 1, {})
    lake.commit(FIRST, slices("2026-01-05", 5), 2, {})
    with lake.connect(["slices"], {"slices": version}) as connection:
        assert connection.sql("select count(*) from slices").fetchall() == [(3,)]


def test_restore_brings_the_contents_back_and_forgets_what_was_done_since(lake: Lake) -> None:
    version = lake.commit(FIRST, slices("2026-01-05", 3), 1, {})
    lake.commit(FIRST, slices("2026-01-05", 5), 2, {})
    lake.commit(SECOND, slices("2026-01-06", 0), 9, {})
    lake.restore("slices", version)
    assert counts(lake) == {"2026-01-05": 3}
    assert (lake.fingerprint(FIRST), lake.fingerprint(SECOND)) == (1, None)
    lake.commit(SECOND, slices("2026-01-06", 2), 9, {})
    assert counts(lake) == {"2026-01-05": 3, "2026-01-06": 2}


def test_fingerprints_are_those_of_the_last_commits_past_every_checkpoint_and_back(lake: Lake) -> None:
    rounds = [f"2026-01-{day:02}" for day in range(1, 2 * int(CHECKPOINT) + 4)]
    for number, round_ in enumerate(rounds, 1):
        lake.commit(Partition("slices", (round_, "sft")), slices(round_, 1), number, {})
    before = lake.commit(FIRST, slices("2026-01-05", 2), 90, {})
    lake.commit(FIRST, slices("2026-01-05", 3), 91, {})
    lake.commit(SECOND, slices("2026-01-06", 0), 92, {})  # no rows, no partition
    newest = {(round_, "sft"): number for number, round_ in enumerate(rounds, 1)} | {FIRST.values: 91}
    assert lake.fingerprints("slices") == {values: n for values, n in newest.items() if values != SECOND.values}
    lake.restore("slices", before)
    assert lake.fingerprints("slices") == newest | {FIRST.values: 90}


def test_a_column_that_was_added_is_null_in_older_files(lake: Lake) -> None:
    older = slices("2026-01-05", 2).drop_columns("position")
    place, options = lake.storage.uri("slices"), lake.storage.delta_options
    write_deltalake(place, older, partition_by=["round", "stage"], storage_options=options)
    lake.commit(SECOND, slices("2026-01-06", 2), 1, {})
    with lake.connect(["slices"]) as connection:
        found = connection.sql("select round, position from slices order by all nulls first").fetchall()
    assert found == [("2026-01-05", None), ("2026-01-05", None), ("2026-01-06", 0), ("2026-01-06", 1)]


def test_a_table_may_be_created_by_several_at_once(config: configuration.Config) -> None:
    together = threading.Barrier(8)

    def create(lake: Lake) -> set[str]:
        for table in TABLES.values():
            together.wait(60)
            lake.create(table)
        return set(lake.heads())

    with ThreadPoolExecutor(8) as pool:
        assert all(
            found == TABLES.keys() - {"releases"} for found in pool.map(create, [Lake.open(config) for _ in range(8)])
        )


def test_polars_reads_the_same_rows_as_duckdb(tmp_path: Any) -> None:
    lake = Lake.open(configuration.load(flags={"root": str(tmp_path / "lake")}))
    lake.commit(FIRST, slices("2026-01-05", 3), 1, {})
    version = lake.commit(SECOND, slices("2026-01-06", 4), 1, {})
    by_polars = pl.scan_delta(lake.storage.uri("slices"), version=version).collect().sort("round", "position")
    with lake.connect(["slices"], {"slices": version}) as connection:
        by_duckdb = connection.sql("select * from slices order by round, position").pl()
    assert by_polars.select(by_duckdb.columns).equals(by_duckdb)


def test_a_lake_of_a_newer_schema_is_refused(config: configuration.Config, lake: Lake) -> None:
    lake.storage.filesystem.pipe_file(lake.storage.uri(MARKER), f'{{"schema_version": {SCHEMA_VERSION + 1}}}'.encode())
    with pytest.raises(InputError, match=f"schema version {SCHEMA_VERSION + 1}.*Install a newer"):
        Lake.open(config)


def test_a_read_only_place_is_named(tmp_path: Any) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file, not a folder")
    with pytest.raises(InputError, match="cannot be read or written"):
        Lake.open(configuration.load(flags={"root": str(blocked / "lake")}))


def test_fingerprints_do_not_depend_on_key_order() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def _publish(root: str, round_: str, rows: int, barrier: Any, results: Any) -> None:
    lake = Lake.open(configuration.load(flags={"root": root}))
    barrier.wait()
    try:
        lake.commit(Partition("slices", (round_, "sft")), slices(round_, rows), rows, {})
        results.put("won")
    except ArenaError:
        results.put("refused")


@pytest.mark.parametrize("same_round", [False, True])
def test_parallel_writers_never_mix(tmp_path: Any, same_round: bool) -> None:
    """Four processes, different rounds: all win. The same new round with different rows: one set of rows."""
    root = str(tmp_path / "lake")
    Lake.open(configuration.load(flags={"root": root}))
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    rounds = ["2026-01-05"] * 4 if same_round else [f"2026-01-0{n}" for n in range(5, 9)]
    workers = [
        context.Process(target=_publish, args=(root, round_, 10 + n, barrier, results))
        for n, round_ in enumerate(rounds)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    outcomes = [results.get(timeout=5) for _ in workers]
    found = counts(Lake.open(configuration.load(flags={"root": root})))
    if same_round:
        assert "won" in outcomes
        assert set(found.values()) <= {10, 11, 12, 13}
        assert len(found) == 1
    else:
        assert outcomes == ["won"] * 4
        assert found == {round_: 10 + n for n, round_ in enumerate(rounds)}


def test_what_must_be_unique_in_the_table_is_refused_elsewhere(lake: Lake) -> None:
    lake.commit(FIRST, slices("2026-01-05", 3), 1, {})
    stolen = slices("2026-01-05", 1).set_column(0, "round", pa.array(["2026-01-06"]))
    with pytest.raises(ArenaError, match="published elsewhere"):
        lake.commit(SECOND, stolen, 1, {})
    lake.commit(FIRST, slices("2026-01-05", 4), 2, {})
    assert counts(lake) == {"2026-01-05": 4}


def test_growing_tables_take_a_row_once(lake: Lake) -> None:
    for name in ("a", "b"):
        lake.commit(Partition("models", ("2026-01-05", name)), batch("models"), 1, {})
    with lake.connect(["models"]) as connection:
        assert connection.sql("select count(*) from models").fetchall() == [(len(batch("models")),)]


@pytest.mark.parametrize("folder", ["la ke", "läke", "la+ke#1"])
def test_a_lake_lies_in_any_ordinary_folder(tmp_path: Any, folder: str) -> None:
    lake = Lake.open(configuration.load(flags={"root": str(tmp_path / folder)}))
    lake.commit(FIRST, slices("2026-01-05", 3), 1, {})
    assert counts(lake) == {"2026-01-05": 3}


@pytest.mark.parametrize("folder", ["lake[1]", "lak%20e", "l*ke", "lake?x"])
def test_a_path_that_cannot_work_is_refused(tmp_path: Any, folder: str) -> None:
    with pytest.raises(InputError, match="do not work in the path of a lake"):
        Lake.open(configuration.load(flags={"root": str(tmp_path / folder)}))


def test_reading_makes_no_lake(config: configuration.Config) -> None:
    with pytest.raises(InputError, match="there is none"):
        Lake.open(config, create=False)


def test_rolling_forward_again_remembers_what_is_done(lake: Lake) -> None:
    first = lake.commit(FIRST, slices("2026-01-05", 3), 1, {})
    second = lake.commit(SECOND, slices("2026-01-06", 2), 9, {})
    lake.restore("slices", first)
    assert lake.fingerprint(SECOND) is None
    lake.restore("slices", second)
    assert (lake.fingerprint(FIRST), lake.fingerprint(SECOND)) == (1, 9)
    head = lake.heads()
    lake.restore("slices", second)
    assert lake.heads() == head
