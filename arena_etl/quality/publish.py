"""The audit between a step and its readers: the only way into a table."""

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

import arena_etl
from arena_etl.config import Config
from arena_etl.errors import ArenaError, GateStopped
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES
from arena_etl.quality.gate import Audit, audit
from arena_etl.quality.judges import judge_limits
from arena_etl.steps import Step, Summary


def publish(step: Step, config: Config, lake: Lake, *keys: str) -> Summary:
    """Audit what a step staged; then commit the rows that passed, in one Delta commit.

    Every outcome goes to ``quality_results`` and every row held back to ``quarantine`` before the commit, also when the
    gate stops the batch. A batch that is already published changes nothing.

    Raises GateStopped, with what broke, when a critical expectation failed: nothing of the batch is published. Raises
    ArenaError while a unit of the step is not staged yet.
    """
    staging = step.staging(config, lake, *keys)
    partition = staging.partition
    if lake.fingerprint(partition) == staging.fingerprint:
        staging.clear()  # a run that was killed after its commit left it
        return {"table": partition.table, "unchanged": True}
    units, finished = step.units(config, lake, *keys), staging.finished()
    if missing := [unit for unit in units if unit not in finished]:
        raise ArenaError(
            f"{partition.key}: {len(missing)} units of `{step.name}` are not done yet: {', '.join(missing[:5])}. Run them first."
        )
    rejects = staging.rejects()
    staged = staging.read(units)
    limit = config.quality.max_quarantine_share
    parameters = config.quality.model_dump()
    if partition.table == "verdicts":
        parameters |= judge_limits(config, lake, staged)
    result, passed = audit(TABLES[partition.table], staged, parameters, limit)
    audit_id = f"{partition.key}/{staging.fingerprint:015x}/{datetime.now(UTC):%Y%m%dT%H%M%S}"
    _record(staging, result, audit_id)
    held = pa.concat_tables([_held(staging, result), rejects])
    if held.num_rows:
        quarantine = Partition("quarantine", (partition.key, f"{staging.fingerprint:015x}"))
        lake.commit(quarantine, held, 1, {"audit": audit_id})
    refused = held.filter(pc.not_equal(held["state"], "removed"))  # what a filter takes out as configured is no fault
    share = refused.num_rows / max(1, rejects.num_rows + result.rows)
    reasons = list(result.reasons)
    if share > limit and rejects.num_rows:
        reasons.append(
            f"{refused.num_rows} of {rejects.num_rows + result.rows} rows were refused, more than quality.max_quarantine_share "
            f"{limit:.0%}; first: {refused['reason'][0].as_py()}"
        )
    if reasons:
        staging.reopen()
        raise GateStopped(
            f"quality gate stopped {partition.key}; nothing of it was published:\n- "
            + "\n- ".join(reasons)
            + "\nAll outcomes: arena-etl sql --as-of head \"select * from quality_results where audit_id = '"
            + audit_id
            + "'\""
        )
    version = lake.commit(partition, passed, staging.fingerprint, {"audit": audit_id, "code": arena_etl.__version__})
    staging.clear()
    return {"table": partition.table, "rows": passed.num_rows, "held": held.num_rows, "version": version}


def _record(staging: Staging, result: Audit, audit_id: str) -> None:
    values = staging.partition.columns
    common = {
        "audit_id": audit_id,
        "round": values.get("round"),
        "stage": values.get("stage"),
        "arena": values.get("arena"),
        "table": staging.partition.table,
        "rows": result.rows,
        "suite_hash": result.suite_hash,
        "created_at": datetime.now(UTC),
    }
    rows = [
        {
            **common,
            "expectation": outcome.expectation,
            "severity": outcome.severity,
            "outcome": outcome.outcome,
            "observed": outcome.observed,
            "limit": outcome.limit,
            "failed_rows": outcome.failed_rows,
            "owner": outcome.owner,
        }
        for outcome in result.outcomes
    ]
    table = pa.Table.from_pylist(rows, schema=TABLES["quality_results"].arrow_schema())
    staging.lake.commit(Partition("quality_results", (audit_id,)), table, 1, {})


def _held(staging: Staging, result: Audit) -> pa.Table:
    now = datetime.now(UTC)
    rows = [
        {
            "table": staging.partition.table,
            "key": held.key,
            "expectation": held.expectation,
            "round": staging.partition.columns.get("round"),
            "row": held.row,
            "reason": held.reason,
            "state": "held",
            "created_at": now,
        }
        for held in result.held
    ]
    return pa.Table.from_pylist(rows, schema=TABLES["quarantine"].arrow_schema())
