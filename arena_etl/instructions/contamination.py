"""Find the training instructions that a test set has too: the same conversation, a long run of its words, or its sense.

New training rows are held against every test item, and the items of a new test set against every training row. A test set
is a source whose split is not train, or a built version of the WizardArena sets.
"""

from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from arena_etl.config import Config, Decontamination
from arena_etl.instructions.fresh import seen_until
from arena_etl.instructions.neighbours import find_neighbours
from arena_etl.instructions.preparation import BATCH, clean_batch
from arena_etl.instructions.sources import source_of
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES

READS = ("raw_instructions", "instructions", "contamination", "embeddings", "wizard_arena")


def inputs(config: Config, lake: Lake, source: str) -> Any:
    """The newest rows of the source and the settings. A test set of which anything changed is held against all again."""
    lake.require(Partition("instructions", (source,)), "`arena-etl ingest` prepares it.")
    return _inputs(config, lake, source, max(_batches(lake, source), default=0))


def decontaminate(config: Config, lake: Lake, staging: Staging, source: str, unit: str) -> dict[str, int]:
    """Stage a row for every training instruction, test item and method that finds the one in the other."""
    since = seen_until(
        lake, staging.partition, _batches(lake, source), lambda batch: _inputs(config, lake, source, batch)
    )
    return _stage_evidence(config, lake, staging, source, unit, _landed(config, lake, source), since)


def hold_out_inputs(config: Config, lake: Lake, version: str) -> Any:
    built = lake.require(Partition("wizard_arena", (version,)), "`arena-etl wizard-arena build` comes first.")
    return {"wizard_arena": built, **_settings(config)}


def hold_out(config: Config, lake: Lake, staging: Staging, version: str, unit: str) -> dict[str, int]:
    """The same for the members of a WizardArena version against every training instruction of the lake."""
    return _stage_evidence(config, lake, staging, version, unit, _no_ids(), None)


def _stage_evidence(
    config: Config, lake: Lake, staging: Staging, source: str, unit: str, landed: pa.Table, since: int | None
) -> dict[str, int]:
    settings = config.decontamination
    with lake.spilling(READS, config.deduplication.memory_limit) as connection:
        connection.register("landed", landed)
        sql.materialize(connection, "identical", "decontamination/identical", source=source)
        connection.execute(
            "create temporary table test_items as "
            f"{sql.load('instructions/test_items')} union all select instruction_id, benchmark, now() from identical"
        )
        sql.materialize(connection, "subjects", "decontamination/subjects", source=source, since=since)
        sql.materialize(connection, "items", "decontamination/items", source=source)
        _find_shared_runs(connection, settings)
        find_neighbours(connection, config, source)
        rows = sql.run(connection, "decontamination/evidence", now=datetime.now(UTC)).to_arrow_table()
        [(examined,)] = connection.sql("select count(*) from subjects").fetchall()
    staging.write(unit, "contamination", rows)
    return {"examined": examined, "contaminated": len(rows["instruction_id"].unique())}


def _find_shared_runs(connection: duckdb.DuckDBPyConnection, settings: Decontamination) -> None:
    """Make the table ``shared_runs``. Training texts are read in a stream, and once more where they may overlap."""
    want = "create or replace temporary table wanted as select distinct instruction_id from"
    connection.execute(f"{want} items")
    sql.materialize(connection, "test_words", "instructions/words")
    connection.execute(f"{want} subjects")
    connection.execute(f"create temporary view words as {sql.load('instructions/words')}")
    limits = {"ngram": settings.ngram, "shortest": settings.shortest, "share": settings.share}
    sql.materialize(connection, "alignments", "decontamination/alignments", **limits)
    connection.execute(f"{want} alignments")
    sql.materialize(connection, "shared_runs", "decontamination/shared_runs")


def _inputs(config: Config, lake: Lake, source: str, batch: int) -> Any:
    is_test = source_of(config, source).split != "train"
    return {
        "loaded_until": batch,
        "landed": lake.fingerprint(Partition("raw_instructions", (source,))) if is_test else None,
        **_settings(config),
    }


def _settings(config: Config) -> dict[str, Any]:
    model = config.embedding.model_id if config.decontamination.neighbours else None
    return {"model": model, **config.decontamination.model_dump()}


def _batches(lake: Lake, source: str) -> list[int]:
    with lake.connect(["instructions"]) as connection:
        rows = connection.execute(
            "select distinct epoch_us(loaded_at) from instructions where source = $source", {"source": source}
        ).fetchall()
    return [batch for (batch,) in rows]


def _landed(config: Config, lake: Lake, name: str) -> pa.Table:
    """instruction_id of every row that a test set has landed, cleaned like all others; none of a training source."""
    source, found = source_of(config, name), [_no_ids()]
    if source.split != "train":
        now = datetime.now(UTC)
        with lake.connect(["raw_instructions"]) as connection:
            landed = connection.sql(
                "select source_id, file, line, raw, license from raw_instructions where source = $source",
                params={"source": name},
            )
            batches = (clean_batch(batch, config, source, now)[0] for batch in landed.to_arrow_reader(BATCH))
            found += (batch.select(["instruction_id"]) for batch in batches)
    return pa.concat_tables(found)


def _no_ids() -> pa.Table:
    return TABLES["instructions"].arrow_schema().empty_table().select(["instruction_id"])
