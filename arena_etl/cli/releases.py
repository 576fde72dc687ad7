"""Verbs about published states, and about changing the past."""

import json
import sys
from collections import Counter
from dataclasses import asdict
from typing import Annotated, Any

import typer
import yaml
from rich.table import Table as RichTable

from arena_etl.cli.base import Json, Reason, Round, app, author, open_lake
from arena_etl.cli.output import cell, print_json, print_rows, stderr, stdout
from arena_etl.cli.steps import report_step
from arena_etl.errors import InputError
from arena_etl.rounds import parse_round

releases_app = typer.Typer(no_args_is_help=True, help="Consistent published states of all tables.")


app.add_typer(releases_app, name="releases")


@releases_app.command("list")
def releases_list(as_json: Json = False) -> None:
    """All releases, oldest first; `given up`: `arena-etl gc` may have deleted files of it."""
    from arena_etl.lake.releases import releases, retired

    _, lake = open_lake(create=False)
    known, gone = releases(lake), retired(lake)
    if as_json:
        print_json([{**_facts(release), "given_up": release.release_id in gone} for release in known])
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

    _, lake = open_lake(create=False)
    release = find(lake, str(release_id))
    if as_json:
        print_json(_facts(release))
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
    from arena_etl.lake.query import changes

    config, lake = open_lake(create=False)
    found = changes(lake, config.query, after, before)
    if as_json:
        print_json(found)
        return
    for name, rows_ in found.items():
        table = RichTable(*(rows_[0] if rows_ else ()), box=None, title=name.replace("_", " "), title_justify="left")
        for row in rows_:
            table.add_row(*(f"{value:,.1f}" if isinstance(value, float) else cell(value) for value in row.values()))
        stdout.print(table if rows_ else f"{name.replace('_', ' ')}: nothing", markup=False)


@releases_app.command("publish")
def releases_publish(round_: Round, reason: Annotated[str, typer.Option(help="Why, for the record.")]) -> None:
    """Make the newest version of every table visible to readers; `run` and the DAG do this by themselves."""
    from arena_etl.flywheel import release_round

    config, lake = open_lake()
    published = release_round(config, lake, parse_round(round_), author(), reason)
    stdout.print(f"release {published.release_id}", markup=False)


def _facts(release: Any) -> dict[str, Any]:
    """A release as it is shown, with its configuration as a mapping."""
    return {**vars(release), "config": json.loads(release.config)}


@app.command()
def rollback(
    release_id: Annotated[int, typer.Argument(help="Release to return to.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
) -> None:
    """Return every table to an earlier release, as a new release. Quality results and quarantine keep their rows."""
    from arena_etl.lake.releases import rollback as roll_back

    config, lake = open_lake()
    published = roll_back(lake, config, release_id, author(), reason)
    stdout.print(f"release {published.release_id} has the contents of release {release_id}", markup=False)


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

    config, lake = open_lake(create=False)
    if give_up:
        stdout.print(
            f"release {past.give_up(config, lake, author()).release_id} is what readers had before", markup=False
        )
        return
    if window is None:
        raise InputError("which rounds? backfill FROM..TO, or --give-up for an unfinished one.")
    chosen = past.Window.parse(window, what)
    planned = past.plan(config, lake, chosen)
    if dry_run:
        if as_json:
            print_json(asdict(planned))
        else:
            _print_backfill_plan(planned)
        return
    if not as_json:
        _print_backfill_plan(planned)
    compared = past.run(config, lake, chosen, author(), reason, report_step)
    if not as_json:
        for name, rows in vars(compared).items():
            stdout.print(f"\n{name.replace('_', ' ')}: {'' if rows else 'nothing'}", markup=False)
            if rows:
                print_rows(list(rows[0]), rows)
    if not yes and not (sys.stdin.isatty() and typer.confirm("Release this?")):
        stderr.print("not released: the same command with --yes releases it, --give-up takes it back", markup=False)
        released = None
    else:
        released = past.publish(config, lake, chosen, author(), reason).release_id
    if as_json:
        print_json({"plan": asdict(planned), **vars(compared), "release": released})
    elif released is not None:
        stdout.print(f"release {released}", markup=False)


def _print_backfill_plan(planned: Any) -> None:
    steps = Counter((each.keys[0], each.step, each.state) for each in planned.steps)
    print_rows(
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
        print_rows(header, [*planned.calls, {"round": "total", **total}])
