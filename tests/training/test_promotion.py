"""What promotes a candidate and what keeps the champion, on battles written by hand."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.contestants import champion, trained_contestant
from arena_etl.errors import InputError
from arena_etl.flywheel import STEPS
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.tables import TABLES
from arena_etl.quality.publish import publish
from arena_etl.steps import Step, perform
from arena_etl.training.promote import forcing

ROUND, STAGE = "2026-01-05", "sft"
NOW = datetime(2026, 1, 5, tzinfo=UTC)
CATEGORIES = ("math", "coding", "writing", "stem")
Verdict = Callable[[int], float]  # number of the instruction -> the candidate's score


def settings(tmp_path: Path, **promotion: Any) -> Config:
    flags: dict[str, Any] = {"root": str(tmp_path / "lake"), "ratings": {"resamples": 100}, "promotion": promotion}
    return configuration.load(flags=flags)


def commit(lake: Lake, table: str, keys: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    lake.commit(Partition(table, keys), pa.Table.from_pylist(rows, schema=TABLES[table].arrow_schema()), 1, {})


def fought(
    config: Config,
    score: Verdict,
    *,
    instructions: int = 40,
    text: Callable[[str, int], str] = lambda who, number: f"answer {number}",
    judges: tuple[tuple[str, Verdict], ...] = (),
    run: dict[str, Any] | None = None,
) -> Lake:
    """A lake in which candidate and champion met on every test instruction."""
    lake = Lake.open(config)
    trained = {"status": "trained", "checkpoint": "lake:checkpoints/x", **(run or {})}
    a, b = trained_contestant(config, ROUND, STAGE, "lake:checkpoints/x").contestant_id, config.target.contestant_id
    stage = {"round": ROUND, "stage": STAGE}
    at = {**stage, "arena": "wizard_arena", "turn": 1}
    commit(lake, "training_runs", (ROUND, STAGE), [{**stage, "run_id": "r", "parent": b, "candidate": a, **trained}])
    rows = []
    for n in range(instructions):
        category = CATEGORIES[n % len(CATEGORIES)]
        rows.append({"instruction_id": f"{n:064x}", "source": "s", "split": "wizard_diverse", "category": category})
    commit(lake, "instructions", ("s",), rows)
    commit(
        lake,
        "responses",
        (ROUND, STAGE, "wizard_arena"),
        [
            {
                **at,
                "instruction_id": f"{n:064x}",
                "contestant_id": who,
                "text": text("candidate" if who == a else "champion", n),
            }
            for n in range(instructions)
            for who in (a, b)
        ],
    )
    winners = {1.0: "model_a", 0.5: "tie", 0.0: "model_b"}
    pair = {**at, "model_a": a, "model_b": b}
    commit(
        lake,
        "battles",
        (ROUND, STAGE, "wizard_arena"),
        [
            {
                **pair,
                "instruction_id": f"{n:064x}",
                "battle_id": f"{n:032x}",
                "winner": winners[score(n)],
                "judge_id": "main-00000000",
                "length_a": len(text("candidate", n)),
                "length_b": len(text("champion", n)),
            }
            for n in range(instructions)
        ],
    )
    games = []
    for judge, opinion in (("main-00000000", score), *judges):
        for n in range(instructions):
            for first in ("model_a", "model_b"):
                scores = {"score_a": 1 + 9 * opinion(n), "score_b": 10 - 9 * opinion(n), "parse_status": "ok"}
                games.append(
                    {
                        **pair,
                        **scores,
                        "instruction_id": f"{n:064x}",
                        "judge_id": judge,
                        "shown_first": first,
                        "games": 2,
                    }
                )
    known = TABLES["verdicts"].column_names
    commit(
        lake, "verdicts", (ROUND, STAGE, "wizard_arena"), [{k: v for k, v in g.items() if k in known} for g in games]
    )
    return lake


def decide(config: Config, lake: Lake, step: Step | None = None) -> dict[str, Any]:
    step = step or STEPS["promote"]
    perform(step, config, lake, ROUND, STAGE)
    publish(step, config, lake, ROUND, STAGE)
    with lake.connect(["promotions"]) as connection:
        [row] = connection.sql("select * from promotions").to_arrow_table().to_pylist()
    return dict(row)


def mostly(number: int) -> float:
    """Three of four are won, in every category."""
    return 0.0 if (number // 4) % 4 == 0 else 1.0


def test_a_better_candidate_is_promoted_and_every_check_is_kept(tmp_path: Path) -> None:
    config = settings(tmp_path)
    row = decide(config, fought(config, mostly))
    assert row["decision"] == "promoted" and row["decided_by"] == "rule"
    assert [check["name"] for check in row["checks"]] == [
        "instructions", "rating", "length_controlled", "categories", "length", "repetition",
    ]  # fmt: skip
    assert all(check["passed"] for check in row["checks"])
    assert row["lower"] > 0 and row["length_controlled"] > 0.6
    assert "none of 4 categories collapses" in row["reason"]


@pytest.mark.parametrize(
    "promotion, fight, says",
    [
        ({}, {"score": lambda n: n % 2 * 1.0}, "not shown to be better"),
        ({}, {"score": mostly, "instructions": 12}, "only 12 common test instructions, at least 20 are needed"),
        ({}, {"score": lambda n: 0.0 if n % 4 == 3 else 1.0}, "worse in stem (0% of 10)"),
        (
            {},
            {"score": mostly, "text": lambda who, n: "word" * (5 if who == "candidate" else 1)},
            "5.00 times the champion's (most 3)",
        ),
        (
            {"max_length_growth": 100},
            {"score": mostly, "text": lambda who, n: "on and on and " * (9 if who == "candidate" else 1)},
            "of them repeated",
        ),
        (
            {"cross_check": ["second"]},
            {"score": mostly, "judges": (("second-00000001", lambda n: 0.0),)},
            "win rate 0.0% by second alone over 40 instructions",
        ),
        ({"cross_check": ["second"]}, {"score": mostly}, "second judged none of the candidate's battles"),
    ],
)
def test_what_keeps_the_champion(tmp_path: Path, promotion: dict[str, Any], fight: dict[str, Any], says: str) -> None:
    config = settings(tmp_path, **promotion)
    row = decide(config, fought(config, **fight))
    assert row["decision"] == "kept"
    assert says in row["reason"]
    assert champion(config, Lake.open(config), "2026-01-06", "sft") == config.target


def test_an_advantage_of_length_alone_is_none(tmp_path: Path) -> None:
    """The candidate wins where its answer is the longer one, and only there."""
    config = settings(tmp_path, max_length_growth=100)

    def text(who: str, number: int) -> str:
        return "x" * (400 if who == "candidate" and mostly(number) else 100 if who == "candidate" else 200)

    row = decide(config, fought(config, mostly, text=text))
    failed = [check["name"] for check in row["checks"] if not check["passed"]]
    assert row["lower"] > 0
    assert failed == ["length_controlled"], row["checks"]


def test_a_stopped_training_keeps_the_champion_and_says_why(tmp_path: Path) -> None:
    config = settings(tmp_path)
    run = {"status": "stopped", "reason": "loss is nan at step 3", "checkpoint": None, "candidate": None}
    row = decide(config, fought(config, mostly, run=run))
    assert row["decision"] == "kept" and row["candidate"] is None
    assert row["reason"] == "the training was stopped: loss is nan at step 3"


def test_the_report_knows_whether_the_judges_are_the_same(tmp_path: Path) -> None:
    config = settings(tmp_path)
    lake = fought(config, mostly)
    assert decide(config, lake)["same_judges"] is False  # nobody judged the training battles


def test_a_person_may_force_it_and_the_next_run_leaves_it(tmp_path: Path) -> None:
    config = settings(tmp_path)
    lake = fought(config, lambda n: 0.0)
    assert decide(config, lake)["decision"] == "kept"
    forced = decide(config, lake, forcing("it answers in French, which we need", "ada"))
    assert (forced["decision"], forced["test"], forced["decided_by"]) == ("promoted", "forced", "ada")
    assert decide(config, lake) == forced
    # Trained anew, the candidate is another one, and the rules decide again.
    again = {"checkpoint": "lake:checkpoints/y"}
    row = {"round": ROUND, "stage": STAGE, "run_id": "r", "status": "trained", "parent": "p", **again}
    lake.commit(
        Partition("training_runs", (ROUND, STAGE)),
        pa.Table.from_pylist([row], schema=TABLES["training_runs"].arrow_schema()),
        2,
        {},
    )
    assert decide(config, lake)["decided_by"] == "rule"


def test_nothing_is_forced_without_a_candidate(tmp_path: Path) -> None:
    config = settings(tmp_path)
    lake = fought(config, mostly, run={"status": "skipped", "checkpoint": None, "reason": "nothing was selected"})
    with pytest.raises(
        InputError, match="no candidate to promote: nothing was trained in this stage: nothing was selected"
    ):
        decide(config, lake, forcing("why not", "ada"))
