"""Parquet files that wait for their audit. No Delta log names them, so no reader sees them.

A batch's folder carries the fingerprint of its inputs: work for other inputs never mixes, and a killed worker's
successor finds the parts that were finished.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq

from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.tables import TABLES

REJECTS = "_rejects.parquet"
FINISHED = ".finished"


@dataclass(frozen=True)
class Staging:
    lake: Lake
    partition: Partition
    fingerprint: int

    @property
    def folder(self) -> str:
        return self.lake.storage.uri("_staging", self.partition.key, f"{self.fingerprint:015x}")

    def write(self, part: str, rows: pa.Table) -> None:
        """Write one part, whole or not at all; the same part written again replaces the earlier one."""
        self._write(f"{part}.parquet", rows.cast(self.partition.declaration.arrow_schema()))

    def reject(self, rows: pa.Table) -> None:
        """Keep what could not become a row of the table, as rows of ``quarantine``, until the audit."""
        self._write(REJECTS, rows)

    def rejects(self) -> pa.Table:
        """What ``reject`` kept."""
        path = f"{self.folder}/{REJECTS}"
        if not self.lake.storage.filesystem.exists(path):
            return TABLES["quarantine"].arrow_schema().empty_table()
        return pq.read_table(pa.BufferReader(self.lake.storage.filesystem.cat_file(path)))

    def _write(self, name: str, rows: pa.Table) -> None:
        filesystem = self.lake.storage.filesystem
        path = f"{self.folder}/{name}"
        buffer = pa.BufferOutputStream()
        pq.write_table(rows, buffer, compression="zstd")
        if self.lake.storage.is_local:
            filesystem.makedirs(self.folder, exist_ok=True)
            filesystem.pipe_file(f"{path}.tmp", buffer.getvalue().to_pybytes())
            filesystem.mv(f"{path}.tmp", path)
        else:  # a PUT is atomic
            filesystem.pipe_file(path, buffer.getvalue().to_pybytes())

    def finish(self, unit: str) -> None:
        """Mark a unit of the step as wholly staged."""
        self.lake.storage.filesystem.pipe_file(f"{self.folder}/{quote(unit, safe='')}{FINISHED}", b"")

    def finished(self) -> set[str]:
        """The units that ``finish`` marked."""
        return {unquote(name.removesuffix(FINISHED)) for name in self._names() if name.endswith(FINISHED)}

    def parts(self) -> list[str]:
        """Names of the finished parts, sorted."""
        return sorted(n.removesuffix(".parquet") for n in self._names() if n.endswith(".parquet") and n != REJECTS)

    def _names(self) -> list[str]:
        filesystem = self.lake.storage.filesystem
        if not filesystem.exists(self.folder):
            return []
        return [str(path).rsplit("/", 1)[-1] for path in filesystem.ls(self.folder, detail=False)]

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """All staged rows, in the declared schema."""
        schema = self.partition.declaration.arrow_schema()
        if columns is not None:
            schema = pa.schema([schema.field(column) for column in columns])
        tables = [self._read_part(part, columns) for part in self.parts()]
        return pa.concat_tables([schema.empty_table(), *tables])

    def _read_part(self, part: str, columns: list[str] | None) -> pa.Table:
        data: Any = self.lake.storage.filesystem.cat_file(f"{self.folder}/{part}.parquet")
        return pq.read_table(pa.BufferReader(data), columns=columns)

    def clear(self) -> None:
        """Remove the batch and older batches of the same partition: their audit is over."""
        folder = self.lake.storage.uri("_staging", self.partition.key)
        if self.lake.storage.filesystem.exists(folder):
            self.lake.storage.filesystem.rm(folder, recursive=True)
