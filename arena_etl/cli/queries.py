"""Verbs that ask the lake in SQL."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table as RichTable

from arena_etl import config as configuration
from arena_etl.cli.base import AsOf, Since, app, open_lake
from arena_etl.cli.output import stderr, stdout
from arena_etl.errors import InputError


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
    """Ask the lake in SQL, read-only: views named like the tables (docs/reference/tables.md, docs/sql.md).

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
    config, lake = open_lake(create=False)
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

    config, lake = open_lake(create=False)
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

    _, lake = open_lake(create=False)
    sys.stdout.write(script(lake, as_of, since))
