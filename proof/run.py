"""Three iterations of the flywheel on one small model, and whether it got better: ``make flywheel-proof``.

The target, SmolLM2-135M-Instruct, fights the reference answers, an apprentice who is right in most cases, and itself as it
was in the beginning (I0). Verifiers judge everything. After every iteration (SFT, DPO, PPO) its champion is rated on the
held-out instructions. The proof holds if the intervals of I0 and I3 do not overlap and I3 wins at least 60% against I0.

The control (--control) exchanges the two answers of every selected example: the target learns from the losers' answers to
the same prompts, by the same code and at the same size, and must not get better.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from arena_etl import config as configuration
from arena_etl.analytics import selection
from arena_etl.config import Config
from arena_etl.contestants import champion
from arena_etl.flywheel import INGEST, do, release_round, round_plan
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import Staging
from arena_etl.quality.publish import publish
from arena_etl.steps import Step, perform
from proof import tasks

HERE = Path(__file__).parent
ROUNDS = ("2026-01-05", "2026-01-06", "2026-01-07")
TEST_INSTRUCTIONS = 120  # 20 of each family
SPARE = 1.9  # training tasks for one that is drawn: four in ten lie too near to a test task, and no draw takes them
RIGHT = 0.8
WIN_RATE = 0.6
EXCHANGED = """
    select selected.* replace (
        coalesce(rejected, (
            select any_value(text order by responses.round)
            from responses
            where responses.instruction_id = selected.instruction_id and responses.turn = selected.turn
                and contestant_id = rejected_model
        )) as chosen,
        case when rejected is not null then chosen end as rejected,
        rejected_model as chosen_model,
        chosen_model as rejected_model
    )
    from selected
"""
RECORD = HERE.parent / "docs" / "flywheel-proof.md"


def settings(folder: Path, seed: int, scale: float, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """proof/settings.yaml with the lake, the sources, the rivals, the seed and, for a trial, smaller slices."""
    flags: dict[str, Any] = yaml.safe_load((HERE / "settings.yaml").read_text(encoding="utf-8"))
    for name, value in overrides.items():
        *sections, leaf = name.split(".")
        section = flags
        for each in sections:
            section = section.setdefault(each, {})
        section[leaf] = yaml.safe_load(value)
    target = flags["target"]
    flags |= {
        "root": str(folder / "lake"),
        "sources": [
            # The tasks of a family begin alike and ask different things.
            {"name": "proof-train", "path": str(folder / "train.jsonl"), "skip": ["prefix_duplicate"]},
            {"name": "proof-test", "path": str(folder / "test.jsonl"), "split": "wizard_diverse"},
        ],
        "rivals": [
            {"name": "references", "backend": "recorded", "checkpoint": "references"},
            {"name": "apprentice", "backend": "recorded", "checkpoint": str(folder / "apprentice.jsonl")},
            {**target, "name": "i0"},
        ],
    }
    flags["battles"] |= {"slice_size": max(8, round(scale * flags["battles"]["slice_size"])), "seed": seed}
    for stage in ("sft", "dpo", "rm", "ppo"):
        flags[stage]["seed"] = seed
    if scale < 1:
        flags["promotion"]["min_instructions"] = 8
    return flags


def losers() -> Step:
    """The step `select` with the two answers of every example exchanged: the same examples, and the loser's is to be learned.

    A preference pair has both answers; an example of SFT gets what its loser said to the same turn.
    """

    def inputs(config: Config, lake: Lake, *keys: str) -> Any:
        return {"losers": selection.inputs(config, lake, *keys)}

    def work(config: Config, lake: Lake, staging: Staging, *keys: str, unit: str) -> dict[str, int]:
        counts = selection.select(config, lake, staging, *keys, unit=unit)
        if keys[1] != "ppo":  # its examples are prompts without answers
            with lake.connect(["responses"]) as connection:
                connection.register("selected", staging.read([unit]))
                staging.keep(unit, connection.sql(EXCHANGED).to_arrow_table())
        return counts

    return Step("select", "training_sets", inputs, work)


def turn(config: Config, lake: Lake, round_: str, control: bool) -> None:
    """All steps of a round and its release; what is done already is not done again."""
    for name, keys in round_plan(config, round_):
        started = time.monotonic()
        if control and name == "select":
            step = losers()
            summary = perform(step, config, lake, *keys) | publish(step, config, lake, *keys)
        else:
            summary = do(config, lake, name, *keys)
        facts = ", ".join(f"{key} {value}" for key, value in summary.items() if key not in ("step", "table", "version"))
        sys.stderr.write(
            f"{datetime.now(UTC):%H:%M:%S} {name} {'/'.join(keys)}: {facts} ({time.monotonic() - started:.0f} s)\n"
        )
        sys.stderr.flush()
    release_round(config, lake, round_, "proof", f"round {round_}")


def iterations(config: Config, lake: Lake) -> list[dict[str, Any]]:
    """One row per iteration, from I0: champion, rating and interval after the last round, win rate against I0, what was
    selected and promoted, mean length of the champion's answers on the test set.
    """
    first_id = config.target.contestant_id
    after = ["9999-12-31" if round_ == ROUNDS[-1] else ROUNDS[ROUNDS.index(round_) + 1] for round_ in ROUNDS]
    holders = [first_id, *(champion(config, lake, each, config.stages[0]).contestant_id for each in after)]
    with lake.connect() as connection:
        board = {
            row["model"]: row
            for row in sql.run(
                connection, "ratings/leaderboard", round=ROUNDS[-1], scope="wizard_arena", method="bradley_terry"
            )
            .to_arrow_table()
            .to_pylist()
        }
        i0 = next(rival for rival in config.rivals if rival.name == "i0").contestant_id
        rates = dict(
            connection.execute(
                "select model_a, rate from win_rates "
                "where method = 'pairwise' and scope = 'wizard_arena' and round = ? and model_b = ?",
                [ROUNDS[-1], i0],
            ).fetchall()
        )
        lengths = dict(
            connection.execute(
                "select contestant_id, avg(length(text)) from responses where arena = 'wizard_arena' group by 1"
            ).fetchall()
        )
        selected = connection.execute(
            "select round, string_agg(stage || ' ' || n, ', ' order by list_position(['sft', 'dpo', 'rm', 'ppo'], stage)) "
            "from (select round, stage, count(*) as n from training_sets group by all) group by round"
        ).fetchall()
        decided = connection.execute(
            "select round, string_agg(stage || ' ' || decision, ', ' order by list_position(['sft', 'dpo', 'ppo'], stage)) "
            "from promotions group by round"
        ).fetchall()
    rows = []
    for number, holder in enumerate(holders):
        rated = board[holder]
        round_ = ROUNDS[number - 1] if number else None
        rows.append(
            {
                "iteration": f"I{number}",
                "model": holder,
                "rating": rated["rating"],
                "lower": rated["lower"],
                "upper": rated["upper"],
                "wins_against_i0": rates.get(holder),
                "mean_length": lengths[holder],
                "selected": dict(selected).get(round_, "-"),
                "promotions": dict(decided).get(round_, "-"),
            }
        )
    return rows


def verdict(rows: list[dict[str, Any]], control: bool) -> tuple[bool, str]:
    """Whether it holds, and the sentence that says so."""
    first, last = rows[0], rows[-1]
    apart, won = last["lower"] > first["upper"], last["wins_against_i0"]
    if control:
        return not apart, f"control: I3 is {'' if apart else 'not '}above I0 (interval against interval)"
    holds = apart and won is not None and won >= WIN_RATE
    rate = "no battles" if won is None else f"{won:.0%}"
    return holds, (
        f"I3 {last['lower']:.0f} to {last['upper']:.0f} against I0 {first['lower']:.0f} to {first['upper']:.0f}: "
        f"{'no overlap' if apart else 'overlap'}; win rate against I0 {rate} (at least {WIN_RATE:.0%}): "
        f"the proof {'holds' if holds else 'does not hold'}"
    )


def table(rows: list[dict[str, Any]]) -> str:
    header = "| iteration | model | rating | interval | won against I0 | mean characters | selected | promotions |"
    lines = [header, "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        won = "-" if row["wins_against_i0"] is None else f"{row['wins_against_i0']:.0%}"
        lines.append(
            f"| {row['iteration']} | {row['model']} | {row['rating']:.0f} | {row['lower']:.0f} to {row['upper']:.0f} | {won} "
            f"| {row['mean_length']:.0f} | {row['selected']} | {row['promotions']} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=HERE.parent / "build" / "proof", help="where the lake lies")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the instructions; below 1 it proves nothing")
    parser.add_argument("--control", action="store_true", help="learn from the losers' answers instead")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another setting of proof/settings.yaml"
    )
    parser.add_argument("--record", action="store_true", help=f"add the result to {RECORD.name}")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.folder / ("control" if arguments.control else "proof") / f"seed-{arguments.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    overrides = dict(each.split("=", 1) for each in arguments.set)
    flags = settings(folder, arguments.seed, arguments.scale, overrides)
    test = max(14, round(arguments.scale * TEST_INSTRUCTIONS))
    drawn = len(ROUNDS) * len(flags["stages"]) * flags["battles"]["slice_size"]
    tasks.write(folder, round(SPARE * drawn), test)
    config = configuration.load(flags=flags)
    lake, started = Lake.open(config), time.monotonic()
    for source in config.sources:
        for name in INGEST:
            do(config, lake, name, source.name)
    with lake.connect(["instructions"]) as connection:
        rows = (
            connection.sql("select instruction_id, category, reference from instructions").to_arrow_table().to_pylist()
        )
    tasks.write_apprentice(folder / "apprentice.jsonl", rows, RIGHT, arguments.seed)
    for round_ in ROUNDS:
        turn(config, lake, round_, arguments.control)
    found = iterations(config, lake)
    holds, says = verdict(found, arguments.control)
    minutes = (time.monotonic() - started) / 60
    if arguments.json:
        sys.stdout.write(json.dumps({"iterations": found, "holds": holds, "verdict": says, "minutes": minutes}) + "\n")
    else:
        sys.stdout.write(f"{table(found)}\n\n{says} ({minutes:.0f} minutes, seed {arguments.seed})\n")
    if arguments.record:
        title = f"{datetime.now(UTC):%Y-%m-%d}, seed {arguments.seed}{', control' if arguments.control else ''}"
        with RECORD.open("a", encoding="utf-8") as out:
            out.write(f"\n## {title}\n\n{table(found)}\n\n{says}. {minutes:.0f} minutes.\n")
    return 0 if holds or arguments.scale < 1 else 1


if __name__ == "__main__":
    sys.exit(main())
