"""The interactive SQL shell: history, completion, and a few commands that start with a dot."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory
from prompt_toolkit.lexers import PygmentsLexer

from arena_etl.config import ResultFormat
from arena_etl.errors import ArenaError, InputError
from arena_etl.lake import results, sql
from arena_etl.lake.query import Session, questions
from arena_etl.lake.tables import TABLES

COMMANDS = {
    ".tables": "the tables",
    ".columns": "TABLE: its columns and their meaning",
    ".questions": "the questions that are ready to run",
    ".run": "NAME: run a question",
    ".format": f"{' | '.join(f for f in get_args(ResultFormat) if f != 'parquet')}: how results are shown",
    ".help": "this list",
    ".quit": "leave; so does Ctrl-D",
}
HELP = """\
A statement ends with `;` and may have many lines. `set variable target = '...';` answers a question for another model.
The tables of the release before are in the schema `before`: select * from before.ratings; Ctrl-C ends a query."""

_QUOTED = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | \$(\w*)\$.*?\$\1\$ | --[^\n]*(?:\n|$) | /\*.*?\*/""", re.DOTALL | re.VERBOSE
)
_WORD = re.compile(r"\w+")
_ASSIGNMENT = re.compile(r"\s*(re)?set\s+variable\b", re.IGNORECASE)


def is_complete(text: str) -> bool:
    """Whether Enter runs the text: a command, nothing, or statements up to a semicolon outside of quotes."""
    bare = _QUOTED.sub(" ", text).strip()
    return not bare or bare.startswith(".") or (bare.endswith(";") and not re.search(r"""['"]|/\*|\$\w*\$""", bare))


class Shell:
    """One session for people: an error is told and never ends it."""

    def __init__(self, session: Session, tell: Callable[[str], None]) -> None:
        """``tell`` takes messages; results go to stdout."""
        self.failed = False
        self._session = session
        self._tell = tell
        self._format: ResultFormat = "table"

    def run(self, texts: Iterable[str]) -> None:
        """Run text by text, each a command or complete statements, until the end or ``.quit``."""
        for text in texts:
            if text.strip().rstrip(";").rstrip() == ".quit":
                return
            try:
                if text.lstrip().startswith("."):
                    self._command(text.strip())
                else:
                    self._statements(text)
            except ArenaError as error:
                self.failed = True
                self._tell(f"error: {error}")
            except KeyboardInterrupt:  # while a result is written
                self.failed = True
                self._tell("interrupted")

    def _statements(self, text: str) -> None:
        for statement in self._session.statements(text):
            if _ASSIGNMENT.match(_QUOTED.sub(" ", statement.query)):
                self._session.assign(statement.query)
            else:
                self._ask(statement.query)

    def _ask(self, query: str) -> None:
        with self._session.ask(query) as rows, results.destination(None, self._format) as out:
            note = results.write(rows, self._format, out)
        if note:
            self._tell(f"{note}; `arena-etl sql --output` writes all")

    def _command(self, text: str) -> None:
        name, _, argument = text.rstrip("; ").partition(" ")
        argument = argument.strip()
        match name:
            case ".tables":
                self._list({table.name: table.meaning for table in TABLES.values()})
            case ".columns":
                if argument not in TABLES:
                    raise InputError(f".columns {argument}: name a table: {', '.join(TABLES)}")
                self._list({column.name: f"{column.type}: {column.meaning}" for column in TABLES[argument].columns})
            case ".questions":
                self._list(questions())
            case ".run":
                if argument not in questions():
                    raise InputError(f".run {argument}: name a question: {', '.join(questions())}")
                self._ask(sql.load(f"adhoc/{argument}"))
            case ".format":
                if argument not in get_args(ResultFormat) or argument == "parquet":
                    raise InputError(
                        f".format {argument}: table, csv, json or markdown; `arena-etl sql` writes Parquet."
                    )
                self._format = argument  # type: ignore[assignment]
            case ".help":
                self._list(COMMANDS)
                self._tell(HELP)
            case _:
                raise InputError(f"{name}: no such command. `.help` lists them.")

    def _list(self, entries: dict[str, str]) -> None:
        width = max(map(len, entries))
        sys.stdout.write("".join(f"{name:{width}}  {meaning}\n" for name, meaning in entries.items()))
        sys.stdout.flush()


def read(stream: Iterable[str]) -> Iterator[str]:
    """Complete texts of a stream of lines; what comes after the last semicolon is the last one."""
    text = ""
    for line in stream:
        text += line
        if is_complete(text):
            yield text
            text = ""
    if text.strip():
        yield text


def prompt(session: Session, **options: Any) -> Iterator[str]:
    """Complete texts from a person, until Ctrl-D; ``options`` of the PromptSession."""
    from pygments.lexers.sql import SqlLexer

    terminal: PromptSession[str] = PromptSession(
        "arena> ",
        history=FileHistory(str(history_file())),
        lexer=PygmentsLexer(SqlLexer),
        completer=SqlCompleter(keywords(session)),
        complete_while_typing=False,
        multiline=Condition(lambda: not is_complete(terminal.default_buffer.text)),
        prompt_continuation="    -> ",
        **options,
    )
    while True:
        try:
            yield terminal.prompt()
        except KeyboardInterrupt:  # Ctrl-C drops the line
            continue
        except EOFError:
            return


def history_file() -> Path:
    """The file of the history in the user's state folder, made for the user alone."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    file = state / "arena_etl" / "sql_history"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    except OSError as error:
        raise InputError(
            f"{file}: the history cannot be written ({error}). Set XDG_STATE_HOME to a folder of yours."
        ) from error
    return file


def keywords(session: Session) -> list[str]:
    """The keywords of DuckDB's SQL."""
    with session.ask("select keyword_name from duckdb_keywords() order by all") as rows:
        return [name.as_py() for batch in rows.batches for name in batch.column(0)]


class SqlCompleter(Completer):
    """Completes commands and their arguments, tables, columns and keywords."""

    def __init__(self, keywords: list[str]) -> None:
        self._questions = questions()
        self._words: dict[str, str] = dict.fromkeys(keywords, "")
        self._words |= {column.name: column.meaning for table in TABLES.values() for column in table.columns}
        self._words |= {table.name: table.meaning for table in TABLES.values()} | {"before": "the release before"}

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        command, separator, argument = document.text_before_cursor.lstrip().partition(" ")
        if not command.startswith("."):
            typed = document.get_word_before_cursor(pattern=_WORD)
            known = self._words if typed else {}
        elif not separator:
            typed, known = command, COMMANDS
        else:
            typed, known = argument, self._arguments(command)
        for word in sorted(known):
            if word.lower().startswith(typed.lower()):
                yield Completion(word, start_position=-len(typed), display_meta=known[word])

    def _arguments(self, command: str) -> dict[str, str]:
        match command:
            case ".run":
                return self._questions
            case ".columns":
                return {table.name: table.meaning for table in TABLES.values()}
            case ".format":
                return dict.fromkeys(get_args(ResultFormat), "")
            case _:
                return {}
