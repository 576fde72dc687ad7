"""The audit between a step and its readers: the only way into a table."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

import arena_etl
from arena_etl.config import Config
from arena_etl.errors import ArenaError, GateStopped
from arena_etl.lake import outcomes, quarantine
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES, Table
from arena_etl.quality import measures
from arena_etl.quality.decisions import Acceptance
from arena_etl.quality.gate import STRUCTURAL, Audit, audit
from arena_etl.quality.judges import judge_limits
from arena_etl.steps import Step, Summary


def publish(step: Step, config: Config, lake: Lake, *keys: str, acceptance: Acceptance | None = None) -> Summary:
    """Audit what a step staged; then commit the rows that passed, in one Delta commit.

    Every outcome goes to ``quality_results``, every figure to ``measures`` and every row held back to ``quarantine`` before
    the commit, also when the gate stops the batch. A batch that is already published changes nothing. ``acceptance``: a
    person's word that a stopped batch of this table is published all the same; the results name the decision.

    Raises GateStopped, with what broke, when a critical expectation failed: nothing of the batch is published. Raises
    ArenaError while a unit of the step is not staged yet.
    """
    staging = step.staging(config, lake, *keys)
    partition = staging.partition
    began = time.monotonic()
    units, finished = step.units(config, lake, *keys), staging.finished()
    rows, rejects = staging.read(units), staging.rejects()
    # Asked after the reading: another audit of the batch takes what was staged away when it has committed.
    if lake.fingerprint(partition) == staging.fingerprint:
        staging.clear()  # a run that was killed after its commit left it
        return {"table": partition.table, "unchanged": True}
    if missing := [unit for unit in units if unit not in finished]:
        raise ArenaError(
            f"{partition.key}: {len(missing)} units of `{step.name}` are not done yet: {', '.join(missing[:5])}. Run them first."
        )
    released, exempt = quarantine.released(lake, partition)
    staged = _with_released(rows, released, partition.declaration)
    rejects = _still_rejected(rejects, exempt)
    limit = config.quality.max_quarantine_share
    parameters = limits(config, lake, partition, staged)
    figures = measures.measure(config, lake, step.name, partition, staged)
    result, passed = audit(
        partition.declaration,
        staged,
        parameters,
        limit,
        partition={} if partition.declaration.append else partition.columns,
        exempt=exempt,
        measures=figures,
    )
    held = pa.concat_tables([_held(staging, result), rejects])
    refused = held.filter(pc.not_equal(held["state"], "removed"))  # what a filter takes out as configured is no fault
    if rejects.num_rows:
        share = _refused_share(refused, rejects.num_rows + result.rows, limit, owner=result.outcomes[0].owner)
        result = replace(result, outcomes=(*result.outcomes, share))
    effort = {"work_s": round(staging.seconds(), 3), "audit_s": round(time.monotonic() - began, 3)}
    result = replace(result, outcomes=(*result.outcomes, _effort(effort, owner=result.outcomes[0].owner)))
    reasons = result.reasons
    now = datetime.now(UTC)
    audit_id = f"{partition.key}/{staging.fingerprint:015x}/{now:%Y%m%dT%H%M%S%f}"
    structural = any(o.expectation in STRUCTURAL and o.outcome != "pass" for o in result.outcomes)
    accepted = None
    if reasons and not structural and acceptance is not None and acceptance.covers(partition.table):
        accepted = acceptance.use(lake, audit_id)
    outcomes.record(
        lake,
        partition.key,
        result.outcomes,
        result.suite_hash,
        audit_id=audit_id,
        columns=partition.columns,
        rows=result.rows,
        accepted=accepted,
    )
    if figures is not None:
        measures.record(lake, partition, figures, audit_id, now)
    if result.page is not None and "round" in partition.columns:
        name = "-".join((partition.table, *partition.values[1:]))
        place = lake.storage.uri("reports", partition.columns["round"], "quality", f"{name}.html")
        lake.storage.put(place, result.page.encode())
    if held.num_rows:
        lake.commit(Partition("quarantine", (audit_id,)), held, 1, {"audit": audit_id})
    if reasons and accepted is None:
        staging.reopen()
        raise GateStopped(_stopped(partition, reasons, audit_id, structural))
    version = lake.commit(partition, passed, staging.fingerprint, {"audit": audit_id, "code": arena_etl.__version__})
    staging.clear()
    summary = {"table": partition.table, "rows": passed.num_rows, "held": held.num_rows, "version": version}
    return summary | ({"accepted": accepted} if accepted else {})


def limits(config: Config, lake: Lake, partition: Partition, staged: pa.Table) -> dict[str, Any]:
    """The values of the ``{"$PARAMETER": name}`` limits in expectations/."""
    parameters = config.quality.model_dump() | {
        "min_deviation": -config.quality.max_deviation,
        "max_kl": config.guards.max_kl,
    }
    if partition.table == "verdicts":
        parameters |= judge_limits(config, lake, staged)
    return parameters


def _stopped(partition: Partition, reasons: list[str], audit_id: str, structural: bool) -> str:
    override = "" if structural else f"\nTo publish it all the same, once: --accept {partition.table} --reason '...'"
    return (
        f"quality gate stopped {partition.key}; nothing of it was published:\n- "
        + "\n- ".join(reasons)
        + "\nAll outcomes: arena-etl sql --as-of head \"select * from quality_results where audit_id = '"
        + audit_id
        + "'\""
        + override
    )


def _refused_share(refused: pa.Table, rows: int, limit: float, owner: str) -> outcomes.Outcome:
    """Whether too many rows were no rows of the table, or broke its rules."""
    share = refused.num_rows / max(1, rows)
    observed = {"refused": refused.num_rows, "of": rows, "share": round(share, 4)}
    if refused.num_rows:
        observed["first"] = refused["reason"][0].as_py()
    return outcomes.Outcome(
        expectation="refused_share",
        severity="critical",
        outcome="pass" if share <= limit else "fail",
        observed=json.dumps(observed, ensure_ascii=False),
        limit=json.dumps({"quality.max_quarantine_share": limit}),
        failed_rows=refused.num_rows,
        owner=owner,
        runbook="docs/runbook.md#quarantine",
    )


def _effort(seconds: dict[str, float], owner: str) -> outcomes.Outcome:
    """What the batch took: on record, never a reason to stop. sql/operations/metrics.sql reads it."""
    return outcomes.Outcome(
        expectation="effort",
        severity="info",
        outcome="pass",
        observed=json.dumps(seconds),
        limit="{}",
        failed_rows=None,
        owner=owner,
        runbook="docs/runbook.md#effort",
    )


def _with_released(staged: pa.Table, released: pa.Table, declared: Table) -> pa.Table:
    """The batch and the released rows that it lacks; where both have a row, the step's is the newer one."""
    if not released.num_rows:
        return staged
    there = {tuple(row.values()) for row in staged.select(declared.grain).to_pylist()}
    lacking = [tuple(row.values()) not in there for row in released.select(declared.grain).to_pylist()]
    return pa.concat_tables([staged, released.filter(pa.array(lacking, pa.bool_()))])


def _still_rejected(rejects: pa.Table, exempt: frozenset[tuple[str, str]]) -> pa.Table:
    if not exempt:
        return rejects
    keys = zip(rejects["key"].to_pylist(), rejects["expectation"].to_pylist(), strict=True)
    return rejects.filter(pa.array([key not in exempt for key in keys], pa.bool_()))


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
            "state": quarantine.HELD,
            "created_at": now,
        }
        for held in result.held
    ]
    return pa.Table.from_pylist(rows, schema=TABLES["quarantine"].arrow_schema())
