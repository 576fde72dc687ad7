"""A judge whose words exist already: the texts of stored verdicts, read like those of a judge that answers now."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb

from arena_etl.config import Judge
from arena_etl.errors import InputError
from arena_etl.verdicts.ask import Question, Ruling
from arena_etl.verdicts.parse import PARSERS
from arena_etl.verdicts.prompt import PromptSet

_READERS = {".parquet": "read_parquet", ".jsonl": "read_json_auto", ".ndjson": "read_json_auto", ".csv": "read_csv"}


class RecordedVerdicts:
    """Gives the text stored for a game, and asks nobody again.

    The file (Parquet, JSON Lines or CSV) has the columns of ``verdicts``: instruction_id, turn, model_a, model_b (contestant_ids,
    or the names that they begin with), shown_first and raw_text. A game without a row is an ``engine_error``.
    Raises InputError which names the file and what is wrong: unreadable, a missing column, two texts of one game.
    """

    def __init__(self, path: Path, prompts: PromptSet) -> None:
        self._prompts = prompts
        self._texts = _load(path)

    def rule(self, questions: Iterable[Question]) -> Iterator[Ruling]:
        """Yield one ruling per question. Keys of questions are those of ``games.Game``."""
        for question in questions:
            text = self._texts.get(question.key) or self._texts.get(_by_name(question.key))
            yield Ruling(
                key=question.key,
                raw_text=text,
                first_text=None,
                error=None if text is not None else "no recorded verdict",
                parsed=PARSERS[self._prompts.parser](text),
                attempts=1,
                tokens_in=0,
                tokens_out=0,
                prompt_hash=self._prompts.variant(question.category).hash,
            )


def sha256(judge: Judge) -> str:
    """Of the judge's file: other contents are another judge. Raises InputError when it cannot be read."""
    try:
        with Path(judge.checkpoint).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"judge {judge.name}: its recorded verdicts cannot be read: {error}") from error


def _by_name(key: str) -> str:
    """The key with names in place of contestant_ids (name-hash)."""
    instruction, turn, model_a, model_b, shown_first = key.split("|")
    return "|".join((instruction, turn, model_a.rpartition("-")[0], model_b.rpartition("-")[0], shown_first))


def _load(path: Path) -> dict[str, str]:
    reader = _READERS.get(path.suffix)
    if reader is None or not path.is_file():
        raise InputError(f"{path}: recorded verdicts are an existing file that ends in {', '.join(_READERS)}.")
    with duckdb.connect() as connection:
        try:
            rows = connection.execute(
                f"""
                select concat_ws('|', instruction_id, turn, model_a, model_b, shown_first) as key, max(raw_text), count(*)
                from {reader}($path) where raw_text is not null group by all
                """,
                {"path": str(path)},
            ).fetchall()
        except duckdb.Error as error:
            raise InputError(
                f"{path}: cannot be read as recorded verdicts ({str(error).partition(chr(10))[0]}). It needs the columns "
                "instruction_id, turn, model_a, model_b, shown_first and raw_text."
            ) from error
    if double := next((key for key, _, count in rows if count > 1), None):
        raise InputError(f"{path}: more than one text of the game {double}.")
    return {key: text for key, text, _ in rows}
