"""The step `embed` against its model's own floor: bare forward passes over the same batches, tokenised before.

In seconds of CPU, which other work on the machine disturbs least; with one thread they are those of an idle machine's clock.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import duckdb
import numpy as np
import torch
import typer
from published import INSTRUCTIONS

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.engines.base import batched
from arena_etl.flywheel import STEPS, do
from arena_etl.instructions.encoder import Encoder
from arena_etl.lake.delta import Lake
from arena_etl.steps import perform

MOST_OVERHEAD = 0.15


def lake_of(folder: Path, instructions: Path, rows: int) -> tuple[Config, Lake, list[str]]:
    """A lake with a seeded sample of the instructions, prepared, and their texts in the order of the step."""
    texts = [
        text
        for (text,) in duckdb.sql(
            f"""
            select distinct trim(concat_ws(chr(10), instruction, input)) as text from '{instructions}'
            where trim(instruction) <> '' order by md5(text) limit {rows}
            """
        ).fetchall()
    ]
    lines = ({"conversation": [{"role": "user", "content": text}], "category": "unknown"} for text in texts)
    (folder / "sample.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    flags: dict[str, Any] = {
        "root": str(folder / "lake"),
        "sources": [{"name": "sample", "path": str(folder / "sample.jsonl"), "license": "mixed"}],
        "engine": {"threads": 1, "device": "cpu"},
    }
    config = configuration.load(flags=flags)
    lake = Lake.open(config)
    for name in ("land", "prepare"):
        do(config, lake, name, "sample")
    return config, lake, sorted(texts, key=len, reverse=True)


def step_seconds(config: Config, lake: Lake) -> float:
    """The step without its audit: read, tokenise, encode, stage. The encoder was loaded before."""
    started = time.process_time()
    summary = perform(STEPS["embed"], config, lake, "sample")
    seconds = time.process_time() - started
    if summary.get("unchanged"):
        raise RuntimeError("the step found its work done")
    return seconds


def floor_seconds(encoder: Encoder, texts: list[str], batch_size: int) -> float:
    """Forward passes alone: batches of one length, tokenised and padded before the clock starts."""
    model = encoder._model
    tokenized = [model.tokenizer(text, truncation=True, max_length=model.max_seq_length)["input_ids"] for text in texts]
    tokenized.sort(key=len, reverse=True)
    batches = [model.tokenizer.pad({"input_ids": each}, return_tensors="pt") for each in batched(tokenized, batch_size)]
    transformer = model[0].auto_model
    started = time.process_time()
    with torch.inference_mode():
        for batch in batches:
            transformer(**batch)
    return time.process_time() - started


def main(
    instructions: Annotated[
        Path, typer.Argument(help="Parquet with the columns instruction and input.")
    ] = INSTRUCTIONS,
    rows: Annotated[int, typer.Option(help="Instructions of the sample.")] = 2_000,
    repeats: int = 3,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Alternate step and floor on the same sample. Fails when the step's overhead is above the target."""
    results = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            config, lake, texts = lake_of(Path(folder), instructions, rows)
            encoder = Encoder(config.embedding, config.engine)  # warms imports and weights up
            encoder.encode(texts[:8])
            step = step_seconds(config, lake)
            floor = floor_seconds(encoder, texts, config.embedding.batch_size)
            results.append({"step_s": step, "floor_s": floor, "overhead": step / floor - 1, "per_s": len(texts) / step})
    middle = float(np.median([each["overhead"] for each in results]))
    if as_json:
        sys.stdout.write(json.dumps({"runs": results, "median_overhead": middle}) + "\n")
    else:
        for each in results:
            sys.stdout.write(
                f"step {each['step_s']:.1f} s ({each['per_s']:.0f} instructions/s), floor {each['floor_s']:.1f} s, "
                f"overhead {each['overhead']:+.1%}\n"
            )
        sys.stdout.write(f"median overhead {middle:+.1%}, target at most {MOST_OVERHEAD:.0%}\n")
    if middle > MOST_OVERHEAD:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
