"""The selection step on a lake: its counts, the threshold of an iteration, and what it refuses."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from arena_etl import config as configuration
from arena_etl.config import Config, Selection
from arena_etl.errors import InputError
from arena_etl.flywheel import STEPS, do
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.tables import TABLES
from arena_etl.steps import is_done, perform

ROUND = "2026-01-05"
CATEGORIES = ["math", "coding"]
# By how much the rival's mean exceeds the target's, per instruction.
GAPS = [-4.0, 0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 5.0]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    recorded = {"backend": "recorded", "checkpoint": "references"}
    flags = {
        "root": str(tmp_path / "lake"),
        "target": {"name": "target", **recorded},
        "rivals": [{"name": "rival", **recorded}],
    }
    return configuration.load(flags=flags)


@pytest.fixture
def lake(config: Config) -> Lake:
    return fought(config)


def fought(config: Config, difficulties: tuple[float, ...] = ()) -> Lake:
    """A round in which both stages fought on eight instructions with the gaps above and on one that is unusable.

    ``difficulties``: of the first instructions; the others' are unknown.
    """
    lake = Lake.open(config)
    rival, target = config.rivals[0].contestant_id, config.target.contestant_id
    known = [*difficulties, *[None] * (len(GAPS) + 1 - len(difficulties))]
    commit(lake, "instructions", ("examples",), [instruction(number, known[number]) for number in range(len(known))])
    for stage in ("sft", "dpo"):
        fought_on = {"round": ROUND, "stage": stage, "arena": "training", "turn": 1}
        answers, battles = [], []
        for number, gap in enumerate([*GAPS, None]):
            item = {**fought_on, "instruction_id": f"i{number}"}
            answers += [{**item, "contestant_id": model, "text": f"{model} {number}"} for model in (rival, target)]
            winner = "unusable" if gap is None else "model_a" if gap > 0 else "model_b" if gap < 0 else "tie"
            means = {} if gap is None else {"mean_a": 5 + gap / 2, "mean_b": 5 - gap / 2}
            pair = {"model_a": rival, "model_b": target, "judge_id": "judge", "winner": winner, **means}
            battles.append({**item, **pair, "battle_id": f"{number:032x}"})
        commit(lake, "responses", (ROUND, stage, "training"), answers)
        commit(lake, "battles", (ROUND, stage, "training"), battles)
    return lake


def instruction(number: int, difficulty: float | None) -> dict[str, Any]:
    return {
        "instruction_id": f"i{number}",
        "source": "examples",
        "conversation": [{"role": "user", "content": "?" * (number + 1)}],
        "category": CATEGORIES[number % 2],
        "license": "CC0-1.0",
        "split": "train",
        "difficulty": difficulty,
    }


def commit(lake: Lake, table: str, values: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    lake.commit(Partition(table, values), pa.Table.from_pylist(rows, schema=TABLES[table].arrow_schema()), 1, {})


def trained(lake: Lake, *rounds: str, status: str = "trained") -> None:
    for round_ in rounds:
        commit(lake, "training_runs", (round_, "sft"), [{"round": round_, "stage": "sft", "status": status}])


def setting(config: Config, **selection: Any) -> Config:
    return config.model_copy(update={"selection": Selection(**selection)})


def select(config: Config, lake: Lake, stage: str = "sft") -> dict[str, Any]:
    return perform(STEPS["select"], config, lake, ROUND, stage)


def test_it_counts_what_it_selected_and_what_an_unusable_pair_dropped(config: Config, lake: Lake) -> None:
    assert select(config, lake) == {"step": "select", "selected": 2, "unusable": 1}
    assert select(config, lake, "dpo") == {"step": "select", "selected": 5, "unusable": 1}


@pytest.mark.parametrize(
    ("earlier", "iteration", "selected"),
    [
        ([], 1, 2),
        (["2026-01-01"], 2, 5),
        (["2026-01-01", "2026-01-02"], 3, 6),
        (["2026-01-0" + n for n in "1234"], 5, 6),
    ],
)
def test_every_iteration_has_its_threshold_and_the_last_one_goes_on(
    config: Config, lake: Lake, earlier: list[str], iteration: int, selected: int
) -> None:
    trained(lake, *earlier)
    trained(lake, "2025-12-31", status="skipped")
    trained(lake, ROUND, "2026-01-09")
    per_iteration = setting(config, sft_margins=(3, 1, 0.5))
    assert STEPS["select"].inputs(per_iteration, lake, ROUND, "sft")["iteration"] == iteration
    assert select(per_iteration, lake)["selected"] == selected


def test_the_defaults_are_the_papers() -> None:
    defaults = Selection()
    assert [defaults.margin("sft", iteration) for iteration in (1, 2, 3, 4)] == [3, 1, 1, 1]
    assert [defaults.margin("dpo", iteration) for iteration in (1, 2, 3, 4)] == [2, 2, 2, 2]


def test_the_iteration_decides_whether_the_step_is_done(config: Config, lake: Lake) -> None:
    do(config, lake, "select", ROUND, "sft")
    assert is_done(STEPS["select"], config, lake, ROUND, "sft")
    assert is_done(STEPS["select"], setting(config, dpo_margins=(1,)), lake, ROUND, "sft")
    assert not is_done(STEPS["select"], setting(config, sft_margins=(2,)), lake, ROUND, "sft")
    trained(lake, "2026-01-01")
    assert not is_done(STEPS["select"], config, lake, ROUND, "sft")


def test_a_strategy_draws_its_size_from_losses_and_wins_and_passes_the_gate(config: Config, lake: Lake) -> None:
    summary = do(setting(config, strategy="length", size=8), lake, "select", ROUND, "sft")
    assert (summary["selected"], summary["unusable"]) == (8, 1)
    with lake.connect(["training_sets"]) as connection:
        found = connection.sql("select instruction_id, margin from training_sets order by instruction_id").fetchall()
    assert found == [(f"i{number}", gap) for number, gap in enumerate(GAPS)]


def test_a_category_is_capped(config: Config, lake: Lake) -> None:
    do(setting(config, sft_margins=(0,), max_per_group=1), lake, "select", ROUND, "sft")
    with lake.connect(["training_sets"]) as connection:
        found = connection.sql("select instruction_id, category from training_sets order by instruction_id").fetchall()
    assert found == [("i6", "math"), ("i7", "coding")]


@pytest.mark.parametrize(
    ("selection", "column"),
    [
        ({"strategy": "difficulty", "size": 2}, "difficulty"),
        ({"strategy": "diversity", "size": 2}, "cluster"),
        ({"group": "cluster", "max_per_group": 2}, "cluster"),
    ],
)
def test_what_is_known_of_no_instruction_cannot_be_gone_by(
    config: Config, lake: Lake, selection: dict[str, Any], column: str
) -> None:
    with pytest.raises(InputError, match=f"`{column}` is unknown for every instruction of the slice.*choose another"):
        select(setting(config, **selection), lake)


def test_a_group_without_a_cap_needs_no_column(config: Config, lake: Lake) -> None:
    assert select(setting(config, group="cluster"), lake)["selected"] == 2


def test_what_is_not_known_of_some_is_counted(config: Config) -> None:
    lake = fought(config, difficulties=(1.0, 2.0, 3.0))
    summary = select(setting(config, strategy="difficulty", size=9), lake)
    assert summary == {"step": "select", "selected": 3, "unusable": 1, "unknown_difficulty": 6}


def test_a_stage_that_did_not_fight_selects_nothing(config: Config) -> None:
    lake = Lake.open(config)
    commit(lake, "battles", (ROUND, "sft", "training"), [])
    for selection in ({}, {"strategy": "difficulty", "size": 2}):
        assert select(setting(config, **selection), lake)["selected"] == 0


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"strategy": "random"}, "selection: .*strategy random draws a fixed number of examples: set size"),
        ({"strategy": "ifd", "size": 3}, "selection.strategy: .*threshold"),
        ({"sft_margins": []}, "selection.sft_margins: .*at least 1"),
        ({"dpo_margins": [2, 10]}, r"selection.dpo_margins.1: .*less than or equal to 9 \(found 10\)"),
        ({"sft_margin": 2}, "selection.sft_margin: unknown setting"),
        ({"group": "turn"}, "selection.group: .*category"),
        ({"max_per_group": 0}, "selection.max_per_group: .*greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_named(selection: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        configuration.load(flags={"selection": selection})
