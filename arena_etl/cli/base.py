"""The application, its global options, and the options that verbs share."""

import getpass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""The data-lake ETL of the Arena Learning flywheel.

    One night by hand: `arena-etl run --round today`, then `arena-etl leaderboard`. Every step of it is a verb of its own.
    """,
)


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


def settings() -> Config:
    return configuration.load(_state.get("file"), _state.get("flags"))


def open_lake(create: bool = True) -> tuple[Config, Any]:
    from arena_etl.lake.delta import Lake

    config = settings()
    return config, Lake.open(config, create)


def author() -> str:
    return getpass.getuser()
