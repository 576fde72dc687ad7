"""Near-duplicates: the steps `sign` and `deduplicate` against datasketch, and a nightly increment as the lake grows."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import duckdb
import ingest
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from published import INSTRUCTIONS
from tqdm import tqdm

from arena_etl import config as configuration
from arena_etl.config import Config, digest
from arena_etl.flywheel import STEPS
from arena_etl.instructions.minhash import MinHash
from arena_etl.instructions.near_duplicates import find_candidates
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.tables import TABLES
from arena_etl.steps import perform

app = typer.Typer(pretty_exceptions_enable=False, help=__doc__, no_args_is_help=True)
VOCABULARY = 20_000
COPIES = 0.1  # share of the synthetic rows that are near-duplicates of another one
CHUNK = 100_000
NIGHT = 30_000
Pair = tuple[str, str]


# Texts


def synthetic(rows: int, seed: int = 0) -> Iterator[list[str]]:
    """Chunks of texts of 8 to 60 words of a Zipf vocabulary; a tenth copies an earlier one with one word changed."""
    draw = np.random.default_rng(seed)
    words = np.array([f"w{number}" for number in range(VOCABULARY)])
    for start in range(0, rows, CHUNK):
        texts: list[str] = []
        for length in draw.integers(8, 60, min(CHUNK, rows - start)):
            if texts and draw.random() < COPIES:
                copied = texts[draw.integers(len(texts))].split()
                copied[draw.integers(len(copied))] = words[draw.integers(VOCABULARY)]
                texts.append(" ".join(copied))
            else:
                texts.append(" ".join(words[(VOCABULARY * draw.random(length) ** 2.5).astype(int)]))
        yield texts


def published(file: Path) -> Iterator[list[str]]:
    """The instructions of the data that travels beside the project."""
    rows = duckdb.sql(f"select concat_ws(chr(10), instruction, input) from '{file}' order by instruction_id").fetchall()
    yield [text for (text,) in rows]


def fill(config: Config, chunks: Iterable[list[str]], source: str, now: datetime, split: str = "train") -> int:
    """Put texts that the lake does not have into the table instructions, as `prepare` would; returns how many."""
    lake, known = Lake.open(config), set[str]()
    for number, texts in enumerate(chunks):
        rows = []
        for text in texts:
            instruction_id = digest([{"role": "user", "content": text}])
            if instruction_id not in known:
                known.add(instruction_id)
                rows.append(
                    {
                        "instruction_id": instruction_id,
                        "source": source,
                        "source_id": instruction_id,
                        "license": "CC0-1.0",
                        "conversation": [{"role": "user", "content": text}],
                        "turns": 1,
                        "language": "en",
                        "category": "unknown",
                        "split": split,
                        "loaded_at": now,
                    }
                )
        batch = pa.Table.from_pylist(rows, schema=TABLES["instructions"].arrow_schema())
        lake.commit(Partition("instructions", (source,)), batch, number + 1, {})
    return len(known)


def settle(config: Config, name: str, source: str) -> dict[str, Any]:
    """A step without its audit, which is Great Expectations' time."""
    lake, step = Lake.open(config), STEPS[name]
    summary = perform(step, config, lake, source)
    staging = step.staging(config, lake, source)
    lake.commit(staging.partition, staging.read(), staging.fingerprint, {})
    staging.clear()
    return summary


# Sides


class Timing:
    """Seconds and CPU seconds: on a machine with other work, the second can be compared and the first cannot."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()
        self.stop()

    def stop(self) -> None:
        self._ended = time.perf_counter(), time.process_time()

    def found(self) -> dict[str, float]:
        wall, cpu = (round(ended - began, 1) for began, ended in zip(self._began, self._ended, strict=True))
        return {"seconds": wall, "cpu_s": cpu}


def ours(root: str) -> tuple[Timing, set[Pair]]:
    """Seconds from the table instructions to near_duplicates; then, not timed, all near pairs among the candidates."""
    config = lake_of(root)
    timing = Timing()
    settle(config, "sign", "synthetic")
    settle(config, "deduplicate", "synthetic")
    timing.stop()
    with Lake.open(config).spilling(
        ("instructions", "signatures", "contamination", "wizard_arena"), "2GB"
    ) as connection:
        connection.execute(f"create temporary table near_duplicates as {TABLES['near_duplicates'].empty_select()}")
        find_candidates(connection, config, "synthetic", None)
        connection.execute("create view compared_pairs as from candidate_pairs")
        sql.materialize(connection, "near", "deduplication/near_pairs", threshold=config.deduplication.threshold)
        pairs = connection.sql(
            "select one.instruction_id, other.instruction_id from near "
            "inner join colliding as one on one.place = first inner join colliding as other on other.place = second"
        ).fetchall()
    return timing, {(min(pair), max(pair)) for pair in pairs}


def shingles(words: list[str], size: int) -> set[str]:
    """The runs of ``size`` words; a shorter text is one."""
    return set(map(" ".join, zip(*(words[start:] for start in range(min(size, len(words)))), strict=False)))


def datasketch(root: str) -> tuple[Timing, set[Pair]]:
    """The same with datasketch, as in its documentation, and the exact similarity of what it finds."""
    from datasketch import MinHash as Sketch
    from datasketch import MinHashLSH

    config = lake_of(root)
    settings, minhash = config.deduplication, MinHash.of(config.deduplication)
    timing = Timing()
    index = MinHashLSH(num_perm=minhash.bands * minhash.rows, params=(minhash.bands, minhash.rows))
    texts: dict[str, set[str]] = {}
    pairs: set[Pair] = set()
    with Lake.open(config).connect(["instructions"]) as connection:
        connection.execute("create temporary table wanted as select instruction_id from instructions")
        for batch in sql.run(connection, "instructions/words").to_arrow_reader(5_000):
            for name, words in tqdm(zip(*(column.to_pylist() for column in batch.columns), strict=True), disable=None):
                texts[name] = shingles(words, minhash.shingle)
                sketch = Sketch(num_perm=minhash.bands * minhash.rows)
                sketch.update_batch([shingle.encode() for shingle in texts[name]])
                for other in index.query(sketch):
                    common = len(texts[name] & texts[other])
                    if common >= settings.threshold * (len(texts[name]) + len(texts[other]) - common):
                        pairs.add((min(name, other), max(name, other)))
                index.insert(name, sketch)
    timing.stop()
    return timing, pairs


def exact(root: str) -> tuple[Timing, set[Pair]]:
    """All pairs by their exact similarity, without hashing.

    Prefix filter (Chaudhuri et al. 2006; Bayardo et al. 2007): two sets of similarity t share one of the rarest
    size - ceil(t size) + 1 members of each.
    """
    config = lake_of(root)
    timing = Timing()
    with Lake.open(config).spilling(["instructions"], "4GB") as connection:
        connection.execute("create table wanted as select instruction_id from instructions")
        connection.execute("create table colliding as select instruction_id, instruction_id as place from wanted")
        connection.execute(f"create view words as {sql.load('instructions/words')}")
        sql.materialize(connection, "sets", "deduplication/shingles", shingle=config.deduplication.shingle)
        found = connection.execute(
            """
            with members as (select place as name, len(hashes) as size, unnest(hashes) as hash from sets),
            frequencies as (select hash, count(*) as n from members group by hash),
            ranked as (
                select name, size, hash, row_number() over (partition by name order by n, hash) as rank
                from members inner join frequencies using (hash)
            ),
            prefixes as (select name, size, hash from ranked where rank <= size - ceil($threshold * size - 1e-9) + 1),
            pairs as (
                select distinct one.name as one, other.name as other
                from prefixes as one inner join prefixes as other using (hash)
                where one.name < other.name and least(one.size, other.size) >= $threshold * greatest(one.size, other.size)
            ),
            compared as (
                select one, other, len(list_intersect(a.hashes, b.hashes)) as common, len(a.hashes) + len(b.hashes) as total
                from pairs inner join sets as a on a.place = one inner join sets as b on b.place = other
            )
            select one, other from compared where common >= $threshold * (total - common)
            """,
            {"threshold": config.deduplication.threshold},
        ).fetchall()
    timing.stop()
    return timing, set(found)


SIDES = {"ours": ours, "datasketch": datasketch, "exact": exact}


# Commands


def lake_of(root: str) -> Config:
    return configuration.load(
        flags={
            "root": root,
            "sources": [{"name": "synthetic", "path": "none", "license": "CC0-1.0"}],
            "decontamination": {"neighbours": 0},  # no row is embedded
        }
    )


@app.command()
def side(name: str, root: str, result: Path) -> None:
    """One side in this process, which `peer` starts: so its peak of memory is its own."""
    with tempfile.TemporaryDirectory() as folder:  # no side pays for what it imports
        fill(lake_of(folder), [["one text", "another text"]], "synthetic", datetime.now(UTC))
        SIDES[name](folder)
    timing, pairs = SIDES[name](root)
    pq.write_table(pa.table({"pair": [" ".join(pair) for pair in sorted(pairs)]}), result)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(json.dumps({**timing.found(), "pairs": len(pairs), "peak_gib": round(peak, 2)}))


@app.command()
def peer(
    rows: Annotated[int, typer.Option(help="Synthetic instructions; 0: the published ones.")] = 0,
    data: Annotated[Path, typer.Option(help="Parquet with instruction and input.")] = INSTRUCTIONS,
    reference: Annotated[bool, typer.Option(help="Also find the exact pairs, without hashing.")] = True,
) -> None:
    """Seconds, memory and pairs of each side over the same instructions, and the share of the exact pairs that it finds."""
    with tempfile.TemporaryDirectory() as folder:
        root = f"{folder}/lake"
        chunks = synthetic(rows) if rows else published(data)
        found: dict[str, Any] = {"instructions": fill(lake_of(root), chunks, "synthetic", datetime.now(UTC))}
        pairs: dict[str, set[str]] = {}
        for name in SIDES if reference else ("ours", "datasketch"):
            file = Path(folder) / f"{name}.parquet"
            done = subprocess.run(
                [sys.executable, __file__, "side", name, root, str(file)], stdout=subprocess.PIPE, text=True, check=True
            )
            found[name] = json.loads(done.stdout)
            pairs[name] = set(pq.read_table(file)["pair"].to_pylist())
            if name == "exact" and pairs[name]:
                for other in (each for each in pairs if each != name):
                    found[other]["recall"] = round(len(pairs[other] & pairs[name]) / len(pairs[name]), 5)
                    found[other]["wrong"] = len(pairs[other] - pairs[name])
        for unit in ("seconds", "cpu_s"):
            found[f"ratio_{unit}"] = round(found["datasketch"][unit] / found["ours"][unit], 1)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


@app.command()
def increment(
    lakes: Annotated[tuple[int, int], typer.Option(help="Instructions that the lake has.")] = (300_000, 3_000_000),
) -> None:
    """Seconds of a night's 30,000 new instructions, per step, over lakes of growing size, and the bytes of a signature.

    Every step of `arena-etl ingest` but embeddings, with its audit. Old signatures are drawn at random instead of made from
    the texts: what they cost is to be read and joined.
    """
    results = []
    for size in lakes:
        with tempfile.TemporaryDirectory() as folder:
            file, root = Path(folder) / "pool.jsonl", Path(folder) / "lake"
            ingest.write(file, 100)
            ingest.chain(file, Path(folder) / "small")  # imports
            config = lake_of(str(root))
            now = datetime.now(UTC) - timedelta(days=1)
            fill(config, synthetic(size), "synthetic", now)
            sign_at_random(config, now)
            ingest.write(file, NIGHT)
            timing = Timing()
            steps = {
                name: value for name, value in ingest.chain(file, root).items() if name.endswith(("work s", "audit s"))
            }
            timing.stop()
            files = Lake.open(config).files("signatures")
            stored = round(sum(Path(each).stat().st_size for each in files) / (size + NIGHT))
            results.append({"lake": size, "signature_bytes": stored, "all": timing.found(), **steps})
            sys.stderr.write(json.dumps(results[-1]) + "\n")
    ratio = round(results[-1]["all"]["seconds"] / results[0]["all"]["seconds"], 2)
    sys.stdout.write(json.dumps({"lakes": results, "ratio": ratio}, indent=1) + "\n")


def sign_at_random(config: Config, now: datetime) -> None:
    """Put signatures that resemble nothing beside all instructions."""
    lake, minhash = Lake.open(config), MinHash.of(config.deduplication)
    draw = np.random.default_rng(0)
    with lake.connect(["instructions"]) as connection:
        for number, batch in enumerate(
            connection.sql("select instruction_id from instructions").to_arrow_reader(CHUNK)
        ):
            bands = draw.integers(-(2**31), 2**31, (len(batch), minhash.bands), np.int32)
            offsets = pa.array(np.arange(len(batch) + 1, dtype=np.int32) * minhash.bands)
            columns = {
                "instruction_id": batch["instruction_id"],
                "source": pa.repeat("synthetic", len(batch)),
                "scheme": pa.repeat(minhash.scheme, len(batch)),
                "bands": pa.ListArray.from_arrays(offsets, pa.array(bands.ravel())),
                "created_at": pa.repeat(pa.scalar(now, pa.timestamp("us", "UTC")), len(batch)),
            }
            lake.commit(Partition("signatures", ("synthetic",)), pa.table(columns), number + 1, {})


if __name__ == "__main__":
    app()
