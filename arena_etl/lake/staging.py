"""Parquet files that wait for their audit. No Delta log names them, so no reader sees them.

A batch's folder carries the fingerprint of its inputs: work for other inputs never mixes. Every part belongs to a unit of
its step; a killed worker's successor finds the parts that its unit had finished.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq

from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.tables import TABLES

REJECTS = "_rejects.parquet"
FINISHED = ".finished"
NOTE = ".progress"
KEPT = "kept"
MOST_ROWS = 5_000  # in one part
T = TypeVar("T")


@dataclass(frozen=True)
class Staging:
    lake: Lake
    partition: Partition
    fingerprint: int

    @property
    def folder(self) -> str:
        return self.lake.storage.uri("_staging", self.partition.key, f"{self.fingerprint:015x}")

    def write(self, unit: str, part: str, rows: pa.Table) -> None:
        """Write one part of a unit, whole or not at all; the same part written again replaces the earlier one."""
        self._write(f"{_prefix(unit)}{part}.parquet", rows.cast(self.partition.declaration.arrow_schema()))

    def part(self, unit: str, part: str) -> pa.Table:
        """One part of a unit, as ``write`` left it."""
        return self._read(f"{_prefix(unit)}{part}.parquet")

    def keep(self, unit: str, rows: pa.Table) -> None:
        """Make these rows all that the unit has staged."""
        self.write(unit, KEPT, rows)
        for name in self._parts([unit]):
            if name != f"{_prefix(unit)}{KEPT}.parquet":
                self.lake.storage.filesystem.rm_file(f"{self.folder}/{name}")

    def reject(self, rows: pa.Table, part: str = "all") -> None:
        """Keep what could not become a row of the table, as rows of ``quarantine``, until the audit."""
        self._write(f"{part}{REJECTS}", rows)

    def rejects(self) -> pa.Table:
        """What ``reject`` kept."""
        tables = [self._read(name) for name in self._names() if name.endswith(REJECTS)]
        return pa.concat_tables([TABLES["quarantine"].arrow_schema().empty_table(), *tables])

    def finish(self, unit: str, seconds: float) -> None:
        """Mark a unit of the step as wholly staged, and keep how long it took."""
        self.lake.storage.put(f"{self.folder}/{_prefix(unit)}{FINISHED}", str(seconds).encode())

    def seconds(self) -> float:
        """How long the finished units took, together."""
        filesystem = self.lake.storage.filesystem
        marks = [filesystem.cat_file(f"{self.folder}/{name}") for name in self._names() if name.endswith(FINISHED)]
        return sum(float(mark) for mark in marks)

    def note(self, unit: str, content: bytes) -> None:
        """Keep the newest word on how far a unit is."""
        self.lake.storage.put(f"{self.folder}/{_prefix(unit)}{NOTE}", content)

    def finished(self) -> set[str]:
        """The units that ``finish`` marked."""
        return {unquote(name.split("~")[0]) for name in self._names() if name.endswith(FINISHED)}

    def reopen(self) -> None:
        """Take all marks of ``finish`` back: the units are gone through again and keep what is good of theirs."""
        for name in self._names():
            if name.endswith(FINISHED):
                self.lake.storage.filesystem.rm_file(f"{self.folder}/{name}")

    def read(self, units: Iterable[str] | None = None) -> pa.Table:
        """The staged rows of these units (None: of all), in the declared schema."""
        tables = [self._read(name) for name in self._parts(units)]
        return pa.concat_tables([self.partition.declaration.arrow_schema().empty_table(), *tables])

    def clear(self) -> None:
        """Remove the batch and older batches of the same partition: their audit is over."""
        folder = self.lake.storage.uri("_staging", self.partition.key)
        if self.lake.storage.filesystem.exists(folder):
            self.lake.storage.filesystem.rm(folder, recursive=True)

    def _write(self, name: str, rows: pa.Table) -> None:
        buffer = pa.BufferOutputStream()
        pq.write_table(rows, buffer, compression="zstd")
        self.lake.storage.put(f"{self.folder}/{name}", buffer.getvalue().to_pybytes())

    def _read(self, name: str) -> pa.Table:
        return pq.read_table(pa.BufferReader(self.lake.storage.filesystem.cat_file(f"{self.folder}/{name}")))

    def _parts(self, units: Iterable[str] | None) -> Iterator[str]:
        prefixes = ("",) if units is None else tuple(_prefix(unit) for unit in units)
        yield from (
            n for n in self._names() if n.endswith(".parquet") and not n.endswith(REJECTS) and n.startswith(prefixes)
        )

    def _names(self) -> list[str]:
        filesystem = self.lake.storage.filesystem
        if not filesystem.exists(self.folder):
            return []
        return sorted(str(path).rsplit("/", 1)[-1] for path in filesystem.ls(self.folder, detail=False))


def staged(lake: Lake, table: str, *values: str) -> pa.Table:
    """All rows of a table that wait for their audit in the partitions that begin with ``values``."""
    folder = lake.storage.uri("_staging", Partition(table, values).key)
    filesystem = lake.storage.filesystem
    schema = TABLES[table].arrow_schema()
    names = sorted(filesystem.find(folder)) if filesystem.exists(folder) else []
    parts = [name for name in names if name.endswith(".parquet") and not name.endswith(REJECTS)]
    tables = [pq.read_table(pa.BufferReader(filesystem.cat_file(name))) for name in parts]
    return pa.concat_tables([schema.empty_table(), *tables], promote_options="default")


def last_written(lake: Lake) -> dict[str, datetime]:
    """When each batch that waits for its audit, by partition key, got its newest file."""
    filesystem, root = lake.storage.filesystem, lake.storage.uri("_staging")
    if not filesystem.exists(root):
        return {}
    newest: dict[str, datetime] = {}
    for name, facts in filesystem.find(root, detail=True).items():
        key = "/".join(str(name).split("/_staging/")[-1].split("/")[:-2])
        written = facts.get("LastModified") or datetime.fromtimestamp(facts["mtime"], UTC)
        newest[key] = max(written, newest.get(key, written))
    return newest


def flushes(items: Iterable[T], at_least: int, seconds: float) -> Iterator[list[T]]:
    """The items in lists to be stored: when ``seconds`` have passed since the last one and ``at_least`` items are there.

    Engines finish a batch of conversations at once: ``at_least`` is that batch, so that none of it waits for the next one.
    """
    waiting: list[T] = []
    last = time.monotonic()
    for item in items:
        waiting.append(item)
        due = len(waiting) >= at_least and time.monotonic() - last >= seconds
        if due or len(waiting) >= MOST_ROWS:
            yield waiting
            waiting, last = [], time.monotonic()
    if waiting:
        yield waiting


def _prefix(unit: str) -> str:
    return f"{quote(unit, safe='').replace('~', '%7E')}~"
