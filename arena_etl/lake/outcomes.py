"""Outcomes of checks on record (``quality_results``): of the audits, of the budget and of the watch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.tables import TABLES


@dataclass(frozen=True)
class Outcome:
    """``outcome``: pass, fail or broken (the check itself failed). ``observed``, ``limit`` and ``samples`` are JSON."""

    expectation: str
    severity: str
    outcome: str
    observed: str
    limit: str
    failed_rows: int | None
    owner: str
    runbook: str
    samples: str | None = None

    @property
    def stops(self) -> bool:
        """Whether a batch with this outcome may not be published."""
        return self.severity == "critical" and self.outcome != "pass"


def record(
    lake: Lake,
    batch: str,
    outcomes: Iterable[Outcome],
    suite_hash: str,
    *,
    audit_id: str | None = None,
    columns: dict[str, str] | None = None,
    rows: int = 0,
    accepted: str | None = None,
) -> str:
    """Add the outcomes of one audit of ``batch`` (a table and its partition, or ``watch/...``); returns the audit's id.

    ``columns``: values of round, stage and arena. ``accepted``: the decision that lets the batch pass although outcomes stop it.
    """
    now = datetime.now(UTC)
    audit_id = audit_id or f"{batch}/{now:%Y%m%dT%H%M%S%f}"
    common = {
        "audit_id": audit_id,
        "batch": batch,
        "table": batch.split("/")[0],
        **{name: (columns or {}).get(name) for name in ("round", "stage", "arena")},
        "rows": rows,
        "suite_hash": suite_hash,
        "created_at": now,
    }
    entries = [{**common, **vars(each), "decision_id": accepted if each.stops else None} for each in outcomes]
    table = pa.Table.from_pylist(entries, schema=TABLES["quality_results"].arrow_schema())
    lake.commit(Partition("quality_results", (audit_id,)), table, 1, {})
    return audit_id


def standing(lake: Lake, round_: str | None = None, ingested: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What the newest audit of every batch found wrong; columns as in sql/quality/standing.sql.

    ``round_``: only batches of this round, and the ``ingested`` ones, which have none. None: all batches.
    """
    with lake.connect(["quality_results", "decisions"]) as connection:
        found = sql.run(connection, "quality/standing", round=round_, ingested=list(ingested), now=datetime.now(UTC))
        return list(found.to_arrow_table().to_pylist())
