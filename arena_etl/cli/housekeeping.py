"""Verbs that keep a lake and its machine in order."""

from typing import Annotated

import typer
from rich.table import Table as RichTable

from arena_etl.cli.base import Json, app, author, open_lake, settings
from arena_etl.cli.output import print_json, stderr, stdout


@app.command()
def compact(as_json: Json = False) -> None:
    """Put the small files of every table together, so that reading does not get slower night by night.

    Rows and releases stay as they are. The small files go when `arena-etl gc` finds that no kept release needs them.
    """
    from arena_etl.lake.maintenance import compact as put_together

    _, lake = open_lake(create=False)
    done = []
    for each in put_together(lake):
        done.append(vars(each))
        if not as_json:
            files = each.skipped or f"{each.files_before} files, now {each.files_after}"
            stdout.print(f"{each.table}: {files}", markup=False)
    if as_json:
        print_json(done)


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

    config, lake = open_lake(create=False)
    old = [release.release_id for release in given_up(lake, config.retention)]
    found = collect(lake, config.retention, author(), apply)
    if as_json:
        print_json({"applied": apply, "given_up": old, "garbage": [vars(each) for each in found]})
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

    results = checks(settings())
    if as_json:
        print_json([vars(check) for check in results])
    else:
        for check in results:
            stdout.print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}", markup=False)
    if not all(check.ok for check in results):
        raise typer.Exit(1)
