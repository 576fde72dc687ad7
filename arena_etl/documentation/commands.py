"""docs/reference/cli.md: what `arena-etl VERB --help` says."""

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from arena_etl.cli.base import app
from arena_etl.documentation.markdown import code, heading, linked, page, table


def reference() -> str:
    """The verbs and their options as Markdown."""
    return page(_lines())


def _lines() -> Iterator[str]:
    root: Any = typer.main.get_command(app)
    yield from heading("Commands", "`arena-etl --help`")
    yield ""
    yield (
        "Results are on stdout, progress and messages on stderr. Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 stopped "
        "by a quality gate. Every verb also has `-h, --help`."
    )
    yield from ("", "## arena-etl", "", *_about(root.help))
    context = typer.Context(root, info_name="arena-etl")
    yield from _options(root, context)
    for name, command in root.commands.items():
        yield from _command(command, typer.Context(command, info_name=name, parent=context))


def _command(command: Any, context: typer.Context) -> Iterator[str]:
    if hasattr(command, "commands"):
        for name, each in command.commands.items():
            yield from _command(each, typer.Context(each, info_name=name, parent=context))
        return
    yield from ("", f"## {context.command_path}", "", *_about(command.help))
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield from ("", "```text", usage, "```")
    yield from _options(command, context)


def _options(command: Any, context: typer.Context) -> Iterator[str]:
    records = (each.get_help_record(context) for each in command.get_params(context) if "--help" not in each.opts)
    yield from table(["option", "meaning"], ([code(name), meaning] for name, meaning in filter(None, records)))


def _about(text: str) -> Iterator[str]:
    """The paragraphs of a help text; one that keeps its lines (a backspace stands before it) has example commands."""
    for number, paragraph in enumerate(inspect.cleandoc(text).split("\n\n")):
        if number:
            yield ""
        examples = paragraph.removeprefix("\b\n")
        if examples == paragraph:
            yield linked(paragraph)
        else:
            yield "<!-- not run: files, rounds and releases are examples -->"
            yield from ("```bash", *examples.splitlines(), "```")
