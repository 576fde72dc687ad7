"""Shell lines of the pages: split, run, or checked without running."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from arena_etl import cli
from arena_etl.errors import ArenaError
from tests.docs.blocks import ROOT

BIN = Path(sys.executable).parent
# Programs whose arguments nobody here can check.
FOREIGN = {
    "aws",
    "cp",
    "docker",
    "duckdb",
    "echo",
    "export",
    "helm",
    "kubectl",
    "marimo",
    "pip",
    "source",
    "terraform",
    "vllm",
}
_OPERATORS = re.compile(r"[|&;<>()]+")
_ASSIGNMENT = re.compile(r"[A-Z_]+=.*")


@dataclass(frozen=True)
class Done:
    code: int
    output: str


def lines(block: str) -> list[str]:
    """The commands of a block, one a line, continued lines joined."""
    joined = block.replace("\\\n", " ").splitlines()
    return [line.strip() for line in joined if line.strip() and not line.lstrip().startswith("#")]


def run(line: str, folder: Path) -> Done:
    """Run a line in ``folder``; `arena-etl` alone in this process, which spares its start. `make` is only checked."""
    words = _words(line)
    if words[0] == "make":
        check(line)
        return Done(0, "")
    if words[0] == "arena-etl" and not any(_OPERATORS.fullmatch(word) for word in words) and "$" not in line:
        result = CliRunner().invoke(cli.app, words[1:], catch_exceptions=True)
        if isinstance(result.exception, ArenaError):
            return Done(result.exception.exit_code, f"{result.output}\nerror: {result.exception}")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.output)
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    shell = ["bash", "-o", "pipefail", "-euc", line]
    done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)
    return Done(done.returncode, done.stdout + done.stderr)


def check(line: str, whole: bool = True) -> None:
    """Check a line without running it: its verbs and options where they are ours or Airflow's, the files of the project.

    ``whole``: nothing that a verb needs may be left out.
    """
    for command in _commands(_words(line)):
        program, arguments = Path(command[0]).name, command[1:]
        if program == "arena-etl":
            _parse(arguments, whole)
        elif program == "airflow":
            _parse_airflow(arguments)
        elif program == "make":
            made = subprocess.run(
                ["make", "--dry-run", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
            )
            assert made.returncode == 0, f"{line}: {made.stderr}"
        elif program == "python":
            module = arguments[arguments.index("-m") + 1] if "-m" in arguments else None
            assert find_spec(module) if module else (ROOT / arguments[0]).is_file(), f"{line}: no such program"
        else:
            assert program in FOREIGN, f"{line}: no program that the pages use; see FOREIGN"
        for file in re.findall(r"\b(?:infra|examples|docs|sql)/[\w./-]+", " ".join(arguments)):
            assert (ROOT / file).exists() or file.endswith(".env"), f"{line}: no {file}"


def _words(line: str) -> list[str]:
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    return list(reader)


def _commands(words: list[str]) -> Iterator[list[str]]:
    """The simple commands of a line, without assignments and redirections."""
    command: list[str] = []
    previous = ""
    for word in [*words, ";"]:
        if _OPERATORS.fullmatch(word) and word not in ("<", ">", ">>"):
            if command:
                yield command
            command = []
        elif not (
            word in ("<", ">", ">>") or previous in ("<", ">", ">>") or (not command and _ASSIGNMENT.fullmatch(word))
        ):
            command.append(word)
        previous = word


def _parse(arguments: list[str], whole: bool) -> None:
    """Let the command line take its arguments and do nothing."""
    root: Any = typer.main.get_command(cli.app)
    _idle(root)
    try:
        root.main(arguments, standalone_mode=False)
    except Exception as error:
        if whole or "missing" not in str(error).lower():
            raise


def _idle(command: Any) -> None:
    command.callback = lambda **_: None
    for each in getattr(command, "commands", {}).values():
        _idle(each)


def _parse_airflow(arguments: list[str]) -> None:
    from airflow.cli.cli_parser import get_parser

    get_parser().parse_args(arguments)
