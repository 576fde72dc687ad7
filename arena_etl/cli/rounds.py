"""Verbs of a round: all of it, or one step."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from arena_etl import config as configuration
from arena_etl.cli.base import Accept, Arena, AsOf, Json, NewestRound, Reason, Round, Stage, app, author, open_lake
from arena_etl.cli.output import Grid, print_json, print_rows, stdout
from arena_etl.cli.steps import acceptance_of, do_steps
from arena_etl.errors import InputError
from arena_etl.rounds import TRAINING, WIZARD_ARENA, parse_round


@app.command()
def run(round_: Round, accept: Accept = None, reason: Reason = "", as_json: Json = False) -> None:
    """Do a whole round without Airflow: every step that is not done yet, then a release and the report.

    A gate that stops it ends with exit code 3: docs/runbook.md. Readers keep the last release until the round is done.
    """
    from arena_etl.flywheel import release_round, round_plan
    from arena_etl.reports.report import write

    config, lake = open_lake()
    round_ = parse_round(round_)
    acceptance = acceptance_of(accept, reason)
    summaries = do_steps(round_plan(config, round_), as_json=False, quiet=as_json, acceptance=acceptance)
    published = release_round(config, lake, round_, author(), f"round {round_}")
    page = write(config, lake, round_)
    if as_json:
        print_json({"round": round_, "steps": summaries, "release": published.release_id, "report": page})
        return
    stdout.print(f"release {published.release_id} of round {round_}; report: {page}", markup=False)


@app.command()
def plan(round_: Round, as_json: Json = False) -> None:
    """What the round will take before it runs: calls, tokens, money, hours per model; and what it took of an earlier plan.

    Calls whose results are there already are `done`. Hours follow from the throughput measured so far.
    """
    from arena_etl.operations import plan as planning

    config, lake = open_lake()
    round_ = parse_round(round_)
    rows = planning.plan(config, lake, round_)
    compared = planning.compare(config, lake, round_)
    if as_json:
        print_json({"round": round_, "plan": rows, "compared": compared})
        return
    header = [
        "stage",
        "arena",
        "kind",
        "name",
        "calls",
        "done",
        "tokens_in",
        "tokens_out",
        "cost_usd",
        "hours",
        "basis",
    ]
    total = {name: sum(row[name] or 0 for row in rows) for name in header[4:10]}
    print_rows(header, [*rows, {"stage": "total", **total}])
    if compared:
        stdout.print("\nplanned when the round began, and spent so far:")
        print_rows(list(compared[0]), compared)


@app.command()
def battle(
    round_: Round,
    stage: Stage = "sft",
    arena: Arena = "training",
    accept: Accept = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Draw the stage's slice, register the contestants and let them answer."""
    round_ = parse_round(round_)
    draw = [("draw", (round_, stage))] if arena == TRAINING else []
    do_steps(
        [*draw, ("register", (round_, stage)), ("generate", (round_, stage, arena))],
        as_json,
        acceptance=acceptance_of(accept, reason),
    )


@app.command()
def judge(
    round_: Round,
    stage: Stage = "sft",
    arena: Arena = "training",
    accept: Accept = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Judge the answers in pairs, in both orders, and merge the games to battles."""
    round_ = parse_round(round_)
    do_steps(
        [(name, (round_, stage, arena)) for name in ("judge", "merge")],
        as_json,
        acceptance=acceptance_of(accept, reason),
    )


@app.command()
def reparse(round_: Round, stage: Stage = "sft", arena: Arena = "training", as_json: Json = False) -> None:
    """Read the stored verdicts again with today's parser, without asking any judge, and merge the games anew."""
    from arena_etl.quality.publish import publish
    from arena_etl.steps import Step, perform
    from arena_etl.verdicts import reparse as again

    config, lake = open_lake()
    keys = (parse_round(round_), stage, arena)
    step = Step("reparse", "verdicts", again.inputs, again.work)
    step.inputs(config, lake, *keys)
    summary: dict[str, Any] = {"step": "reparse", "changed": again.changed(lake, *keys)}
    if summary["changed"]:
        summary = perform(step, config, lake, *keys) | publish(step, config, lake, *keys)
        do_steps([("merge", keys)], as_json=False, quiet=as_json)
    if as_json:
        print_json(summary)
        return
    again_ = (
        f"; `arena-etl run --round {keys[0]}` brings what follows from them up to date" if summary["changed"] else ""
    )
    stdout.print(f"{summary['changed']} verdicts of {'/'.join(keys)} read differently now{again_}", markup=False)


@app.command()
def select(
    round_: Round, stage: Stage = "sft", accept: Accept = None, reason: Reason = "", as_json: Json = False
) -> None:
    """Select the stage's training examples from its battles; for ppo, the pairs of its reward model too."""
    from arena_etl.flywheel import trainings

    round_ = parse_round(round_)
    steps = [("select", (round_, name)) for name in trainings(stage)]
    do_steps(steps, as_json, acceptance=acceptance_of(accept, reason))


@app.command()
def train(
    round_: Round, stage: Stage = "sft", accept: Accept = None, reason: Reason = "", as_json: Json = False
) -> None:
    """Train on the stage's examples: the champion or what `iterations.opens` names; for ppo, the reward model first."""
    from arena_etl.flywheel import trainings

    round_ = parse_round(round_)
    steps = [("train", (round_, name)) for name in trainings(stage)]
    do_steps([*steps, ("register", (round_, stage))], as_json, acceptance=acceptance_of(accept, reason))


@app.command()
def evaluate(
    round_: Round, stage: Stage = "sft", accept: Accept = None, reason: Reason = "", as_json: Json = False
) -> None:
    """Let the stage's candidate fight the champion and the rivals on the WizardArena set."""
    round_ = parse_round(round_)
    do_steps(
        [(name, (round_, stage, WIZARD_ARENA)) for name in ("generate", "judge", "merge")],
        as_json,
        acceptance=acceptance_of(accept, reason),
    )


@app.command()
def promote(
    round_: Round,
    stage: Stage = "sft",
    force: Annotated[bool, typer.Option("--force", help="Promote the candidate whatever the rules say.")] = False,
    accept: Accept = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Decide whether the candidate replaces the champion; or, with --force and --reason, decide it yourself.

    What is forced stands until the candidate is trained anew; `arena-etl rollback` takes it back.
    """
    keys = (parse_round(round_), stage)
    if not force:
        do_steps([("promote", keys)], as_json, acceptance=acceptance_of(accept, reason))
        return
    if accept is not None or not reason.strip():
        raise InputError("--force needs --reason, which is recorded with the promotion, and goes without --accept.")
    from arena_etl.quality.publish import publish
    from arena_etl.steps import perform
    from arena_etl.training.promote import forcing

    config, lake = open_lake()
    step = forcing(reason.strip(), author())
    summary = perform(step, config, lake, *keys) | publish(step, config, lake, *keys)
    if as_json:
        print_json(summary)
        return
    stdout.print(
        f"the candidate of {'/'.join(keys)} is the champion; `arena-etl run --round {keys[0]}` brings what follows from it up "
        "to date and releases it",
        markup=False,
    )


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write; it must not exist.")],
    stage: Annotated[
        configuration.TrainingStage | None,
        typer.Option("--stage", "-s", help="Whose training set; rm: the reward model."),
    ] = None,
    champion: Annotated[bool, typer.Option("--champion", help="The champion's checkpoint instead.")] = False,
    round_: Annotated[str | None, typer.Option("--round", "-r", help="Only this round. Default: all.")] = None,
    as_of: AsOf = None,
    test_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the instructions in the test split.")
    ] = 0.05,
    as_json: Json = False,
) -> None:
    """Write a training set for Hugging Face's load_dataset, or the champion as a checkpoint folder.

    sft has `messages`; dpo and rm have `prompt`, `chosen` and `rejected` as lists of messages; ppo has `prompt`. Splits are
    train_sft and test_sft, train_prefs and test_prefs, train_gen and test_gen. The card names origin, licences and counts.

    \b
    arena-etl export --stage dpo --output my-preferences
    arena-etl export --champion --output my-model && vllm serve my-model
    """
    from arena_etl.training import export as exporting

    if (stage is None) != champion:
        raise InputError("give one of --stage and --champion.")
    config, lake = open_lake(create=False)
    if stage is None:
        contestant = exporting.export_champion(config, lake, output)
        if as_json:
            print_json({"champion": contestant, "output": str(output)})
            return
        stdout.print(f"wrote {contestant} to {output}", markup=False)
        return
    rows = exporting.export(config, lake, stage, output, parse_round(round_) if round_ else None, as_of, test_share)
    if as_json:
        print_json({"stage": stage, "output": str(output), "rows": rows})
        return
    told = ", ".join(f"{count:,} in {name}" for name, count in rows.items())
    stdout.print(f"wrote {output}: {told}", markup=False)


WATCH_SECONDS = 5


@app.command()
def status(
    round_: NewestRound = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every few seconds, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Which step of which stage of every round is done, what is released, and how far running work is."""
    while True:
        if watch:
            stdout.clear()
        _print_status(round_, as_json)
        if not watch:
            return
        time.sleep(WATCH_SECONDS)


def _print_status(round_: str | None, as_json: bool) -> None:
    from arena_etl.operations.status import status as entries
    from arena_etl.progress import describe

    config, lake = open_lake(create=False)
    found = entries(config, lake, parse_round(round_) if round_ else None)
    if as_json:
        print_json(found)
        return
    if not found:
        stdout.print("no round yet: `arena-etl run --round today` makes the first")
    for entry in found:
        released = f"release {entry['release']}" if entry["release"] else "not released"
        stdout.print(f"round {entry['round']}: {released}; opened by {entry['champion']}", markup=False)
        lines = []
        for stage, steps in [*entry["stages"].items(), ("round", entry["steps"])]:
            done = sum(state == "done" for state in steps.values())
            pending = [step for step, state in steps.items() if state != "done"]
            decision = entry["promotions"].get(stage, "")
            lines.append([stage, f"{done} of {len(steps)}", pending[0] if pending else "", decision])
        stdout.print(Grid(["stage", "steps done", "next", "promotion"], lines))
        for note in entry["running"]:
            stdout.print(f"  {note['partition']}: {describe(note)}", markup=False)
