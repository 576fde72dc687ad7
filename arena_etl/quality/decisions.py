"""What people decide about quality, each with a reason and on record: a gate overridden once, an alert muted until a date."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from arena_etl.config import digest
from arena_etl.errors import InputError
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.tables import TABLES

ACCEPT, MUTE = "accept", "mute"


@dataclass
class Acceptance:
    """A person's word that the next batch of a table that a gate stops is published all the same. Good for one batch."""

    table: str
    reason: str
    author: str
    decision_id: str | None = None

    def __post_init__(self) -> None:
        _check_table(self.table, "--accept")
        _check_reason(self.reason)

    def covers(self, table: str) -> bool:
        """Whether it is about this table and was not used yet."""
        return self.table == table and self.decision_id is None

    def use(self, lake: Lake, audit_id: str) -> str:
        """Use it up for an audit and return the decision's id."""
        self.decision_id = _record(
            lake, kind=ACCEPT, table=self.table, audit_id=audit_id, reason=self.reason, author=self.author
        )
        return self.decision_id


def mute(lake: Lake, table: str, expectation: str | None, until: datetime, author: str, reason: str) -> str:
    """Send no alerts about a table, or one of its expectations, before ``until``. Returns the decision's id.

    The gate stops batches as before. Raises InputError for an unknown table, an end in the past and an empty reason.
    """
    _check_table(table, "mute")
    _check_reason(reason)
    if until <= datetime.now(UTC):
        raise InputError(f"mute until {until:%Y-%m-%d %H:%MZ}: that is over. Name a time to come.")
    return _record(
        lake, kind=MUTE, table=table, expectation=expectation, reason=reason, author=author, expires_at=until
    )


def _record(lake: Lake, **values: Any) -> str:
    now = datetime.now(UTC)
    decision_id = digest([now, values])[:16]
    row = {**values, "decision_id": decision_id, "created_at": now}
    batch = pa.Table.from_pylist([row], schema=TABLES["decisions"].arrow_schema())
    lake.commit(Partition("decisions", (decision_id,)), batch, 1, {})
    return decision_id


def _check_table(table: str, option: str) -> None:
    if table not in TABLES:
        raise InputError(f"{option} {table}: no such table. There are {', '.join(TABLES)}.")


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise InputError("a decision needs a reason, for whoever asks later: --reason '...'")
