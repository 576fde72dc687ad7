"""Audit a round of the paper's size: what the gates take in seconds and memory, and which columns they read.

30,000 instructions, four recorded contestants (120,000 answers of 150 words), every pair in both orders (360,000 verdicts),
staged by the real steps in a process of their own. Then, in this process, what `publish` does before its commit: the figures
(sql/quality/) and the suite.
"""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent))

from arena_stage import KEYS, arena

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.flywheel import STEPS, do
from arena_etl.lake.delta import Lake
from arena_etl.lake.tables import TABLES
from arena_etl.quality import measures
from arena_etl.quality.gate import audit, load
from arena_etl.quality.publish import limits
from arena_etl.steps import perform


def prepare(folder: str, instructions: int) -> None:
    """Answers published, verdicts staged; both kept as they wait for their audit. Writes the configuration and the seconds."""
    config, lake = arena(Path(folder), instructions, prompts=False)
    started = time.perf_counter()
    perform(STEPS["generate"], config, lake, *KEYS)
    answers = STEPS["generate"].staging(config, lake, *KEYS).read()
    do(config, lake, "generate", *KEYS)
    perform(STEPS["judge"], config, lake, *KEYS)
    seconds = time.perf_counter() - started
    STEPS["generate"].staging(config, lake, *KEYS).write("benchmark", "answers", answers)
    facts = {"config": config.model_dump(mode="json"), "seconds": seconds}
    (Path(folder) / "facts.json").write_text(json.dumps(facts))


def main(
    instructions: Annotated[int, typer.Option(help="Instructions; the paper's slices have 30,000.")] = 30_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Seconds of figures and suite per table, the columns that the suite reads, peak memory, share of the recorded round."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        work = multiprocessing.get_context("spawn").Process(target=prepare, args=(folder, instructions))
        work.start()
        work.join()
        if work.exitcode:
            raise SystemExit("the round could not be prepared")
        facts = json.loads((Path(folder) / "facts.json").read_text())
        config: Config = configuration.load(flags=facts["config"])
        lake = Lake.open(config)
        for name in ("generate", "judge"):
            staging = STEPS[name].staging(config, lake, *KEYS)
            started = time.perf_counter()
            rows = staging.read()
            read = time.perf_counter()
            figures = measures.measure(config, lake, name, staging.partition, rows)
            measured = time.perf_counter()
            declared = TABLES[STEPS[name].table]
            parameters = limits(config, lake, staging.partition, rows)
            result, _ = audit(declared, rows, parameters, 0.1, partition=staging.partition.columns, measures=figures)
            done = time.perf_counter()
            if result.stopped:
                raise SystemExit(f"a clean batch was stopped: {result.reasons}")
            columns = {column for rule in load(declared).rules if not rule.measure for column in rule.reads}
            results[declared.name] = {
                "rows": rows.num_rows,
                "read_s": read - started,
                "figures_s": measured - read,
                "suite_s": done - measured,
                "columns": f"{len(columns)} of {len(declared.columns)}",
            }
            tqdm.write(f"{declared.name}: {results[declared.name]}", file=sys.stderr)
            del rows
    total = sum(r["read_s"] + r["figures_s"] + r["suite_s"] for r in results.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / 1024
    share = total / (total + facts["seconds"])
    if as_json:
        sys.stdout.write(json.dumps({"tables": results, "total_s": total, "peak_gib": peak, "share": share}) + "\n")
        return
    for table, r in results.items():
        sys.stdout.write(
            f"| {table} | {r['rows']:,} | {r['read_s']:.1f} | {r['figures_s']:.1f} | {r['suite_s']:.1f} | {r['columns']} |\n"
        )
    sys.stdout.write(f"{total:.1f} s, peak {peak:.2f} GiB, {share:.0%} of the round's time\n")


if __name__ == "__main__":
    typer.run(main)
