"""Find the training instructions of a batch that are nearly the same as another one, in the batch or in the lake.

MinHash bands find the candidates, exact Jaccard similarity decides. Who stays: test items, then what the lake has, then
the batch in the order of instruction_id. A row is removed if and only if one that stays is similar to it, in whatever
order the rows of a batch came: the lexicographically first maximal independent set.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NoReturn

import duckdb
import pyarrow as pa
from tqdm import tqdm

from arena_etl.config import Config
from arena_etl.instructions.fresh import seen_until
from arena_etl.instructions.minhash import MinHash
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging

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
    with (
        lake.spilling(READS, config.deduplication.memory_limit) as connection,
        tqdm(desc=f"deduplicate {source}", unit=" pairs", disable=None) as progress,
    ):
        compared = find_candidates(connection, config, source, since)
        progress.reset(compared)
        remove(connection, config.deduplication.threshold, progress)
        rows = sql.run(connection, "deduplication/near_duplicates", now=now).to_arrow_table()
    staging.write(unit, "removed", rows)
    return {"compared": compared, "removed": rows.num_rows}


def find_candidates(connection: duckdb.DuckDBPyConnection, config: Config, source: str, since: int | None) -> int:
    """Make the tables ``colliding``, ``candidate_pairs`` and ``shingles`` (sql/deduplication), and return the number of pairs.

    ``since``: signatures of the source that were made before, in microseconds since 1970, are not compared with each other
    again; None: all are.
    """
    settings = config.deduplication
    connection.execute(f"create temporary view test_items as {sql.load('instructions/test_items')}")
    scheme = MinHash.of(settings).scheme
    sql.materialize(connection, "colliding", "deduplication/colliding", source=source, scheme=scheme, since=since)
    sql.materialize(connection, "candidate_pairs", "deduplication/candidate_pairs", window=settings.window)
    connection.execute(
        "create temporary table wanted as select instruction_id from colliding "
        "where place in (select first from candidate_pairs union select second from candidate_pairs)"
    )
    connection.execute(f"create temporary view words as {sql.load('instructions/words')}")
    sql.materialize(connection, "shingles", "deduplication/shingles", shingle=settings.shingle)
    [(pairs,)] = connection.sql("select count(*) from candidate_pairs").fetchall()
    return int(pairs)


def remove(connection: duckdb.DuckDBPyConnection, threshold: float, progress: "tqdm[NoReturn]") -> None:
    """Make the table ``removed`` (place, kept, jaccard) out of ``candidate_pairs`` and ``shingles``.

    ``progress`` counts the pairs that were compared; of the others a row was removed before their turn.
    """
    connection.execute("create temporary table removed (place integer, kept integer, jaccard double)")
    for pairs in ("leading_pairs", "open_pairs"):
        sql.materialize(connection, "compared_pairs", f"deduplication/{pairs}")
        near = sql.run(connection, "deduplication/near_pairs", threshold=threshold).to_arrow_table()
        gone = pa.array(_is_decisive(near["first"].to_pylist(), near["second"].to_pylist()), pa.bool_())
        connection.register("decisive", near.filter(gone))
        connection.execute("insert into removed select second, first, jaccard from decisive")
        [(compared,)] = connection.sql("select count(*) from compared_pairs").fetchall()
        progress.update(compared)


def _is_decisive(first: Iterable[int], second: Iterable[int]) -> list[bool]:
    """Which pairs of near-duplicates remove their second, ordered by second and first: those whose first stays, once each."""
    removed: set[int] = set()
    decisive = []
    for one, other in zip(first, second, strict=True):
        decisive.append(one not in removed and other not in removed)
        if decisive[-1]:
            removed.add(other)
    return decisive


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
