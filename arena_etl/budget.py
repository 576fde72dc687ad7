"""The ceiling of what a round may spend on models: tokens and money, checked whenever finished rows are stored."""

import json

import pyarrow as pa

from arena_etl.config import Config, digest
from arena_etl.errors import GateStopped
from arena_etl.lake import outcomes, sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import staged

OWNER = "post-training"


class Ledger:
    """What the round has spent: rows in the lake, rows that wait for their audit, and what is added here.

    Tasks that run at the same time do not see each other's last rows, so each may go over by what it stores at once.
    """

    def __init__(self, config: Config, lake: Lake, round_: str) -> None:
        self._limits = config.budget
        self._lake, self._round = lake, round_
        self._tokens, self._usd = 0, 0.0
        if self._limits.max_tokens is not None or self._limits.max_usd is not None:
            with lake.connect(["responses", "verdicts"]) as connection:
                for table in ("responses", "verdicts"):
                    connection.register(f"staged_{table}", staged(lake, table, round_))
                self._tokens, self._usd = sql.run(connection, "plan/spent", round=round_).fetchall()[0]
        stopped = any(problem["batch"] == self._batch for problem in outcomes.standing(lake, round_))
        if stopped and self._reached() is None:  # the ceiling was raised since, or taken away
            self._record("pass", None)

    @property
    def _batch(self) -> str:
        return f"budget/{self._round}"

    def check(self) -> None:
        """Raises GateStopped when a ceiling is reached: nothing more is asked of any model in this round."""
        if (reached := self._reached()) is not None:
            name, spent, limit = reached
            self._record("fail", {name: spent})
            raise GateStopped(
                f"round {self._round}: budget.{name} {limit:,} is reached ({spent:,.6g} spent). Finished rows are kept. "
                f"`arena-etl plan --round {self._round}` shows what is left to do; raise the ceiling and run the same "
                "command again to go on."
            )

    def _reached(self) -> tuple[str, float, float] | None:
        """The ceiling that is reached: its name, what was spent and how much that may be."""
        for name, spent, limit in (
            ("max_tokens", self._tokens, self._limits.max_tokens),
            ("max_usd", self._usd, self._limits.max_usd),
        ):
            if limit is not None and spent >= limit:
                return name, spent, limit
        return None

    def _record(self, outcome: str, observed: dict[str, float] | None) -> None:
        limits = self._limits.model_dump(exclude_none=True)
        found = outcomes.Outcome(
            "budget",
            "critical",
            outcome,
            json.dumps(observed),
            json.dumps(limits),
            None,
            OWNER,
            "docs/runbook.md#budget",
        )
        outcomes.record(self._lake, self._batch, [found], digest(limits), columns={"round": self._round})

    def add(self, rows: pa.Table) -> None:
        """Count rows of ``responses`` or ``verdicts`` that were stored just now, then ``check``."""
        columns = (rows[name].to_pylist() for name in ("tokens_in", "tokens_out"))
        self._tokens += sum(value or 0 for column in columns for value in column)
        self._usd += sum(rows["cost_usd"].to_pylist())
        self.check()
