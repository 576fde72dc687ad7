"""Prepare a source: from its landed rows, whatever their shape, to clean and distinct conversations."""

import json
import os
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from multiprocessing import current_process, get_context
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import from_json
from tqdm import tqdm

from arena_etl.config import Config, Source, digest
from arena_etl.errors import InputError
from arena_etl.instructions import sources
from arena_etl.instructions.cleaning import chain, toxicity
from arena_etl.instructions.cleaning.chain import Clean, Rejection
from arena_etl.instructions.shapes import Draft, Malformed, draft
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES

BATCH = 4_000  # rows that a worker cleans at once
PART = 50_000  # rows of a staged part
WORTH_A_WORKER = 20_000  # rows: a worker takes a second or two to start
MEMORY = "2GB"  # of DuckDB; more is spilled
I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


def inputs(config: Config, lake: Lake, source_name: str) -> Any:
    landed = lake.require(Partition("raw_instructions", (source_name,)), "`arena-etl ingest` lands it.")
    return {"raw_instructions": landed, **_rules(config, sources.source_of(config, source_name))}


def prepare(config: Config, lake: Lake, staging: Staging, source_name: str, unit: str) -> dict[str, int]:
    """Stage an instructions row for every landed conversation that is clean and that the lake does not have yet.

    Everything else is rejected with its reason. A row that these rules refused before is not looked at again; under other
    rules it is.

    Raises InputError when rows of this source are in the lake with another split: a test set never becomes training data.
    """
    source = sources.source_of(config, source_name)
    rules = digest(_rules(config, source))[:8]
    now = datetime.now(UTC)
    with (
        lake.spilling(["raw_instructions", "instructions", "quarantine"], MEMORY) as connection,
        tempfile.TemporaryDirectory(prefix="arena-etl-") as folder,
    ):
        _check_split(connection, source)
        sql.materialize(
            connection, "settled", "instructions/settled_rejects", source=source_name, meant_for="instructions"
        )
        counts = Counter[str]()
        prepared = Path(folder) / "prepared.parquet"
        rejects = _Rejects(staging, source, rules, now)
        with pq.ParquetWriter(prepared, TABLES["instructions"].arrow_schema(), compression="lz4") as writer:
            for kept, rejected in _cleaned(connection, config, source, rules, now):
                counts["examined"] += kept.num_rows + len(rejected)
                writer.write_table(kept)
                rejects.add(rejected)
        connection.execute(f"create view prepared as select * from read_parquet('{prepared}')")
        sql.materialize(connection, "duplicates", "instructions/duplicate_rows")
        duplicates = connection.execute(
            """
            select source_id, filter, file || ', line ' || line || ': ' || reason, raw
            from duplicates join raw_instructions using (source_id)
            where source = $source
            order by source_id
            """,
            {"source": source_name},
        )
        while some := duplicates.fetchmany(BATCH):
            rejects.add(some)
        fresh = connection.sql("select * from prepared anti join duplicates using (source_id)")
        for number, batch in enumerate(fresh.to_arrow_reader(PART)):
            counts["new"] += batch.num_rows
            staging.write(unit, f"{number:06d}", pa.Table.from_batches([batch]))
        rejects.finish()
    return {**counts, **rejects.counts}


def _rules(config: Config, source: Source) -> dict[str, Any]:
    """What decides how a row is read and cleaned."""
    read = source.model_dump(include={"split", "shape", "columns", "system_message", "skip"})
    return {"source": read, "cleaning": config.cleaning.model_dump()}


class _Rejects:
    """Rejected rows on their way to quarantine, in parts."""

    def __init__(self, staging: Staging, source: Source, rules: str, now: datetime) -> None:
        self.counts = Counter[str]()
        self._staging, self._source, self._rules, self._now = staging, source, rules, now
        self._rows: list[dict[str, Any]] = []
        self._parts = 0

    def add(self, rejected: Iterable[tuple[str, str, str, str]]) -> None:
        """Rows as (source_id, filter, reason, raw)."""
        for source_id, name, reason, raw in rejected:
            self.counts[name] += 1
            self._rows.append(
                {
                    "table": "instructions",
                    "key": json.dumps({"rules": self._rules, "source": self._source.name, "source_id": source_id}),
                    "expectation": name,
                    "round": None,
                    "row": raw,
                    "reason": reason,
                    "state": "held" if name == UNREADABLE else "removed",
                    "created_at": self._now,
                }
            )
        if len(self._rows) >= PART:
            self.finish()

    def finish(self) -> None:
        rows = pa.Table.from_pylist(self._rows, schema=TABLES["quarantine"].arrow_schema())
        self._staging.reject(rows, f"{self._parts:06d}")
        self._rows.clear()
        self._parts += 1


def _check_split(connection: duckdb.DuckDBPyConnection, source: Source) -> None:
    """Rows in the lake whose split is not the source's must say so themselves."""
    others = connection.execute(
        """
        select source_id, split, coalesce(raw ->> '$.split', $split) as wanted
        from instructions join raw_instructions using (source, source_id)
        where source = $source and split <> $split and wanted <> split
        order by source_id
        limit 1
        """,
        {"source": source.name, "split": source.split},
    ).fetchall()
    for source_id, there, wanted in others:
        raise InputError(
            f"source {source.name}, {source_id}: in the lake as {there}, now {wanted}. What was loaded keeps its split: set it "
            "back, or load the file under another source name into another lake."
        )


Rejected = list[tuple[str, str, str, str]]
UNREADABLE = "readable_row"


def _cleaned(
    connection: duckdb.DuckDBPyConnection, config: Config, source: Source, rules: str, now: datetime
) -> Iterator[tuple[pa.Table, Rejected]]:
    """All rows to prepare, in batches, as rows of instructions and what was rejected."""
    due = sql.run(connection, "instructions/unprepared_rows", source=source.name, rules=rules)
    [(total,)] = due.aggregate("count(*)").fetchall()
    # A model of one's own brings its own parallelism, and its weights are too large to load several times.
    one_process = config.cleaning.toxicity_model != toxicity.BUNDLED or total < 2 * WORTH_A_WORKER
    one_process = one_process or current_process().daemon  # a daemonic process may have no children
    workers = 1 if one_process else min(os.cpu_count() or 1, total // WORTH_A_WORKER)
    work = partial(clean_batch, config=config, source=source, now=now)
    with tqdm(total=total, desc=f"prepare {source.name}", unit=" rows", disable=None) as bar:
        for kept, rejected in _spread(work, due.to_arrow_reader(BATCH), workers):
            bar.update(kept.num_rows + len(rejected))
            yield kept, rejected


def clean_batch(rows: pa.RecordBatch, config: Config, source: Source, now: datetime) -> tuple[pa.Table, Rejected]:
    """Read and clean rows (source_id, file, line, raw, license): rows of instructions, and (source_id, filter, reason, raw)."""
    given = rows.to_pylist()
    rejected: Rejected = []
    read: list[tuple[dict[str, Any], Draft]] = []

    def reject(row: dict[str, Any], name: str, reason: str) -> None:
        rejected.append((row["source_id"], name, f"{row['file']}, line {row['line']}: {reason}", row["raw"]))

    for row in given:
        try:
            read.append((row, draft(from_json(row["raw"]), source)))
        except Malformed as error:
            reject(row, "malformed", str(error))
        except ValueError as error:
            reject(row, UNREADABLE, str(error))
    kept = []
    for (row, _), result in zip(read, chain.clean([each for _, each in read], config.cleaning, source), strict=True):
        if isinstance(result, Rejection):
            reject(row, result.filter, result.reason)
        else:
            kept.append(_instruction(row, result, source, now))
    return pa.Table.from_pylist(kept, schema=TABLES["instructions"].arrow_schema()), rejected


def _instruction(row: dict[str, Any], clean: Clean, source: Source, now: datetime) -> dict[str, Any]:
    conversation = [{"role": "user", "content": turn} for turn in clean.draft.turns]
    return {
        "instruction_id": digest(conversation),
        "source": source.name,
        "source_id": row["source_id"],
        "license": row["license"],
        "conversation": conversation,
        "turns": len(conversation),
        "language": clean.language,
        "category": clean.draft.category,
        "difficulty": clean.draft.difficulty,
        "cluster": None,
        "split": clean.draft.split or source.split,
        "reference": clean.draft.reference,
        "checker": clean.draft.checker,
        "loaded_at": now,
        "prefix": clean.prefix,
    }


def _spread(work: Callable[[I], O], items: Iterable[I], workers: int) -> Iterator[O]:
    """The results in the order of the items, by this process or by others; few items wait at a time."""
    if workers == 1:
        yield from map(work, items)
        return
    pending: deque[Future[O]] = deque()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
