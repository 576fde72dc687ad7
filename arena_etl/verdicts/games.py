"""The games that a judge still owes an arena, streamed instruction by instruction (sql/verdicts/due_games.sql)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import duckdb
import pyarrow as pa

from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import Staging
from arena_etl.verdicts.prompt import Exchange

Side = Literal["model_a", "model_b"]
ITEMS_AT_ONCE = 64


@dataclass(frozen=True)
class Game:
    """One ordered pair of answers to one turn; ``exchanges`` hold the dialogue in the order shown."""

    instruction_id: str
    turn: int
    model_a: str
    model_b: str
    shown_first: Side
    response_a: str | None
    response_b: str | None
    category: str
    reference: str | None
    checker: dict[str, Any] | None
    exchanges: tuple[Exchange, ...] | None  # None: a contestant has no answer

    @property
    def key(self) -> str:
        return "|".join((self.instruction_id, str(self.turn), self.model_a, self.model_b, self.shown_first))

    @property
    def identical(self) -> bool:
        """Both contestants said the same throughout the dialogue, so that nothing can be preferred."""
        return self.exchanges is not None and all(each.answer_a == each.answer_b for each in self.exchanges)


@dataclass(frozen=True)
class Due:
    """``kept``: the partition's verdicts that still hold. ``total``: games of the unit; ``count``: those still due."""

    kept: pa.Table
    total: int
    count: int
    _connection: duckdb.DuckDBPyConnection

    def games(self) -> Iterator[Game]:
        """The due games: an instruction's together, those that show the same answer first next to each other."""
        items = self._connection.sql("select * from due_games order by instruction_id, turn")
        for batch in items.to_arrow_reader(ITEMS_AT_ONCE):
            for item in batch.to_pylist():
                yield from _games(item)


@contextmanager
def due_games(
    lake: Lake,
    staging: Staging,
    judge_id: str,
    pairs: Sequence[tuple[str, str]],
    *,
    version: str | None,
    checked: bool | None,
    shard: int,
    shards: int,
) -> Iterator[Due]:
    """What a judge has done and still owes in the staging's partition. ``pairs``: contestant_ids, the smaller first.

    ``version``: of the built WizardArena sets that the test arena is; None: what the sources call so.
    ``checked``: True for turns with a checker, False for those without, None for all. Read the games inside the ``with``.
    """
    round_, stage, arena = staging.partition.values
    parameters: dict[str, Any] = {
        "round": round_,
        "stage": stage,
        "arena": arena,
        "judge_id": judge_id,
        "version": version,
        "checked": checked,
        "shard": shard,
        "shards": shards,
    }
    names = pa.schema([("model_a", pa.string()), ("model_b", pa.string())])
    with lake.connect(["instructions", "slices", "wizard_arena", "responses", "verdicts"]) as connection:
        connection.register("staged", staging.read())
        connection.register(
            "pairs", pa.Table.from_pylist([dict(zip(names.names, p, strict=True)) for p in pairs], names)
        )
        for name, file in (
            ("arena_instructions", "instructions/arena"),
            ("shard", "verdicts/shard"),
            ("standing_answers", "verdicts/standing_answers"),
        ):
            sql.materialize(connection, name, file, **parameters)
        kept = sql.run(connection, "verdicts/kept_verdicts", **parameters).to_arrow_table()
        sql.materialize(connection, "due_games", "verdicts/due_games", **parameters)
        [(count,)] = connection.sql("select coalesce(sum(len(games)), 0)::bigint from due_games").fetchall()
        yield Due(kept, count + kept.num_rows, count, connection)


def _games(item: Mapping[str, Any]) -> Iterator[Game]:
    texts = {answer["contestant_id"]: answer["texts"] for answer in item["answers"]}
    checker = json.loads(item["checker"]) if item["checker"] else None
    for game in item["games"]:
        sides = ("model_a", "model_b") if game["shown_first"] == "model_a" else ("model_b", "model_a")
        first, second = (texts[game[side]] for side in sides)
        complete = None not in first and None not in second
        exchanges = (
            tuple(Exchange(*each) for each in zip(item["instructions"], first, second, strict=True))
            if complete
            else None
        )
        yield Game(
            item["instruction_id"],
            item["turn"],
            game["model_a"],
            game["model_b"],
            game["shown_first"],
            game["response_a"],
            game["response_b"],
            item["category"],
            item["reference"],
            checker,
            exchanges,
        )
