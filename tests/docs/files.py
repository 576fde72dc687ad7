"""Small files of battles, labels and leaderboards, under the names that the pages use."""

import gzip
import json
from pathlib import Path

import polars as pl

MODELS = ["gpt-4", "my-model", "other-model"]


def write(folder: Path) -> None:
    votes = _votes()
    votes.write_parquet(folder / "votes.parquet")
    (folder / "votes.csv.gz").write_bytes(gzip.compress(votes.write_csv().encode()))
    votes.write_ndjson(folder / "more.jsonl")
    people = votes.with_columns(category=pl.lit("math"))
    people.write_parquet(folder / "people.parquet")
    people.with_columns(winner=pl.lit("model_a")).write_parquet(folder / "judge.parquet")
    board = [
        {"model": name, "rating": 1000 + 50 * n, "lower": 980 + 50 * n, "upper": 1020 + 50 * n}
        for n, name in enumerate(MODELS)
    ]
    (folder / "ours.json").write_text(json.dumps(board))
    pl.DataFrame(board).write_csv(folder / "theirs.csv")
    (folder / "annotations.json").write_text(json.dumps(_annotations()))
    _pairs().write_parquet(folder / "pairs.parquet")


def _votes() -> pl.DataFrame:
    """Thirty votes on ten questions between three models, in two languages."""
    return pl.DataFrame(
        [
            {
                "question_id": f"q{n % 10}",
                "model_a": MODELS[n % 3],
                "model_b": MODELS[(n + 1) % 3],
                "winner": ["model_a", "model_b", "model_a", "tie"][n % 4],
                "language": ["English", "German"][n % 2],
            }
            for n in range(30)
        ]
    )


def _annotations() -> list[dict[str, object]]:
    """AlpacaEval's annotations of ten questions."""
    return [
        {
            "instruction": f"What is {n} + {n}?",
            "output_1": f"It is {2 * n}.",
            "generator_1": "gpt-4",
            "output_2": f"# Sum\n\nIt is **{2 * n + 1}**.",
            "generator_2": "my-model",
            "annotator": "people",
            "preference": 1 + (n % 3 == 0),
        }
        for n in range(10)
    ]


def _pairs() -> pl.DataFrame:
    """Ten pairs of answers with the label that people gave, and what a judge said."""
    return pl.DataFrame(
        [
            {
                "idx": n,
                "instruction": f"What is {n} + {n}?",
                "output_1": f"It is {2 * n}.",
                "output_2": f"It is {2 * n + 1}.",
                "gold": 1,
                "gpt35_verdict": 1 + (n % 5 == 0),
            }
            for n in range(10)
        ]
    )
