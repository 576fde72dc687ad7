"""A vector for every instruction, by the configured sentence encoder."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from arena_etl.config import Config
from arena_etl.engines.base import batched
from arena_etl.errors import ArenaError
from arena_etl.instructions.encoder import Encoder
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging, flushes
from arena_etl.lake.tables import TABLES
from arena_etl.progress import Progress

Text = tuple[str, str]  # instruction_id, text
PORTION = 8  # batches that go to the encoder together: it sorts them by tokens


def inputs(config: Config, lake: Lake, source_name: str) -> Any:
    prepared = lake.require(Partition("instructions", (source_name,)), "`arena-etl ingest` prepares it.")
    return {"instructions": prepared, "model": config.embedding.model_id}


def embed(config: Config, lake: Lake, staging: Staging, source_name: str, unit: str) -> dict[str, int]:
    """Stage the vectors of the source's instructions that the model has not seen yet.

    What an interrupted run had finished stays. Raises ArenaError when the encoder gives something that is no direction.
    """
    model = config.embedding.model_id
    with lake.connect(["instructions", "embeddings"]) as connection:
        connection.register("staged_embeddings", staging.read())
        sql.materialize(connection, "due", "instructions/unembedded", source=source_name, model=model)
        [(total,)] = connection.sql("select count(*) from due").fetchall()
        if total:
            encoder = Encoder(config.embedding, config.engine)
            portion = PORTION * config.embedding.batch_size
            rows = connection.sql("select * from due").to_arrow_reader(portion)
            texts = ((i.as_py(), t.as_py()) for batch in rows for i, t in zip(*batch.columns, strict=True))
            with Progress(staging, "embed", source_name, total) as progress:
                for chunk in flushes(_encoded(encoder, texts, portion), portion, config.engine.flush_s):
                    ids = [instruction_id for instruction_id, _ in chunk]
                    vectors = np.stack([vector for _, vector in chunk])
                    staging.write(unit, ids[0][:16], _rows(source_name, model, ids, vectors))
                    progress.stored(len(chunk))
    return {"embedded": total}


def _encoded(encoder: Encoder, texts: Iterator[Text], portion: int) -> Iterator[tuple[str, Any]]:
    """instruction_id and vector of every text."""
    for chunk in batched(texts, portion):
        vectors = encoder.encode([text for _, text in chunk])
        lengths = np.linalg.norm(vectors, axis=1)
        if not np.allclose(lengths, 1, atol=1e-3):  # also where a length is no number
            wrong = int(np.argmin(np.isclose(lengths, 1, atol=1e-3)))
            raise ArenaError(
                f"instruction {chunk[wrong][0]}: the encoder gave a vector of length {lengths[wrong]}, not 1. Its weights "
                "are damaged, or it overflows: choose another embedding.checkpoint."
            )
        yield from zip((instruction_id for instruction_id, _ in chunk), vectors, strict=True)


def _rows(source_name: str, model: str, ids: list[str], vectors: Any) -> pa.Table:
    count, dimensions = vectors.shape
    offsets = pa.array(np.arange(0, count * dimensions + 1, dimensions, dtype=np.int32))
    return pa.table(
        {
            "source": pa.repeat(source_name, count),
            "instruction_id": ids,
            "model": pa.repeat(model, count),
            "vector": pa.ListArray.from_arrays(offsets, pa.array(vectors.astype(np.float32).ravel())),
            "created_at": pa.repeat(pa.scalar(datetime.now(UTC), pa.timestamp("us", "UTC")), count),
        }
    ).cast(TABLES["embeddings"].arrow_schema())
