"""Planted copies of AlpacaEval's prompts in real training data: which of them are found, how, and what else is removed.

By default near-duplicates (other case and punctuation, a politeness before and after) and paraphrases made by rule (other verbs
and phrases). With ``--harder``: paraphrases in another frame, copies with one word changed, copies inside a longer text.
Needs the published instructions beside the project.
"""

import json
import re
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer
from near_duplicates import Timing, fill, settle
from published import INSTRUCTIONS

from arena_etl import config as configuration
from arena_etl.config import Config, Decontamination, digest
from arena_etl.lake.delta import Lake

DEFAULT = Decontamination()
EXAMPLES = 10  # of copies that stay
FRAME = (
    "The kitchen was quiet when the letter came. Somebody had written on the back of it: {} Nobody knew what to answer."
)
WORDS = {
    "write": "compose", "explain": "make clear", "describe": "give an account of", "list": "enumerate", "give": "provide",
    "create": "put together", "make": "prepare", "find": "look up", "tell": "let know", "suggest": "propose",
    "tell me": "let me know", "summarize": "sum up", "generate": "produce", "help": "assist", "need": "require",
    "want": "would like", "best": "finest", "good": "decent", "important": "significant", "difference": "distinction",
    "example": "instance", "examples": "instances", "story": "tale", "people": "persons", "big": "large", "small": "little",
    "short": "brief", "about": "concerning", "following": "below", "given": "provided", "use": "employ", "using": "employing",
    "how do i": "in what way can i", "how can i": "by what means could i", "what is": "what exactly is",
    "what are": "which are", "can you": "could you", "why": "for what reason", "some": "a few", "steps": "stages",
    "way": "method", "ways": "methods", "idea": "thought", "ideas": "thoughts", "new": "novel", "name": "title",
    "question": "query", "answer": "reply", "sentence": "phrase",
}  # fmt: skip


def punctuation(text: str) -> str:
    return re.sub(r"[.,;:!?]", " - ", text).upper()


def politeness(text: str) -> str:
    return f"Please: {text} Thanks!"


def one_word(text: str) -> str:
    words = text.split()
    words[len(words) // 2] = "whatever"
    return " ".join(words)


def inside(text: str) -> str:
    return FRAME.format(text)


def paraphrase(text: str) -> str:
    """Every word and phrase of the list in other words."""
    known = "|".join(sorted(map(re.escape, WORDS), key=len, reverse=True))
    return re.sub(rf"\b({known})\b", lambda found: WORDS[found.group().lower()], text, flags=re.IGNORECASE)


def framed(text: str) -> str:
    other = paraphrase(text)
    return f"I have this request: {other[0].lower()}{other[1:]}"


PLANTED = (punctuation, politeness, paraphrase)
HARDER = (framed, one_word, inside)


def main(
    data: Annotated[Path, typer.Option(help="Parquet with source, instruction and input.")] = INSTRUCTIONS,
    background: Annotated[int, typer.Option(help="Other training instructions, at random; 0: all.")] = 5_000,
    items: Annotated[int, typer.Option(help="AlpacaEval prompts, at random; 0: all.")] = 0,
    similarity: Annotated[float, typer.Option(help="See decontamination.similarity.")] = DEFAULT.similarity,
    neighbours: Annotated[
        int, typer.Option(help="See decontamination.neighbours; 0: no embeddings.")
    ] = DEFAULT.neighbours,
    harder: Annotated[
        bool, typer.Option(help="Plant other copies: framed, with one word changed, inside a text.")
    ] = False,
) -> None:
    """Print, per kind, the share of planted rows that are removed and by what, and the rest that is removed."""
    tests = texts(data, "source = 'alpaca_eval'", items)
    same = {identity(text) for text in tests}
    others = [text for text in texts(data, "source <> 'alpaca_eval'", background) if identity(text) not in same]
    planted = {
        kind.__name__: [copy for text in tests if (copy := kind(text)) != text]
        for kind in (HARDER if harder else PLANTED)
    }
    with tempfile.TemporaryDirectory() as folder:
        names = ("train", "alpaca-eval")
        config = configuration.load(
            flags={
                "root": f"{folder}/lake",
                "sources": [
                    {"name": name, "path": "none", "split": split, "license": "CC0-1.0"}
                    for name, split in zip(names, ("train", "benchmark"), strict=True)
                ],
                "decontamination": {"similarity": similarity, "neighbours": neighbours},
            }
        )
        fill(
            config, [[*others, *(text for copies in planted.values() for text in copies)]], names[0], datetime.now(UTC)
        )
        known = {identity(text) for text in others}
        fill(
            config, [[text for text in tests if identity(text) not in known]], names[1], datetime.now(UTC), "benchmark"
        )
        seconds = {}
        for step in (*(["embed"] if neighbours else []), "sign", "decontaminate", "deduplicate"):
            timing = Timing()
            for name in names:
                settle(config, step, name)
            timing.stop()
            seconds[step] = timing.found()
        result = {"items": len(tests), "background": len(others), "steps": seconds, **recall(config, planted, others)}
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def texts(data: Path, condition: str, rows: int) -> list[str]:
    """Distinct texts, in a random order that is always the same."""
    found = duckdb.sql(
        f"select trim(concat_ws(chr(10), instruction, input)) as text from '{data}' where {condition} group by text "
        f"having text <> '' order by md5(text) limit {rows or 10**9}"
    ).fetchall()
    return [text for (text,) in found]


def identity(text: str) -> str:
    return digest([{"role": "user", "content": text}])


def recall(config: Config, planted: dict[str, list[str]], others: list[str]) -> dict[str, Any]:
    with Lake.open(config).connect() as connection:
        ways: dict[str, set[str]] = {}
        for way, instruction_id in connection.sql(
            "select method, instruction_id from contamination union select 'near_duplicate', instruction_id from near_duplicates"
        ).fetchall():
            ways.setdefault(way, set()).add(instruction_id)
    removed = set[str]().union(*ways.values())
    result: dict[str, Any] = {}
    for kind, copies in [*planted.items(), ("background", others)]:
        ids = {identity(text) for text in copies}
        left = [text for text in copies if identity(text) not in removed]
        share = {way: round(len(ids & found) / len(ids), 4) for way, found in sorted(ways.items())}
        result[kind] = {"rows": len(ids), "removed": round(len(ids & removed) / len(ids), 4), **share}
        if kind != "background":
            result[kind]["left"] = left[:EXAMPLES]
    return {"found": result}


if __name__ == "__main__":
    typer.run(main)
