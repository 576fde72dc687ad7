"""Releases: one consistent state of all tables, switched by a single commit.

Delta commits one table at a time; a reader must never join new verdicts with old ratings. So every reader takes its
table versions from one row of ``releases``.
"""

import json
import random
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

import arena_etl
from arena_etl.config import Config
from arena_etl.errors import ArenaError, InputError
from arena_etl.lake.delta import ATTEMPTS, Lake, Partition
from arena_etl.lake.tables import TABLES

# What happened stays on record: a rollback does not undo it.
AUDIT_LOG = ("quality_results", "quarantine", "measures", "decisions", "alerts", "retired_releases")


@dataclass(frozen=True)
class Release:
    release_id: int
    parent: int | None
    versions: dict[str, int]
    round: str | None
    author: str
    reason: str
    code_version: str
    config_hash: str
    config: str
    created_at: datetime


def releases(lake: Lake) -> list[Release]:
    """All releases, oldest first."""
    with lake.connect(["releases"]) as connection:
        rows = connection.sql("select * from releases order by release_id").to_arrow_table().to_pylist()
    return [Release(**{**row, "versions": dict(row["versions"])}) for row in rows]


def retired(lake: Lake) -> set[int]:
    """The releases whose files may be gone (``maintenance.collect``): nobody reads them any more."""
    with lake.connect(["retired_releases"]) as connection:
        return {number for (number,) in connection.sql("select release_id from retired_releases").fetchall()}


def resolve(lake: Lake, as_of: str | None = None) -> dict[str, int] | None:
    """The table versions that a reader sees; ``as_of`` and errors as in ``find``."""
    return table_versions(lake, find(lake, as_of))


def table_versions(lake: Lake, chosen: Release | None) -> dict[str, int] | None:
    """The version of every table in a release; None, which stands for the newest versions, without a release."""
    return {**chosen.versions, "releases": _newest_version(lake)} if chosen is not None else None


def find(lake: Lake, as_of: str | None = None, option: str = "--as-of") -> Release | None:
    """The release that a reader asks for.

    ``as_of``: None for the newest release, a release id, a date (the newest release made up to the end of that UTC
    day), or ``head`` for the newest versions whether released or not (returned as None). ``option`` is named in errors.

    Raises InputError when there is no such release; the message lists what there is.
    """
    if as_of == "head":
        return None
    known = releases(lake)
    if not known:
        raise InputError(
            f"lake {lake.storage.root}: no release yet. `arena-etl run` makes one; `--as-of head` reads unreleased tables."
        )
    if as_of is None:
        return known[-1]
    if as_of.isdecimal():
        chosen = [r for r in known if r.release_id == int(as_of)]
    else:
        try:
            day = date.fromisoformat(as_of)
        except ValueError:
            raise InputError(f"{option} {as_of!r}: not a release id, a date (YYYY-MM-DD) or `head`.") from None
        chosen = [r for r in known if r.created_at.astimezone(UTC).date() <= day]
    if not chosen:
        first, last = known[0], known[-1]
        raise InputError(
            f"{option} {as_of}: no such release. There are {first.release_id} ({first.created_at:%Y-%m-%d}) to "
            f"{last.release_id} ({last.created_at:%Y-%m-%d}); `arena-etl releases list` shows them."
        )
    return _readable(lake, chosen[-1])


def _readable(lake: Lake, chosen: Release) -> Release:
    gone = retired(lake)
    if chosen.release_id in gone:
        raise InputError(
            f"release {chosen.release_id} ({chosen.created_at:%Y-%m-%d}) was given up by `arena-etl gc`: its files may be "
            f"gone. The oldest that can be read is {max(gone) + 1}; `arena-etl releases list` shows them."
        )
    return chosen


def _newest_version(lake: Lake) -> int:
    table = lake.table("releases")
    return table.version() if table is not None else 0


def release(
    lake: Lake, config: Config, round_: str | None, author: str, reason: str, only: Collection[str] = ()
) -> Release:
    """Publish the newest version of every table. Without a change since the last release, that one is returned.

    ``only``: publish these tables alone and leave the others as the last release has them, finished or not.

    Raises ArenaError when other writers keep winning the race.
    """
    declared = TABLES["releases"]
    for attempt in range(ATTEMPTS):
        table = lake.create(declared)
        known = releases(lake)
        parent = known[-1] if known else None
        heads = lake.heads()
        unchanged = parent.versions if parent else {}
        versions = unchanged | {name: heads[name] for name in only if name in heads} if only else heads
        if parent is not None and parent.versions == versions:
            return parent
        row = Release(
            release_id=parent.release_id + 1 if parent else 1,
            parent=parent.release_id if parent else None,
            versions=versions,
            round=round_,
            author=author,
            reason=reason,
            code_version=arena_etl.__version__,
            config_hash=config.digest,
            config=json.dumps(config.model_dump(mode="json"), ensure_ascii=False, sort_keys=True),
            created_at=datetime.now(UTC),
        )
        try:
            write_deltalake(
                table,
                _rows(row),
                mode="append",
                commit_properties=CommitProperties(
                    app_transactions=[Transaction("releases", row.release_id)], max_commit_retries=0
                ),
                storage_options=lake.storage.delta_options,
            )
            return row
        except CommitFailedError:
            time.sleep(random.uniform(0.02, 0.1) * 2**attempt)
    raise ArenaError("releases: other publishers kept winning the race. Run the command again.")


def rollback(lake: Lake, config: Config, release_id: int, author: str, reason: str) -> Release:
    """Return to an earlier release: its contents become every table's newest version, published as a new release.

    Steps that were done since then count as not done, so the next round builds on the state that was restored.
    Quality results and quarantine keep their rows.
    """
    chosen = next((r for r in releases(lake) if r.release_id == release_id), None)
    if chosen is None:
        raise InputError(f"release {release_id}: there is none. `arena-etl releases list` shows them.")
    _readable(lake, chosen)
    for name in lake.heads():
        if name not in AUDIT_LOG:
            lake.restore(name, chosen.versions.get(name, 0))
    staged = lake.storage.uri("_staging")
    if lake.storage.filesystem.exists(staged):  # it was made for the state that is left
        lake.storage.filesystem.rm(staged, recursive=True)
    return release(lake, config, chosen.round, author, f"rollback to release {release_id}: {reason}")


def _rows(row: Release) -> pa.Table:
    values: dict[str, Any] = {**vars(row), "versions": list(row.versions.items())}
    return pa.Table.from_pylist([values], schema=Partition("releases").declaration.arrow_schema())
