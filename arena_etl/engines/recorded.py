"""Answers that exist already: reference answers, or what a model that runs elsewhere said."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from arena_etl.engines.base import Completion, Order, Request, failed
from arena_etl.errors import InputError


class RecordedEngine:
    """Gives the answer stored under the request's key, unchanged; a blank answer is an error as everywhere else."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self._answers = answers
        self.request_settings: dict[str, Any] = {"engine": "recorded"}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            text = self._answers.get(request.key)
            if text is None:
                yield failed(request.key, "no recorded answer")
            elif not text.strip():
                yield failed(request.key, "empty completion")
            else:
                yield Completion(request.key, text, "recorded", None, None, None, 0.0)

    def close(self) -> None:
        """Nothing to give back."""


def create(order: Order) -> RecordedEngine:
    """For ``factory.open_engine``: the order's answers, else those of the file that the checkpoint names."""
    if order.answers is not None:
        return RecordedEngine(order.answers)
    answers = load_answers(Path(order.model.checkpoint))
    return RecordedEngine({f"{instruction}/{turn}": text for (instruction, turn), text in answers.items()})


def load_answers(path: Path) -> dict[tuple[str, int], str]:
    """Answers by (instruction_id, turn) from JSON Lines or Parquet with the columns instruction_id, turn, text.

    ``turn`` counts from 1 and is 1 where it is missing. Rows without text are no answers.
    Raises InputError which names the file and what is wrong: unreadable, a missing column, two answers to a turn.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file of recorded answers.")
    try:
        if path.suffix == ".parquet":
            rows = pl.read_parquet(path)
        elif path.suffix in (".jsonl", ".ndjson"):
            rows = pl.read_ndjson(path, infer_schema_length=None)
        else:
            raise InputError(f"{path}: recorded answers are .jsonl, .ndjson or .parquet files.")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path}: cannot be read as {path.suffix[1:]} ({error}).") from error
    missing = [name for name in ("instruction_id", "text") if name not in rows.columns]
    if missing:
        found = ", ".join(rows.columns) or "none"
        raise InputError(f"{path}: without the column {' and '.join(missing)} (found: {found}).")
    if "turn" not in rows.columns:
        rows = rows.with_columns(turn=pl.lit(1))
    types = {"instruction_id": pl.String, "turn": pl.Int64, "text": pl.String}
    wrong = [
        f"{name} is {rows.schema[name]}, not {'an integer' if kind == pl.Int64 else 'text'}"
        for name, kind in types.items()
        if not (rows.schema[name].is_integer() if kind == pl.Int64 else rows.schema[name] in (kind, pl.Null))
    ]
    if wrong:
        raise InputError(f"{path}: {'; '.join(wrong)}.")
    answers = rows.filter(pl.col("text").is_not_null()).select("instruction_id", pl.col("turn").fill_null(1), "text")
    if answers["instruction_id"].null_count():
        raise InputError(f"{path}: {answers['instruction_id'].null_count()} answers have no instruction_id.")
    double = answers.filter(pl.struct("instruction_id", "turn").is_duplicated())
    if len(double):
        identifier, turn, _ = double.row(0)
        raise InputError(f"{path}: more than one answer to instruction {identifier}, turn {turn}.")
    return {(identifier, turn): text for identifier, turn, text in answers.iter_rows()}
