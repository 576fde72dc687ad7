"""Land a source: its rows as they are, with licence, file hash and load time. Nothing is parsed but ids and licences."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic_core import from_json

from arena_etl.config import Config, Source
from arena_etl.errors import InputError
from arena_etl.instructions import readers, sources
from arena_etl.instructions.readers import Unreadable
from arena_etl.instructions.sources import SourceFile
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES

PENDING_WRITES = 2


def inputs(config: Config, lake: Lake, source_name: str) -> Any:
    source = sources.source_of(config, source_name)
    versions = sorted(file.version for file in sources.files(lake.storage, source))
    return {"files": versions, "license": source.license, "columns": _paths(source)}


def land(config: Config, lake: Lake, staging: Staging, source_name: str, unit: str) -> dict[str, int]:
    """Stage the source's new rows as raw_instructions; a file that was landed before is not read again.

    Rows that cannot be kept as JSON text are rejected with the reason, once; so is a row whose id was landed with other
    contents.

    Raises InputError for a file that cannot be read as a whole, and for a row that has no licence while its source has
    none either.
    """
    source = sources.source_of(config, source_name)
    landing = _Landing(lake, staging, source, unit)
    with landing.connection, ThreadPoolExecutor(1) as writer:
        for file in sources.files(lake.storage, source):
            with sources.reading(source, file.name), sources.local(file) as path:
                landing.file(file, path, writer)
        landing.finish()
    return landing.counts


class _Landing:
    """One run of ``land``: a part per batch of rows, written while the next batch is read."""

    def __init__(self, lake: Lake, staging: Staging, source: Source, unit: str) -> None:
        self.counts = {"files": 0, "files_known": 0, "lines": 0, "new": 0, "known": 0, "rejected": 0}
        self.connection = lake.connect(["raw_instructions", "instructions", "quarantine"])
        self._staging, self._source, self._unit = staging, source, unit
        self._now = datetime.now(UTC)
        self._paths = _paths(source)
        self._files: list[tuple[str, str]] = []  # name and hash by part
        self._rejects: list[dict[str, Any]] = []
        self._writes: list[Future[None]] = []
        self._landed = {
            row[0]
            for row in self.connection.execute(
                "select distinct file_sha256 from raw_instructions where source = $source", {"source": source.name}
            ).fetchall()
        }
        settled = sql.run(
            self.connection, "instructions/settled_rejects", source=source.name, meant_for="raw_instructions"
        )
        self._refused = set(settled.to_arrow_table()["line_sha256"].to_pylist())
        self.connection.execute(
            "create temp table landing (part integer, line bigint, source_id varchar, content ubigint)"
        )

    def file(self, file: SourceFile, path: Any, writer: ThreadPoolExecutor) -> None:
        sha256 = sources.sha256(path)
        self.counts["files"] += 1
        if sha256 in self._landed:
            self.counts["files_known"] += 1
            return
        self._landed.add(sha256)  # a second copy of the file adds nothing either
        for batch in readers.read(path, file.format):
            self.counts["lines"] += batch.rows.num_rows + len(batch.unreadable)
            for row in batch.unreadable:
                self._reject(file.name, row)
            if batch.rows.num_rows:
                self._stage(file.name, sha256, batch.rows, writer)

    def finish(self) -> None:
        """Take out what is not new, and hand over what was rejected."""
        for write in self._writes:
            write.result()
        repeated = sql.run(self.connection, "instructions/repeated_rows", source=self._source.name).to_arrow_table()
        for part, rows in _by_part(repeated):
            self._take_out(part, rows)
        self.counts["rejected"] = len(self._rejects)
        self._staging.reject(pa.Table.from_pylist(self._rejects, schema=TABLES["quarantine"].arrow_schema()))

    def _stage(self, name: str, sha256: str, given: pa.Table, writer: ThreadPoolExecutor) -> None:
        part = len(self._files)
        self._files.append((name, sha256))
        self.connection.register("given", given)
        rows = sql.run(
            self.connection, "instructions/identified_rows", paths=self._paths, license=self._source.license or None
        ).to_arrow_table()
        if not pc.all(rows["readable"]).as_py():
            for row in rows.filter(pc.invert(rows["readable"])).to_pylist():
                self._reject(name, Unreadable(row["line"], row["raw"].encode(), _reason(row["raw"])))
            rows = rows.filter(rows["readable"])
        if rows["license"].null_count:
            [row] = rows.filter(pc.is_null(rows["license"])).slice(0, 1).to_pylist()
            raise InputError(
                f"source {self._source.name}: {name}, line {row['line']} has no licence, and neither has its source. Set "
                "`license` of the source (an SPDX id such as CC-BY-4.0), or name the column that has it in `columns.license`."
            )
        self.connection.register("identified", rows)
        self.connection.execute(
            "insert into landing select $part, line, source_id, hash(raw) from identified", {"part": part}
        )
        self.counts["new"] += rows.num_rows
        complete = self._complete(rows, name, sha256)
        if len(self._writes) >= PENDING_WRITES:
            self._writes.pop(0).result()
        self._writes.append(writer.submit(self._staging.write, self._unit, _part(part), complete))

    def _complete(self, rows: pa.Table, name: str, sha256: str) -> pa.Table:
        constants = {"source": self._source.name, "file": name, "file_sha256": sha256, "loaded_at": self._now}
        schema = TABLES["raw_instructions"].arrow_schema()
        columns = [
            pa.repeat(pa.scalar(constants[field.name], field.type), rows.num_rows)
            if field.name in constants
            else rows[field.name]
            for field in schema
        ]
        return pa.Table.from_arrays(columns, schema.names)

    def _take_out(self, part: int, repeated: list[dict[str, Any]]) -> None:
        rows = self._staging.part(self._unit, _part(part))
        gone = pc.is_in(rows["line"], pa.array([row["line"] for row in repeated], pa.int64()))
        texts = dict(zip(rows["line"].to_pylist(), rows["raw"].to_pylist(), strict=True)) if repeated else {}
        self._staging.write(self._unit, _part(part), rows.filter(pc.invert(gone)))
        self.counts["new"] -= len(repeated)
        for row in repeated:
            if not row["changed"]:
                self.counts["known"] += 1
                continue
            reason = f"id {row['source_id']} was landed before with other contents: give the new row a new id"
            self._reject(self._files[part][0], Unreadable(row["line"], texts[row["line"]].encode(), reason))

    def _reject(self, name: str, row: Unreadable) -> None:
        line_sha256 = hashlib.sha256(row.raw).hexdigest()
        if line_sha256 in self._refused:
            return
        self._refused.add(line_sha256)
        self._rejects.append(
            {
                "table": "raw_instructions",
                "key": json.dumps({"line_sha256": line_sha256, "source": self._source.name}),
                "expectation": "readable_row",
                "round": None,
                "row": row.raw.decode("utf-8", errors="backslashreplace"),
                "reason": f"{name}, line {row.line}: {row.reason}",
                "state": "held",
                "created_at": self._now,
            }
        )


def _paths(source: Source) -> list[str]:
    """JSON paths of the source's columns for id and licence; where one is not read, a path that no object has."""
    names = (source.columns.get(role, role) for role in ("id", "license"))
    return ["$[0]" if name is None else "$" + "".join(f'."{part}"' for part in name.split(".")) for name in names]


def _reason(raw: str) -> str:
    try:
        return f"a row is a JSON object, not {type(from_json(raw)).__name__}"
    except ValueError as error:
        return f"Invalid JSON: {error}"


def _part(number: int) -> str:
    return f"{number:06d}"


def _by_part(repeated: pa.Table) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    for part in pc.unique(repeated["part"]).to_pylist():
        yield part, repeated.filter(pc.equal(repeated["part"], part)).to_pylist()
