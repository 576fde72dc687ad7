"""Verbs about gates, alerts and what they held back."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from arena_etl.cli.base import Json, NewestRound, app, author, open_lake
from arena_etl.cli.output import print_json, print_rows, stderr, stdout
from arena_etl.cli.steps import send_alerts
from arena_etl.errors import InputError
from arena_etl.rounds import parse_round

SHOWN_ROWS = 50


quality_app = typer.Typer(
    no_args_is_help=True, help="What the gates found, who was told, and whether the lake is alive."
)


app.add_typer(quality_app, name="quality")


@quality_app.command("report")
def quality_report(round_: NewestRound = None, as_json: Json = False) -> None:
    """What the gates found in a round: what stands now, unusual figures, rows held back, decisions and messages.

    As it is now, released or not. GX's own pages of the audits lie beside the round's report.
    """
    from arena_etl.operations.status import newest_round
    from arena_etl.quality.report import report as quality

    config, lake = open_lake(create=False)
    found = quality(config, lake, parse_round(round_) if round_ else newest_round(lake))
    if as_json:
        print_json(found)
        return
    total = sum(row["passed"] + row["failed"] + row["broken"] for row in found["outcomes"])
    stopping = sum(problem["stops"] for problem in found["standing"])
    stdout.print(
        f"round {found['round']}: {total:,} outcomes, {len(found['standing'])} expectations do not pass now, {stopping} of them "
        "stop their batch",
        markup=False,
    )
    if found["standing"]:
        print_rows(
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
            print_rows(header, rows)
    for page in found["pages"][:1]:
        stdout.print(f"\npages of every audit: {page.rpartition('/')[0]}", markup=False)


@quality_app.command("alert")
def quality_alert(round_: NewestRound = None, as_json: Json = False) -> None:
    """Send what is new about the gates of a round; without --round of all rounds. `run` and the DAG do this by themselves.

    Where to: `alerts.routes`. Nothing is sent twice: the table `alerts` knows what every route was told.
    """
    from arena_etl.quality.alerts import alert

    config, lake = open_lake()
    say = (stderr if as_json else stdout).print
    sent = alert(config, lake, parse_round(round_) if round_ else None, lambda text: say(text, markup=False))
    if as_json:
        print_json([vars(message) for message in sent])
    else:
        stdout.print(f"{len(sent)} messages sent")


@quality_app.command("watch")
def quality_watch(as_json: Json = False) -> None:
    """Is the lake alive: freshness, silence, stuck batches, quarantine, judges that drift. Tells people what is new.

    Exit code 1 when a check does not pass. The DAG arena_quality_watch runs it every hour; run it from another machine too, which
    is still up when the scheduler is not.
    """
    from arena_etl.quality.watch import watch

    config, lake = open_lake(create=False)
    found = watch(config, lake)
    say = (stderr if as_json else stdout).print
    send_alerts(config, lake, None, say)
    if as_json:
        print_json([vars(outcome) for outcome in found])
    else:
        print_rows(["expectation", "outcome", "observed", "limit", "runbook"], [vars(outcome) for outcome in found])
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

    _, lake = open_lake()
    mute(lake, table, expectation, until.replace(tzinfo=UTC), author(), reason)
    stdout.print(f"alerts about {expectation or table} are muted until {until:%Y-%m-%d %H:%M}Z", markup=False)


quarantine_app = typer.Typer(
    no_args_is_help=True, help="Rows that a gate held back: look at them, and let them in after all."
)


app.add_typer(quarantine_app, name="quarantine")


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

    _, lake = open_lake(create=False)
    chosen = parse_round(round_) if round_ else None
    rows = quarantine.rows(lake, table, chosen, rule, None if state == "all" else state)
    if as_json:
        print_json(rows)
        return
    header = ["row_id", "table", "round", "expectation", "reason", "state", "key"]
    print_rows(header, rows[:SHOWN_ROWS])
    stdout.print(f"{len(rows):,} rows{f', the newest {SHOWN_ROWS} are shown' if len(rows) > SHOWN_ROWS else ''}")


@quarantine_app.command("show")
def quarantine_show(
    row_id: Annotated[str, typer.Argument(help="Id from `arena-etl quarantine list`.")], as_json: Json = False
) -> None:
    """One row, whole: what it holds, which rule it broke, and who released it if somebody did."""
    from arena_etl.lake import quarantine

    _, lake = open_lake(create=False)
    row = quarantine.find(lake, row_id)
    if as_json:
        print_json(row)
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
    _, lake = open_lake()
    chosen = parse_round(round_) if round_ else None
    rows = [quarantine.find(lake, row_id) for row_id in row_ids or []] or quarantine.rows(lake, table, chosen, rule)
    count = quarantine.release(lake, rows, author(), reason)
    if as_json:
        print_json({"released": count})
        return
    rounds = sorted({row["round"] for row in rows if row["round"]})
    commands = [f"arena-etl run --round {each}" for each in rounds] or ["arena-etl ingest"]
    stdout.print(f"{count} rows released; they enter with `{'`, `'.join(commands)}`", markup=False)
