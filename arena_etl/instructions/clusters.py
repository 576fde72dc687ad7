"""Clusters of instructions: k-means centres of their embeddings, made once and kept, so that a nightly increment is assigned.

While a lake is small there are fewer centres, in powers of two, and they are made anew when the instructions have doubled;
at the configured number they stay.
"""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from arena_etl.config import Config, digest
from arena_etl.errors import ArenaError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES

SAMPLE = 128  # instructions per cluster that its centre is computed from at most
ITERATIONS = 50


def inputs(config: Config, lake: Lake, model: str) -> Any:
    settings = config.features
    with lake.connect(["instructions", "embeddings"]) as connection:
        [(rows,)] = sql.run(connection, "instructions/clusterable_count", model=model).fetchall()
    return {"clusters": number_of(rows, settings.clusters, settings.rows_per_cluster), "seed": settings.seed}


def cluster(config: Config, lake: Lake, staging: Staging, model: str, unit: str) -> dict[str, int]:
    """Stage the centres; none while there is no embedding by the model."""
    wanted = inputs(config, lake, model)
    number = wanted["clusters"]
    tables = ["instructions", "embeddings", "near_duplicates", "contamination"]
    with lake.connect(tables) as connection:
        rows = sql.run(
            connection, "instructions/clusterable", model=model, seed=wanted["seed"], size=SAMPLE * number
        ).to_arrow_table()
    vectors = matrix(rows["vector"])
    if not len(vectors):
        staging.write(unit, "centroids", TABLES["centroids"].arrow_schema().empty_table())
        return {"clusters": 0, "instructions": 0}
    centres, counts = _kmeans(vectors, min(number, len(vectors)), wanted["seed"])
    staging.write(
        unit,
        "centroids",
        pa.Table.from_pylist(
            [
                {
                    "model": model,
                    "clustering": f"k{len(centres)}-{digest([model, wanted, centres.tolist()])[:8]}",
                    "cluster": place,
                    "vector": centre,
                    "instructions": count,
                    "created_at": datetime.now(UTC),
                }
                for place, (centre, count) in enumerate(zip(centres, counts.tolist(), strict=True))
            ],
            schema=TABLES["centroids"].arrow_schema(),
        ),
    )
    return {"clusters": len(centres), "instructions": len(vectors)}


def matrix(vectors: pa.ChunkedArray | pa.Array) -> Any:
    """A column of vectors, none of them null, as a float32 array with a row each."""
    flat = vectors.combine_chunks() if isinstance(vectors, pa.ChunkedArray) else vectors
    return flat.flatten().to_numpy(zero_copy_only=False).reshape(len(flat), -1) if len(flat) else np.empty((0, 0))


def nearest(vectors: Any, centres: Any) -> tuple[Any, Any]:
    """The number of the nearest centre of every row, and the cosine to it."""
    similarities = vectors @ centres.T
    return similarities.argmax(axis=1), similarities.max(axis=1)


def number_of(rows: int, clusters: int, rows_per_cluster: int) -> int:
    """How many clusters so many instructions get: all that are wanted, else a power of two."""
    fit = max(1, rows // rows_per_cluster)
    return clusters if fit >= clusters else 1 << (fit.bit_length() - 1)


def _kmeans(vectors: Any, number: int, seed: int) -> tuple[Any, Any]:
    """Unit directions of the centres, the largest cluster first, and how many rows each has."""
    try:
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise ArenaError(
            f"clusters need libraries that are not installed ({error}). Install them: pip install 'arena-etl[embedding]'"
        ) from error
    with threadpool_limits(1, user_api="openmp"):  # several threads add up in any order, so that runs would differ
        centres = KMeans(number, n_init=1, max_iter=ITERATIONS, random_state=seed).fit(vectors).cluster_centers_
    centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    counts = np.bincount(nearest(vectors, centres)[0], minlength=number)
    order = np.argsort(-counts, kind="stable")
    return centres[order].astype(np.float32), counts[order]
