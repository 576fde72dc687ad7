"""Landing and cleaning of many instructions: time and memory, and landing against a bare Polars scan and sink.

The file is synthetic and seeded: English sentences of made-up words, a few rows that filters take out, an id and a licence in
every row. Landing is `land` to its staged Parquet; the bare scan is `polars.scan_ndjson(file).sink_parquet(...)`. The two take
turns. The whole chain, with audits and commits, runs once in a process of its own, whose peak memory is taken. Not that of its
workers: the system counts them as copies of it until they have started.
"""

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SYLLABLES = ("ba", "co", "di", "fu", "ga", "he", "ji", "ko", "lu", "ma", "ne", "po", "ri", "sa", "te", "vo", "wi", "xe")
COMMON = (
    "the",
    "a",
    "of",
    "to",
    "and",
    "in",
    "is",
    "for",
    "with",
    "on",
    "by",
    "what",
    "how",
    "why",
    "write",
    "name",
    "list",
)


def write(file: Path, rows: int) -> None:
    random.seed(0)
    words = ["".join(random.choices(SYLLABLES, k=random.randint(1, 4))) for _ in range(30_000)]
    with file.open("w", encoding="utf-8") as out:
        for number in range(rows):
            size = max(4, int(random.lognormvariate(3.4, 0.8)))
            text = " ".join(random.choice(COMMON if random.random() < 0.6 else words) for _ in range(size))
            match number % 200:
                case 0:
                    text = "Summarize the attached file, please."
                case 1:
                    text += " Answer to someone@company.org or +1 650 253 0000."
                case 2:
                    text += " caf\u00c3\u00a9"
            row = {"id": f"r{number}", "instruction": text, "output": text[:80], "license": "MIT"}
            out.write(json.dumps(row) + "\n")


def configuration(file: Path, root: Path) -> Any:
    from arena_etl import config

    source = {"name": "pool", "path": str(file)}
    return config.load(
        flags={
            "root": str(root),
            "sources": [source],
            "cleaning": {"languages": None},
            "decontamination": {"neighbours": 0},
        }
    )


Seconds = tuple[float, float]  # by the clock, and of all cores together


def timed(work: Callable[[], Any]) -> Seconds:
    clock, cores = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - cores


def land(file: Path, folder: Path) -> Seconds:
    from arena_etl.flywheel import STEPS
    from arena_etl.lake.delta import Lake
    from arena_etl.steps import perform

    shutil.rmtree(folder, ignore_errors=True)
    config = configuration(file, folder)
    lake = Lake.open(config)
    return timed(lambda: perform(STEPS["land"], config, lake, "pool"))


def bare(file: Path, folder: Path) -> Seconds:
    import polars

    target = folder.with_suffix(".parquet")
    target.unlink(missing_ok=True)
    return timed(lambda: polars.scan_ndjson(file).sink_parquet(target))


def chain(file: Path, folder: Path) -> dict[str, Any]:
    """Every step of the source but embeddings, with its audit: seconds of each; run in a process of its own."""
    from arena_etl.flywheel import INGEST, STEPS
    from arena_etl.lake.delta import Lake
    from arena_etl.quality.publish import publish
    from arena_etl.steps import perform

    config = configuration(file, folder)
    lake = Lake.open(config)
    result: dict[str, Any] = {}
    for name in (step for step in INGEST if step != "embed"):
        for what, act in (("work", perform), ("audit", publish)):
            start = time.perf_counter()
            summary = act(STEPS[name], config, lake, "pool")
            result[f"{name} {what} s"] = round(time.perf_counter() - start, 1)
            result |= {f"{name} {key}": value for key, value in summary.items() if isinstance(value, int)}
    own, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    result["peak GiB of the main process"] = round(own.ru_maxrss / 2**20, 2)
    result["CPU s"] = round(own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=3, help="runs of landing and of the bare scan, in turn")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--chain", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.chain:
        print(json.dumps(chain(*arguments.chain)))  # noqa: T201
        return
    with tempfile.TemporaryDirectory(prefix="arena-etl-") as folder:
        file = Path(folder) / "pool.jsonl"
        write(file, arguments.rows)
        result: dict[str, Any] = {
            "rows": arguments.rows,
            "MB": round(file.stat().st_size / 1e6),
            "cores": os.cpu_count(),
        }
        land(file, Path(folder) / "lake")  # imports, and the file's first reading
        pairs = [(land(file, Path(folder) / "lake"), bare(file, Path(folder) / "bare")) for _ in range(arguments.pairs)]
        for index, unit in enumerate(("s", "CPU s")):
            result[f"land {unit}"] = round(statistics.median(ours[index] for ours, _ in pairs), 2)
            result[f"bare Polars {unit}"] = round(statistics.median(theirs[index] for _, theirs in pairs), 2)
            result[f"ratio of {unit}"] = round(
                statistics.median(ours[index] / theirs[index] for ours, theirs in pairs), 2
            )
        shutil.rmtree(Path(folder) / "lake")
        command = [sys.executable, __file__, "--chain", str(file), str(Path(folder) / "lake")]
        result |= json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if arguments.json:
        print(json.dumps(result))  # noqa: T201
        return
    for name, value in result.items():
        print(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}")  # noqa: T201


if __name__ == "__main__":
    main()
