"""What a round will take before it runs: calls, tokens, money and hours per contestant and judge; then what it took.

Counting (sql/plan/) is exact for what is known: the slices are drawn as they will be, and answers and verdicts that exist
are not counted again. Lengths are those of the model's earlier calls; without any, prompts are tokenised and answers
count as long as they may be. Until a stage has trained, its candidate is planned like the target, and the champion of a
later stage like today's. A round that is over is planned with the contestants that it had.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import duckdb
import pyarrow as pa

from arena_etl.config import Config, Contestant, Model
from arena_etl.contestants import candidate, champion, checkpoint_dir, has_trained, opener
from arena_etl.engines.tokens import token_counter
from arena_etl.errors import GateStopped
from arena_etl.instructions import slices
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES
from arena_etl.quality.judges import calibrated_judges
from arena_etl.rounds import TRAINING, WIZARD_ARENA
from arena_etl.verdicts.judge import VERIFIER, VERIFIER_ID, judge_id, judges
from arena_etl.verdicts.prompt import Exchange, load_set, messages

SAMPLE = 500  # instructions whose prompts are tokenised
CANDIDATE = "candidate"


@dataclass(frozen=True)
class Expected:
    """Mean tokens of one call, its generated tokens per second if that was measured, and what the means rest on."""

    tokens_in: float
    tokens_out: float
    tokens_per_s: float | None
    basis: str


def inputs(config: Config, lake: Lake, round_: str) -> Any:
    """A round is planned once for a configuration: what it did since must not change its plan."""
    return {
        "round": round_,
        "stages": config.stages,
        "contestants": [contestant.model_dump() for contestant in (config.target, *config.rivals)],
        "judges": [judge.model_dump() for judge in judges(config).values()],
        "battles": config.battles.model_dump(),
        "wizard_arena": config.wizard_arena.version,
    }


def store(config: Config, lake: Lake, staging: Staging, round_: str, unit: str) -> dict[str, int]:
    """Stage the round's plan.

    Raises GateStopped when ``quality.judge_card`` is stop and a judge has no good card: the gate of the verdicts would refuse
    what it says, after it was paid for.
    """
    if config.quality.judge_card == "stop":
        good = calibrated_judges(config, lake)
        if bad := [name for name, judge in judges(config).items() if judge_id(judge) not in good]:
            raise GateStopped(
                f"round {round_}: judge {', '.join(bad)} has no card, or agrees with people less than "
                f"quality.min_judge_agreement {config.quality.min_judge_agreement:.0%}, and quality.judge_card is stop. "
                f"`arena-etl calibrate --pairs FILE --judge {bad[0]}` makes a card; then run the same command again."
            )
    now = datetime.now(UTC)
    rows = [{**row, "round": round_, "created_at": now} for row in plan(config, lake, round_)]
    staging.write(unit, "plan", pa.Table.from_pylist(rows, schema=TABLES["plans"].arrow_schema()))
    return {"calls": sum(row["calls"] for row in rows)}


def plan(config: Config, lake: Lake, round_: str) -> list[dict[str, Any]]:
    """One entry per stage, arena and model, columns as in the table ``plans`` without round and created_at.

    Raises InputError when a stage finds no fresh instruction or a checkpoint cannot be had.
    """
    planner = _Planner(config, lake, round_)
    return [row for stage in config.stages for arena in (TRAINING, WIZARD_ARENA) for row in planner.rows(stage, arena)]


def compare(config: Config, lake: Lake, round_: str) -> list[dict[str, Any]]:
    """The stored plan of a round beside what it did: ``planned`` and ``actual`` calls, tokens and cost per model.

    Empty for a round without a stored plan.
    """
    with lake.connect(["plans", "responses", "verdicts", "models"]) as connection:
        sql.materialize(connection, "actual", "plan/actual", round=round_)
        return list(sql.run(connection, "plan/compared", round=round_).to_arrow_table().to_pylist())


class _Planner:
    def __init__(self, config: Config, lake: Lake, round_: str) -> None:
        self._config, self._lake, self._round = config, lake, round_
        self._counters: dict[str, Callable[[Sequence[str]], list[int]]] = {}
        self._connection = lake.connect([*slices.TABLES, "responses", "verdicts"])
        _draw_ahead(self._connection, config, round_)
        history = sql.run(self._connection, "plan/history").to_arrow_table().to_pylist()
        self._history = {(row["kind"], row["name"]): row for row in history}
        self._contestants: dict[str, Contestant] = {}
        self._candidate: Contestant | None = None

    def rows(self, stage: str, arena: str) -> Iterator[dict[str, Any]]:
        """One row per model that answers or judges in an arena of a stage."""
        config, lake = self._config, self._lake
        holder = champion if arena == WIZARD_ARENA else opener
        self._contestants = {c.name: c for c in (holder(config, lake, self._round, stage), *config.rivals)}
        trained = has_trained(lake, self._round, stage)
        self._candidate = candidate(config, lake, self._round, stage) if trained else None
        fights = arena == WIZARD_ARENA and (self._candidate is not None or not trained)
        names = [*self._contestants, *([CANDIDATE] if fights else [])]
        parameters = {
            "round": self._round,
            "stage": stage,
            "arena": arena,
            "version": self._config.wizard_arena.version,
        }
        self._connection.register("entrants", self._entrants(names))
        self._connection.register("seats", self._seats(names))
        sql.materialize(self._connection, "arena_instructions", "instructions/arena", **parameters)
        sql.materialize(self._connection, "turns", "quality/turns")
        conversations = self._connection.execute(
            "select [turn.content for turn in conversation] from arena_instructions order by instruction_id limit ?",
            [SAMPLE],
        ).fetchall()
        turns = [list(turns) for (turns,) in conversations]
        expected = {name: self._answer(self._contestant(name), turns) for name in names}
        lengths = [each.tokens_out for each in expected.values()]
        known = judges(self._config)
        for kind, name, calls, done in sql.run(self._connection, "plan/calls").fetchall():
            model = known.get(name) if kind == "verdict" else self._contestant(name)
            each = expected[name] if kind == "response" else self._verdict(name, turns, sum(lengths) / len(lengths))
            tokens_in, tokens_out = round(calls * each.tokens_in), round(calls * each.tokens_out)
            yield {
                "stage": stage,
                "arena": arena,
                "kind": kind,
                "name": name,
                "calls": calls,
                "done": done,
                "tokens_in": tokens_in,
                "tokens_out": tokens_out,
                "cost_usd": model.cost_usd(tokens_in, tokens_out) if model else 0.0,
                "hours": tokens_out / each.tokens_per_s / 3600 if each.tokens_per_s else (None if tokens_out else 0.0),
                "basis": each.basis,
            }

    def _contestant(self, name: str) -> Contestant:
        return (self._candidate or self._config.target) if name == CANDIDATE else self._contestants[name]

    def _entrants(self, names: list[str]) -> pa.Table:
        """A candidate that was not trained yet has no id: nothing of it is done."""
        ids = [
            None if name == CANDIDATE and self._candidate is None else self._contestant(name).contestant_id
            for name in names
        ]
        return pa.table({"name": names, "contestant_id": pa.array(ids, pa.string())})

    def _seats(self, names: list[str]) -> pa.Table:
        """Who judges which pairs: the verifier, then every judge."""
        config = self._config
        rivals = {rival.name for rival in config.rivals}
        pairs = [
            pair
            for pair in combinations(names, 2)
            if config.battles.pairing == "round_robin" or not rivals.issuperset(pair)
        ]
        seats: list[tuple[str, str, bool | None, str, str]] = [
            (VERIFIER, VERIFIER_ID, True, *pair) for pair in pairs if config.judge.verifiers
        ]
        for name, judge in judges(config).items():
            spared = judge.family if config.panel.spare_family else None
            kin = {n for n in names if spared is not None and self._contestant(n).family == spared}
            checked = False if config.judge.verifiers else None
            seats += [(name, judge_id(judge), checked, *pair) for pair in pairs if kin.isdisjoint(pair)]
        columns = ["name", "judge_id", "checked", "model_a", "model_b"]
        schema = pa.schema([(column, pa.bool_() if column == "checked" else pa.string()) for column in columns])
        return pa.Table.from_pylist([dict(zip(columns, seat, strict=True)) for seat in seats], schema)

    def _answer(self, contestant: Contestant, conversations: list[list[str]]) -> Expected:
        if contestant.backend == "recorded":
            return Expected(0, 0, None, "history")
        past = self._history.get(("response", contestant.contestant_id))
        if past and past["tokens_in"] is not None:
            return Expected(past["tokens_in"], past["tokens_out"], past["tokens_per_s"], "history")
        longest = contestant.sampling.max_new_tokens
        count = self._counter(contestant)
        prompts = [
            "\n".join([contestant.system_prompt or "", *turns[:turn]])
            for turns in conversations
            for turn in range(1, len(turns) + 1)
        ]
        earlier = [turn * longest for turns in conversations for turn in range(len(turns))]
        mean = sum(map(sum, zip(count(prompts), earlier, strict=True))) / max(1, len(prompts))
        return Expected(mean, longest, None, "limit")

    def _verdict(self, name: str, conversations: list[list[str]], answer_tokens: float) -> Expected:
        judge = judges(self._config).get(name)
        if judge is None or judge.backend == "recorded":  # the verifier
            return Expected(0, 0, None, "history")
        past = self._history.get(("verdict", judge_id(judge)))
        if past:
            return Expected(past["tokens_in"], past["tokens_out"], past["tokens_per_s"], "history")
        prompts, count = load_set(judge.prompt), self._counter(judge)
        template = prompts.variants[0].template
        asked = [
            "\n".join(m["content"] for m in messages(template, [Exchange(turn, "", "") for turn in turns]))
            for turns in conversations
        ]
        mean = sum(count(asked)) / max(1, len(asked))
        generated = 0 if judge.backend == "reward" else judge.max_new_tokens
        return Expected(mean + 2 * answer_tokens, generated, None, "limit")

    def _counter(self, model: Model) -> Callable[[Sequence[str]], list[int]]:
        if model.checkpoint not in self._counters:
            self._counters[model.checkpoint] = token_counter(checkpoint_dir(self._config, self._lake, model))
        return self._counters[model.checkpoint]


def _draw_ahead(connection: duckdb.DuckDBPyConnection, config: Config, round_: str) -> None:
    """Put the draws that are still to come into ``slices``, as ``instructions/draw_slice`` will make them."""
    connection.execute("create or replace temporary table planned as select * from slices")
    connection.execute("create or replace temporary view slices as select * from planned")
    slices.prepare_draw(connection, config, round_)
    for stage in config.stages:
        if not connection.execute("select 1 from planned where round = ? and stage = ?", [round_, stage]).fetchall():
            connection.register("draw", slices.draw_rows(connection, config, round_, stage).to_arrow_table())
            connection.execute("insert into planned by name select * from draw")
