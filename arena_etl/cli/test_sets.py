"""Verbs of the WizardArena sets."""

from typing import Annotated

import typer
from rich.table import Table as RichTable

from arena_etl.cli.base import Json, app, open_lake
from arena_etl.cli.output import cell, print_json, stderr, stdout
from arena_etl.cli.steps import do_steps

wizard_arena_app = typer.Typer(no_args_is_help=True, help="The held-out test sets: build a version, read its card.")


app.add_typer(wizard_arena_app, name="wizard-arena")


Version = Annotated[str, typer.Option("--version", help="Name of the sets: letters, digits, dots and dashes.")]


@wizard_arena_app.command("build")
def wizard_arena_build(version: Version, as_json: Json = False) -> None:
    """Draw Diverse, Hard and Mix out of the clusters of the training instructions, and print their card.

    A version is drawn once and never changes. Its members and what is nearly the same are never drawn for training again;
    rounds fight on it when `wizard_arena.version` names it. Ingest first: the clusters and difficulties come from there.

    \b
    arena-etl ingest
    arena-etl wizard-arena build --version 2026-q1
    arena-etl --set wizard_arena.version=2026-q1 run --round today
    """
    summaries = do_steps([("build", (version,)), ("hold_out", (version,))], as_json=False, quiet=as_json)
    if summaries[0].get("unchanged"):
        stderr.print(f"note: version {version} was built before and is as it was; today's settings made no difference.")
    _print_card(version, as_json)


@wizard_arena_app.command("card")
def wizard_arena_card(version: Version, as_json: Json = False) -> None:
    """Print the card of a built version: turns, categories, lengths, difficulty, what was taken out of training for it."""
    _print_card(version, as_json)


def _print_card(version: str, as_json: bool) -> None:
    from arena_etl.instructions.wizard_arena import card

    _, lake = open_lake()
    sets = card(lake, version)
    if as_json:
        print_json({"version": version, "sets": sets})
        return
    table = RichTable("", *(each["set"] for each in sets), box=None)
    for name in sets[0]:
        if isinstance(sets[0][name], dict):
            keys = sorted({key for each in sets for key in each[name]})
            for key in keys:
                table.add_row(f"{name}: {key}", *(cell(each[name].get(key, 0)) for each in sets))
        elif name != "set":
            table.add_row(name.replace("_", " "), *(cell(each[name]) for each in sets))
    stdout.print(table, markup=False)
