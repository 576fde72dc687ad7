"""What is known about an instruction beyond its text: cluster, difficulty, category. The source's own word comes first."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from arena_etl.config import Config, digest
from arena_etl.errors import ArenaError
from arena_etl.instructions import estimates, rating
from arena_etl.instructions.clusters import matrix, nearest
from arena_etl.instructions.encoder import Encoder
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging, flushes
from arena_etl.lake.tables import TABLES
from arena_etl.progress import Progress

Row = dict[str, Any]
PORTION = 2048  # instructions held at a time


def inputs(config: Config, lake: Lake, source_name: str) -> Any:
    remedy = "`arena-etl ingest` comes first."
    return {
        "instructions": lake.require(Partition("instructions", (source_name,)), remedy),
        "embeddings": lake.require(Partition("embeddings", (source_name,)), remedy),
        "centroids": lake.require(Partition("centroids", (config.embedding.model_id,)), remedy),
        "by": _by(config),
    }


def describe(config: Config, lake: Lake, staging: Staging, source_name: str, unit: str) -> dict[str, int]:
    """Stage the features of the source's instructions that this describer has not described yet.

    Raises ArenaError when the rater's engine failed more often than quality.max_error_rate allows: what it did answer is
    kept for the next run.
    """
    clustering, centres = _centres(config, lake)
    difficulty_by, category_by = _by(config)
    common = {
        "source": source_name,
        "describer": f"{clustering}-{digest([difficulty_by, category_by])[:8]}",
        "created_at": datetime.now(UTC),
    }
    counts = {"described": 0, "unrated": 0}
    with lake.connect(["instructions", "embeddings", "features"]) as connection:
        connection.register("staged_features", staging.read())
        sql.materialize(
            connection,
            "due",
            "instructions/undescribed",
            source=source_name,
            model=config.embedding.model_id,
            describer=common["describer"],
            difficulty_by=difficulty_by,
            category_by=category_by,
        )
        [(total,)] = connection.sql("select count(*) from due").fetchall()
        if not total:
            return counts
        known = (
            _known(batch, centres, *_by(config))
            for batch in connection.sql("select * from due").to_arrow_reader(PORTION)
        )
        found = _rated(config, lake, known) if config.features.rater else _estimated(config, known)
        unanswered: list[Row] = []
        with Progress(staging, "describe", source_name, total) as progress:
            for chunk in flushes(found, config.engine.batch_size, config.engine.flush_s):
                rows = [common | row for row, answered in chunk if answered]
                unanswered += [common | row for row, answered in chunk if not answered]
                _write(staging, unit, rows)
                counts["unrated"] += sum(row["error"] is not None for row in rows)
                progress.stored(len(rows))
    if len(unanswered) > config.quality.max_error_rate * total:
        raise ArenaError(
            f"describe {source_name}: the rater did not answer for {len(unanswered)} of {total} instructions, more than "
            f"quality.max_error_rate {config.quality.max_error_rate:.0%}; the first: {unanswered[0]['error']}. The other "
            "answers are kept: run the same command again."
        )
    _write(staging, unit, unanswered)
    return {"described": total, "unrated": counts["unrated"] + len(unanswered)}


def _by(config: Config) -> tuple[str, str]:
    """Who says difficulty and category where the source does not."""
    if config.features.rater:
        return (rating.rater_id(config.features.rater),) * 2
    return estimates.DIFFICULTY, estimates.category_id(config)


def _centres(config: Config, lake: Lake) -> tuple[str, Any]:
    """The name of the clusters and their centres; no row while there are none."""
    with lake.connect(["centroids"]) as connection:
        rows = connection.sql(
            "select clustering, vector from centroids where model = $model order by cluster",
            params={"model": config.embedding.model_id},
        ).to_arrow_table()
    return (rows["clustering"][0].as_py() if rows.num_rows else "k0"), matrix(rows["vector"])


def _known(batch: pa.RecordBatch, centres: Any, difficulty_by: str, category_by: str) -> tuple[list[Row], Any]:
    """Rows with what is known before anybody is asked, and the vectors of those that have one (key ``vector``: its row)."""
    given = batch["vector"].is_valid().to_numpy(zero_copy_only=False)
    vectors = matrix(batch["vector"].drop_null())
    found = nearest(vectors, centres) if len(vectors) and len(centres) else None
    rows: list[Row] = []
    places = np.cumsum(given) - 1
    for entry, has_vector, place in zip(batch.drop_columns("vector").to_pylist(), given, places, strict=True):
        said, category = entry["difficulty"] is not None, entry["category"] is not None
        rows.append(
            {
                "instruction_id": entry["instruction_id"],
                "turns": entry["turns"],
                "vector": int(place) if has_vector else None,
                "cluster": int(found[0][place]) if found and has_vector else None,
                "similarity": float(found[1][place]) if found and has_vector else None,
                "difficulty": entry["difficulty"] if said else entry["earlier_difficulty"],
                "difficulty_by": "source" if said else difficulty_by,
                "category": entry["category"] if category else entry["earlier_category"],
                "category_by": "source" if category else category_by,
                "error": None,
            }
        )
    return rows, vectors


def _estimated(config: Config, known: Iterator[tuple[list[Row], Any]]) -> Iterator[tuple[Row, bool]]:
    categories = estimates.Categories(config, Encoder(config.embedding, config.engine))
    for rows, vectors in known:
        likely = categories.of(vectors) if len(vectors) else []
        for row in rows:
            place = row["vector"]
            if row["difficulty"] is None:
                row["difficulty"] = estimates.difficulty(row["turns"])
            if row["category"] is None:
                row["category"] = estimates.UNKNOWN if place is None else likely[place]
            yield row, True


def _rated(config: Config, lake: Lake, known: Iterator[tuple[list[Row], Any]]) -> Iterator[tuple[Row, bool]]:
    """Rows as the rater answers; with False those that its engine failed to answer."""
    rater = config.features.rater
    assert rater is not None
    with rating.open_rater(config, lake, rater) as engine:
        for rows, _ in known:
            asked = {row["instruction_id"]: row for row in rows if row["difficulty"] is None or row["category"] is None}
            yield from ((row, True) for row in rows if row["instruction_id"] not in asked)
            for answer in rating.rate(engine, rater.prompt, ((key, row["turns"]) for key, row in asked.items())):
                row = asked[answer.instruction_id]
                row["error"] = answer.error
                row["difficulty"] = answer.difficulty if row["difficulty"] is None else row["difficulty"]
                row["category"] = row["category"] or answer.category or estimates.UNKNOWN
                yield row, answer.answered


def _write(staging: Staging, unit: str, rows: list[Row]) -> None:
    if rows:
        batch = pa.Table.from_pylist(rows, schema=TABLES["features"].arrow_schema())
        staging.write(unit, digest([row["instruction_id"] for row in rows])[:16], batch)
