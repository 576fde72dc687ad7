"""Releases: all tables switch together, every earlier state can be read and returned to."""

from datetime import UTC, datetime

import pytest

from arena_etl.config import Config
from arena_etl.errors import InputError
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import release, releases, resolve, rollback
from tests.lake.test_delta import FIRST, SECOND, slices


@pytest.fixture
def released(config: Config, lake: Lake) -> Lake:
    """Release 1 with three rows, release 2 with five."""
    lake.commit(FIRST, slices("2026-01-05", 3), 1, {})
    release(lake, config, "2026-01-05", "night", "round 2026-01-05")
    lake.commit(SECOND, slices("2026-01-06", 2), 1, {})
    release(lake, config, "2026-01-06", "night", "round 2026-01-06")
    return lake


def count(lake: Lake, as_of: str | None = None) -> int:
    with lake.connect(["slices"], resolve(lake, as_of)) as connection:
        [(rows,)] = connection.sql("select count(*) from slices").fetchall()
    return int(rows)


def test_readers_see_the_newest_release_and_not_what_came_after(released: Lake) -> None:
    released.commit(FIRST, slices("2026-01-05", 9), 2, {})
    assert count(released) == 5
    assert count(released, "head") == 11


def test_earlier_releases_are_read_by_id_and_by_date(released: Lake) -> None:
    assert count(released, "1") == 3
    assert count(released, datetime.now(UTC).date().isoformat()) == 5


@pytest.mark.parametrize("as_of", ["3", "1999-12-31", "yesterday"])
def test_an_unknown_state_is_refused(released: Lake, as_of: str) -> None:
    with pytest.raises(InputError, match="--as-of"):
        resolve(released, as_of)


def test_a_lake_without_a_release_says_what_to_do(lake: Lake) -> None:
    with pytest.raises(InputError, match="no release yet"):
        resolve(lake)


def test_nothing_changed_makes_no_release(config: Config, released: Lake) -> None:
    assert release(released, config, "2026-01-06", "night", "again").release_id == 2


def test_a_release_records_who_why_and_the_configuration(config: Config, released: Lake) -> None:
    newest = releases(released)[-1]
    assert (newest.parent, newest.round, newest.author) == (1, "2026-01-06", "night")
    assert newest.config_hash == config.digest
    assert '"slice_size"' in newest.config


def test_rollback_returns_heads_and_readers_and_lets_the_step_run_again(config: Config, released: Lake) -> None:
    rollback(released, config, 1, "person", "wrong teacher")
    assert count(released) == count(released, "head") == 3
    assert count(released, "2") == 5
    assert released.fingerprint(SECOND) is None
    assert "wrong teacher" in releases(released)[-1].reason
