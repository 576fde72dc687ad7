"""What keeps a lake fast and small over years of nights: small files put together, files of given-up releases deleted."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from deltalake.exceptions import CommitFailedError

from arena_etl.config import Retention
from arena_etl.lake.delta import DATA_FILES, Lake, Partition
from arena_etl.lake.releases import Release, releases, retired
from arena_etl.lake.tables import TABLES

TABLE, STAGED, CHECKPOINTS = "table", "staged", "checkpoints"


@dataclass(frozen=True)
class Compacted:
    """``skipped``: why nothing was done."""

    table: str
    files_before: int
    files_after: int
    skipped: str | None = None


@dataclass(frozen=True)
class Garbage:
    """``kind``: table (data files), staged (batches that nobody will publish) or checkpoints (weights that no run names)."""

    kind: str
    name: str
    files: int
    bytes: int


def compact(lake: Lake) -> Iterator[Compacted]:
    """Put the small files of every partition together and write a checkpoint of the log, table by table.

    Rows stay as they are, and so does what readers see: a release names the files that it was made of. A table that somebody
    commits to meanwhile is left for the next time.
    """
    for name in TABLES:
        table = lake.table(name)
        if table is None:
            continue
        before = len(table.file_uris())
        try:
            table.optimize.compact(writer_properties=DATA_FILES)
            table.create_checkpoint()
        except CommitFailedError:
            yield Compacted(name, before, before, "somebody committed to it meanwhile")
            continue
        yield Compacted(name, before, len(table.file_uris()))


def given_up(lake: Lake, retention: Retention) -> list[Release]:
    """The releases that are older than the newest ``retention.releases`` and can still be read, oldest first."""
    known, gone = releases(lake), retired(lake)
    old = known[: -retention.releases] if retention.releases is not None else []
    return [release for release in old if release.release_id not in gone]


def collect(lake: Lake, retention: Retention, author: str, apply: bool) -> list[Garbage]:
    """What can be deleted, and with ``apply`` delete it.

    That is: data files that neither a kept release nor the newest version of their table names; batches that were staged
    for a partition that was published from other inputs; weights that no row of ``training_runs`` names. All of it only when
    it is older than ``retention.days``. Releases beyond ``retention.releases`` are given up first, on record, so that nobody
    reads them while their files go. Raises ArenaError when this machine's clock is not the store's: files would look older
    than they are.
    """
    if apply:
        lake.storage.check_clock()
    old = given_up(lake, retention)
    if apply and old:
        _retire(lake, old, author, f"retention.releases {retention.releases}")
    gone = retired(lake) | {release.release_id for release in old}
    kept = [release for release in releases(lake) if release.release_id not in gone]
    found = [_vacuum(lake, name, kept, retention, apply) for name in TABLES]
    found += [_staged(lake, retention, apply), _checkpoints(lake, kept, retention, apply)]
    return [each for each in found if each is not None and each.files]


def _retire(lake: Lake, old: list[Release], author: str, reason: str) -> None:
    now = datetime.now(UTC)
    rows = [{"release_id": r.release_id, "reason": reason, "author": author, "created_at": now} for r in old]
    batch = pa.Table.from_pylist(rows, schema=TABLES["retired_releases"].arrow_schema())
    lake.commit(Partition("retired_releases", (str(old[-1].release_id),)), batch, 1, {})


def _vacuum(lake: Lake, name: str, kept: list[Release], retention: Retention, apply: bool) -> Garbage | None:
    table = lake.table(name)
    if table is None:
        return None
    options: dict[str, Any] = {
        "retention_hours": round(24 * retention.days),
        "enforce_retention_duration": False,
        "full": True,
        "keep_versions": sorted({release.versions[name] for release in kept if name in release.versions}),
    }
    doomed = {file.rsplit("/", 1)[-1] for file in table.vacuum(dry_run=True, **options)}
    there = lake.storage.filesystem.find(lake.storage.uri(name), detail=True) if doomed else {}
    # The log goes on naming what an earlier vacuum deleted.
    sizes = [facts["size"] for path, facts in there.items() if str(path).rsplit("/", 1)[-1] in doomed]
    if apply and sizes:
        table.vacuum(dry_run=False, **options)
    return Garbage(TABLE, name, len(sizes), sum(sizes))


def _staged(lake: Lake, retention: Retention, apply: bool) -> Garbage:
    """Batches beside a published partition. What waits for its first audit is paid for, and stays."""
    batches = _folders(lake, "_staging", retention)
    doomed = {}
    for folder, content in batches.items():
        table, *values = folder.split("/")[:-1]  # the last part is the fingerprint of its inputs
        if lake.fingerprint(Partition(table, tuple(values))) is not None:
            doomed[folder] = content
    return _delete(lake, STAGED, "_staging", doomed, apply)


def _checkpoints(lake: Lake, kept: list[Release], retention: Retention, apply: bool) -> Garbage:
    named = set[str]()
    for versions in (None, *(release.versions for release in kept)):
        with lake.connect(["training_runs"], versions) as connection:
            rows = connection.sql("select checkpoint from training_runs where checkpoint is not null").fetchall()
        named |= {checkpoint.removeprefix("lake:checkpoints/") for (checkpoint,) in rows}
    weights = _folders(lake, "checkpoints", retention)
    doomed = {folder: content for folder, content in weights.items() if folder not in named}
    return _delete(lake, CHECKPOINTS, "checkpoints", doomed, apply)


def _folders(lake: Lake, place: str, retention: Retention) -> dict[str, list[int]]:
    """Sizes of the files of every folder that holds files, below a place of the lake, whose newest file is old enough."""
    root = lake.storage.uri(place)
    newest: dict[str, datetime] = {}
    sizes: dict[str, list[int]] = {}
    for path, facts in lake.storage.filesystem.find(root, detail=True).items():
        folder = str(path).split(f"/{place}/")[-1].rsplit("/", 1)[0]
        written = facts.get("LastModified") or datetime.fromtimestamp(facts["mtime"], UTC)
        newest[folder] = max(written, newest.get(folder, written))
        sizes.setdefault(folder, []).append(facts["size"])
    oldest = datetime.now(UTC) - timedelta(days=retention.days)
    return {folder: content for folder, content in sizes.items() if newest[folder] < oldest}


def _delete(lake: Lake, kind: str, place: str, folders: dict[str, list[int]], apply: bool) -> Garbage:
    for folder in folders if apply else ():
        lake.storage.filesystem.rm(lake.storage.uri(place, folder), recursive=True)
    contents = [size for content in folders.values() for size in content]
    return Garbage(kind, place, len(contents), sum(contents))
