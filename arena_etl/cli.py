"""arena-etl: one verb per thing a person does. Results on stdout, progress and messages on stderr.

Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 stopped by a quality gate.
"""

import getpass
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.errors import ArenaError, GateStopped, InputError
from arena_etl.rounds import TRAINING, WIZARD_ARENA, parse_round

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""The data-lake ETL of the Arena Learning flywheel.

    One night by hand: `arena-etl run --round today`, then `arena-etl leaderboard`. Every step of it is a verb of its own.
    """,
)
quarantine_app = typer.Typer(
    no_args_is_help=True, help="Rows that a gate held back: look at them, and let them in after all."
)
app.add_typer(quarantine_app, name="quarantine")
quality_app = typer.Typer(
    no_args_is_help=True, help="What the gates found, who was told, and whether the lake is alive."
)
app.add_typer(quality_app, name="quality")
releases_app = typer.Typer(no_args_is_help=True, help="Consistent published states of all tables.")
app.add_typer(releases_app, name="releases")
wizard_arena_app = typer.Typer(no_args_is_help=True, help="The held-out test sets: build a version, read its card.")
app.add_typer(wizard_arena_app, name="wizard-arena")

stdout = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 1_000)
stderr = Console(stderr=True, soft_wrap=True, highlight=False)

Round = Annotated[str, typer.Option("--round", "-r", help="UTC date of the round, YYYY-MM-DD, or `today`.")]
NewestRound = Annotated[str | None, typer.Option("--round", "-r", help="YYYY-MM-DD; default: the newest round.")]
Stage = Annotated[configuration.Stage, typer.Option("--stage", "-s", help="Stage of the round.")]
Arena = Annotated[
    Literal["training", "wizard_arena"], typer.Option(help="The stage's fresh slice, or the held-out test set.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", help="Release id, date, or `head` (unreleased tables too). Default: the newest release."),
]
Since = Annotated[
    str | None,
    typer.Option("--since", help="Release id or date of the schema `before`. Default: the parent of the release."),
]

Accept = Annotated[
    str | None,
    typer.Option(
        "--accept", help="Publish the next batch of this table that a gate stops all the same, once. Needs --reason."
    ),
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]

WATCH_SECONDS = 5
SHOWN_ROWS = 50
_state: dict[str, Any] = {}


@app.callback()
def options(
    file: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="YAML file; default: $ARENA_CONFIG, else ./arena.yaml if there."),
    ] = None,
    root: Annotated[str | None, typer.Option(help="The lake: a local folder or s3://bucket/prefix.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, e.g. --set battles.slice_size=100. Repeatable.")
    ] = None,
) -> None:
    flags: dict[str, Any] = {}
    for setting in settings or []:
        name, separator, value = setting.partition("=")
        if not separator:
            raise InputError(f"--set {setting}: write it as name=value, e.g. --set battles.slice_size=100")
        *sections, leaf = name.split(".")
        section = flags
        try:
            for each in sections:
                section = section.setdefault(each, {})
            section[leaf] = yaml.safe_load(value)
        except (yaml.YAMLError, AttributeError, TypeError) as error:
            raise InputError(f"--set {setting}: not a value that the setting can have ({error})") from error
    if root is not None:
        flags["root"] = root
    _state.update(file=file, flags=flags)


def _config() -> Config:
    return configuration.load(_state.get("file"), _state.get("flags"))


def _open(create: bool = True) -> tuple[Config, Any]:
    from arena_etl.lake.delta import Lake

    config = _config()
    return config, Lake.open(config, create)


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="Where to write.")] = Path(configuration.DEFAULT_FILE),
    print_: Annotated[bool, typer.Option("--print", help="Print it instead.")] = False,
    paper_: Annotated[
        bool, typer.Option("--paper", help="Stages, slices and trainings of the paper instead of the embedded ones.")
    ] = False,
) -> None:
    """Write a commented configuration file with the embedded defaults."""
    from arena_etl.operations.template import paper, render

    text = render(paper() if paper_ else None)
    if print_:
        stdout.print(text, end="", markup=False)
        return
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise InputError(f"{file}: exists already; it is left as it is. Name another file, or move it away.") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error}") from error
    stdout.print(f"wrote {file}", markup=False)


@app.command()
def ingest(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="Names of configured sources, or files, folders, globs, s3:// and hf://datasets/ places. Default: all sources.",
        ),
    ] = None,
    license_: Annotated[str, typer.Option("--license", help="Of a place's rows that do not name their own.")] = "",
    split: Annotated[configuration.Split, typer.Option(help="What the rows of a place are for.")] = "train",
    accept: Accept = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Land sources, clean and compare their rows, and tell what was taken out and why.

    A source that did not change is passed over, rows that were seen before are not looked at again. Shapes, columns and
    filters: docs/instructions.md.

    \b
    arena-etl ingest
    arena-etl ingest my-source
    arena-etl ingest 'logs/2026-01-*.jsonl.gz' --license proprietary
    """
    from arena_etl.flywheel import ingest_plan
    from arena_etl.operations.ingestion import funnel, with_sources

    config, lake = _open()
    if sources:
        config = with_sources(config, sources, license_, split)
    names = [source.name for source in config.sources]
    summaries = _steps(ingest_plan(config), False, quiet=as_json, acceptance=_acceptance(accept, reason), config=config)
    rows = funnel(lake, names)
    if as_json:
        _print_json({"steps": summaries, "funnel": rows})
        return
    _print_rows(["source", "step", "rows"], rows)


@app.command()
def contamination(
    benchmark: Annotated[str | None, typer.Argument(help="A test set: list what it removed, beside its items.")] = None,
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """What the test sets removed from the training instructions, and why.

    A test set is a source whose split is not train. Ways of being found: identical conversations, a shared run of words
    (ngram), neighbours by embedding, near-duplicates: docs/deduplication.md.

    \b
    arena-etl contamination
    arena-etl contamination alpaca-eval --json
    """
    from arena_etl.lake import sql as files
    from arena_etl.lake.releases import resolve

    _, lake = _open(create=False)
    with lake.connect(versions=resolve(lake, as_of)) as connection:
        files.materialize(connection, "test_items", "instructions/test_items")
        rows = files.run(connection, "decontamination/report").to_arrow_table().to_pylist()
        if benchmark is not None and benchmark not in (known := [row["benchmark"] for row in rows]):
            raise InputError(f"{benchmark}: no test set of this release, which has {', '.join(known) or 'none'}.")
        if benchmark is not None:
            found = files.run(connection, "decontamination/removed_by", benchmark=benchmark)
            rows = found.to_arrow_table().to_pylist()
    if as_json:
        _print_json(rows)
    elif not rows:
        stdout.print("nothing was removed" if benchmark else "no test set: give a source the split benchmark")
    elif benchmark is None:
        _print_rows(list(rows[0]), rows)
    else:
        header = ["method", "measure", "source", "source_id", "training_text", "test_text"]
        _print_rows(header, [{**row, **{name: _short(row[name]) for name in header[-2:]}} for row in rows])


@app.command("import")
def import_(
    files: Annotated[list[str], typer.Argument(help="Battles, outputs, annotations, questions, answers, reviews.")],
    round_: Round,
    stage: Stage = "sft",
    arena: Arena = "wizard_arena",
    license_: Annotated[str, typer.Option("--license", help="Licence of the texts, needed where there are any.")] = "",
    language: Annotated[str, typer.Option(help="Of the instructions, ISO 639-1.")] = "en",
    judge_: Annotated[
        str | None, typer.Option("--judge", help="Who judged, where a file does not say. Default: the file's name.")
    ] = None,
    renames: Annotated[
        list[str] | None,
        typer.Option("--rename", help="OLD=NEW: the name of a configured contestant for a model, e.g. of the target."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring recorded battles into the lake, with answers and instructions where the files have them.

    Whatever `arena-etl rate` reads; AlpacaEval's outputs and annotations; FastChat's questions, answers and reviews (give
    them together). Then rate, select, leaderboard and sql work on the round as on one that was fought: docs/recorded.md.

    \b
    arena-etl import votes.parquet --round 2024-01-31
    arena-etl import outputs.json annotations.json --round 2024-01-31 --license CC-BY-NC-4.0 --arena training
    """
    from arena_etl.operations.recordings import Recording, import_files

    config, lake = _open()
    if wrong := [rename for rename in renames or [] if not all(rename.partition("="))]:
        raise InputError(f"--rename {wrong[0]}: write it as OLD=NEW, e.g. --rename alpaca-7b=my-model")
    pairs = dict(rename.split("=", 1) for rename in renames or [])
    recording = Recording(parse_round(round_), stage, arena, license_, language, judge_, pairs)
    summary = import_files(config, lake, files, recording)
    unusable = summary["unusable"]
    if unusable:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in unusable.items())
        stderr.print(f"note: rows that are no battle: {counts}", markup=False)
    if as_json:
        _print_json(summary)
        return
    rows = ", ".join(f"{count:,} {table}" for table, count in summary.items() if table != "unusable")
    stdout.print(f"imported into {'/'.join(recording.keys)}: {rows}", markup=False)


@app.command()
def run(round_: Round, accept: Accept = None, reason: Reason = "", as_json: Json = False) -> None:
    """Do a whole round without Airflow: every step that is not done yet, then a release and the report.

    A gate that stops it ends with exit code 3: docs/runbook.md. Readers keep the last release until the round is done.
    """
    from arena_etl.flywheel import release_round, round_plan
    from arena_etl.reports.report import write

    config, lake = _open()
    round_ = parse_round(round_)
    acceptance = _acceptance(accept, reason)
    summaries = _steps(round_plan(config, round_), as_json=False, quiet=as_json, acceptance=acceptance)
    published = release_round(config, lake, round_, _author(), f"round {round_}")
    page = write(config, lake, round_)
    if as_json:
        _print_json({"round": round_, "steps": summaries, "release": published.release_id, "report": page})
        return
    stdout.print(f"release {published.release_id} of round {round_}; report: {page}", markup=False)


@app.command()
def plan(round_: Round, as_json: Json = False) -> None:
    """What the round will take before it runs: calls, tokens, money, hours per model; and what it took of an earlier plan.

    Calls whose results are there already are `done`. Hours follow from the throughput measured so far.
    """
    from arena_etl.operations import plan as planning

    config, lake = _open()
    round_ = parse_round(round_)
    rows = planning.plan(config, lake, round_)
    compared = planning.compare(config, lake, round_)
    if as_json:
        _print_json({"round": round_, "plan": rows, "compared": compared})
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
    _print_rows(header, [*rows, {"stage": "total", **total}])
    if compared:
        stdout.print("\nplanned when the round began, and spent so far:")
        _print_rows(list(compared[0]), compared)


@app.command()
def backfill(
    window: Annotated[
        str | None, typer.Argument(help="FROM..TO, the rounds of both days included, or one round.")
    ] = None,
    what: Annotated[
        str,
        typer.Option(
            help="judge (verdicts and what follows), select (training sets), rate, battles (answers too), all (and select)."
        ),
    ] = "judge",
    reason: Reason = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Release without asking.")] = False,
    give_up: Annotated[bool, typer.Option("--give-up", help="Take back an unfinished backfill.")] = False,
    as_json: Json = False,
) -> None:
    """Do past rounds again by today's configuration: plan, work, comparison, and one release for all of it.

    Readers stay at the last release until the end, and `arena-etl rollback` returns to it. Ratings of later rounds are made
    again, because they rest on the battles before. Decisions about candidates stay as they were; what would be decided now is
    listed. Killed or stopped by a gate, the same command goes on; meanwhile no round is released.

    \b
    arena-etl --set judge.checkpoint=my-org/new-judge backfill 2026-01-05..2026-01-31 --dry-run
    arena-etl --set judge.checkpoint=my-org/new-judge backfill 2026-01-05..2026-01-31 --reason "new judge"
    """
    from arena_etl.operations import backfill as past

    config, lake = _open(create=False)
    if give_up:
        stdout.print(
            f"release {past.give_up(config, lake, _author()).release_id} is what readers had before", markup=False
        )
        return
    if window is None:
        raise InputError("which rounds? backfill FROM..TO, or --give-up for an unfinished one.")
    chosen = past.Window.parse(window, what)
    planned = past.plan(config, lake, chosen)
    if dry_run:
        if as_json:
            _print_json(asdict(planned))
        else:
            _print_backfill_plan(planned)
        return
    if not as_json:
        _print_backfill_plan(planned)
    compared = past.run(config, lake, chosen, _author(), reason, _report_step)
    if not as_json:
        for name, rows in vars(compared).items():
            stdout.print(f"\n{name.replace('_', ' ')}: {'' if rows else 'nothing'}", markup=False)
            if rows:
                _print_rows(list(rows[0]), rows)
    if not yes and not (sys.stdin.isatty() and typer.confirm("Release this?")):
        stderr.print("not released: the same command with --yes releases it, --give-up takes it back", markup=False)
        released = None
    else:
        released = past.publish(config, lake, chosen, _author(), reason).release_id
    if as_json:
        _print_json({"plan": asdict(planned), **vars(compared), "release": released})
    elif released is not None:
        stdout.print(f"release {released}", markup=False)


def _print_backfill_plan(planned: Any) -> None:
    steps = Counter((each.keys[0], each.step, each.state) for each in planned.steps)
    _print_rows(
        ["round", "step", "redo", "reuse"],
        [
            {"round": r, "step": s, "redo": steps[r, s, "redo"], "reuse": steps[r, s, "reuse"]}
            for r, s in dict.fromkeys((each.keys[0], each.step) for each in planned.steps)
        ],
    )
    if planned.later:
        stdout.print(f"\nrated again, because they come after: {', '.join(planned.later)}", markup=False)
    if planned.calls:
        stdout.print("\ncalls:")
        header = [
            "round",
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
        ]
        total = {name: sum(row[name] or 0 for row in planned.calls) for name in header[5:]}
        _print_rows(header, [*planned.calls, {"round": "total", **total}])


@app.command()
def battle(
    round_: Round,
    stage: Stage = "sft",
    arena: Arena = "training",
    accept: Accept = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Draw the stage's slice and let the contestants answer."""
    round_ = parse_round(round_)
    draw = [("draw", (round_, stage))] if arena == TRAINING else []
    _steps([*draw, ("generate", (round_, stage, arena))], as_json, acceptance=_acceptance(accept, reason))


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
    _steps(
        [(name, (round_, stage, arena)) for name in ("judge", "merge")], as_json, acceptance=_acceptance(accept, reason)
    )


@app.command()
def reparse(round_: Round, stage: Stage = "sft", arena: Arena = "training", as_json: Json = False) -> None:
    """Read the stored verdicts again with today's parser, without asking any judge, and merge the games anew."""
    from arena_etl.quality.publish import publish
    from arena_etl.steps import Step, perform
    from arena_etl.verdicts import reparse as again

    config, lake = _open()
    keys = (parse_round(round_), stage, arena)
    step = Step("reparse", "verdicts", again.inputs, again.work)
    step.inputs(config, lake, *keys)
    summary: dict[str, Any] = {"step": "reparse", "changed": again.changed(lake, *keys)}
    if summary["changed"]:
        summary = perform(step, config, lake, *keys) | publish(step, config, lake, *keys)
        _steps([("merge", keys)], as_json=False, quiet=as_json)
    if as_json:
        _print_json(summary)
        return
    again_ = (
        f"; `arena-etl run --round {keys[0]}` brings what follows from them up to date" if summary["changed"] else ""
    )
    stdout.print(f"{summary['changed']} verdicts of {'/'.join(keys)} read differently now{again_}", markup=False)


@app.command()
def rate(
    context: typer.Context,
    files: Annotated[
        list[str] | None, typer.Argument(help="Parquet, CSV, JSON or JSON Lines; text also with .gz or .zst.")
    ] = None,
    round_: Annotated[
        str | None, typer.Option("--round", "-r", help="Instead of files: rate the lake's battles up to this round.")
    ] = None,
    method: Annotated[Literal["bradley-terry", "elo", "style"], typer.Option(help="How to rate.")] = "bradley-terry",
    k: Annotated[float, typer.Option(help="K factor of Elo.")] = 4,
    scale: Annotated[float, typer.Option(help="Rating points for odds of --base to one.")] = 400,
    base: Annotated[float, typer.Option(help="See --scale.")] = 10,
    initial: Annotated[float, typer.Option(help="Start of Elo; mean rating of the others.")] = 1000,
    anchor: Annotated[
        str | None, typer.Option(help="MODEL=RATING: move the scale so that this model has this rating.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples of whole instructions; 0: no intervals.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = 0,
    prior_games: Annotated[
        float, typer.Option(help="Drawn games of every model against an average one, for Bradley-Terry.")
    ] = 0,
    scope: Annotated[str | None, typer.Option(help="A column: rate the battles of each of its values too.")] = None,
    as_json: Json = False,
) -> None:
    """Rate battle files, without a lake or a configuration; or, with --round, the battles in the lake.

    Columns have the names that people use: model_a, model_b, winner; model_1 and model_2; left and right; one-hot
    winner_model_a...; AlpacaEval's annotations; FastChat's pairs of games. Battles are in the order of a column tstamp
    (timestamp, created_at, date), else of the files. Rows that are not usable are counted and listed on stderr.

    \b
    arena-etl rate votes.parquet
    arena-etl rate votes.csv.gz more.jsonl --scope language --anchor gpt-4=1200 --json
    arena-etl rate --round 2026-01-31
    """
    if round_:
        others = [name for name in context.params if name not in ("round_", "as_json")]
        if given := [n for n in others if (source := context.get_parameter_source(n)) and source.name == "COMMANDLINE"]:
            raise InputError(
                f"--round and {', '.join(given)}: a round is rated as the configuration says (section ratings); "
                "the other options are for files."
            )
        round_ = parse_round(round_)
        _steps([("rate", (round_,)), ("win_rates", (round_,))], as_json)
        return
    if not files:
        raise InputError("nothing to rate: give battle files, or --round YYYY-MM-DD for the battles of the lake.")
    if min(k, scale) <= 0 or base <= 1 or prior_games < 0:
        raise InputError("--k and --scale must be above 0, --base above 1, and --prior-games 0 or more.")
    model, _, rating = anchor.rpartition("=") if anchor else (None, "", "0")
    try:
        anchor_rating = float(rating)
    except ValueError:
        anchor_rating = float("nan")
    if model == "" or not math.isfinite(anchor_rating):
        raise InputError(f"--anchor {anchor}: write it as MODEL=RATING, e.g. --anchor gpt-4=1200")

    from arena_etl.analytics.battle_files import rate_files

    names = {"bradley-terry": "bradley_terry", "elo": "elo", "style": "style_controlled"}
    settings = configuration.Ratings().model_dump() | {
        "k": k,
        "scale": scale,
        "base": base,
        "initial": initial,
        "anchor": model,
        "anchor_rating": anchor_rating,
        "resamples": bootstrap,
        "seed": seed,
        "prior_games": prior_games,
    }
    result = rate_files(files, names[method], settings, scope) | {"method": method}
    for note in result.pop("notes"):
        stderr.print(f"note: {note}", markup=False)
    if as_json:
        _print_json(result)
        return
    for board, rows in groupby(result["ratings"], key=lambda row: str(row["scope"])):
        stdout.print(_board(list(rows), None if board == "overall" else board.removeprefix("overall/")))


@app.command()
def select(
    round_: Round, stage: Stage = "sft", accept: Accept = None, reason: Reason = "", as_json: Json = False
) -> None:
    """Select the stage's training examples from its battles; for ppo, the pairs of its reward model too."""
    from arena_etl.flywheel import trainings

    round_ = parse_round(round_)
    steps = [("select", (round_, name)) for name in trainings(stage)]
    _steps(steps, as_json, acceptance=_acceptance(accept, reason))


@app.command()
def train(
    round_: Round, stage: Stage = "sft", accept: Accept = None, reason: Reason = "", as_json: Json = False
) -> None:
    """Train on the stage's examples: the champion or what `iterations.opens` names; for ppo, the reward model first."""
    from arena_etl.flywheel import trainings

    round_ = parse_round(round_)
    steps = [("train", (round_, name)) for name in trainings(stage)]
    _steps([*steps, ("register", (round_, stage))], as_json, acceptance=_acceptance(accept, reason))


@app.command()
def evaluate(
    round_: Round, stage: Stage = "sft", accept: Accept = None, reason: Reason = "", as_json: Json = False
) -> None:
    """Let the stage's candidate fight the champion and the rivals on the WizardArena set."""
    round_ = parse_round(round_)
    _steps(
        [(name, (round_, stage, WIZARD_ARENA)) for name in ("generate", "judge", "merge")],
        as_json,
        acceptance=_acceptance(accept, reason),
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
        _steps([("promote", keys)], as_json, acceptance=_acceptance(accept, reason))
        return
    if accept is not None or not reason.strip():
        raise InputError("--force needs --reason, which is recorded with the promotion, and goes without --accept.")
    from arena_etl.quality.publish import publish
    from arena_etl.steps import perform
    from arena_etl.training.promote import forcing

    config, lake = _open()
    step = forcing(reason.strip(), _author())
    summary = perform(step, config, lake, *keys) | publish(step, config, lake, *keys)
    if as_json:
        _print_json(summary)
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
    config, lake = _open(create=False)
    if stage is None:
        contestant = exporting.export_champion(config, lake, output)
        if as_json:
            _print_json({"champion": contestant, "output": str(output)})
            return
        stdout.print(f"wrote {contestant} to {output}", markup=False)
        return
    rows = exporting.export(config, lake, stage, output, parse_round(round_) if round_ else None, as_of, test_share)
    if as_json:
        _print_json({"stage": stage, "output": str(output), "rows": rows})
        return
    told = ", ".join(f"{count:,} in {name}" for name, count in rows.items())
    stdout.print(f"wrote {output}: {told}", markup=False)


@app.command()
def leaderboard(
    round_: NewestRound = None,
    scope: Annotated[
        str, typer.Option(help="wizard_arena, training, or a part of one such as wizard_arena/category=math.")
    ] = WIZARD_ARENA,
    method: Annotated[configuration.RatingMethod, typer.Option(help="How battles become ratings.")] = "bradley_terry",
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Ratings with intervals, over all battles of the scope up to the round."""
    from arena_etl.lake import sql as files
    from arena_etl.lake.releases import resolve

    _, lake = _open(create=False)
    versions = resolve(lake, as_of)
    with lake.connect(["ratings", "models", "verdicts", "battles", "judge_cards"], versions) as connection:
        chosen = parse_round(round_) if round_ else None
        board = files.run(connection, "ratings/leaderboard", round=chosen, scope=scope, method=method)
        rows = board.to_arrow_table().to_pylist()
        known = connection.sql(
            "select list(distinct scope order by scope), list(distinct method) from ratings"
        ).fetchall()
        cards = files.run(connection, "reports/judge_cards", round=chosen, scope=scope).to_arrow_table().to_pylist()
    scopes, methods = (known[0][0] or [], known[0][1] or [])
    if not rows and scopes:
        raise InputError(
            f"no {method} ratings of {scope} in this release. Scopes: {', '.join(scopes)}. Methods: {', '.join(methods)}."
        )
    if not rows:
        raise ArenaError("no ratings in this release. `arena-etl status` shows what is done.")
    if as_json:
        _print_json([{key: value for key, value in row.items() if key not in ("name", "role")} for row in rows])
    else:
        stdout.print(_board(rows))
    if told := "; ".join(_card(card) for card in cards if card["category"] in (None, "overall")):
        stderr.print(f"judge {told}", markup=False)


@app.command()
def agreement(
    file: Annotated[
        Path, typer.Argument(help="A leaderboard, or the battles of a judge: CSV, JSON, JSONL or Parquet.")
    ],
    reference: Annotated[Path, typer.Option(help="The leaderboard, or the battles of people, to compare it with.")],
    touching: Annotated[
        Literal["separated", "overlapping"],
        typer.Option(help="Leaderboards: what intervals count as of which one ends where the other begins."),
    ] = "separated",
    scope: Annotated[str | None, typer.Option(help="Battles: also tell each value of this column apart.")] = None,
    as_json: Json = False,
) -> None:
    """How far a leaderboard agrees with a reference, or a judge with people.

    Leaderboards have columns for the model (model, name...), its rating (rating, elo, score...) and, where known, its
    interval (lower and upper...); the JSON of `arena-etl rate` will do. The measures: sql/agreement/consistency.sql.
    Battles have the columns that `arena-etl rate` reads, and an instruction. Agreement and Cohen's kappa:
    sql/agreement/judge_against_people.sql.
    """
    from arena_etl.analytics.agreement import compare_judges, compare_leaderboards, holds_battles

    if holds_battles(file):
        result = compare_judges(file, reference, scope)
        header = list(result["agreement"][0])
        lines = [list(row.values()) for row in result["agreement"]]
    elif scope:
        raise InputError(f"--scope {scope}: only battles have scopes, and {file} is a leaderboard.")
    else:
        result = compare_leaderboards(file, reference, touching == "separated")
        header = ["measure", "value"]
        lines = [[name, len(value) if isinstance(value, list) else value] for name, value in result.items()]
        lines = [line for line in lines if line[0] != "notes"]
    if as_json:
        _print_json(result)
        return
    for note in result["notes"]:
        stderr.print(f"note: {note}", markup=False)
    table = RichTable(*header, box=None)
    for line in lines:
        table.add_row(*(_measure(value) for value in line))
    stdout.print(table, markup=False)


@app.command()
def calibrate(
    pairs: Annotated[
        str, typer.Option(help="Pairs of answers that people labelled: CSV, JSON, JSONL or Parquet.", metavar="FILE")
    ],
    judge_: Annotated[
        str, typer.Option("--judge", help="A configured judge; with --judgements, a judge of that file.")
    ],
    judgements: Annotated[
        str | None, typer.Option(help="Read what the judge said from a file, and ask nobody.", metavar="FILE")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the pairs. Default: the file's name.")] = None,
    as_json: Json = False,
) -> None:
    """Make the card of a judge: how far it agrees with people, and with itself, what sways it and what it costs.

    Pairs have an instruction, two answers (output_1 and output_2, response_1 and response_2...) and what people said: gold,
    or human_1 to human_n, of whom most decide; 1, 2, or 0 for a tie. Every pair is played in both orders. The card is
    released at once; boards show it, and the gates ask for it: docs/calibration.md.

    \b
    arena-etl calibrate --pairs llmbar.parquet --judge smollm2-judge
    arena-etl calibrate --pairs pandalm.parquet --judgements pandalm.parquet --judge gpt35
    """
    from arena_etl.operations.calibration import calibrate as make_card

    config, lake = _open()
    result = make_card(config, lake, pairs, judge_, judgements=judgements, dataset=dataset, author=_author())
    for note in result.pop("notes"):
        stderr.print(f"note: {note}", markup=False)
    if as_json:
        _print_json(result)
        return
    stamps = ("category", "source", "pairs_sha256", "created_at")
    header = [name for name in result["card"][0] if name not in stamps]
    table = RichTable("category", *(name.replace("_", " ") for name in header), box=None)
    for row in result["card"]:
        table.add_row(Text(row["category"]), *(_measure(row[name]) for name in header))
    stdout.print(table)
    stdout.print(
        f"card of {result['judge_id']} on {result['dataset']}, release {result['release']}; `arena-etl leaderboard` shows it",
        markup=False,
    )


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

    config, lake = _open(create=False)
    found = entries(config, lake, parse_round(round_) if round_ else None)
    if as_json:
        _print_json(found)
        return
    if not found:
        stdout.print("no round yet: `arena-etl run --round today` makes the first")
    for entry in found:
        released = f"release {entry['release']}" if entry["release"] else "not released"
        stdout.print(f"round {entry['round']}: {released}; opened by {entry['champion']}", markup=False)
        for stage, steps in [*entry["stages"].items(), ("round", entry["steps"])]:
            done = sum(state == "done" for state in steps.values())
            pending = [step for step, state in steps.items() if state != "done"]
            decision = f"; {entry['promotions'][stage]}" if stage in entry["promotions"] else ""
            rest = f"; next: {pending[0]}" if pending else ""
            stdout.print(f"  {stage}: {done} of {len(steps)} steps done{decision}{rest}", markup=False)
        for note in entry["running"]:
            stdout.print(f"  {note['partition']}: {describe(note)}", markup=False)


@app.command()
def sql(
    query: Annotated[str | None, typer.Argument(help="One SELECT.")] = None,
    file: Annotated[
        str | None, typer.Option("--file", "-f", help="Read it from a file, from `-`, or take a question of --list.")
    ] = None,
    as_of: AsOf = None,
    since: Since = None,
    variables: Annotated[
        list[str] | None, typer.Option("--var", help="NAME=VALUE for getvariable('NAME'), e.g. target=... Repeatable.")
    ] = None,
    format_: Annotated[
        configuration.ResultFormat | None,
        typer.Option("--format", help="Default: by the ending of --output, else table."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A new file. Default: stdout.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the questions that are ready to run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Ask the lake in SQL, read-only: views named like the tables (docs/tables.md, docs/sql.md).

    The release that answers is named on stderr. The schema `before` has the tables of the release before, or of --since.

    \b
    arena-etl sql "select winner, count(*) n from battles group by 1 order by 1"
    arena-etl sql --list
    arena-etl sql -f upset_battles --var gap=50
    arena-etl sql -f rating_changes --since 2026-01-31
    arena-etl sql -f mine.sql --as-of 12 --output answer.parquet
    """
    from arena_etl.lake import results
    from arena_etl.lake.query import Session, questions

    if list_:
        table = RichTable("question", "purpose", box=None)
        for name, purpose in questions().items():
            table.add_row(name, purpose)
        stdout.print(table, markup=False)
        return
    if as_json and format_ not in (None, "json"):
        raise InputError(f"--json and --format {format_}: give one of them.")
    chosen = results.format_of("json" if as_json else format_, output)
    text = _query_text(query, file)
    config, lake = _open(create=False)
    with Session(lake, config.query, as_of, since) as session:
        stderr.print(session.stamp, markup=False)
        for variable in variables or []:
            name, separator, value = variable.partition("=")
            if not separator:
                raise InputError(f"--var {variable}: write it as NAME=VALUE, e.g. --var target=my-model-1a2b3c4d")
            session.set_variable(name, value)
        with session.ask(text) as rows, results.destination(output, chosen) as out:
            note = results.write(rows, chosen, out)
    if note:
        stderr.print(f"{note}; --format csv, json or parquet writes all", markup=False)


def _query_text(query: str | None, file: str | None) -> str:
    from arena_etl.lake import sql as files
    from arena_etl.lake.query import questions

    if (query is None) == (file is None):
        raise InputError("give one of a query and -f FILE; `arena-etl sql --list` has questions that are ready to run.")
    if query is not None or file is None:
        return str(query)
    if file == "-":
        return sys.stdin.read()
    if not Path(file).exists() and file in questions():
        return files.load(f"adhoc/{file}")
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error}), and no question of `arena-etl sql --list`.") from error


@app.command()
def shell(as_of: AsOf = None, since: Since = None) -> None:
    """A SQL shell with history and completion, read-only like `sql`; a script when stdin is not a terminal.

    Statements end with `;`. `.help` lists the commands, `.questions` what is ready to run.

    \b
    arena-etl shell --as-of 12
    echo ".run where_do_we_lose" | arena-etl shell
    """
    from arena_etl.lake.query import Session
    from arena_etl.lake.shell import Shell, prompt, read

    config, lake = _open(create=False)
    with Session(lake, config.query, as_of, since) as session:
        stderr.print(session.stamp, markup=False)
        running = Shell(session, lambda message: stderr.print(message, markup=False))
        interactive = sys.stdin.isatty()
        running.run(prompt(session) if interactive else read(sys.stdin))
    if running.failed and not interactive:
        raise typer.Exit(1)


@app.command()
def views(as_of: AsOf = None, since: Since = None) -> None:
    """Print the views as a script for a plain DuckDB client: tables of the release, and in `before` those of --since.

    \b
    arena-etl views > views.sql
    duckdb -init views.sql
    """
    from arena_etl.lake.query import script

    _, lake = _open(create=False)
    sys.stdout.write(script(lake, as_of, since))


@releases_app.command("list")
def releases_list(as_json: Json = False) -> None:
    """All releases, oldest first; `given up`: `arena-etl gc` may have deleted files of it."""
    from arena_etl.lake.releases import releases, retired

    _, lake = _open(create=False)
    known, gone = releases(lake), retired(lake)
    if as_json:
        _print_json([{**_facts(release), "given_up": release.release_id in gone} for release in known])
        return
    table = RichTable("release", "parent", "round", "made", "author", "reason", "", box=None)
    for release in known:
        made = f"{release.created_at:%Y-%m-%d %H:%M}Z"
        parent, note = str(release.parent or ""), "given up" if release.release_id in gone else ""
        table.add_row(str(release.release_id), parent, release.round or "", made, release.author, release.reason, note)
    stdout.print(table, markup=False)


@releases_app.command("show")
def releases_show(
    release_id: Annotated[int, typer.Argument(help="Release; `arena-etl releases list` shows them.")],
    as_json: Json = False,
) -> None:
    """One release: who made it and why, the version of every table, and the configuration that it was made with."""
    from arena_etl.lake.releases import find

    _, lake = _open(create=False)
    release = find(lake, str(release_id))
    if as_json:
        _print_json(_facts(release))
    else:
        sys.stdout.write(yaml.safe_dump(_facts(release), sort_keys=False, allow_unicode=True))


@releases_app.command("diff")
def releases_diff(
    before: Annotated[str, typer.Argument(help="Release id or date.")],
    after: Annotated[str, typer.Argument(help="Release id, date, or `head` (unreleased tables too).")],
    as_json: Json = False,
) -> None:
    """What the second release has that the first has not: rows per table and round, and how the leaderboard moved.

    Any other question about two releases: `arena-etl sql --as-of AFTER --since BEFORE`, with the schema `before`.
    """
    from arena_etl.lake import sql as files
    from arena_etl.lake.query import Session

    config, lake = _open(create=False)
    found: dict[str, list[dict[str, Any]]] = {}
    with Session(lake, config.query, after, before) as session:
        for name in ("what_changed", "rating_changes"):
            with session.ask(files.load(f"adhoc/{name}")) as rows:
                found[name] = [row for batch in rows.batches for row in batch.to_pylist()]
    if as_json:
        _print_json(found)
        return
    for name, rows_ in found.items():
        table = RichTable(*(rows_[0] if rows_ else ()), box=None, title=name.replace("_", " "), title_justify="left")
        for row in rows_:
            table.add_row(*(f"{value:,.1f}" if isinstance(value, float) else _cell(value) for value in row.values()))
        stdout.print(table if rows_ else f"{name.replace('_', ' ')}: nothing", markup=False)


@releases_app.command("publish")
def releases_publish(round_: Round, reason: Annotated[str, typer.Option(help="Why, for the record.")]) -> None:
    """Make the newest version of every table visible to readers; `run` and the DAG do this by themselves."""
    from arena_etl.flywheel import release_round

    config, lake = _open()
    published = release_round(config, lake, parse_round(round_), _author(), reason)
    stdout.print(f"release {published.release_id}", markup=False)


Version = Annotated[str, typer.Option("--version", help="Name of the sets: letters, digits, dots and dashes.")]


@wizard_arena_app.command("build")
def wizard_arena_build(version: Version, as_json: Json = False) -> None:
    """Draw Diverse, Hard and Mix out of the clusters of the training instructions, and print their card.

    A version is drawn once and never changes. Its members and what is nearly the same are never drawn for training again;
    rounds fight on it when `wizard_arena.version` names it. Ingest first: the clusters and difficulties come from there.

    \b
    arena-etl ingest
    arena-etl wizard-arena build --version 2026-q1
    arena-etl run --round today --set wizard_arena.version=2026-q1
    """
    summaries = _steps([("build", (version,)), ("hold_out", (version,))], as_json=False, quiet=as_json)
    if summaries[0].get("unchanged"):
        stderr.print(f"note: version {version} was built before and is as it was; today's settings made no difference.")
    _print_card(version, as_json)


@wizard_arena_app.command("card")
def wizard_arena_card(version: Version, as_json: Json = False) -> None:
    """Print the card of a built version: turns, categories, lengths, difficulty, what was taken out of training for it."""
    _print_card(version, as_json)


def _print_card(version: str, as_json: bool) -> None:
    from arena_etl.instructions.wizard_arena import card

    _, lake = _open()
    sets = card(lake, version)
    if as_json:
        _print_json({"version": version, "sets": sets})
        return
    table = RichTable("", *(each["set"] for each in sets), box=None)
    for name in sets[0]:
        if isinstance(sets[0][name], dict):
            keys = sorted({key for each in sets for key in each[name]})
            for key in keys:
                table.add_row(f"{name}: {key}", *(_cell(each[name].get(key, 0)) for each in sets))
        elif name != "set":
            table.add_row(name.replace("_", " "), *(_cell(each[name]) for each in sets))
    stdout.print(table, markup=False)


@quarantine_app.command("list")
def quarantine_list(
    table: Annotated[str | None, typer.Option(help="Rows that were meant for this table.")] = None,
    round_: Annotated[str | None, typer.Option("--round", "-r", help="YYYY-MM-DD; default: of all rounds.")] = None,
    rule: Annotated[str | None, typer.Option(help="Rows that broke this rule.")] = None,
    state: Annotated[
        Literal["held", "removed", "released", "all"],
        typer.Option(help="removed: by a cleaning filter, as configured."),
    ] = "held",
    as_json: Json = False,
) -> None:
    """Rows that gates held back, newest first, with the rule and the reason. --json lists all of them."""
    from arena_etl.lake import quarantine

    _, lake = _open(create=False)
    chosen = parse_round(round_) if round_ else None
    rows = quarantine.rows(lake, table, chosen, rule, None if state == "all" else state)
    if as_json:
        _print_json(rows)
        return
    header = ["row_id", "table", "round", "expectation", "reason", "state", "key"]
    _print_rows(header, rows[:SHOWN_ROWS])
    stdout.print(f"{len(rows):,} rows{f', the newest {SHOWN_ROWS} are shown' if len(rows) > SHOWN_ROWS else ''}")


@quarantine_app.command("show")
def quarantine_show(
    row_id: Annotated[str, typer.Argument(help="Id from `arena-etl quarantine list`.")], as_json: Json = False
) -> None:
    """One row, whole: what it holds, which rule it broke, and who released it if somebody did."""
    from arena_etl.lake import quarantine

    _, lake = _open(create=False)
    row = quarantine.find(lake, row_id)
    if as_json:
        _print_json(row)
        return
    for name, value in row.items():
        stdout.print(f"{name}: {'-' if value is None else value}", markup=False)


@quarantine_app.command("release")
def quarantine_release(
    reason: Annotated[str, typer.Option(help="Why they are good after all, for the record.")],
    row_ids: Annotated[list[str] | None, typer.Argument(help="Ids from `arena-etl quarantine list`.")] = None,
    table: Annotated[str | None, typer.Option(help="Instead of ids: all held rows of this table.")] = None,
    round_: Annotated[str | None, typer.Option("--round", "-r", help="With --table: of this round.")] = None,
    rule: Annotated[str | None, typer.Option(help="With --table: that broke this rule.")] = None,
    as_json: Json = False,
) -> None:
    """Let rows into their tables on the next run, exempt from the rule that held them; every other check still applies.

    \b
    arena-etl quarantine release 1f2e3d4c5b6a --reason "the licence is known: CC0"
    arena-etl quarantine release --table verdicts --round 2026-01-31 --reason "scores were on a scale of 100"
    """
    from arena_etl.lake import quarantine

    if bool(row_ids) == bool(table):
        raise InputError("name the rows: ids from `arena-etl quarantine list`, or --table; not both.")
    if not reason.strip():
        raise InputError("a release needs a reason, for whoever asks later: --reason '...'")
    _, lake = _open()
    chosen = parse_round(round_) if round_ else None
    rows = [quarantine.find(lake, row_id) for row_id in row_ids or []] or quarantine.rows(lake, table, chosen, rule)
    count = quarantine.release(lake, rows, _author(), reason)
    if as_json:
        _print_json({"released": count})
        return
    rounds = sorted({row["round"] for row in rows if row["round"]})
    commands = [f"arena-etl run --round {each}" for each in rounds] or ["arena-etl ingest"]
    stdout.print(f"{count} rows released; they enter with `{'`, `'.join(commands)}`", markup=False)


@quality_app.command("report")
def quality_report(round_: NewestRound = None, as_json: Json = False) -> None:
    """What the gates found in a round: what stands now, unusual figures, rows held back, decisions and messages.

    As it is now, released or not. GX's own pages of the audits lie beside the round's report.
    """
    from arena_etl.operations.status import newest_round
    from arena_etl.quality.report import report as quality

    config, lake = _open(create=False)
    found = quality(config, lake, parse_round(round_) if round_ else newest_round(lake))
    if as_json:
        _print_json(found)
        return
    total = sum(row["passed"] + row["failed"] + row["broken"] for row in found["outcomes"])
    stopping = sum(problem["stops"] for problem in found["standing"])
    stdout.print(
        f"round {found['round']}: {total:,} outcomes, {len(found['standing'])} expectations do not pass now, {stopping} of them "
        "stop their batch",
        markup=False,
    )
    if found["standing"]:
        _print_rows(
            ["severity", "batch", "expectation", "outcome", "failed_rows", "owner", "runbook"], found["standing"]
        )
    unusual = [row for row in found["figures"] if abs(row["deviation"] or 0) > config.quality.max_deviation / 2]
    for title, header, rows in (
        ("unusual figures", ["table", "arena", "subject", "measure", "value", "usual", "deviation"], unusual),
        ("in quarantine", ["table", "expectation", "held", "removed", "released"], found["held"]),
        ("decided", ["kind", "table", "reason", "author", "created_at"], found["decisions"]),
        ("told", ["created_at", "channel", "state", "title"], found["alerts"]),
    ):
        if rows:
            stdout.print(f"\n{title}:")
            _print_rows(header, rows)
    for page in found["pages"][:1]:
        stdout.print(f"\npages of every audit: {page.rpartition('/')[0]}", markup=False)


@quality_app.command("alert")
def quality_alert(round_: NewestRound = None, as_json: Json = False) -> None:
    """Send what is new about the gates of a round; without --round of all rounds. `run` and the DAG do this by themselves.

    Where to: `alerts.routes`. Nothing is sent twice: the table `alerts` knows what every route was told.
    """
    from arena_etl.quality.alerts import alert

    config, lake = _open()
    say = (stderr if as_json else stdout).print
    sent = alert(config, lake, parse_round(round_) if round_ else None, lambda text: say(text, markup=False))
    if as_json:
        _print_json([vars(message) for message in sent])
    else:
        stdout.print(f"{len(sent)} messages sent")


@quality_app.command("watch")
def quality_watch(as_json: Json = False) -> None:
    """Is the lake alive: freshness, silence, stuck batches, quarantine, judges that drift. Tells people what is new.

    Exit code 1 when a check does not pass. The DAG arena_quality_watch runs it every hour; run it from another machine too, which
    is still up when the scheduler is not.
    """
    from arena_etl.quality.watch import watch

    config, lake = _open(create=False)
    found = watch(config, lake)
    say = (stderr if as_json else stdout).print
    _alert(config, lake, None, say)
    if as_json:
        _print_json([vars(outcome) for outcome in found])
    else:
        _print_rows(["expectation", "outcome", "observed", "limit", "runbook"], [vars(outcome) for outcome in found])
    if any(outcome.outcome != "pass" for outcome in found):
        raise typer.Exit(1)


@quality_app.command("mute")
def quality_mute(
    table: Annotated[str, typer.Argument(help="Table whose alerts are muted.")],
    until: Annotated[datetime, typer.Option(help="When it ends, UTC.", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"])],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    expectation: Annotated[str | None, typer.Option(help="Only this expectation, as the alert names it.")] = None,
) -> None:
    """Send no alerts about a table until a time. Its gate stops bad batches as before."""
    from arena_etl.quality.decisions import mute

    _, lake = _open()
    mute(lake, table, expectation, until.replace(tzinfo=UTC), _author(), reason)
    stdout.print(f"alerts about {expectation or table} are muted until {until:%Y-%m-%d %H:%M}Z", markup=False)


@app.command()
def rollback(
    release_id: Annotated[int, typer.Argument(help="Release to return to.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
) -> None:
    """Return every table to an earlier release, as a new release. Quality results and quarantine keep their rows."""
    from arena_etl.lake.releases import rollback as roll_back

    config, lake = _open()
    published = roll_back(lake, config, release_id, _author(), reason)
    stdout.print(f"release {published.release_id} has the contents of release {release_id}", markup=False)


@app.command()
def report(round_: NewestRound = None, as_of: AsOf = None) -> None:
    """Write the round's one-page HTML report and print where it is."""
    from arena_etl.operations.status import newest_round
    from arena_etl.reports.report import write

    config, lake = _open(create=False)
    stdout.print(write(config, lake, parse_round(round_) if round_ else newest_round(lake), as_of), markup=False)


@app.command()
def compact(as_json: Json = False) -> None:
    """Put the small files of every table together, so that reading does not get slower night by night.

    Rows and releases stay as they are. The small files go when `arena-etl gc` finds that no kept release needs them.
    """
    from arena_etl.lake.maintenance import compact as put_together

    _, lake = _open(create=False)
    done = []
    for each in put_together(lake):
        done.append(vars(each))
        if not as_json:
            files = each.skipped or f"{each.files_before} files, now {each.files_after}"
            stdout.print(f"{each.table}: {files}", markup=False)
    if as_json:
        _print_json(done)


@app.command()
def gc(
    apply: Annotated[bool, typer.Option("--apply", help="Delete; without it nothing is changed.")] = False,
    as_json: Json = False,
) -> None:
    """Show, or delete, what nobody needs any more: files of given-up releases, left-over batches and weights.

    Settings: retention.releases (how many of the newest stay readable; by default all) and retention.days (younger files
    stay in any case). With --apply the older releases are given up for good: they can be listed, but not read.

    \b
    arena-etl --set retention.releases=30 gc
    arena-etl --set retention.releases=30 gc --apply
    """
    from arena_etl.lake.maintenance import collect, given_up

    config, lake = _open(create=False)
    old = [release.release_id for release in given_up(lake, config.retention)]
    found = collect(lake, config.retention, _author(), apply)
    if as_json:
        _print_json({"applied": apply, "given_up": old, "garbage": [vars(each) for each in found]})
        return
    table = RichTable("", "", "files", "MB", box=None)
    for each in found:
        table.add_row(each.kind, each.name, f"{each.files:,}", f"{each.bytes / 1e6:,.1f}")
    stdout.print(table if found else "nothing", markup=False)
    if old:
        stdout.print(f"given up: releases {', '.join(map(str, old))}", markup=False)
    if not apply:
        stderr.print("nothing was changed; --apply does it", markup=False)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check what a night needs before the night: libraries, storage, clock, space, sources, models, endpoints, Airflow."""
    from arena_etl.operations.doctor import doctor as checks

    results = checks(_config())
    if as_json:
        _print_json([vars(check) for check in results])
    else:
        for check in results:
            stdout.print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}", markup=False)
    if not all(check.ok for check in results):
        raise typer.Exit(1)


def _facts(release: Any) -> dict[str, Any]:
    """A release as it is shown, with its configuration as a mapping."""
    return {**vars(release), "config": json.loads(release.config)}


def _acceptance(table: str | None, reason: str) -> Any:
    """The gate that a person overrides, if any."""
    from arena_etl.quality.decisions import Acceptance

    return Acceptance(table, reason, _author()) if table is not None else None


def _report_step(name: str, keys: tuple[str, ...], summary: dict[str, Any]) -> None:
    facts = ", ".join(f"{key} {_plain(value)}" for key, value in summary.items() if key not in ("step", "table"))
    stderr.print(f"{name} {'/'.join(keys)}: {facts}", markup=False)


def _steps(
    plan: Sequence[tuple[str, tuple[str, ...]]],
    as_json: bool,
    quiet: bool = False,
    acceptance: Any = None,
    config: Config | None = None,
) -> list[dict[str, Any]]:
    """Do the steps with their audits; a line per step on stderr, the summaries as JSON where asked for."""
    from arena_etl.flywheel import STEPS, do
    from arena_etl.lake.tables import TABLES

    configured, lake = _open()
    config = config or configured
    say = (stderr if as_json or quiet else stdout).print
    round_ = next((keys[0] for name, keys in plan if "round" in TABLES[STEPS[name].table].partition_by), None)
    summaries = []
    for name, keys in plan:
        try:
            summary = do(config, lake, name, *keys, acceptance=acceptance)
        except GateStopped:
            _alert(config, lake, round_, say)
            raise
        summaries.append({**summary, "keys": list(keys)})
        if not quiet:
            _report_step(name, keys, summary)
    _alert(config, lake, round_, say)
    if acceptance is not None and acceptance.decision_id is None:
        stderr.print(f"--accept {acceptance.table}: no gate stopped it, so nothing was overridden", markup=False)
    if as_json:
        _print_json(summaries)
    return summaries


def _alert(config: Config, lake: Any, round_: str | None, say: Any) -> None:
    """Tell people what is new; that a message could not be delivered does not change what the command did."""
    from arena_etl.quality.alerts import alert

    try:
        alert(config, lake, round_, lambda text: say(text, markup=False))
    except ArenaError as error:
        stderr.print(f"warning: {error}", markup=False)


def _print_rows(header: list[str], rows: list[dict[str, Any]]) -> None:
    table = RichTable(box=None)
    for name in header:
        numbers = any(isinstance(row.get(name), int | float | Decimal) for row in rows)
        table.add_column(name, justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name))) for name in header))
    stdout.print(table)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:79]}…"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _board(rows: list[dict[str, Any]], title: str | None = None) -> RichTable:
    """Ratings as a table, columns as in the lake's table ratings; name and role of the models where they are known."""
    registered = "role" in rows[0]
    header = ["rank", "model", *(["role"] if registered else []), "rating", "interval", "ranks", "battles", "remark"]
    table = RichTable(*header, title=Text(title) if title else None, title_justify="left", box=None)
    for row in rows:
        known = row["lower"] is not None
        group = f"group {row['component']}" if (row["component"] or 1) > 1 else None
        cells = [
            str(row["rank"]),
            row.get("name", row["model"]),
            *([row["role"] or ""] if registered else []),
            f"{row['rating']:.0f}",
            f"{row['lower']:.0f} to {row['upper']:.0f}" if known else "-",
            f"{row['rank_lower']} to {row['rank_upper']}" if known else "-",
            str(row["n"]),
            ", ".join(filter(None, (group, row["flag"]))),
        ]
        table.add_row(*map(Text, cells))
    return table


def _card(card: dict[str, Any]) -> str:
    """A row of reports/judge_cards in words."""
    if card["dataset"] is None:
        return f"{card['judge_id']} has no card: how far it agrees with people is not known (`arena-etl calibrate`)"
    interval = "" if card["lower"] is None else f" ({card['lower']:.1%} to {card['upper']:.1%})"
    kappa = "" if card["kappa"] is None else f", kappa {card['kappa']:.2f}"
    return f"{card['judge_id']} agrees with people in {card['agreement']:.1%}{interval} on {card['dataset']}{kappa}"


def _measure(value: Any) -> str:
    """A cell of `agreement`'s table."""
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def _author() -> str:
    return getpass.getuser()


def _plain(value: Any) -> Any:
    """A value of the lake as JSON has it: sums of integers are decimals in DuckDB."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, date | datetime) else value


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=_json_default) + "\n")


def _json_default(value: Any) -> Any:
    plain = _plain(value)
    return str(value) if plain is value else plain


def main() -> None:
    """The console script: errors without tracebacks, exit codes as in the module's docstring."""
    try:
        app()
    except ArenaError as error:
        stderr.print(f"error: {error}", markup=False)
        sys.exit(error.exit_code)
    except OSError as error:
        stderr.print(f"error: {error}. What was committed stays; run the same command again.", markup=False)
        sys.exit(ArenaError.exit_code)
    except KeyboardInterrupt:
        stderr.print("interrupted; run the same command again to go on")
        sys.exit(130)
