"""Store, key and resume an arena of the paper's size without a model: what the pipeline itself adds to the calls.

30,000 instructions, four recorded contestants (120,000 answers), every pair in both orders (360,000 recorded verdicts; with
``--prompts`` those of a judge that answers at once, for which every prompt is made). Then everything again, which must find
every row by its key and ask for none.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from arena_etl import config as configuration
from arena_etl.config import Config, Judge, digest
from arena_etl.engines.base import Completion, Request
from arena_etl.flywheel import STEPS, do
from arena_etl.lake.delta import Lake
from arena_etl.steps import perform
from arena_etl.verdicts import judge
from arena_etl.verdicts.ask import ask
from arena_etl.verdicts.prompt import load_set

ROUND = "2026-01-01"
KEYS = (ROUND, "sft", "training")
NAMES = ("target", "rival-1", "rival-2", "rival-3")
ANSWER_WORDS = 150
VERDICTS = """
copy (
    with games as (
        select instruction_id, 1 as turn, a.name as model_a, b.name as model_b, shown_first
        from instructions, unnest($names::varchar[]) as a(name), unnest($names::varchar[]) as b(name),
            unnest(['model_a', 'model_b']) as s(shown_first)
        where a.name < b.name
    )
    select *, format('Score-A: {{}}\nScore-B: {{}}\nReason: none.', hash(games) % 10 + 1, hash(games) // 16 % 10 + 1) as raw_text
    from games
) to '{path}'
"""


class InstantJudge:
    """Scores that follow from the prompt, at once."""

    def __init__(self) -> None:
        self.request_settings: dict[str, Any] = {"engine": "instant"}
        self.calls = 0

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            self.calls += 1
            number = int(digest([message["content"] for message in request.messages])[:6], 16)
            text = f"Score-A: {number % 10 + 1}\nScore-B: {number // 10 % 10 + 1}\nReason: none."
            yield Completion(request.key, text, "stop", None, 700, 20, 0.0)

    def close(self) -> None:
        """Nothing to give back."""


def configured(folder: Path, instructions: int, prompts: bool = False) -> Config:
    """The source's file, and the configuration of a lake with recorded contestants and judge."""
    lines = (
        json.dumps(
            {
                "id": str(n),
                "license": "CC0-1.0",
                "category": "writing",
                "language": "en",
                "conversation": [
                    {"role": "user", "content": f"Write about the number {n}. " + "Say why it matters. " * 8}
                ],
            }
        )
        for n in range(instructions)
    )
    (folder / "train.jsonl").write_text("\n".join(lines))
    contestants = [{"name": n, "backend": "recorded", "checkpoint": str(folder / f"{n}.jsonl")} for n in NAMES]
    return configuration.load(
        flags={
            "root": str(folder / "lake"),
            "sources": [{"name": "train", "path": str(folder / "train.jsonl")}],
            "target": contestants[0],
            "rivals": contestants[1:],
            "judge": {"name": "instant", "checkpoint": "none", "verifiers": False}
            if prompts
            else {
                "name": "recorded",
                "backend": "recorded",
                "checkpoint": str(folder / "verdicts.parquet"),
                "verifiers": False,
            },
            "battles": {"slice_size": instructions},
        }
    )


def record(folder: Path, lake: Lake) -> None:
    """The recordings of the contestants and of the judge, for the instructions that the lake has."""
    with lake.connect(["instructions"]) as connection:
        connection.execute(VERDICTS.format(path=folder / "verdicts.parquet"), {"names": sorted(NAMES)})
        ids = [i for (i,) in connection.sql("select instruction_id from instructions").fetchall()]
    for name in NAMES:
        with (folder / f"{name}.jsonl").open("w") as out:
            for place, i in enumerate(ids):
                text = f"{name} on {place}: " + f"word{place % 97} " * ANSWER_WORDS
                out.write(json.dumps({"instruction_id": i, "turn": 1, "text": text}) + "\n")


def main(
    instructions: Annotated[int, typer.Option(help="Instructions; the paper's slices have 30,000.")] = 30_000,
    prompts: Annotated[bool, typer.Option(help="A judge that answers at once instead of a recorded one.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Seconds of every step, first and again, and the peak memory of the process."""
    engine = InstantJudge()

    def open_judge(config: Config, lake: Lake, asked: Judge) -> AbstractContextManager[judge.Rule]:
        return nullcontext(partial(ask, engine, load_set(asked.prompt)))

    if prompts:
        judge.open_judge = open_judge
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        config = configured(Path(folder), instructions, prompts)
        lake = Lake.open(config)
        for step in ("land", "prepare"):
            do(config, lake, step, "train")
        record(Path(folder), lake)
        do(config, lake, "draw", *KEYS[:2])
        for name in ("generate", "judge"):
            for work in ("store", "resume", "publish"):
                started = time.perf_counter()
                if work == "publish":
                    do(config, lake, name, *KEYS)
                else:
                    if work == "resume":  # as after a kill: the units are not marked as finished
                        STEPS[name].staging(config, lake, *KEYS).reopen()
                    perform(STEPS[name], config, lake, *KEYS)
                seconds[f"{name}: {work}"] = time.perf_counter() - started
                tqdm.write(f"{name}: {work} {seconds[f'{name}: {work}']:.1f} s", file=sys.stderr)
        with lake.connect(["responses", "verdicts"]) as connection:
            [counts] = connection.sql(
                "select (select count(*) from responses), (select count(*) from verdicts)"
            ).fetchall()
    if counts != (4 * instructions, 12 * instructions) or engine.calls != 12 * instructions * prompts:
        raise SystemExit(f"rows {counts}, judge calls {engine.calls}: not what {instructions:,} instructions need")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if as_json:
        print(json.dumps({"instructions": instructions, "seconds": seconds, "peak_mb": peak}))  # noqa: T201
        return
    for name, value in seconds.items():
        print(f"{name:20} {value:8.1f} s")  # noqa: T201
    print(f"{'all':20} {sum(seconds.values()):8.1f} s, peak {peak:,.0f} MB")  # noqa: T201


if __name__ == "__main__":
    typer.run(main)
