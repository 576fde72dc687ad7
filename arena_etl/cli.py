"""arena-etl: one verb per thing a person does. Results on stdout, progress and messages on stderr.

Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 stopped by a quality gate.
"""

import getpass
import json
import sys
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml
from rich.console import Console
from rich.table import Table as RichTable

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.errors import ArenaError, InputError
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
releases_app = typer.Typer(no_args_is_help=True, help="Consistent published states of all tables.")
app.add_typer(releases_app, name="releases")

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
) -> None:
    """Write a commented configuration file with the embedded defaults."""
    from arena_etl.operations.template import render

    if print_:
        stdout.print(render(), end="", markup=False)
        return
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(render())
    except FileExistsError:
        raise InputError(f"{file}: exists already; it is left as it is. Name another file, or move it away.") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error}") from error
    stdout.print(f"wrote {file}", markup=False)


@app.command()
def ingest(as_json: Json = False) -> None:
    """Land the configured sources and prepare clean instructions."""
    from arena_etl.flywheel import INGEST

    config, _ = _open()
    _steps([(name, (source.name,)) for source in config.sources for name in INGEST], as_json)


@app.command()
def run(round_: Round, as_json: Json = False) -> None:
    """Do a whole round without Airflow: every step that is not done yet, then a release and the report."""
    from arena_etl.flywheel import release_round, round_plan
    from arena_etl.reports.report import write

    config, lake = _open()
    round_ = parse_round(round_)
    summaries = _steps(round_plan(config, round_), as_json=False, quiet=as_json)
    published = release_round(config, lake, round_, _author(), f"round {round_}")
    page = write(config, lake, round_)
    if as_json:
        _print_json({"round": round_, "steps": summaries, "release": published.release_id, "report": page})
        return
    stdout.print(f"release {published.release_id} of round {round_}; report: {page}", markup=False)


@app.command()
def battle(round_: Round, stage: Stage = "sft", arena: Arena = "training", as_json: Json = False) -> None:
    """Draw the stage's slice and let the contestants answer."""
    round_ = parse_round(round_)
    draw = [("draw", (round_, stage))] if arena == TRAINING else []
    _steps([*draw, ("generate", (round_, stage, arena))], as_json)


@app.command()
def judge(round_: Round, stage: Stage = "sft", arena: Arena = "training", as_json: Json = False) -> None:
    """Judge the answers in pairs, in both orders, and merge the games to battles."""
    round_ = parse_round(round_)
    _steps([(name, (round_, stage, arena)) for name in ("judge", "merge")], as_json)


@app.command()
def rate(round_: Round, as_json: Json = False) -> None:
    """Elo, Bradley-Terry and win rates over all battles up to the round."""
    round_ = parse_round(round_)
    _steps([("rate", (round_,)), ("win_rates", (round_,))], as_json)


@app.command()
def select(round_: Round, stage: Stage = "sft", as_json: Json = False) -> None:
    """Select the stage's training examples from its battles."""
    _steps([("select", (parse_round(round_), stage))], as_json)


@app.command()
def train(round_: Round, stage: Stage = "sft", as_json: Json = False) -> None:
    """Train the champion on the stage's examples."""
    round_ = parse_round(round_)
    _steps([("train", (round_, stage)), ("register", (round_, stage))], as_json)


@app.command()
def evaluate(round_: Round, stage: Stage = "sft", as_json: Json = False) -> None:
    """Let the stage's candidate fight the champion and the rivals on the WizardArena set."""
    round_ = parse_round(round_)
    _steps([(name, (round_, stage, WIZARD_ARENA)) for name in ("generate", "judge", "merge")], as_json)


@app.command()
def promote(round_: Round, stage: Stage = "sft", as_json: Json = False) -> None:
    """Decide whether the candidate replaces the champion."""
    _steps([("promote", (parse_round(round_), stage))], as_json)


@app.command()
def leaderboard(round_: NewestRound = None, as_of: AsOf = None, as_json: Json = False) -> None:
    """WizardArena ratings with intervals: Bradley-Terry over all battles up to the round."""
    from arena_etl.lake import sql as files
    from arena_etl.lake.releases import resolve

    _, lake = _open(create=False)
    versions = resolve(lake, as_of)
    with lake.connect(["ratings", "models"], versions) as connection:
        chosen = parse_round(round_) if round_ else None
        rows = files.run(connection, "ratings/leaderboard", round=chosen).to_arrow_table().to_pylist()
    if not rows:
        raise ArenaError("no ratings in this release. `arena-etl status` shows what is done.")
    if as_json:
        _print_json([{name: row[name] for name in ("model", "rating", "lower", "upper", "rank", "n")} for row in rows])
        return
    table = RichTable("rank", "model", "role", "rating", "interval", "battles", box=None)
    for row in rows:
        interval = "-" if row["lower"] is None else f"{row['lower']:.0f} to {row['upper']:.0f}"
        rating = "-" if row["rating"] is None else f"{row['rating']:.0f}"
        table.add_row(str(row["rank"]), row["name"], row["role"], rating, interval, str(row["n"]))
    stdout.print(table)


@app.command()
def status(round_: NewestRound = None, as_json: Json = False) -> None:
    """Which step of which stage of every round is done, and what is released."""
    from arena_etl.operations.status import status as entries

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


@app.command()
def sql(query: Annotated[str, typer.Argument(help="One SELECT.")], as_of: AsOf = None, as_json: Json = False) -> None:
    """Ask the lake: views named like the tables (docs/tables.md), read-only.

    Example: arena-etl sql "select winner, count(*) n from battles group by 1 order by 1"
    """
    from arena_etl.lake.query import query as ask

    _, lake = _open(create=False)
    result = ask(lake, query, as_of)
    if as_json:
        _print_json(result.to_pylist())
        return
    table = RichTable(*result.column_names, box=None)
    for row in result.to_pylist():
        table.add_row(*("" if value is None else str(_plain(value)) for value in row.values()))
    stdout.print(table, markup=False)


@releases_app.command("list")
def releases_list(as_json: Json = False) -> None:
    """All releases, oldest first."""
    from arena_etl.lake.releases import releases

    _, lake = _open(create=False)
    known = releases(lake)
    if as_json:
        _print_json([{**vars(release), "config": json.loads(release.config)} for release in known])
        return
    table = RichTable("release", "parent", "round", "made", "author", "reason", box=None)
    for release in known:
        made = f"{release.created_at:%Y-%m-%d %H:%M}Z"
        parent = str(release.parent or "")
        table.add_row(str(release.release_id), parent, release.round or "", made, release.author, release.reason)
    stdout.print(table, markup=False)


@releases_app.command("publish")
def releases_publish(round_: Round, reason: Annotated[str, typer.Option(help="Why, for the record.")]) -> None:
    """Make the newest version of every table visible to readers; `run` and the DAG do this by themselves."""
    from arena_etl.flywheel import release_round

    config, lake = _open()
    published = release_round(config, lake, parse_round(round_), _author(), reason)
    stdout.print(f"release {published.release_id}", markup=False)


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
def doctor(as_json: Json = False) -> None:
    """Check what a night needs before the night: libraries, storage, space, sources, checkpoints."""
    from arena_etl.operations.doctor import doctor as checks

    results = checks(_config())
    if as_json:
        _print_json([vars(check) for check in results])
    else:
        for check in results:
            stdout.print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}", markup=False)
    if not all(check.ok for check in results):
        raise typer.Exit(1)


def _steps(plan: list[tuple[str, tuple[str, ...]]], as_json: bool, quiet: bool = False) -> list[dict[str, Any]]:
    """Do the steps with their audits; a line per step on stderr, the summaries as JSON where asked for."""
    from arena_etl.flywheel import do

    config, lake = _open()
    summaries = []
    for name, keys in plan:
        summary = do(config, lake, name, *keys)
        summaries.append({**summary, "keys": list(keys)})
        facts = ", ".join(f"{key} {_plain(value)}" for key, value in summary.items() if key not in ("step", "table"))
        if not quiet:
            stderr.print(f"{name} {'/'.join(keys)}: {facts}", markup=False)
    if as_json:
        _print_json(summaries)
    return summaries


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
