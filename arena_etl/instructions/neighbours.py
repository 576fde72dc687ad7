"""The training instructions that lie nearest to test items, by their embeddings: what says the same in other words."""

from typing import Any

import duckdb
import pyarrow as pa

from arena_etl.config import Config
from arena_etl.errors import ArenaError
from arena_etl.lake import sql

CELLS = 32_000_000  # similarities that are held at a time: 128 MB


def find_neighbours(connection: duckdb.DuckDBPyConnection, config: Config, source: str) -> None:
    """Make the table ``neighbours`` (instruction_id, test_id, similarity) out of subjects, items and embeddings.

    Training rows of other sources that the configured model has not embedded are passed over: their own turn comes. Raises
    ArenaError when rows of the source are not embedded.
    """
    settings, model = config.decontamination, config.embedding.model_id
    if settings.neighbours:
        _require_vectors(connection, source, model)
    connection.register("similarities", nearest(connection, model, settings.neighbours, settings.similarity))
    sql.materialize(
        connection,
        "neighbours",
        "decontamination/neighbours",
        neighbours=settings.neighbours,
        similarity=settings.similarity,
    )


def _require_vectors(connection: duckdb.DuckDBPyConnection, source: str, model: str) -> None:
    [(missing,)] = connection.execute(
        "select count(*) from instructions where source = $source and instruction_id not in "
        "(select instruction_id from embeddings where model = $model)",
        {"source": source, "model": model},
    ).fetchall()
    if missing:
        raise ArenaError(
            f"{source}: {missing} instructions have no embedding by {model}, so their neighbours in the test sets are not known. "
            "`arena-etl ingest` makes them; decontamination.neighbours = 0 does without."
        )


def nearest(
    connection: duckdb.DuckDBPyConnection, model: str, count: int, similarity: float, cells: int = CELLS
) -> pa.Table:
    """Of each batch of subjects those that are among the ``count`` nearest of an item, equals included."""
    import numpy as np

    vectors = "select instruction_id, vector from embeddings where model = $model and instruction_id in "
    items = connection.sql(
        f"{vectors} (select instruction_id from items) order by instruction_id", params={"model": model}
    ).to_arrow_table()
    ids, tests = items["instruction_id"].combine_chunks(), _matrix(items["vector"].combine_chunks())
    found = [pa.table({"instruction_id": ids[:0], "test_id": ids[:0], "similarity": pa.array([], pa.float64())})]
    if len(ids) and count:
        subjects = connection.sql(f"{vectors} (select instruction_id from subjects)", params={"model": model})
        for batch in subjects.to_arrow_reader(max(1, cells // len(ids))):
            # Rounded: the last digits of a product depend on how many rows are multiplied together.
            cosines = (_matrix(batch["vector"]) @ tests.T).round(5)
            least = np.partition(cosines, max(0, len(cosines) - count), axis=0)[max(0, len(cosines) - count)]
            rows, columns = np.nonzero(cosines >= np.maximum(least, similarity))
            found.append(
                pa.table(
                    {
                        "instruction_id": batch["instruction_id"].take(pa.array(rows)),
                        "test_id": ids.take(pa.array(columns)),
                        "similarity": cosines[rows, columns].astype(np.float64).round(5),
                    }
                )
            )
    return pa.concat_tables(found)


def _matrix(vectors: Any) -> Any:
    flat = vectors.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(vectors), -1 if len(vectors) else 0)
