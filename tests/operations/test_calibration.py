"""Judge cards: the published figures of stored judges, what a run asks and keeps, and who gets to see the card."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from arena_etl import cli
from arena_etl.config import Config, Judge, Quality
from arena_etl.errors import ArenaError, GateStopped, InputError
from arena_etl.flywheel import do
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.releases import release, releases, resolve
from arena_etl.operations.calibration import calibrate
from arena_etl.quality.judges import judge_limits
from arena_etl.verdicts import calibration
from arena_etl.verdicts.ask import Question, Ruling
from arena_etl.verdicts.calibration import find_judge
from arena_etl.verdicts.judge import judge_id
from arena_etl.verdicts.parse import Parsed
from tests.quality import rows as make
from tests.shared_data import SHARED_DATA

AGREEMENT = SHARED_DATA / "agreement"

# Answers of one letter; the judge likes the alphabet's end best, and on "tie?" whatever comes first.
PAIRS = [
    {"instruction": "right", "output_1": "b", "output_2": "a", "gold": 1, "category": "letters"},
    {"instruction": "wrong", "output_1": "a", "output_2": "b", "gold": 1, "category": "letters"},
    {"instruction": "tie?", "output_1": "a", "output_2": "b", "gold": 2, "category": "other"},
    {"instruction": "mute", "output_1": "aa", "output_2": "b", "gold": 0, "category": "other"},
    {"instruction": "none", "output_1": "a", "output_2": "b", "gold": 7, "category": "other"},
]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(
        root=str(tmp_path / "lake"), sources=(), judge=Judge(name="letters", checkpoint="x", price_out_usd=200)
    )


@pytest.fixture
def lake(config: Config) -> Lake:
    return Lake.open(config)


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    return write(tmp_path / "pairs.jsonl", PAIRS)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the questions that the judge was asked; the judge itself is the one of PAIRS."""
    keys: list[str] = []

    def play(config: Config, lake: Lake, judge: Judge, questions: Sequence[Question]) -> Iterator[Ruling]:
        for question in questions:
            keys.append(question.key)
            [shown] = question.exchanges
            scores = (9.0, 1.0) if shown.instruction == "tie?" or shown.answer_a > shown.answer_b else (1.0, 9.0)
            parsed = Parsed("no_score") if shown.instruction == "mute" else Parsed("ok", *scores)
            yield Ruling(question.key, "text", None, None, parsed, 1, 90, 10, make.identity(1))

    monkeypatch.setattr(calibration, "play", play)
    return keys


def write(file: Path, lines: list[dict[str, Any]]) -> str:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(file)


def published(name: str) -> str:
    file = AGREEMENT / name
    if not file.is_file():
        pytest.skip(f"{file} is absent: set SHARED_DATA to the folder of the published verdicts")
    return str(file)


def by_category(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["category"]: row for row in result["card"]}


def test_llmbar_published_accuracy_of_gpt4(config: Config, lake: Lake) -> None:
    pairs, judgements = published("llmbar_pairs.parquet"), published("llmbar_judgements.parquet")
    result = calibrate(config, lake, pairs, "GPT-4-Vanilla", judgements=judgements)
    assert (result["judge_id"], result["dataset"], result["unusable"]) == ("GPT-4-Vanilla", "llmbar_pairs", {})
    card = by_category(result)
    assert set(card) == {"overall", "Natural", "Adversarial/Neighbor"}
    # Accuracy over both orders, and how often both orders name the same answer.
    assert (card["Natural"]["pairs"], card["Natural"]["n"], card["Natural"]["agreement"]) == (100, 200, 0.955)
    assert card["Natural"]["order_consistency"] == 0.95
    assert card["Adversarial/Neighbor"]["agreement"] == pytest.approx(0.787, abs=5e-4)
    assert card["Natural"]["lower"] < 0.955 < card["Natural"]["upper"]
    assert card["overall"]["cost_usd_per_1000"] is card["overall"]["tokens_per_verdict"] is None


@pytest.mark.parametrize(("judge", "agreement", "parsed"), [("gpt35", 0.6977, 974), ("pandalm7b", 0.6677, 999)])
def test_pandalm_published_agreement_with_the_majority(
    config: Config, lake: Lake, judge: str, agreement: float, parsed: int
) -> None:
    file = published("pandalm.parquet")
    result = calibrate(config, lake, file, judge, judgements=file)
    overall = by_category(result)["overall"]
    assert (overall["pairs"], overall["n"], overall["source"]) == (999, 999, "recorded")
    # 25 verdicts of GPT-3.5 are no verdict: they count against it, as in the published figure.
    assert overall["agreement"] == pytest.approx(agreement, abs=5e-5)
    assert overall["parse_rate"] == parsed / 999
    assert overall["battle_agreement"] == overall["agreement"]
    assert overall["order_consistency"] is overall["first_position_share"] is None


def test_a_run_plays_both_orders_and_releases_the_card(
    config: Config, lake: Lake, pairs: str, asked: list[str]
) -> None:
    result = calibrate(config, lake, pairs, "letters")
    assert len(asked) == len(set(asked)) == 2 * 4
    assert result["unusable"] == {"label unknown": 1} and "row 5" in result["notes"][0]
    overall = by_category(result)["overall"]
    # Right twice, wrong twice, right in one order of "tie?", unread twice.
    assert (overall["pairs"], overall["n"], overall["decided"], overall["agreement"]) == (4, 8, 6, 3 / 8)
    assert (overall["battle_agreement"], overall["order_consistency"]) == (1 / 4, 2 / 3)
    assert (overall["first_position_share"], overall["parse_rate"]) == (4 / 6, 6 / 8)
    assert (overall["tokens_per_verdict"], overall["cost_usd_per_1000"], overall["source"]) == (100, 2, "run")
    with lake.connect(["judge_cards", "verdicts"], resolve(lake)) as connection:
        shown = connection.sql("select judge_id, dataset, category from judge_cards order by all").fetchall()
        assert connection.sql("from verdicts").fetchall() == []
    assert shown == [(find_judge(config, "letters")[1], "pairs", name) for name in ("letters", "other", "overall")]

    again = calibrate(config, lake, pairs, "letters")
    assert len(asked) == 2 * 4 and again["card"] == result["card"] and again["release"] == result["release"]

    added = {"instruction": "more", "output_1": "c", "output_2": "a", "gold": 1}
    more = calibrate(config, lake, write(Path(pairs), [*PAIRS, added]), "letters")
    assert len(asked) == 2 * 5 and by_category(more)["overall"]["pairs"] == 5
    assert more["release"] == result["release"] + 1


def test_an_interrupted_run_asks_only_what_is_missing(
    config: Config, lake: Lake, pairs: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = config.model_copy(update={"engine": config.engine.model_copy(update={"batch_size": 2})})
    whole = calibration.play

    def broken(config: Config, lake: Lake, judge: Judge, questions: Sequence[Question]) -> Iterator[Ruling]:
        yield from whole(config, lake, judge, questions[:4])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(calibration, "play", broken)
        with pytest.raises(KeyboardInterrupt):
            calibrate(small, lake, pairs, "letters")
    assert len(asked) == 4 and releases(lake) == []
    calibrate(small, lake, pairs, "letters")
    assert len(asked) == len(set(asked)) == 8


def test_failed_calls_make_no_card_and_are_asked_again(
    config: Config, lake: Lake, pairs: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = calibration.play

    def failing(config: Config, lake: Lake, judge: Judge, questions: Sequence[Question]) -> Iterator[Ruling]:
        yield from whole(config, lake, judge, questions[:-1])
        yield Ruling(questions[-1].key, None, None, "timeout", Parsed("engine_error"), 1, 0, 0, make.identity(1))

    with monkeypatch.context() as patch:
        patch.setattr(calibration, "play", failing)
        with pytest.raises(ArenaError, match=r"1 of 8 calls failed.*timeout.*run the same command again"):
            calibrate(config, lake, pairs, "letters")
    calibrate(config, lake, pairs, "letters")
    assert len(asked) == len(set(asked)) == 8


def test_another_judge_than_the_configured_one_needs_its_judgements(config: Config, lake: Lake, pairs: str) -> None:
    with pytest.raises(InputError, match=r"--judge gpt-x: no such judge.*letters.*--judgements FILE"):
        calibrate(config, lake, pairs, "gpt-x")


def test_a_card_does_not_release_what_else_is_unreleased(
    config: Config, lake: Lake, pairs: str, asked: list[str]
) -> None:
    lake.commit(Partition("models", ("2026-01-01",)), make.batch("models"), 1, {})
    first = release(lake, config, "2026-01-01", "tester", "round")
    lake.commit(Partition("battles", tuple(make.FOUGHT.values())), make.batch("battles"), 1, {})
    calibrate(config, lake, pairs, "letters")
    newest = releases(lake)[-1]
    assert newest.versions["models"] == first.versions["models"] and "battles" not in newest.versions
    assert {"judge_cards", "quality_results"} <= newest.versions.keys()


@pytest.mark.parametrize(
    ("asks", "minimum", "warned", "stopped"),
    [
        ("warn", 0.0, ["stranger"], []),
        ("warn", 0.9, ["known", "stranger"], []),
        ("stop", 0.0, [], ["stranger"]),
        ("stop", 0.9, [], ["known", "stranger"]),
        ("ignore", 0.9, [], []),
    ],
)
def test_the_gate_of_verdicts_asks_for_a_card(
    config: Config, lake: Lake, asks: Any, minimum: float, warned: list[str], stopped: list[str]
) -> None:
    card = [row | {"judge_id": "known"} for row in make.judge_cards()]
    lake.commit(Partition("judge_cards", ("known", "pairs")), make.table_of("judge_cards", card), 1, {})
    verdicts = make.batch("verdicts", {0: {"judge_id": "known"}, 1: {"judge_id": "known"}})
    verdicts = verdicts.set_column(
        verdicts.column_names.index("judge_id"), "judge_id", [["known", "known", *["stranger"] * 4]]
    )
    quality = Quality(judge_card=asks, min_judge_agreement=minimum)
    limits = judge_limits(config.model_copy(update={"quality": quality}), lake, verdicts)
    present = {"known", "stranger"}
    assert sorted(present - set(limits["judges_without_warning"])) == warned
    assert sorted(present - set(limits["judges_without_stop"])) == stopped


def test_a_round_stops_before_it_pays_a_judge_without_a_card(config: Config, lake: Lake) -> None:
    strict = config.model_copy(update={"quality": Quality(judge_card="stop", min_judge_agreement=0.5)})
    with pytest.raises(GateStopped, match=r"judge letters has no card.*calibrate --pairs FILE --judge letters"):
        do(strict, lake, "plan", "2026-01-05")
    card = [row | {"judge_id": judge_id(strict.judge)} for row in make.judge_cards()]
    lake.commit(Partition("judge_cards", (judge_id(strict.judge), "pairs")), make.table_of("judge_cards", card), 1, {})
    with pytest.raises(
        GateStopped, match="quality gate stopped plans"
    ):  # it goes on, to find that there is nothing to plan
        do(strict, lake, "plan", "2026-01-05")


def test_the_command_prints_the_card(config: Config, pairs: str, tmp_path: Path) -> None:
    judgements = write(tmp_path / "said.jsonl", [{"pair_id": str(n), "winner": 1} for n in range(1, 5)])
    arguments = ["--root", config.root, "calibrate", "--pairs", pairs, "--judge", "gpt x", "--judgements", judgements]
    result = CliRunner().invoke(cli.app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["judge_id"], found["source"], found["release"]) == ("gpt-x", "recorded", 1)
    assert "1 label unknown" in result.stderr
    result = CliRunner().invoke(cli.app, arguments)
    assert "agreement" in result.stdout and "letters" in result.stdout and "card of gpt-x on pairs" in result.stdout


def test_a_real_judge_is_asked_and_the_leaderboard_tells_of_its_card(second_night: Config, pairs: str) -> None:
    def told() -> str:
        result = CliRunner().invoke(cli.app, ["--root", second_night.root, "leaderboard"])
        assert result.exit_code == 0, result.output
        return result.stderr

    judge_id = find_judge(second_night, "tiny-judge")[1]
    assert told().startswith(f"judge {judge_id} has no card: how far it agrees with people is not known")
    lake = Lake.open(second_night)
    with lake.connect(["quality_results"]) as connection:
        warnings = connection.sql(
            "select distinct outcome, severity from quality_results where expectation like '%(judge_id)/card'"
        ).fetchall()
    assert warnings == [("fail", "warning")]
    # The prompt is longer than its context, so that no call succeeds.
    with pytest.raises(ArenaError, match="8 of 8 calls failed"):
        calibrate(second_night, lake, pairs, "tiny-judge")
    patient = second_night.model_copy(update={"quality": Quality(max_error_rate=1, min_parse_rate=0)})
    result = calibrate(patient, lake, pairs, "tiny-judge")
    overall = by_category(result)["overall"]
    assert (result["judge_id"], overall["n"], overall["agreement"], overall["parse_rate"]) == (judge_id, 8, 0, 0)
    assert told().startswith(f"judge {judge_id} agrees with people in ")
