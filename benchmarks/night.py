"""A recorded night of the paper's size through the whole pipeline but training, alone and after many earlier nights.

30,000 instructions are landed, cleaned, drawn, answered by four recorded contestants, judged in 360,000 recorded games, merged,
selected from, rated and released, every step through its gate. Then the same in a lake that has ``--earlier`` nights already,
each of ``--size`` instructions, with their own instructions, answers, verdicts, battles, ratings and audits.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from arena_stage import ROUND, configured, record
from deltalake import write_deltalake
from tqdm import tqdm

from arena_etl.flywheel import do, release_round
from arena_etl.lake.delta import DATA_FILES, Lake
from arena_etl.lake.tables import TABLES
from arena_etl.rounds import TRAINING

STAGE = "sft"
NIGHT = (
    *((name, ("train",)) for name in ("land", "prepare")),
    ("draw", (ROUND, STAGE)),
    *((name, (ROUND, STAGE, TRAINING)) for name in ("generate", "judge", "merge")),
    ("select", (ROUND, STAGE)),
    ("rate", (ROUND,)),
    ("win_rates", (ROUND,)),
)
# Tables that grow with every night. Each earlier night is a copy of a part of this one with a date and instructions of its own.
GROWING = (
    "slices",
    "responses",
    "verdicts",
    "battles",
    "training_sets",
    "ratings",
    "win_rates",
    "quality_results",
    "measures",
)


def earlier_nights(lake: Lake, example: Lake, nights: int, size: int) -> dict[str, int]:
    """Fill the lake with nights before ``ROUND``, made of ``size`` instructions of the example's; rows per table."""
    counts = {}
    with example.connect() as connection:
        connection.execute(f"create temp table few as select instruction_id from slices order by position limit {size}")
        connection.execute(
            f"create temp table nights as select strftime(date '{ROUND}' - to_days(n::integer), '%Y-%m-%d') as night "
            f"from range(1, {nights} + 1) as r(n)"
        )
        for name in GROWING:
            declared = TABLES[name]
            other = {
                "round": "if(round is null, null, night)",
                "batch": f"replace(batch, '{ROUND}', night)",
                "instruction_id": "sha256(night || instruction_id)",
                **{
                    key: f"night || {key}"
                    for key in ("response_id", "response_a", "response_b", "audit_id", "example_id")
                },
            }
            columns = ", ".join(
                f"{other[c]} as {c}" if c in other and c in declared.column_names else f'"{c}"'
                for c in declared.column_names
            )
            part = "semi join few using (instruction_id)" if "instruction_id" in declared.column_names else ""
            rows = connection.sql(
                f"select {columns} from {name} {part} cross join nights order by night"
            ).to_arrow_table()
            write_deltalake(
                lake.create(declared),
                rows.cast(declared.arrow_schema()),
                mode="append",
                writer_properties=DATA_FILES,
            )
            counts[name] = rows.num_rows
    return counts


def night(folder: Path, instructions: int, earlier: int, size: int, example: Path | None) -> dict[str, float]:
    """Seconds of every step of the night, its gate included, and the peak memory of the process in MB."""
    config = configured(folder, instructions)
    lake = Lake.open(config)
    if example is not None:
        counts = earlier_nights(lake, Lake.open(configured(example, instructions)), earlier, size)
        tqdm.write(f"{earlier:,} earlier nights: {counts}", file=sys.stderr)
    seconds = {}
    for name, keys in NIGHT:
        if name == "draw":
            record(folder, lake)
        started = time.perf_counter()
        do(config, lake, name, *keys)
        seconds[name] = time.perf_counter() - started
        tqdm.write(f"{name} {seconds[name]:.1f} s", file=sys.stderr)
    started = time.perf_counter()
    release_round(config, lake, ROUND, "benchmark", "a recorded night")
    seconds["release"] = time.perf_counter() - started
    return {**seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main(
    instructions: Annotated[
        int, typer.Option(help="Instructions of the night; the paper's slices have 30,000.")
    ] = 30_000,
    earlier: Annotated[int, typer.Option(help="Nights that the second lake has already.")] = 1_000,
    size: Annotated[int, typer.Option(help="Instructions of each of them.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    folder: Annotated[Path | None, typer.Option(hidden=True, help="Only one night, in this folder.")] = None,
    example: Annotated[
        Path | None, typer.Option(hidden=True, help="Where the night that earlier ones copy lies.")
    ] = None,
) -> None:
    """Seconds of every step alone and after the earlier nights, their ratio, and the peak memory of both processes."""
    if folder is not None:
        print(json.dumps(night(folder, instructions, earlier, size, example)))  # noqa: T201
        return
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        alone, after = Path(scratch) / "alone", Path(scratch) / "after"
        for place, more in ((alone, []), (after, ["--example", str(alone)])):
            place.mkdir()
            command = [sys.executable, __file__, "--folder", str(place), *more]
            sizes = ["--instructions", str(instructions), "--earlier", str(earlier), "--size", str(size)]
            done = subprocess.run([*command, *sizes], check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(done.stdout))
    if as_json:
        print(json.dumps({"alone": found[0], "after": found[1]}))  # noqa: T201
        return
    total = [sum(value for name, value in each.items() if name != "peak_mb") for each in found]
    for name in found[0]:
        print(f"{name:10} {found[0][name]:8.1f} {found[1][name]:8.1f}")  # noqa: T201
    print(f"{'all':10} {total[0]:8.1f} {total[1]:8.1f} s, ratio {total[1] / total[0]:.2f}")  # noqa: T201


if __name__ == "__main__":
    typer.run(main)
