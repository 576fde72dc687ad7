"""Sign every instruction of a source once: the signatures are what later batches are compared with."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from arena_etl.config import Config
from arena_etl.instructions.minhash import MinHash
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import MOST_ROWS, Staging


def inputs(config: Config, lake: Lake, source: str) -> Any:
    prepared = lake.require(Partition("instructions", (source,)), "`arena-etl ingest` prepares it.")
    return {"instructions": prepared, "scheme": MinHash.of(config.deduplication).scheme}


def sign(config: Config, lake: Lake, staging: Staging, source: str, unit: str) -> dict[str, int]:
    """Stage a signature for every instruction of the source that has none of the configured scheme."""
    minhash = MinHash.of(config.deduplication)
    now = datetime.now(UTC)
    signed = 0
    with lake.connect(["instructions", "signatures"]) as connection:
        connection.execute(
            "create temporary table wanted as select instruction_id from instructions where source = $source and "
            "instruction_id not in (select instruction_id from signatures where source = $source and scheme = $scheme)",
            {"source": source, "scheme": minhash.scheme},
        )
        [(total,)] = connection.sql("select count(*) from wanted").fetchall()
        texts = sql.run(connection, "instructions/words").to_arrow_reader(MOST_ROWS)
        with tqdm(desc=f"sign {source}", total=total, unit=" instructions", disable=None) as progress:
            for number, batch in enumerate(_ahead(texts)):
                rows = {
                    "instruction_id": batch["instruction_id"],
                    "source": pa.repeat(source, len(batch)),
                    "scheme": pa.repeat(minhash.scheme, len(batch)),
                    "bands": minhash.signatures(batch["words"]),
                    "created_at": pa.repeat(pa.scalar(now, pa.timestamp("us", "UTC")), len(batch)),
                }
                staging.write(unit, f"{number:06d}", pa.table(rows))
                signed += len(batch)
                progress.update(len(batch))
    return {"signed": signed}


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The next batch is read while one is worked on: DuckDB finds the words on the other core meanwhile."""
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = reader.submit(next, batches, None)
            yield batch
