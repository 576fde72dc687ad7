"""Find the training instructions of a batch that are nearly the same as another one, in the batch or in the lake.

MinHash bands find the candidates, exact Jaccard similarity decides. Who stays: test items, then what the lake has, then
the batch in the order of instruction_id. A row is removed if and only if one that stays is similar to it, in whatever
order the rows of a batch came: the lexicographically first maximal independent set.
"""

from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
from tqdm import tqdm

from arena_etl.config import Config
from arena_etl.instructions.fresh import seen_until
from arena_etl.instructions.minhash import MinHash
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import MOST_ROWS, Staging

READS = ("instructions", "signatures", "near_duplicates", "contamination", "wizard_arena")


def inputs(config: Config, lake: Lake, source: str) -> Any:
    """The newest signatures of the source, the test items that it brings, and the settings.

    Not what else the lake has: that is compared with this source when it comes.
    """
    lake.require(Partition("signatures", (source,)), "`arena-etl ingest` signs it.")
    batches, items = _state(config, lake, source)
    return _inputs(config, max(batches, default=0), items)


def deduplicate(config: Config, lake: Lake, staging: Staging, source: str, unit: str) -> dict[str, int]:
    """Stage a row for every instruction that is removed: fresh ones of the source, and training rows of the whole lake that
    are too near to a test item of the source.
    """
    batches, items = _state(config, lake, source)
    since = seen_until(lake, staging.partition, batches, lambda batch: _inputs(config, batch, items))
    now = datetime.now(UTC)
    with lake.spilling(READS, config.deduplication.memory_limit) as connection:
        compared = find_candidates(connection, config, source, since)
        remove(connection, config.deduplication.threshold)
        rows = sql.run(connection, "deduplication/near_duplicates", now=now).to_arrow_table()
    staging.write(unit, "removed", rows)
    return {"compared": compared, "removed": rows.num_rows}


def find_candidates(connection: duckdb.DuckDBPyConnection, config: Config, source: str, since: int | None) -> int:
    """Make the tables ``colliding``, ``candidate_pairs`` and ``shingles`` (sql/deduplication), and return the number of pairs.

    ``since``: signatures of the source that were made before, in microseconds since 1970, are not compared with each other
    again; None: all are.
    """
    minhash = MinHash.of(config.deduplication)
    connection.execute(f"create temporary view test_items as {sql.load('instructions/test_items')}")
    sql.materialize(
        connection, "colliding", "deduplication/colliding", source=source, scheme=minhash.scheme, since=since
    )
    sql.materialize(connection, "candidate_pairs", "deduplication/candidate_pairs", window=config.deduplication.window)
    _hash_texts(connection, minhash)
    [(pairs,)] = connection.sql("select count(*) from candidate_pairs").fetchall()
    return int(pairs)


def remove(connection: duckdb.DuckDBPyConnection, threshold: float) -> None:
    """Make the table ``removed`` (place, kept, jaccard) out of ``candidate_pairs``, which is empty afterwards."""
    connection.execute("create temporary table removed (place integer, kept integer, jaccard double)")
    while True:
        sql.materialize(connection, "leading_pairs", "deduplication/leading_pairs")
        if not connection.sql("from leading_pairs limit 1").fetchall():
            return
        sql.materialize(connection, "removed_now", "deduplication/removed", threshold=threshold)
        connection.execute("insert into removed from removed_now")
        sql.materialize(connection, "candidate_pairs", "deduplication/open_pairs")


def _inputs(config: Config, batch: int, items: str | None) -> Any:
    settings = config.deduplication
    return {
        "signed_until": batch,
        "test_items": items,
        "scheme": MinHash.of(settings).scheme,
        "threshold": settings.threshold,
        "window": settings.window,
    }


def _state(config: Config, lake: Lake, source: str) -> tuple[list[int], str | None]:
    """When batches of the source were signed, and a hash of the test items that it brings."""
    parameters = {"source": source, "scheme": MinHash.of(config.deduplication).scheme}
    with lake.connect(["signatures", "instructions", "contamination", "wizard_arena"]) as connection:
        batches = connection.execute(
            "select distinct epoch_us(created_at) from signatures where source = $source and scheme = $scheme",
            parameters,
        ).fetchall()
        [(items,)] = connection.execute(
            f"select md5(string_agg(instruction_id, ' ' order by instruction_id)) from ({sql.load('instructions/test_items')}) "
            "where benchmark = $source",
            {"source": source},
        ).fetchall()
    return [batch for (batch,) in batches], items


def _hash_texts(connection: duckdb.DuckDBPyConnection, minhash: MinHash) -> None:
    """Make the table ``shingles`` of the texts that are compared; texts themselves are not held."""
    connection.execute(
        "create table wanted as select instruction_id, place from colliding "
        "where place in (select first from candidate_pairs union select second from candidate_pairs)"
    )
    connection.execute("create temporary table shingles (place integer, hashes bigint[])")
    [(total,)] = connection.sql("select count(*) from wanted").fetchall()
    reading = connection.cursor()  # sees no temporary tables
    texts = reading.sql(
        f"select place, array_to_string(words, ' ') as text from ({sql.load('instructions/words')}) "
        "inner join wanted using (instruction_id)"
    ).to_arrow_reader(MOST_ROWS)
    with tqdm(desc="compare", total=total, unit=" instructions", disable=None) as progress:
        for batch in texts:
            hashes = minhash.hashes(text.split() for text in batch["text"].to_pylist())
            connection.register("hashed", pa.table({"place": batch["place"], "hashes": hashes}))
            connection.execute("insert into shingles select place, hashes from hashed")
            progress.update(len(batch))
