"""How far long work is: a bar on a terminal, a line in a log every half minute, a note that ``arena-etl status`` reads."""

import json
import logging
import sys
import time
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import NOTE, Staging

logger = logging.getLogger(__name__)
LOG_SECONDS = 30


class Progress:
    """Counts rows and generated tokens of one unit of a step. ``step`` and ``unit`` name it for people."""

    def __init__(self, staging: Staging, step: str, unit: str, total: int) -> None:
        self._staging, self._step, self._unit, self._total = staging, step, unit, total
        self._done = self._tokens = 0
        self._started = self._logged = time.monotonic()
        self._bar = tqdm(total=total, desc=f"{step} {unit}", unit=" rows", disable=not sys.stderr.isatty())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def stored(self, rows: int, tokens: int = 0) -> None:
        """Rows, and the tokens that were generated for them if any, are safe."""
        self._done += rows
        self._tokens += tokens
        now = time.monotonic()
        seconds = max(now - self._started, 1e-6)
        note = {
            "step": self._step,
            "partition": self._staging.partition.key,
            "unit": self._unit,
            "done": self._done,
            "total": self._total,
            "tokens_per_s": round(self._tokens / seconds, 1),
            "eta_s": round((self._total - self._done) * seconds / max(self._done, 1)),
            "updated": time.time(),
        }
        self._staging.note(self._unit, json.dumps(note).encode())
        if self._tokens:
            self._bar.set_postfix_str(f"{note['tokens_per_s']:,} tokens/s", refresh=False)
        self._bar.update(rows)
        if self._bar.disable and (now - self._logged >= LOG_SECONDS or self._done == self._total):
            self._logged = now
            logger.info(describe(note))


def describe(note: dict[str, Any]) -> str:
    """A note in words."""
    rate = f"{note['tokens_per_s']:,} tokens/s, " if note.get("tokens_per_s") else ""
    return (
        f"{note['step']} {note['unit']}: {note['done']:,} of {note['total']:,} {note.get('noun', 'rows')}, {rate}"
        f"{note['eta_s'] // 60} min {note['eta_s'] % 60:02} s to go"
    )


def notes(lake: Lake) -> list[dict[str, Any]]:
    """The newest note of every unit whose rows wait for their audit, by partition and unit."""
    filesystem, folder = lake.storage.filesystem, lake.storage.uri("_staging")
    if not filesystem.exists(folder):
        return []
    found = [json.loads(filesystem.cat_file(name)) for name in filesystem.find(folder) if name.endswith(NOTE)]
    newest = {(note["partition"], note["unit"]): note for note in sorted(found, key=lambda note: note["updated"])}
    return [newest[key] for key in sorted(newest)]
