"""The SQL shell: scripted from stdin, and typed at a terminal."""

import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from typer.testing import CliRunner

from arena_etl import cli
from arena_etl import config as configuration
from arena_etl.config import Config, Query
from arena_etl.lake.delta import Lake
from arena_etl.lake.query import Session, questions
from arena_etl.lake.releases import release
from arena_etl.lake.shell import Shell, SqlCompleter, history_file, is_complete, prompt, read
from arena_etl.lake.tables import TABLES
from tests.lake.test_delta import FIRST, slices


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = configuration.load(flags={"root": str(tmp_path_factory.mktemp("shell") / "lake")})
    lake = Lake.open(config)
    lake.commit(FIRST, slices("2026-01-05", 3), 1, {})
    release(lake, config, "2026-01-05", "night", "round 2026-01-05")
    return config


@pytest.fixture
def session(filled: Config) -> Iterator[Session]:
    with Session(Lake.open(filled), Query()) as opened:
        yield opened


def script(config: Config, *lines: str) -> Any:
    return CliRunner().invoke(cli.app, ["--root", config.root, "shell"], input="\n".join(lines))


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("", True),
        (".tables", True),
        ("select 1", False),
        ("select 1;", True),
        ("select 1; -- done", True),
        ("select ';'", False),
        ("select ';", False),
        ("select ';';", True),
        ("select 'it''s;", False),
        ('select ";', False),
        ("select 1 -- ;", False),
        ("select 1 /* ;", False),
        ("select 1 /* ; */ ;", True),
        ("select $$ ;", False),
        ("select $a$ ' $a$;", True),
        ("-- .quit", True),
    ],
)
def test_a_statement_ends_with_a_semicolon_outside_of_quotes(text: str, complete: bool) -> None:
    assert is_complete(text) == complete


def test_a_stream_is_cut_into_complete_texts() -> None:
    stream = io.StringIO("select\n  1;\n.tables\nselect 2; select 3;\nselect 4")
    assert list(read(stream)) == ["select\n  1;\n", ".tables\n", "select 2; select 3;\n", "select 4"]


def test_a_script_runs_statement_by_statement(filled: Config) -> None:
    result = script(
        filled,
        ".format json",
        "select count(*)",
        "  as n from slices;",
        "select 1 as a; select 2 as b;",
        ".quit",
        "boom;",
    )
    assert result.exit_code == 0
    assert result.stderr.startswith("release 1 ")
    decoder, text, found = json.JSONDecoder(), result.stdout, []
    while text.strip():
        value, end = decoder.raw_decode(text.lstrip())
        found.append(value)
        text = text.lstrip()[end:]
    assert found == [[{"n": 3}], [{"a": 1}], [{"b": 2}]]


def test_an_error_is_told_and_the_script_goes_on_and_fails(filled: Config) -> None:
    result = script(
        filled,
        "selec 1;",
        "create temp table t as select 1;",
        "set threads = 1;",
        "from read_text('/etc/hostname');",
        ".nonsense",
        ".columns nowhere",
        ".run nothing",
        ".format parquet",
        "select 'still' || ' here' as x;",
    )
    assert result.exit_code == 1
    assert "still here" in result.stdout
    assert result.stderr.count("error: ") == 8
    assert "one SELECT at a time" in result.stderr
    assert "Traceback" not in result.stderr


def test_variables_live_as_long_as_the_session(filled: Config) -> None:
    result = script(
        filled, ".format csv", "set variable n = (select count(*) from slices) + 1;", "select getvariable('n') as n;"
    )
    assert result.exit_code == 0, result.stderr
    assert result.stdout == '"n"\n4\n'


def test_commands_show_tables_columns_and_questions(filled: Config) -> None:
    result = script(filled, ".tables", ".columns battles", ".questions", ".help", ".run what_changed")
    assert result.exit_code == 0, result.stderr
    for expected in (
        *(table.meaning for table in TABLES.values()),
        *(f"{column.type}: {column.meaning}" for column in TABLES["battles"].columns),
        *questions().values(),
        ".columns",
        "rows_before",
    ):
        assert expected in result.stdout


def typed(session: Session, keys: str) -> list[str]:
    """What the prompt hands on when a person types these keys."""
    with create_pipe_input() as terminal:
        terminal.send_text(keys)
        return list(prompt(session, input=terminal, output=DummyOutput()))


CTRL_C, CTRL_D, UP = "\x03", "\x04", "\x1b[A"


def test_enter_goes_on_until_the_semicolon(session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    keys = f"select\r1;\r.tables\rselect 'dropped'{CTRL_C}select 2;\r{CTRL_D}"
    assert typed(session, keys) == ["select\n1;", ".tables", "select 2;"]


def test_the_history_is_a_private_file_and_comes_back(
    session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert typed(session, f"select 1;\r{CTRL_D}") == ["select 1;"]
    file = history_file()
    assert file.is_relative_to(tmp_path / "state")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "select 1;" in file.read_text()
    assert typed(session, f"{UP}\r{CTRL_D}") == ["select 1;"]


def test_what_is_typed_is_run(
    session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    messages: list[str] = []
    Shell(session, messages.append).run(typed(session, f"select count(*) as n from slices;\r{CTRL_D}"))
    assert messages == []
    assert b"3" in capfdbinary.readouterr().out


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("select * from quaran", {"quarantine"}),
        ("select order_c", {"order_consistency", "order_consistent"}),
        ("SELECT * FROM battles ORD", {"order", "order_consistency", "order_consistent", "ordinality"}),
        ("from before.battles", {"battles"}),
        (".col", {".columns"}),
        (".columns prom", {"promotions"}),
        (".run where", {"where_do_we_lose"}),
        (".format m", {"markdown"}),
        ("select ", set()),
        (".help x", set()),
    ],
)
def test_completion_knows_tables_columns_keywords_commands_and_questions(text: str, offered: set[str]) -> None:
    completer = SqlCompleter(["order", "ordinality", "select"])
    found = {c.text for c in completer.get_completions(Document(text), CompleteEvent(completion_requested=True))}
    assert found == offered
