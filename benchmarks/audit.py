"""Audit a round of the paper's size: what the gates take in seconds and memory, and which columns they read.

30,000 instructions, four contestants (120,000 answers of 150 words), every pair in both orders (360,000 verdicts), made by one
query each and staged. Then what `publish` does before its commit: read what is staged, the figures (sql/quality/), the suite.
"""

import json
import resource
import sys
import tempfile
import time
from typing import Annotated, Any

import pyarrow as pa
import typer
from tqdm import tqdm

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.contestants import roster
from arena_etl.flywheel import STEPS
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES
from arena_etl.quality import measures
from arena_etl.quality.gate import audit, load
from arena_etl.quality.publish import limits
from arena_etl.verdicts.judge import judge_id

KEYS = ("2026-01-01", "sft", "training")
NAMES = ("target", "rival-1", "rival-2", "rival-3")
PARTS = 24

INSTRUCTIONS = """
    select
        sha256(n::varchar) as instruction_id, 's' as source, n::varchar as source_id, 'CC0-1.0' as license,
        [{'role': 'user', 'content': 'Write about the number ' || n}] as conversation, 1 as turns, 'en' as language,
        'writing' as category, 'train' as split, timestamptz '2026-01-01 00:00:00+00' as loaded_at
    from range($n) as numbers(n)
"""
SLICES = "select '{}' as round, '{}' as stage, sha256(n::varchar) as instruction_id, n as position from range($n) as numbers(n)"
ANSWERS = """
    select
        '{}' as round, '{}' as stage, '{}' as arena, sha256(n::varchar) as instruction_id, contestant_id, 1 as turn,
        sha256(n || contestant_id) as response_id,
        'On number ' || n || ' says ' || contestant_id || ' that the ' || repeat('word is of ' || n % 97 || ' and ', 30) as text,
        'stop' as finish_reason, 20 as tokens_in, 200 as tokens_out, 0.1 as latency_s, 0.0 as cost_usd, '{{}}' as request,
        timestamptz '2026-01-01 02:00:00+00' as created_at
    from range($n) as numbers(n), (select unnest($names) as contestant_id)
    order by n, contestant_id
"""
VERDICTS = """
    select
        '{}' as round, '{}' as stage, '{}' as arena, sha256(n::varchar) as instruction_id, 1 as turn, a as model_a,
        b as model_b, shown_first, $judge as judge_id, 'model' as judge_kind, sha256(n || a) as response_a,
        sha256(n || b) as response_b,
        'Score-A: ' || score_a || chr(10) || 'Score-B: ' || score_b || chr(10) || 'Reason: ' || repeat('it is better said. ', 10)
        as raw_text,
        score_a, score_b, 'ok' as parse_status, 1 as attempts, 700 as tokens_in, 40 as tokens_out, 0.1 as latency_s,
        0.0 as cost_usd, repeat('0', 64) as prompt_hash, timestamptz '2026-01-01 02:00:00+00' as created_at
    from (
        select
            n, a, b, unnest(['model_a', 'model_b']) as shown_first,
            (1 + hash(n || a) % 10)::double as score_a, (1 + hash(n || b) % 10)::double as score_b
        from range($n) as numbers(n), (select unnest($names) as a), (select unnest($names) as b)
        where a < b
    )
    order by n, a, b, shown_first
"""


def made(lake: Lake, table: str, query: str, **parameters: Any) -> pa.Table:
    """The rows of a query as rows of a table; columns that it lacks are null."""
    with lake.connect([]) as connection:
        rows = connection.sql(
            f"{TABLES[table].empty_select()} union all by name select * from ({query})", params=parameters
        ).to_arrow_table()
    return rows.cast(TABLES[table].arrow_schema())


def prepare(folder: str, instructions: int) -> tuple[Config, Lake, dict[str, Staging]]:
    """A lake with the instructions, the slice and the answers; answers and verdicts also staged."""
    contestants = [{"name": name, "backend": "recorded", "checkpoint": "none"} for name in NAMES]
    config = configuration.load(
        flags={
            "root": f"{folder}/lake",
            "sources": [{"name": "s", "path": "none", "license": "CC0-1.0"}],
            "target": contestants[0],
            "rivals": contestants[1:],
            "judge": {"name": "judge", "checkpoint": "none", "verifiers": False},
            "quality": {"judge_card": "ignore"},
            "battles": {"slice_size": instructions},
        }
    )
    lake = Lake.open(config)
    lake.commit(Partition("instructions", ("s",)), made(lake, "instructions", INSTRUCTIONS, n=instructions), 1, {})
    lake.commit(Partition("slices", KEYS[:2]), made(lake, "slices", SLICES.format(*KEYS), n=instructions), 1, {})
    names = [entrant.contestant_id for entrant in roster(config, lake, *KEYS)]
    judge = judge_id(config.judge)
    answers = made(lake, "responses", ANSWERS.format(*KEYS), n=instructions, names=names)
    lake.commit(Partition("responses", KEYS), answers, 1, {})
    verdicts = made(lake, "verdicts", VERDICTS.format(*KEYS), n=instructions, names=names, judge=judge)
    staged = {}
    for step, rows in (("generate", answers), ("judge", verdicts)):
        staged[step] = Staging(lake, Partition(STEPS[step].table, KEYS), 1)
        size = -(-rows.num_rows // PARTS)
        for part in range(PARTS):
            staged[step].write("all", f"{part:02d}", rows.slice(part * size, size))
    return config, lake, staged


def main(
    instructions: Annotated[int, typer.Option(help="Instructions; the paper's slices have 30,000.")] = 30_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Seconds of reading, figures and suite per table, the columns that the suite reads, and the peak memory."""
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        config, lake, staged = prepare(folder, instructions)
        prepared = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for step, staging in staged.items():
            started, cpu = time.perf_counter(), time.process_time()
            rows = staging.read()
            read = time.perf_counter()
            figures = measures.measure(config, lake, step, staging.partition, rows)
            measured = time.perf_counter()
            declared = TABLES[STEPS[step].table]
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
                "cpu_s": time.process_time() - cpu,
                "columns": f"{len(columns)} of {len(declared.columns)}",
            }
            tqdm.write(f"{declared.name}: {results[declared.name]}", file=sys.stderr)
            del rows
    total = sum(r["read_s"] + r["figures_s"] + r["suite_s"] for r in results.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if as_json:
        sys.stdout.write(json.dumps({"tables": results, "total_s": total, "peak_gib": peak / 2**20}) + "\n")
        return
    for table, r in results.items():
        seconds = " | ".join(f"{r[name]:.1f}" for name in ("read_s", "figures_s", "suite_s", "cpu_s"))
        sys.stdout.write(f"| {table} | {r['rows']:,} | {seconds} | {r['columns']} |\n")
    sys.stdout.write(f"{total:.1f} s, peak {peak / 2**20:.2f} GiB, {prepared / 2**20:.2f} before the audits\n")


if __name__ == "__main__":
    typer.run(main)
