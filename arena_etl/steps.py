"""Every step of a round: what it depends on, what it does, which table it publishes.

A step writes Parquet where no reader sees it (``perform``); its audit publishes that (``publish``). What a step depends on
is hashed to a fingerprint that the commit carries, so a step whose inputs did not change is recognised as done. The CLI,
``run`` and the Airflow tasks all go through these two functions.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from arena_etl.config import Config
from arena_etl.lake import quarantine
from arena_etl.lake.delta import Lake, Partition, fingerprint
from arena_etl.lake.staging import Staging

Summary = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """``keys`` of all functions are the values of the table's partition columns, in order.

    ``inputs``: everything that decides the result, JSON-able. ``units``: the parts that may run in parallel.
    ``work``: does one unit and stages its rows.
    """

    name: str
    table: str
    inputs: Callable[..., Any]
    work: Callable[..., Summary]
    units: Callable[..., list[str]] = lambda config, lake, *keys: ["all"]

    def staging(self, config: Config, lake: Lake, *keys: str) -> Staging:
        """Where the step stages its rows. Rows that were released from quarantine since make a done step pending again."""
        partition, inputs = Partition(self.table, keys), self.inputs(config, lake, *keys)
        _, exempt = quarantine.released(lake, partition)
        return Staging(lake, partition, fingerprint([inputs, sorted(exempt)] if exempt else inputs))


def is_done(step: Step, config: Config, lake: Lake, *keys: str) -> bool:
    """Whether the step's table was already published from these inputs."""
    staging = step.staging(config, lake, *keys)
    return lake.fingerprint(staging.partition) == staging.fingerprint


def perform(step: Step, config: Config, lake: Lake, *keys: str, unit: str | None = None) -> Summary:
    """Do a step, or one unit of it. What is published or staged already is not done again."""
    staging = step.staging(config, lake, *keys)
    total: Summary = {"step": step.name}
    if lake.fingerprint(staging.partition) == staging.fingerprint:
        return total | {"unchanged": True}
    finished = staging.finished()
    released, _ = quarantine.released(lake, staging.partition)
    if released.num_rows:  # so that work which looks for what is done already finds them
        staging.write(quarantine.RELEASED, "rows", released)
    for each in step.units(config, lake, *keys) if unit is None else [unit]:
        if each in finished:
            continue
        began = time.monotonic()
        for name, value in step.work(config, lake, staging, *keys, unit=each).items():
            total[name] = total.get(name, 0) + value if isinstance(value, int) else value
        staging.finish(each, time.monotonic() - began)
    return total
