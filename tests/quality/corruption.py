"""Seeded rounds without a model, and faults to inject into their tables: the material of the corruption suite.

Answers and verdicts are drawn from a seed; slices, battles, examples, decisions, ratings and win rates are made of them by the
real steps. A fault changes one table of the last round, and names the expectation that is there to catch it.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from arena_etl import config as configuration
from arena_etl.config import Config, digest
from arena_etl.contestants import roster, trained_contestant
from arena_etl.flywheel import STEPS
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.releases import release
from arena_etl.lake.tables import TABLES
from arena_etl.quality import measures
from arena_etl.quality.gate import Audit, audit
from arena_etl.quality.publish import limits
from arena_etl.rounds import TRAINING, WIZARD_ARENA
from arena_etl.steps import perform
from arena_etl.verdicts.judge import judge_id

STAGE = "sft"
SLICE, TESTS = 24, 24
CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
STRENGTHS = {"target": 3.5, "rival-1": 6.5, "rival-2": 5.5, "candidate": 5.5}
VOCABULARY = (
    "the of and to a in is that it for you with on as are this be by or an can from your not "
    "answer question number river mountain reason because value system person moment simple careful result energy "
    "history letter garden market window paper signal method effect model sample theory"
)
Row = dict[str, Any]
Batches = dict[str, pa.Table]


def settings(root: Path) -> Config:
    return configuration.load(
        flags={
            "root": str(root),
            "stages": [STAGE],
            "sources": [{"name": "train", "path": "t.jsonl"}],
            "target": {"name": "target", "checkpoint": "x"},
            "rivals": [{"name": f"rival-{n}", "checkpoint": "x", "sampling": {"seed": n}} for n in (1, 2)],
            "judge": {"name": "judge", "checkpoint": "x", "verifiers": False},
            "battles": {"slice_size": SLICE},
            "selection": {"sft_margins": [1.0]},
            "ratings": {"resamples": 100, "breakdowns": [], "methods": ["elo", "bradley_terry"]},
            "promotion": {"min_instructions": 10},
            "quality": {"judge_card": "ignore"},
        }
    )


def date(number: int) -> str:
    return (datetime(2026, 1, 1) + timedelta(days=number)).date().isoformat()


def sentence(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(VOCABULARY.split(), k=words)).capitalize() + "."


def trained(number: int) -> Row:
    """A training instruction."""
    return _instruction(number, "train")


def tested(number: int) -> Row:
    """An instruction of the test set."""
    return _instruction(1_000_000 + number, "wizard_diverse")


def _instruction(number: int, split: str) -> Row:
    turn = {"role": "user", "content": f"Question {number}: {sentence(random.Random(number), 12)}"}
    return {
        "instruction_id": digest([turn]),
        "source": "train",
        "source_id": str(number),
        "license": "CC0-1.0",
        "conversation": [turn],
        "turns": 1,
        "language": "en",
        "category": CATEGORIES[number % len(CATEGORIES)],
        "split": split,
        "loaded_at": datetime(2026, 1, 1, tzinfo=UTC),
    }


class Rounds:
    """A lake that holds seeded rounds; the newest is not released. ``batches``: its tables, by name and arena."""

    def __init__(self, root: Path, most: int, seed: int = 0) -> None:
        self.config = settings(root)
        self.lake = Lake.open(self.config)
        self._random = random.Random(seed)
        rows = [*(trained(n) for n in range(most * SLICE)), *(tested(n) for n in range(TESTS))]
        instructions = pa.Table.from_pylist(rows, schema=TABLES["instructions"].arrow_schema())
        self._commit(Partition("instructions", ("train",)), instructions)
        self.batches: Batches = {}
        self.steps: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.round = ""

    def play(self, number: int) -> Iterator[tuple[str, tuple[str, ...], pa.Table]]:
        """One round: every batch before it is committed, as (step, keys, rows). The round before is released."""
        if self.round:
            release(self.lake, self.config, self.round, "test", "seeded")
        self.round, self.batches = date(number), {}
        training, test = (self.round, STAGE, TRAINING), (self.round, STAGE, WIZARD_ARENA)
        yield from self._staged("draw", training[:2])
        for keys in (training, test):
            if keys == test:
                yield from self._made("train", keys[:2], self._run())
                yield from self._staged("register", keys[:2])
            yield from self._made("generate", keys, self._responses(keys))
            yield from self._made("judge", keys, self._verdicts(keys))
            yield from self._staged("merge", keys)
            if keys == training:
                yield from self._staged("select", keys[:2])
        yield from self._staged("promote", training[:2])
        yield from self._staged("rate", training[:1])
        yield from self._staged("win_rates", training[:1])

    def _staged(self, step: str, keys: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], pa.Table]]:
        """What the real step makes of what is there."""
        perform(STEPS[step], self.config, self.lake, *keys)
        staging = STEPS[step].staging(self.config, self.lake, *keys)
        batch = staging.read()
        staging.clear()
        yield from self._made(step, keys, batch)

    def _made(
        self, step: str, keys: tuple[str, ...], batch: pa.Table
    ) -> Iterator[tuple[str, tuple[str, ...], pa.Table]]:
        table = STEPS[step].table
        yield step, keys, batch
        name = "/".join((table, *keys[2:]))
        self.batches[name], self.steps[name] = batch, (step, keys)
        self._commit(Partition(table, keys), batch)

    def _commit(self, partition: Partition, batch: pa.Table) -> None:
        self.lake.commit(partition, batch, 1, {})

    def _text(self, words: int) -> str:
        return sentence(self._random, words)

    def _turns(self, keys: tuple[str, ...]) -> list[str]:
        with self.lake.connect(["instructions", "slices", "wizard_arena"]) as connection:
            found = sql.run(
                connection,
                "instructions/arena",
                version=None,
                **dict(zip(("round", "stage", "arena"), keys, strict=True)),
            )
            return [row[0] for row in found.fetchall()]

    def _now(self) -> datetime:
        return datetime.fromisoformat(f"{self.round}T02:00:00+00:00")

    def _responses(self, keys: tuple[str, ...]) -> pa.Table:
        rows = []
        owed = [(i, e.contestant_id) for e in roster(self.config, self.lake, *keys) for i in self._turns(keys)]
        with self.lake.connect(["responses"]) as connection:  # rivals and champion have answered the test set before
            done = set(connection.sql("select instruction_id, contestant_id from responses").fetchall())
        for instruction_id, contestant_id in owed:
            if (instruction_id, contestant_id) in done:
                continue
            text = self._text(self._random.randint(30, 60))
            tokens = round(len(text) / 4.5)
            rows.append(
                {
                    **dict(zip(("round", "stage", "arena"), keys, strict=True)),
                    "instruction_id": instruction_id,
                    "contestant_id": contestant_id,
                    "turn": 1,
                    "response_id": digest([instruction_id, contestant_id, text]),
                    "text": text,
                    "finish_reason": "length" if self._random.random() < 0.1 else "stop",
                    "tokens_in": 20,
                    "tokens_out": tokens,
                    "latency_s": 0.1,
                    "cost_usd": 0.0,
                    "request": "{}",
                    "created_at": self._now(),
                }
            )
        return pa.Table.from_pylist(rows, schema=TABLES["responses"].arrow_schema())

    def _verdicts(self, keys: tuple[str, ...]) -> pa.Table:
        """Both orders of every pair that was not judged before; the answer shown first gets a little more now and then."""
        entrants = sorted(roster(self.config, self.lake, *keys), key=lambda entrant: entrant.contestant_id)
        role = {e.contestant_id: e.contestant.name if e.role == "rival" else e.role for e in entrants}
        with self.lake.connect(["responses", "verdicts"]) as connection:
            answers = {
                (i, c): r
                for i, c, r in connection.sql(
                    "select instruction_id, contestant_id, response_id from responses"
                ).fetchall()
            }
            done = set(connection.sql("select response_a, response_b from verdicts").fetchall())
        rows = []
        for instruction_id in self._turns(keys):
            for index, a in enumerate(entrants):
                for b in entrants[index + 1 :]:
                    pair = tuple(answers[instruction_id, each.contestant_id] for each in (a, b))
                    if pair in done:
                        continue
                    means = [self._random.gauss(STRENGTHS[role[each.contestant_id]], 1.5) for each in (a, b)]
                    for first in ("model_a", "model_b"):
                        scores = [
                            min(10.0, max(1.0, float(round(self._random.gauss(mean, 0.7) + 0.2 * (first == side)))))
                            for mean, side in zip(means, ("model_a", "model_b"), strict=True)
                        ]
                        read = self._random.random() > 0.01
                        rows.append(
                            {
                                **dict(zip(("round", "stage", "arena"), keys, strict=True)),
                                "instruction_id": instruction_id,
                                "turn": 1,
                                "model_a": a.contestant_id,
                                "model_b": b.contestant_id,
                                "shown_first": first,
                                "judge_id": judge_id(self.config.judge),
                                "judge_kind": "model",
                                "response_a": pair[0],
                                "response_b": pair[1],
                                "raw_text": "{:g} {:g}".format(*scores) if read else "?",
                                "score_a": scores[0] if read else None,
                                "score_b": scores[1] if read else None,
                                "parse_status": "ok" if read else "no_scores",
                                "attempts": 1,
                                "tokens_in": 200,
                                "tokens_out": 10,
                                "latency_s": 0.1,
                                "cost_usd": 0.0,
                                "prompt_hash": "0" * 64,
                                "created_at": self._now(),
                            }
                        )
        return pa.Table.from_pylist(rows, schema=TABLES["verdicts"].arrow_schema())

    def _run(self) -> pa.Table:
        with self.lake.connect(["training_sets"]) as connection:
            [(examples,)] = connection.execute(
                "select count(*) from training_sets where round = ?", [self.round]
            ).fetchall()
        checkpoint = f"lake:checkpoints/{self.round}"
        losses = [2.0 - 0.08 * step + self._random.gauss(0, 0.02) for step in range(12)]
        curve = [
            {"step": step, "loss": loss, "learning_rate": 1e-5, "grad_norm": 1.0}
            for step, loss in enumerate(losses, start=1)
        ]
        row = {
            "round": self.round,
            "stage": STAGE,
            "run_id": f"{self.round}-{STAGE}",
            "parent": self.config.target.contestant_id,
            "candidate": trained_contestant(self.config, self.round, STAGE, checkpoint).contestant_id,
            "status": "trained",
            "examples": examples,
            "steps": len(curve),
            "effective_batch_size": 8,
            "hyperparameters": "{}",
            "versions": "{}",
            "data_version": 0,
            "data_sha256": "0" * 64,
            "config_hash": "0" * 64,
            "curve": curve,
            "first_loss": losses[0],
            "last_loss": sum(losses[-3:]) / 3,
            "checkpoint": checkpoint,
            "seconds": 1.0,
            "created_at": self._now(),
        }
        return pa.Table.from_pylist([row], schema=TABLES["training_runs"].arrow_schema())


def inspect(rounds: Rounds, step: str, keys: tuple[str, ...], batch: pa.Table) -> Audit:
    """The audit that stands between the step and its readers; its figures go on record, as they do there."""
    config, lake = rounds.config, rounds.lake
    partition = Partition(STEPS[step].table, keys)
    figures = measures.measure(config, lake, step, partition, batch)
    result, _ = audit(
        partition.declaration,
        batch,
        limits(config, lake, partition, batch),
        config.quality.max_quarantine_share,
        partition={} if partition.declaration.append else partition.columns,
        measures=figures,
    )
    return result


def remember(rounds: Rounds, step: str, keys: tuple[str, ...], batch: pa.Table) -> None:
    """Put the batch's figures on record: what later rounds are compared with."""
    partition = Partition(STEPS[step].table, keys)
    figures = measures.measure(rounds.config, rounds.lake, step, partition, batch)
    if figures is not None:
        measures.record(rounds.lake, partition, figures, f"{partition.key}/seeded", datetime.now(UTC))


# Faults

Change = Callable[[pa.Table, random.Random], pa.Table]


@dataclass(frozen=True)
class Fault:
    """``batch``: which batch of the round it is injected into. ``gate``: part of the name of the expectation to catch it."""

    name: str
    batch: str
    gate: str
    change: Change


def rewrite(column: str, value: Callable[[Row, random.Random], Any], share: float = 1.0) -> Change:
    """Give a share of the rows another value."""

    def change(batch: pa.Table, chance: random.Random) -> pa.Table:
        rows = batch.to_pylist()
        for row in chance.sample(rows, max(1, round(share * len(rows)))):
            row[column] = value(row, chance)
        return pa.Table.from_pylist(rows, schema=batch.schema)

    return change


def rows_where(keep: Callable[[int, Row], bool]) -> Change:
    def change(batch: pa.Table, chance: random.Random) -> pa.Table:
        rows = [row for index, row in enumerate(batch.to_pylist()) if keep(index, row)]
        return pa.Table.from_pylist(rows, schema=batch.schema)

    return change


def swap(first: str, second: str) -> Change:
    def change(batch: pa.Table, chance: random.Random) -> pa.Table:
        columns = {name: batch[name] for name in batch.column_names}
        columns[first], columns[second] = columns[second], columns[first]
        return pa.table(columns, schema=batch.schema)

    return change


def twice(batch: pa.Table, chance: random.Random) -> pa.Table:
    return pa.concat_tables([batch, batch.slice(0, batch.num_rows // 2)])


def extra(change: Change) -> Change:
    """A further row that is a changed copy of the first."""
    return lambda batch, chance: pa.concat_tables([batch, change(batch.slice(0, 1), chance)])


def set_value(column: str, value: Any, share: float = 1.0) -> Change:
    return rewrite(column, lambda row, chance: value, share)


def first_contestant(batch: pa.Table, change: Callable[[Row], None]) -> pa.Table:
    rows = batch.to_pylist()
    name = min(row["contestant_id"] for row in rows)
    for row in rows:
        if row["contestant_id"] == name:
            change(row)
    return pa.Table.from_pylist(rows, schema=batch.schema)


def of_first(column: str, value: Callable[[Row], Any]) -> Change:
    return lambda batch, chance: first_contestant(batch, lambda row: row.__setitem__(column, value(row)))


def copied_answers(batch: pa.Table, chance: random.Random) -> pa.Table:
    rows = batch.to_pylist()
    names = sorted({row["contestant_id"] for row in rows})
    texts = {row["instruction_id"]: row["text"] for row in rows if row["contestant_id"] == names[0]}
    for row in rows:
        if row["contestant_id"] == names[1]:
            row["text"] = texts[row["instruction_id"]]
    return pa.Table.from_pylist(rows, schema=batch.schema)


def nan_in_the_middle(batch: pa.Table, chance: random.Random) -> pa.Table:
    rows = batch.to_pylist()
    rows[0]["curve"][5]["loss"] = float("nan")
    return pa.Table.from_pylist(rows, schema=batch.schema)


def rising_loss(batch: pa.Table, chance: random.Random) -> pa.Table:
    rows = batch.to_pylist()
    losses = sorted(step["loss"] for step in rows[0]["curve"])
    for step, loss in zip(rows[0]["curve"], losses, strict=True):
        step["loss"] = loss
    return pa.Table.from_pylist(rows, schema=batch.schema)


def shifted(row: Row, column: str, by: float) -> float | None:
    return None if row[column] is None else min(10.0, row[column] + by)


def both_scores(by: float) -> Change:
    def change(batch: pa.Table, chance: random.Random) -> pa.Table:
        for column in ("score_a", "score_b"):
            batch = rewrite(column, lambda row, _, column=column: shifted(row, column, by))(batch, chance)
        return batch

    return change


def favour_first(row: Row, column: str) -> float | None:
    """Scores of a judge that reads nothing but the first answer."""
    return None if row[column] is None else 9.0 if column[-1] == row["shown_first"][-1] else 2.0


def position_bias(batch: pa.Table, chance: random.Random) -> pa.Table:
    for column in ("score_a", "score_b"):
        batch = rewrite(column, lambda row, _, column=column: favour_first(row, column))(batch, chance)
    return batch


def equal_scores(batch: pa.Table, chance: random.Random) -> pa.Table:
    return rewrite("score_b", lambda row, _: row["score_a"])(batch, chance)


def truncated(row: Row, chance: random.Random) -> str:
    return str(row["text"][: max(3, len(row["text"]) // 6)])


GERMAN = "und dann ging der Mann mit seinem Hund durch den Wald zu dem alten Haus am Fluss weil es regnete"
NEXT_ROUND = "2027-01-01"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2100, 1, 1, tzinfo=UTC)
A, T = "responses/training", "verdicts/training"


def drop_first_contestant(batch: pa.Table, chance: random.Random) -> pa.Table:
    name = min(batch["contestant_id"].to_pylist())
    return batch.filter(pc.not_equal(batch["contestant_id"], name))


def leaked_prompt(batch: pa.Table, chance: random.Random) -> pa.Table:
    """A test question in other case and spacing, under the id of a training instruction."""
    rows = batch.to_pylist()
    [turn] = tested(0)["conversation"]
    rows[0]["prompt"] = [{"role": "user", "content": f"  {turn['content'].upper()} "}]
    return pa.Table.from_pylist(rows, schema=batch.schema)


FAULTS = (
    Fault("a shard of answers is dropped", A, "(missing)", rows_where(lambda i, row: i % 4 > 0)),
    Fault("a contestant's answers are missing", A, "(missing)", drop_first_contestant),
    Fault("no answers at all", A, "(missing)", rows_where(lambda i, row: False)),
    Fault("answers are there twice", A, "compound_columns_to_be_unique", twice),
    Fault(
        "answers of a model that does not fight",
        A,
        "(strangers)",
        of_first("contestant_id", lambda r: "ghost-00000001"),
    ),
    Fault(
        "answers to instructions of another slice",
        A,
        "(astray)",
        rewrite("instruction_id", lambda r, c: digest(r["instruction_id"]), 0.2),
    ),
    Fault("answers of another round", A, "partition", set_value("round", NEXT_ROUND)),
    Fault("answers of another arena", A, "partition", set_value("arena", WIZARD_ARENA, 0.1)),
    Fault("a model answers nothing", A, "(empty_rate)", of_first("text", lambda r: " ")),
    Fault(
        "a model gives one answer to everything",
        A,
        "(repeated_share)",
        of_first("text", lambda r: "As asked, the answer is as follows."),
    ),
    Fault("two models say the same", A, "(copied_share)", copied_answers),
    Fault(
        "a model refuses",
        A,
        "(refusal_rate)",
        of_first("text", lambda r: f"I'm sorry, but I can't help with {r['instruction_id'][:9]}."),
    ),
    Fault(
        "answers in another language",
        A,
        "(off_language_rate)",
        of_first("text", lambda r: f"{r['instruction_id'][:6]} {GERMAN}"),
    ),
    Fault("texts are truncated", A, "(chars_per_token_deviation)", rewrite("text", truncated)),
    Fault(
        "answers are ten times as long", A, "(mean_chars_deviation)", rewrite("text", lambda r, c: f"{r['text']} " * 10)
    ),
    Fault("all answers are cut off", A, "(cut_rate_deviation)", set_value("finish_reason", "length")),
    Fault(
        "answers end in errors",
        A,
        "(error)",
        lambda b, c: set_value("finish_reason", "error")(
            set_value("text", None)(set_value("error", "timeout")(b, c), c), c
        ),
    ),
    Fault(
        "an error that also has a text",
        A,
        "be_null(text)/error",
        extra(
            lambda b, c: set_value("finish_reason", "error")(
                set_value("error", "timeout")(set_value("turn", 9)(b, c), c), c
            )
        ),
    ),
    Fault("stale answers of a year ago", A, "(early_rows)", set_value("created_at", LONG_AGO)),
    Fault("answers from the future", A, "(late_rows)", set_value("created_at", FAR_AHEAD)),
    Fault(
        "a column changed its type",
        A,
        "schema",
        lambda b, c: b.set_column(b.column_names.index("turn"), "turn", b["turn"].cast("string")),
    ),
    Fault("a column is gone", A, "schema", lambda b, c: b.drop_columns("request")),
    Fault("the request is no JSON", A, "json_parseable(request)", set_value("request", "{", 0.1)),
    Fault("negative token counts", A, "between(tokens_out)", set_value("tokens_out", -1, 0.1)),
    Fault("a shard of verdicts is dropped", T, "(missing)", rows_where(lambda i, row: i % 6 > 1)),
    Fault("one order is missing", T, "(one_order)", rows_where(lambda i, row: row["shown_first"] == "model_a")),
    Fault("verdicts are there twice", T, "compound_columns_to_be_unique", twice),
    Fault("the model columns are swapped", T, "greater_than_b(model_b, model_a)", swap("model_a", "model_b")),
    Fault("the answer columns are swapped", T, "(orphans)", swap("response_a", "response_b")),
    Fault(
        "verdicts on answers that are not there",
        T,
        "(orphans)",
        rewrite("response_a", lambda r, c: digest(r["response_a"]), 0.1),
    ),
    Fault("verdicts of another round", T, "partition", set_value("round", NEXT_ROUND)),
    Fault("scores outside the scale", T, "between(score_a)", set_value("score_a", 70.0, 0.05)),
    Fault(
        "scores on a scale of 100",
        T,
        "quarantine_share",
        lambda b, c: rewrite("score_a", lambda r, _: r["score_a"] and r["score_a"] * 10)(b, c),
    ),
    Fault("scores are shifted", T, "(mean_score_deviation)", both_scores(3.0)),
    Fault(
        "scores beside a failed parse",
        T,
        "be_null(score_a)/not-ok",
        extra(lambda b, c: set_value("turn", 9)(set_value("parse_status", "cut")(b, c), c)),
    ),
    Fault(
        "verdicts do not parse",
        T,
        "parse-rate",
        lambda b, c: set_value("score_a", None)(
            set_value("score_b", None)(set_value("parse_status", "no_scores")(b, c), c), c
        ),
    ),
    Fault("the judge sees only the first answer", T, "(first_share)", position_bias),
    Fault("the two orders contradict each other", T, "(disagreement_rate)", position_bias),
    Fault("every game is a tie", T, "(tie_rate)", equal_scores),
    Fault(
        "one side always wins",
        T,
        "(top_result_share)",
        lambda b, c: set_value("score_a", 9.0)(set_value("score_b", 2.0)(b, c), c),
    ),
    Fault(
        "every answer gets the same score",
        T,
        "(score_spread)",
        lambda b, c: set_value("score_a", 5.0)(set_value("score_b", 5.0)(b, c), c),
    ),
    Fault("half of the answers talk to the judge", T, "steering", set_value("flags", "model_a:scores", 0.5)),
    Fault("stale verdicts", T, "(early_rows)", set_value("created_at", LONG_AGO)),
    Fault("a battle is dropped", "battles/training", "(unmerged)", rows_where(lambda i, row: i > 0)),
    Fault(
        "a battle that nobody judged",
        "battles/training",
        "(orphans)",
        extra(lambda b, c: set_value("instruction_id", "f" * 64)(set_value("battle_id", "f" * 32)(b, c), c)),
    ),
    Fault(
        "means that are not those of the games",
        "battles/training",
        "(wrong_means)",
        rewrite("mean_a", lambda r, c: r["mean_a"] and (10.0 if r["mean_a"] < 5 else 1.0), 0.3),
    ),
    Fault(
        "winners are exchanged",
        "battles/training",
        "(wrong_winners)",
        rewrite("winner", lambda r, c: {"model_a": "model_b", "model_b": "model_a"}.get(r["winner"], r["winner"])),
    ),
    Fault(
        "an unusable battle has a margin",
        "battles/training",
        "be_null(margin)/unusable",
        set_value("winner", "unusable", 0.1),
    ),
    Fault("lost lengths", "battles/training", "not_be_null(length_b)/usable", set_value("length_b", None, 0.1)),
    Fault(
        "the draw takes test instructions",
        "slices",
        "(not_train)",
        set_value("instruction_id", tested(0)["instruction_id"], 0.01),
    ),
    Fault("the draw is short", "slices", "(short_by)", rows_where(lambda i, row: i < 6)),
    Fault("an unknown instruction is drawn", "slices", "(unknown)", set_value("instruction_id", "f" * 64, 0.01)),
    Fault("a test prompt among the examples", "training_sets", "(test_texts)", leaked_prompt),
    Fault(
        "an answer that nobody gave", "training_sets", "(not_answers)", set_value("chosen", "Nobody said this.", 0.1)
    ),
    Fault("margins below the threshold", "training_sets", "(small_margins)", set_value("margin", 0.5, 0.2)),
    Fault("examples of one category", "training_sets", "(top_category_share)", set_value("category", "math")),
    Fault(
        "examples name battles that are not there",
        "training_sets",
        "(unknown_battles)",
        set_value("battle_ids", ["f" * 32], 0.1),
    ),
    Fault("nothing was selected", "training_sets", "row_count", rows_where(lambda i, row: False)),
    Fault(
        "chosen equals rejected",
        "training_sets",
        "within_record(chosen, rejected)",
        lambda b, c: rewrite("rejected", lambda r, _: r["chosen"])(b, c),
    ),
    Fault("the loss is not a number", "training_runs", "between(last_loss)", set_value("last_loss", float("nan"))),
    Fault("a NaN in the middle of the curve", "training_runs", "(bad_steps)", nan_in_the_middle),
    Fault("the loss rises", "training_runs", "(early_loss, late_loss)", rising_loss),
    Fault(
        "the run did not see all examples",
        "training_runs",
        "(lost_examples)",
        set_value("examples", 1),
    ),
    Fault(
        "promoted on a handful of instructions",
        "promotions",
        "(few)",
        lambda b, c: set_value("decision", "promoted")(set_value("instructions", 2)(b, c), c),
    ),
    Fault(
        "promoted without being better",
        "promotions",
        "(not_better)",
        lambda b, c: set_value("decision", "promoted")(set_value("lower", -20.0)(b, c), c),
    ),
    Fault("a rating without a number", "ratings", "between(rating)", set_value("rating", float("nan"), 0.2)),
    Fault(
        "a model is not on the board",
        "ratings",
        "(missing_models)",
        rows_where(lambda i, row: row["model"] != "rival-1" and i % 4 > 0),
    ),
    Fault("ranks are upside down", "ratings", "(disorder)", rewrite("rank", lambda r, c: 10 - r["rank"])),
    Fault(
        "the fit did not converge",
        "ratings",
        "be_in_set(converged)",
        lambda b, c: rewrite("converged", lambda r, _: None if r["converged"] is None else False)(b, c),
    ),
    Fault(
        "intervals do not hold the rating",
        "ratings",
        "greater_than_b(rating, lower)",
        rewrite("rating", lambda r, c: r["lower"] - 1 if r["lower"] is not None else r["rating"], 1.0),
    ),
    Fault("groups that never met", "ratings", "(components)", set_value("component", 2, 0.5)),
    Fault(
        "win rates that do not add up", "win_rates", "(wrong_sums)", rewrite("wins", lambda r, c: r["wins"] + 1, 0.3)
    ),
    Fault(
        "rates that are not the counts",
        "win_rates",
        "(wrong_rates)",
        rewrite("rate", lambda r, c: 1 - r["rate"] if r["rate"] != 0.5 else 0.1),
    ),
)
