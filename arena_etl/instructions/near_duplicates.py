"""Find the training instructions of a batch that are nearly the same as another one, in the batch or in the lake.

MinHash bands find the candidates, exact Jaccard similarity decides. Who stays: test items, then what the lake has, then
the batch in the order of instruction_id. So a row is removed if and only if one that stays is similar to it, whatever the
order in which the rows came: the kept set of each batch is the lexicographically first maximal independent set.
"""

from collections.abc import Iterable, Iterator
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

READS = ("instructions", "signatures", "near_duplicates", "contamination")


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
    settings = config.deduplication
    minhash = MinHash.of(settings)
    batches, items = _state(config, lake, source)
    since = seen_until(lake, staging.partition, batches, lambda batch: _inputs(config, batch, items))
    with lake.spilling(READS, settings.memory_limit) as connection:
        connection.execute(f"create temporary view test_items as {sql.load('instructions/test_items')}")
        sql.materialize(
            connection, "colliding", "deduplication/colliding", source=source, scheme=minhash.scheme, since=since
        )
        sql.materialize(connection, "candidate_pairs", "deduplication/candidate_pairs", window=settings.window)
        _hash_candidates(connection, minhash)
        sql.materialize(connection, "near_pairs", "deduplication/near_pairs", threshold=settings.threshold)
        removed = first_independent(_stream(connection, "select first, second, jaccard from near_pairs order by all"))
        _stage(connection, staging, unit, removed)
        [(compared,)] = connection.sql("select count(*) from candidate_pairs").fetchall()
    return {"compared": compared, "removed": len(removed)}


def first_independent(pairs: Iterable[tuple[int, int, float]]) -> dict[int, tuple[int, float]]:
    """Who is removed, by whom, and how similar they are: ``pairs`` are (first, second, jaccard) in ascending order.

    When the pairs of ``first`` come, all pairs that could remove it have come: a row that is still there then stays and
    removes all that are similar to it.
    """
    removed: dict[int, tuple[int, float]] = {}
    for first, second, jaccard in pairs:
        if first not in removed:
            removed.setdefault(second, (first, jaccard))
    return removed


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
    with lake.connect(["signatures", "instructions", "contamination"]) as connection:
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


def _hash_candidates(connection: duckdb.DuckDBPyConnection, minhash: MinHash) -> None:
    """Make the table ``shingles`` of the texts that are compared; texts themselves are not held."""
    connection.execute(
        "create table wanted as select instruction_id, place from colliding "
        "where place in (select first from candidate_pairs union select second from candidate_pairs)"
    )
    connection.execute("create temporary table shingles (place integer, hashes ubigint[])")
    [(total,)] = connection.sql("select count(*) from wanted").fetchall()
    reading = connection.cursor()  # sees no temporary tables
    words = reading.sql(
        f"select place, words from ({sql.load('instructions/words')}) inner join wanted using (instruction_id)"
    ).to_arrow_reader(MOST_ROWS)
    with tqdm(desc="compare", total=total, unit=" instructions", disable=None) as progress:
        for batch in words:
            hashed = pa.table({"place": batch["place"], "hashes": minhash.hashes(batch["words"].to_pylist())})
            connection.register("hashed", hashed)
            connection.execute("insert into shingles select place, hashes from hashed")
            progress.update(len(batch))


def _stream(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[tuple[Any, ...]]:
    result = connection.execute(query)
    while rows := result.fetchmany(MOST_ROWS):
        yield from rows


def _stage(
    connection: duckdb.DuckDBPyConnection, staging: Staging, unit: str, removed: dict[int, tuple[int, float]]
) -> None:
    kept, jaccard = zip(*removed.values(), strict=True) if removed else ((), ())
    columns = [pa.array(removed, pa.int32()), pa.array(kept, pa.int32()), pa.array(jaccard, pa.float64())]
    connection.register("removed", pa.table(columns, ["place", "kept", "jaccard"]))
    rows = connection.sql(
        """
        select gone.instruction_id, gone.source, kept.instruction_id as kept_id, jaccard, $now::timestamptz as created_at
        from removed
        inner join colliding as gone using (place)
        inner join colliding as kept on kept.place = removed.kept
        order by gone.instruction_id
        """,
        params={"now": datetime.now(UTC)},
    ).to_arrow_table()
    staging.write(unit, "removed", rows)
