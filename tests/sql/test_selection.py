"""The whole selection, from battles to a training set: against the rules written out in Python, and its properties."""

import random
from collections import defaultdict
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from arena_etl.lake import sql
from tests.shared_data import SHARED_DATA
from tests.sql.harness import empty_lake

RULES = ("sft", "pairs")
STRATEGIES = ("threshold", "random", "length", "diversity", "difficulty", "margin")
TARGET = "b"
PARTITION = {"round": "2026-01-01", "stage": "sft", "arena": "training"}
SETTINGS: dict[str, Any] = {
    "round": "2026-01-01",
    "stage": "sft",
    "target": TARGET,
    "margin": 1,
    "strategy": "threshold",
    "size": None,
    "group": "category",
    "max_per_group": None,
    "seed": 0,
}

Row = dict[str, Any]
Tables = dict[str, list[Row]]
Item = tuple[str, int]


def _stage(seed: int, instructions: int = 30, models: str = "abcd") -> Tables:
    """A stage with ties, equal texts, failed answers, missing and unusable battles, two judges and several turns."""
    draw = random.Random(seed)
    tables: Tables = {"instructions": [], "responses": [], "battles": []}
    for number in range(instructions):
        instruction = f"i{number:03}"
        turns = draw.choice([1, 1, 2, 3])
        tables["instructions"].append(
            {
                "instruction_id": instruction,
                "conversation": [
                    {"role": "user", "content": f"{instruction}? " * draw.randint(1, 5)} for _ in range(turns)
                ],
                "category": draw.choice(["math", "coding", "writing"]),
                "license": "CC0-1.0",
                "difficulty": draw.choice([None, 2.0, 5.5, 9.0]),
                "cluster": draw.choice([None, 1, 2, 3]),
            }
        )
        for turn in range(1, turns + 1):
            item = {**PARTITION, "instruction_id": instruction, "turn": turn}
            levels = {model: draw.randint(2, 20) / 2 for model in models}
            for model in models:
                text = None if draw.random() < 0.03 else draw.choice(["Yes.", f"{model} says {turn}"])
                tables["responses"].append({**item, "contestant_id": model, "text": text})
            for a, model_a in enumerate(models):
                for model_b in models[a + 1 :]:
                    for judge in "jk":
                        tables["battles"].append(_battle(draw, item, levels, model_a, model_b, judge))
    tables["battles"] = [battle for battle in tables["battles"] if draw.random() > 0.005]
    return tables


def _battle(draw: random.Random, item: Row, levels: dict[str, float], model_a: str, model_b: str, judge: str) -> Row:
    mean_a = levels[model_a]
    mean_b = draw.choice([mean_a, levels[model_b], levels[model_b] - 0.5])
    winner = "model_a" if mean_a > mean_b else "model_b" if mean_b > mean_a else "tie"
    usable = draw.random() > 0.005
    return {
        **item,
        "battle_id": "-".join((item["instruction_id"], str(item["turn"]), model_a, model_b, judge)),
        "model_a": model_a,
        "model_b": model_b,
        "judge_id": judge,
        "mean_a": mean_a if usable else None,
        "mean_b": mean_b if usable else None,
        "winner": winner if usable else "unusable",
    }


def _select(connection: duckdb.DuckDBPyConnection, rule: str, **settings: Any) -> list[Row]:
    """The training set. Strategies other than the threshold set no margin."""
    settings = SETTINGS | settings
    if settings["strategy"] != "threshold":
        settings["margin"] = None
    for table in ("scored_answers", "prompted_answers"):
        sql.materialize(connection, table, f"selection/{table}", **settings)
    sql.materialize(connection, "described", "instructions/described")
    sql.materialize(connection, "candidates", f"selection/{rule}", **settings)
    rows: list[Row] = sql.run(connection, "selection/draw", **settings).to_arrow_table().to_pylist()
    return rows


def _connect(tables: Tables) -> duckdb.DuckDBPyConnection:
    connection = empty_lake()
    for name, content in tables.items():
        rows = pa.Table.from_pylist(content)
        connection.execute(f"insert into {name} by name select * from rows")
        assert rows.num_rows == len(content)
    return connection


def _items(rows: list[Row]) -> set[Item]:
    return {(row["instruction_id"], row["turn"]) for row in rows}


def _written_out(tables: Tables, rule: str, margin: float, target: str = TARGET) -> dict[Item, Row]:
    """The rules of the paper with our choices, once more and without SQL."""
    battles: dict[Item, list[Row]] = defaultdict(list)
    for battle in tables["battles"]:
        battles[battle["instruction_id"], battle["turn"]].append(battle)
    pairings = {(battle["model_a"], battle["model_b"]) for battle in tables["battles"]}
    texts = {(row["instruction_id"], row["turn"], row["contestant_id"]): row["text"] for row in tables["responses"]}
    conversations = {row["instruction_id"]: row["conversation"] for row in tables["instructions"]}
    selected: dict[Item, Row] = {}
    for (instruction, turn), games in battles.items():
        contestants = sorted({game[side] for game in games for side in ("model_a", "model_b")})
        owed = {(a, b) for a, b in pairings if a in contestants and b in contestants}
        if {(game["model_a"], game["model_b"]) for game in games} != owed:
            continue
        if any(game["winner"] == "unusable" for game in games):
            continue
        scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for game in games:
            scores[game["model_a"]][game["model_b"]].append(game["mean_a"])
            scores[game["model_b"]][game["model_a"]].append(game["mean_b"])
        means = {}
        for model, opponents in scores.items():
            given = [score for against in opponents.values() for score in against]
            means[model] = sum(given) / len(given)
        if rule == "sft":
            best = min((model for model in contestants if model != target), key=lambda model: (-means[model], model))
            worst = target
            fits = sum(scores[target][best]) < sum(scores[best][target])
        else:
            best = min(contestants, key=lambda model: (-means[model], model))
            worst = min(contestants, key=lambda model: (means[model], model))
            fits = means[best] > means[worst]
        chosen, rejected = texts[instruction, turn, best], texts[instruction, turn, worst]
        history = [texts[instruction, earlier, best] for earlier in range(1, turn)]
        if rule == "pairs" and (rejected is None or chosen == rejected):
            continue
        if not fits or means[best] - means[worst] < margin - 1e-9 or chosen is None or None in history:
            continue
        prompt = [conversations[instruction][0]]
        for earlier, text in enumerate(history, start=1):
            prompt += [{"role": "assistant", "content": text}, conversations[instruction][earlier]]
        selected[instruction, turn] = {
            "chosen": chosen,
            "rejected": rejected if rule == "pairs" else None,
            "chosen_model": best,
            "rejected_model": worst,
            "prompt": prompt,
            "battle_ids": sorted(game["battle_id"] for game in games),
        }
    return selected


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("margin", [0, 1, 2.5])
@pytest.mark.parametrize("seed", range(3))
def test_the_rules_written_out_in_python_select_the_same(rule: str, margin: float, seed: int) -> None:
    tables = _stage(seed)
    expected = _written_out(tables, rule, margin)
    found = _select(_connect(tables), rule, margin=margin)
    assert len(found) > 5
    assert {
        (row["instruction_id"], row["turn"]): {name: row[name] for name in next(iter(expected.values()))}
        for row in found
    } == expected


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_order_of_rows_and_a_second_run_change_nothing(rule: str, strategy: str) -> None:
    tables = _stage(1)
    settings = {"strategy": strategy, "size": 9, "max_per_group": 4}
    connection = _connect(tables)
    found = _select(connection, rule, **settings)
    assert len(found) == 9
    assert _select(connection, rule, **settings) == found
    shuffled = {name: random.Random(7).sample(rows, len(rows)) for name, rows in tables.items()}
    assert _select(_connect(shuffled), rule, **settings) == found


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "limits", [{}, {"size": 8}, {"max_per_group": 3}, {"size": 7, "max_per_group": 4, "group": "cluster"}]
)
def test_a_larger_threshold_selects_a_subset(rule: str, limits: dict[str, Any]) -> None:
    stage = _connect(_stage(2))
    sets = [_items(_select(stage, rule, margin=margin, **limits)) for margin in (0, 2, 4, 6, 7.5, 9)]
    assert all(larger <= smaller for smaller, larger in pairwise(sets))
    assert len(sets[0]) > len(sets[-2]) > len(sets[-1]) == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("seed", range(3))
def test_a_pair_never_holds_one_text_twice(strategy: str, seed: int) -> None:
    rows = _select(_connect(_stage(seed)), "pairs", strategy=strategy, margin=0, size=1000)
    assert rows
    assert all(row["chosen"] != row["rejected"] and row["margin"] > 0 for row in rows)
    assert all(row["chosen_model"] != row["rejected_model"] for row in rows)


@pytest.mark.parametrize(("rule", "group"), [("sft", "cluster"), ("pairs", "category")])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_caps_are_respected_and_filled(rule: str, strategy: str, group: str) -> None:
    tables = _stage(3)
    known = {row["instruction_id"]: row for row in tables["instructions"]}
    stage = _connect(tables)
    everything = _select(stage, rule, strategy=strategy, size=None)
    found = _select(stage, rule, strategy=strategy, group=group, max_per_group=2)

    def members(rows: list[Row]) -> dict[Any, int]:
        counts: dict[Any, int] = defaultdict(int)
        for row in rows:
            counts[known[row["instruction_id"]][group]] += 1
        return {name: count for name, count in counts.items() if name is not None}

    assert members(found) == {name: min(count, 2) for name, count in members(everything).items()}
    assert sum(members(found).values()) == len(found)
    assert _items(found) <= _items(everything)
    assert len(_select(stage, rule, strategy=strategy, size=5)) == 5


@pytest.mark.parametrize("strategy", ["random", "length", "margin"])
def test_a_strategy_draws_from_wins_of_the_target_too(strategy: str) -> None:
    stage = _connect(_stage(4))
    rows = _select(stage, "sft", strategy=strategy, size=1000)
    assert min(row["margin"] for row in rows) < 0 < max(row["margin"] for row in rows)
    assert _items(rows) > _items(_select(stage, "sft", margin=0))


def test_another_seed_draws_others() -> None:
    stage = _connect(_stage(5))
    first, second = (_items(_select(stage, "sft", strategy="random", size=10, seed=seed)) for seed in (0, 1))
    assert first != second


def test_the_prompts_of_ppo_are_those_of_the_pairs_in_the_targets_words() -> None:
    tables = _stage(6)
    own = {(r["instruction_id"], r["turn"]): r["text"] for r in tables["responses"] if r["contestant_id"] == TARGET}
    stage = _connect(tables)
    pairs = {row["example_id"]: row for row in _select(stage, "pairs")}
    sql.materialize(stage, "preference_pairs", "selection/pairs", **SETTINGS)
    prompts = sql.run(stage, "selection/ppo", **SETTINGS).to_arrow_table().to_pylist()
    assert len(pairs) >= len(prompts) > 0.8 * len(pairs)
    for row in prompts:
        assert row["chosen"] is row["rejected"] is None
        assert row["prompt"][-1]["role"] == "user"
        said = [message["content"] for message in row["prompt"] if message["role"] == "assistant"]
        assert said == [own[row["instruction_id"], turn] for turn in range(1, row["turn"])]
        same = ("instruction_id", "turn", "margin", "battle_ids", "category", "license")
        assert [row[name] for name in same] == [pairs[row["example_id"]][name] for name in same]


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the published data (SHARED_DATA) is not here")
@pytest.mark.parametrize(
    ("rule", "margin", "count"), [("sft", 1, 11), ("sft", 3, 3), ("pairs", 1, 74), ("pairs", 3, 22)]
)
def test_published_reviews(rule: str, margin: float, count: int) -> None:
    """Vicuna's benchmark as reviewed by GPT-4: Vicuna 7B against four rivals on 80 questions, two scores per pair."""
    target = "vicuna-7b-20230322-fp16"
    with duckdb.connect() as connection:
        reviews = connection.sql(
            f"""
            select instruction_id, model_1, model_2, score_1, score_2
            from '{SHARED_DATA}/vicuna_bench/reviews.parquet' where judge = 'gpt-4' and $target in (model_1, model_2)
            """,
            params={"target": target},
        ).fetchall()
        answers = connection.sql(
            f"select instruction_id, model, output from '{SHARED_DATA}/vicuna_bench/answers.parquet'"
        ).fetchall()
    tables: Tables = {
        "instructions": [
            {
                "instruction_id": instruction,
                "conversation": [{"role": "user", "content": instruction}],
                "category": "writing",
                "license": "Apache-2.0",
            }
            for instruction in sorted({row[0] for row in reviews})
        ],
        "responses": [
            {**PARTITION, "instruction_id": instruction, "turn": 1, "contestant_id": model, "text": text}
            for instruction, model, text in answers
        ],
        "battles": [_review(*row) for row in reviews],
    }
    found = _select(_connect(tables), rule, margin=margin, target=target)
    expected = _written_out(tables, rule, margin, target)
    assert {(row["instruction_id"], row["turn"]): (row["chosen_model"], row["rejected_model"]) for row in found} == {
        item: (row["chosen_model"], row["rejected_model"]) for item, row in expected.items()
    }
    assert len(found) == count


def _review(instruction: str, model_1: str, model_2: str, score_1: float | None, score_2: float | None) -> Row:
    if model_1 > model_2:
        model_1, model_2, score_1, score_2 = model_2, model_1, score_2, score_1
    winner = "unusable" if None in (score_1, score_2) else "tie"
    if score_1 is not None and score_2 is not None and score_1 != score_2:
        winner = "model_a" if score_1 > score_2 else "model_b"
    return {
        **PARTITION,
        "battle_id": f"{instruction} {model_1} {model_2}",
        "instruction_id": instruction,
        "turn": 1,
        "model_a": model_1,
        "model_b": model_2,
        "judge_id": "gpt-4",
        "mean_a": score_1,
        "mean_b": score_2,
        "winner": winner,
    }
