"""How many injected faults the gates catch, and how often they stop a round that is clean.

Rounds are seeded (tests/quality/corruption.py): no model runs, but slices, battles, examples, decisions, ratings and win
rates are made by the real steps. Every fault is injected into one batch of the last round; it counts as caught if the
expectation that is meant for it fails.
"""

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.quality.corruption import FAULTS, Rounds, inspect, remember

HISTORY = 3


def main(
    clean: Annotated[int, typer.Option(help="Clean rounds to audit.")] = 40,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the table (fault, expected gate, caught) and both counts."""
    with tempfile.TemporaryDirectory() as folder:
        rounds = Rounds(Path(folder) / "lake", max(clean, HISTORY + 1), seed=7)
        stopped, audits, warnings = 0, 0, 0
        for number in tqdm(range(max(clean, HISTORY + 1)), desc="clean rounds", disable=None):
            stops = False
            for step, keys, batch in rounds.play(number):
                result = inspect(rounds, step, keys, batch)
                remember(rounds, step, keys, batch)
                audits += 1
                stops |= result.stopped
                warnings += sum(o.outcome != "pass" and o.severity == "warning" for o in result.outcomes)
            stopped += stops
        rows = []
        for fault in tqdm(FAULTS, desc="faults", disable=None):
            step, keys = rounds.steps[fault.batch]
            outcomes = inspect(rounds, step, keys, fault.change(rounds.batches[fault.batch], random.Random(0))).outcomes
            by = [o for o in outcomes if o.outcome == "fail" and fault.gate in o.expectation]
            rows.append(
                {
                    "fault": fault.name,
                    "batch": fault.batch,
                    "gate": fault.gate,
                    "caught": bool(by),
                    "severity": by[0].severity if by else None,
                }
            )
    caught = sum(row["caught"] for row in rows)
    summary = {
        "faults": len(rows),
        "caught": caught,
        "clean_rounds": clean,
        "stopped": stopped,
        "audits": audits,
        "warnings": warnings,
    }
    if as_json:
        sys.stdout.write(json.dumps({**summary, "table": rows}) + "\n")
        return
    for row in rows:
        mark = row["severity"] if row["caught"] else "MISSED"
        sys.stdout.write(f"| {row['fault']} | `{row['batch']}` | `{row['gate']}` | {mark} |\n")
    sys.stdout.write(f"{caught} of {len(rows)} faults caught; {stopped} of {clean} clean rounds stopped\n")
    sys.stdout.write(f"{warnings} warnings in {audits} audits of clean batches\n")


if __name__ == "__main__":
    typer.run(main)
