"""What a step over a growing source has not seen yet, found from the fingerprint that it last published under.

The steps that compare every new row with the whole lake must not compare the old rows again each night. Rows carry the
time of their batch, and the step's inputs name the newest batch: the batch whose inputs have the published fingerprint is
the last one that was seen. After a rollback or under other settings that is an earlier one, or none.
"""

from collections.abc import Callable, Iterable
from typing import Any

from arena_etl.lake.delta import Lake, Partition, fingerprint


def seen_until(lake: Lake, partition: Partition, batches: Iterable[int], inputs: Callable[[int], Any]) -> int | None:
    """The newest of ``batches`` (microseconds since 1970) that the partition was published from; None: start anew.

    ``inputs``: what the step depends on when that batch is the newest.
    """
    published = lake.fingerprint(partition)
    return next((batch for batch in sorted(batches, reverse=True) if fingerprint(inputs(batch)) == published), None)
