"""A full disk, a wrong clock, refused credentials, a newer lake, a file that is gone: said clearly, and nothing harmed."""

import json
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from arena_etl import cli
from arena_etl import config as configuration
from arena_etl.config import Config, Retention
from arena_etl.errors import ArenaError, InputError
from arena_etl.lake import maintenance, storage
from arena_etl.lake import releases as released
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.maintenance import collect
from arena_etl.lake.releases import release, releases, resolve, rollback
from arena_etl.lake.staging import Staging
from arena_etl.lake.storage import fault
from tests.faults.s3_proxy import Proxy
from tests.lake.test_delta import FIRST, SECOND, counts, slices

THIRD = Partition("slices", ("2026-01-07", "sft"))
BEFORE, BOTH = {"2026-01-05": 3}, {"2026-01-05": 3, "2026-01-06": 2}


def fill(config: Config) -> Lake:
    """Release 1 has three rows of one night, release 2 two more of another."""
    lake = Lake.open(config)
    for number, (partition, rows) in enumerate(((FIRST, 3), (SECOND, 2)), 1):
        lake.commit(partition, slices(partition.values[0], rows), number, {})
        release(lake, config, partition.values[0], "night", f"night {number}")
    return lake


@pytest.fixture
def local(tmp_path: Path) -> Config:
    return configuration.load(flags={"root": str(tmp_path / "lake")})


@pytest.fixture
def remote(proxied: dict[str, Any]) -> Config:
    return configuration.load(flags=proxied)


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code of ``arena-etl ARGUMENTS`` and its one error, on one line."""
    with pytest.MonkeyPatch.context() as changed, pytest.raises(SystemExit) as ended:
        changed.setattr(sys, "argv", ["arena-etl", *arguments])
        cli.main()
    stderr = capsys.readouterr().err
    assert "Traceback" not in stderr
    return int(str(ended.value.code)), " ".join(stderr.split())


def seen(lake: Lake, as_of: str | None = None) -> dict[str, int]:
    with lake.connect(["slices"], resolve(lake, as_of)) as connection:
        return dict(connection.sql("select round, count(*) from slices group by 1 order by 1").fetchall())


# A full disk


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process may be larger than so many bytes: whoever writes more is told as by a full disk."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)


def _stage(lake: Lake) -> None:
    Staging(lake, THIRD, 3).write("all", "rows", slices("2026-01-07", 3_000))


def _commit(lake: Lake) -> None:
    lake.commit(THIRD, slices("2026-01-07", 3_000), 3, {})


def _spill(lake: Lake) -> None:
    with lake.spilling(["slices"], "40MB") as connection:
        connection.execute("set threads = 1")
        numbers = "select hash(i) as h, repeat(i::varchar, 9) as t from range(1000000) t(i)"
        connection.sql(f"select * from ({numbers}) order by h").to_arrow_table()


@pytest.mark.parametrize("work", [_stage, _commit, _spill], ids=["staging", "commit", "spill"])
def test_a_full_disk_is_said_and_the_work_is_done_when_there_is_room(
    local: Config, work: Callable[[Lake], None]
) -> None:
    lake = fill(local)
    with full_disk(2_000), pytest.raises(Exception, match=r"File too large|write") as failure:
        work(lake)
    text = str(failure.value) if isinstance(failure.value, ArenaError) else fault(failure.value)
    assert text and "free space" in text
    assert seen(lake) == seen(lake, "head") == BOTH
    assert Staging(lake, THIRD, 3).read().num_rows == 0
    work(lake)
    if work is _commit:
        assert counts(lake) == {**BOTH, "2026-01-07": 3_000}


# A wrong clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Set the clock of this machine; the store keeps its own."""

    def set_(by: timedelta) -> None:
        class Wrong(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return datetime.now(tz) + by

        for module in (maintenance, storage, released):
            monkeypatch.setattr(module, "datetime", Wrong)

    return set_


def test_a_clock_that_runs_ahead_deletes_nothing(config: Config, clock: Callable[[timedelta], None]) -> None:
    """To such a machine, what another one is staging at this moment looks like leftovers of last month."""
    lake = fill(config)
    running = Staging(lake, FIRST, 99)
    running.write("all", "rows", slices("2026-01-05", 4))
    clock(timedelta(days=30))
    assert [each.kind for each in collect(lake, Retention(), "person", apply=False)] == ["staged"]
    with pytest.raises(ArenaError, match=r"2592\d{3} s apart: let both follow a time server"):
        collect(lake, Retention(), "person", apply=True)
    assert running.read().num_rows == 4
    clock(timedelta())
    assert collect(lake, Retention(), "person", apply=True) == []


@pytest.mark.parametrize("by", [timedelta(days=-3), timedelta(days=3)], ids=["behind", "ahead"])
def test_the_newest_release_is_told_by_its_number(
    local: Config, clock: Callable[[timedelta], None], by: timedelta
) -> None:
    lake = fill(local)
    clock(by)
    lake.commit(THIRD, slices("2026-01-07", 1), 3, {})
    release(lake, local, "2026-01-07", "wrong clock", "night 3")
    clock(timedelta())
    lake.commit(FIRST, slices("2026-01-05", 4), 4, {})
    release(lake, local, "2026-01-05", "right clock", "night 4")
    assert [each.release_id for each in releases(lake)] == [1, 2, 3, 4]
    assert seen(lake) == {"2026-01-05": 4, "2026-01-06": 2, "2026-01-07": 1}
    assert seen(lake, datetime.now(UTC).date().isoformat())["2026-01-05"] == 4


# Credentials that are refused


@pytest.mark.parametrize("kind", ["expired", "forbidden"])
def test_refused_credentials_are_said(
    remote: Config, s3_proxy: Proxy, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the first request, when a table is opened, and when a batch is written."""
    lake = fill(remote)
    for only in ("", "GET .*_delta_log", r"GET .*\.parquet"):
        s3_proxy.does(kind, only=only)
        arguments = ("--root", remote.root, "--set", f"s3_endpoint={remote.s3_endpoint}", "sql", "from slices")
        code, text = told(capsys, *arguments)
        assert code in (1, 2)
        assert text.startswith("error: ") and "credentials" in text
    s3_proxy.does(kind, only="PUT")
    with pytest.raises(ArenaError, match=r"Nothing of it was published.*credentials"):
        lake.commit(THIRD, slices("2026-01-07", 1), 3, {})
    with pytest.raises(InputError, match=r"cannot be read or written.*credentials"):
        Lake.open(remote)
    s3_proxy.does()
    assert seen(lake) == counts(lake) == BOTH
    lake.commit(THIRD, slices("2026-01-07", 1), 3, {})
    assert counts(lake) == {**BOTH, "2026-01-07": 1}


# A lake that a newer program wrote


def test_columns_that_this_program_does_not_know_are_read_over_and_never_dropped(config: Config) -> None:
    lake = fill(config)
    newer = slices("2026-01-07", 2).append_column("mood", pa.array(["good", "bad"]))
    place, options = lake.storage.uri("slices"), lake.storage.delta_options
    write_deltalake(place, newer, mode="append", schema_mode="merge", storage_options=options)
    assert counts(lake) == {**BOTH, "2026-01-07": 2}
    with pytest.raises(InputError, match=r"slices: written by a newer program.*columns mood.*Install a newer"):
        lake.commit(FIRST, slices("2026-01-05", 9), 9, {})
    assert counts(lake) == {**BOTH, "2026-01-07": 2}


@pytest.mark.parametrize(
    "protocol",
    [
        {"minReaderVersion": 99, "minWriterVersion": 99},
        {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["fancy"], "writerFeatures": ["fancy"]},
    ],
    ids=["version", "feature"],
)
def test_a_table_of_a_newer_delta_is_refused_and_earlier_releases_stay_readable(
    local: Config, protocol: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    lake = fill(local)
    log = Path(lake.storage.uri("slices", "_delta_log"))
    entry = log / f"{len(list(log.glob('*.json'))):020d}.json"
    entry.write_text(json.dumps({"protocol": protocol}))
    for attempt in (lambda: counts(lake), lambda: lake.commit(FIRST, slices("2026-01-05", 9), 9, {})):
        with pytest.raises(InputError, match=r"slices: written by a newer program.*Install a newer arena_etl"):
            attempt()
    code, text = told(capsys, "--root", local.root, "sql", "--as-of", "head", "from slices")
    assert code == 2 and "Install a newer arena_etl" in text
    assert seen(lake) == BOTH and seen(lake, "1") == BEFORE


# A file that the log names and that is gone


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_missing_file_is_named_earlier_releases_stay_readable_and_a_rollback_repairs(
    config: Config, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = fill(config)
    [file] = set(lake.files("slices")) - set(lake.files("slices", {"slices": releases(lake)[0].versions["slices"]}))
    if damage == "gone":
        lake.storage.filesystem.rm_file(file)
    else:
        lake.storage.filesystem.pipe_file(file, lake.storage.filesystem.cat_file(file)[:200])
    name = file.rpartition("/")[2]
    arguments = ("--root", config.root, "--set", f"s3_endpoint={config.s3_endpoint or 'null'}", "sql")
    code, text = told(capsys, *arguments, "select count(*) from slices")
    assert code == 1
    assert "release 2" in text and "a file that the lake names cannot be read" in text
    assert name in text and "arena-etl rollback" in text
    with pytest.raises(ArenaError, match="slices: a file that the lake names cannot be read"):
        lake.commit(THIRD, slices("2026-01-07", 1), 3, {})
    assert seen(lake, "1") == BEFORE

    rollback(lake, config, 1, "person", "a file is gone")
    assert seen(lake) == counts(lake) == BEFORE
    assert lake.fingerprint(SECOND) is None, "the step is done again"
    lake.commit(SECOND, slices("2026-01-06", 2), 2, {})
    assert counts(lake) == BOTH
