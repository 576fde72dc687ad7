"""Ad hoc SQL: what a query sees, what it must not see or do, its limits, the formats, and the same in plain DuckDB."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from arena_etl import cli
from arena_etl import config as configuration
from arena_etl.config import Config, Query
from arena_etl.errors import ArenaError, InputError
from arena_etl.lake import results, sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.query import Rows, Session, questions, script, views
from arena_etl.lake.releases import release
from arena_etl.lake.tables import TABLES
from tests.lake.test_delta import FIRST, SECOND, slices
from tests.quality.rows import BUILDERS, table_of

LIMITS = Query()


def fill(lake: Lake, config: Config) -> None:
    """Release 1 with rows in every table, release 2 with two more slices, and one slice that no release has."""
    for name, builder in BUILDERS.items():
        partitions: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for row in builder():
            partitions.setdefault(tuple(row[column] for column in TABLES[name].partition_by), []).append(row)
        for values, rows in partitions.items():
            lake.commit(Partition(name, values), table_of(name, rows), 1, {})
    release(lake, config, "2026-01-01", "night", "round 2026-01-01")
    lake.commit(FIRST, slices("2026-01-05", 2), 1, {})
    release(lake, config, "2026-01-05", "night", "round 2026-01-05")
    lake.commit(SECOND, slices("2026-01-06", 1), 1, {})
    staged = io.BytesIO()
    pa.parquet.write_table(slices("2026-01-07", 1), staged)
    lake.storage.put(lake.storage.uri("_staging", "rows.parquet"), staged.getvalue())


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The filled lake on a folder. Tests read it."""
    config = configuration.load(flags={"root": str(tmp_path_factory.mktemp("query") / "lake")})
    fill(Lake.open(config), config)
    return config


@pytest.fixture
def session(filled: Config) -> Iterator[Session]:
    with Session(Lake.open(filled), LIMITS) as opened:
        yield opened


def rows(session: Session, text: str) -> list[tuple[Any, ...]]:
    with session.ask(text) as result:
        return [tuple(row.values()) for batch in result.batches for row in batch.to_pylist()]


def ask(config: Config, *arguments: str, stdin: str | None = None) -> Any:
    return CliRunner().invoke(cli.app, ["--root", config.root, *arguments], input=stdin)


# What a query sees


@pytest.mark.parametrize(
    ("as_of", "since", "now", "then", "stamp"),
    [
        (None, None, 5, 3, "release 2 (round 2026-01-05, made 20"),
        ("1", None, 3, 0, "release 1 (round 2026-01-01, made 20"),
        ("head", None, 6, 5, "head: unreleased tables included; before: release 2"),
        ("head", "1", 6, 3, "before: release 1"),
        ("1", "2", 3, 5, "before: release 2"),
        ("1", "head", 3, 6, "before: head"),
    ],
)
def test_a_release_and_the_one_before(
    filled: Config, as_of: str | None, since: str | None, now: int, then: int, stamp: str
) -> None:
    with Session(Lake.open(filled), LIMITS, as_of, since) as session:
        counts = "select (select count(*) from slices), (select count(*) from before.slices)"
        assert rows(session, counts) == [(now, then)]
        assert stamp in session.stamp


def test_an_unknown_release_names_the_option(filled: Config) -> None:
    with pytest.raises(InputError, match="--since 9: no such release"):
        views(Lake.open(filled), since="9")


def test_every_table_has_its_columns_with_their_meaning(session: Session) -> None:
    found = rows(
        session,
        "select table_name, column_name, comment from duckdb_columns() "
        "where schema_name in ('main', 'before') and not internal order by schema_name, table_name, column_index",
    )
    derived = {
        "described": "instruction_id source split license language turns category difficulty cluster",
        "metrics": "batch table round stage arena rows work_s audit_s tokens_in tokens_out cost_usd created_at",
    }
    for view, columns in derived.items():
        assert [name for table, name, _ in found if table == view] == columns.split()
        assert all(meaning for table, _, meaning in found if table == view)
    declared = [(t.name, c.name, c.meaning) for t in sorted(TABLES.values(), key=lambda t: t.name) for c in t.columns]
    assert [row for row in found if row[0] not in derived] == declared * 2


def test_readers_may_explain_describe_pivot_and_name_variables(session: Session) -> None:
    assert rows(session, "explain select * from slices")
    assert rows(session, "describe slices")
    assert rows(session, "pivot slices on stage using count(*) group by round order by round")[0] == ("2026-01-01", 3)
    session.set_variable("target", "a'; drop view slices; --")
    assert rows(session, "select getvariable('target')") == [("a'; drop view slices; --",)]


def test_equal_column_names_are_told_apart(session: Session) -> None:
    with session.ask("select 1 as n, 2 as n, 3 as n_1, 4 as n") as result:
        assert result.schema.names == ["n", "n_1", "n_1_1", "n_2"]
        assert [row for batch in result.batches for row in batch.to_pylist()] == [
            {"n": 1, "n_1": 2, "n_1_1": 3, "n_2": 4}
        ]


# What it must not do

REFUSED = [
    "copy (select 1) to 'stolen.csv'",
    "copy slices to 'stolen.parquet'",
    "explain analyze copy (select 1) to 'stolen.csv'",
    "create table t as select 1",
    "create temp table t as select 1",
    "create view v as select 1",
    "create macro m() as 1",
    "create secret (type s3)",
    "explain analyze create table t as select 1",
    "create table t as pivot slices on stage",
    "drop view slices",
    "insert into slices select * from slices",
    "delete from slices",
    "update slices set position = 0",
    "comment on view slices is 'x'",
    "alter view slices rename to s",
    "attach ':memory:' as other",
    "attach 'x.db'",
    "detach memory",
    "use before",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "set allowed_directories = ['/']",
    "set variable x = 1",
    "reset memory_limit",
    "pragma enable_profiling",
    "pragma database_list",
    "call enable_logging()",
    "export database 'x'",
    "import database 'x'",
    "checkpoint",
    "vacuum",
    "begin",
    "prepare p as select 1",
    "select 1; select 2",
    "",
    "selec 1",
    "select * from query('copy (select 1) to ''stolen.csv''')",
    "from enable_logging()",
    "from read_csv('/etc/passwd')",
    "from '/etc/passwd'",
    "from read_csv('/dev/stdin')",
    "from read_text('/etc/hostname')",
    "from read_blob('/etc/hostname')",
    "from read_text('/proc/self/environ')",
    "from read_json('/etc/passwd')",
    "from sniff_csv('/etc/passwd')",
    "from read_duckdb('x.db')",
    "from glob('*')",
    "from glob('/etc/*')",
    "from 'file.parquet'",
    "from query('from read_text(''/etc/hostname'')')",
    "from query_table('/etc/passwd')",
    "from 'https://example.com/x.csv'",
    "from read_parquet('https://example.com/x.parquet')",
    "from read_parquet('s3://bucket/x.parquet')",
    "select getenv('HOME')",
    "from python_object",
    "from '{root}/arena-lake.json'",
    "from read_text('{root}/arena-lake.json')",
    "from '{root}/_staging/rows.parquet'",
    "from parquet_schema('{root}/_staging/rows.parquet')",
    "from read_blob('{root}/slices/_delta_log/00000000000000000000.json')",
    "from read_parquet('{root}/slices/*/*/*.parquet')",
    "from read_parquet('{unreleased}')",
    "from read_parquet('{released}/../../../../_staging/rows.parquet')",
    "from glob('{root}/**')",
]


@pytest.fixture(scope="module", params=["folder", "s3"])
def walled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A session over the filled lake, once on a folder and once on S3, and the places that a query may name."""
    flags: dict[str, Any] = {"root": str(tmp_path_factory.mktemp("walled") / "lake")}
    with pytest.MonkeyPatch.context() as environment:
        if request.param == "s3":
            import s3fs

            endpoint = request.getfixturevalue("s3_endpoint")
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                environment.setenv(name, "test")
            environment.setenv("AWS_REGION", "us-east-1")
            s3fs.S3FileSystem(endpoint_url=endpoint, use_listings_cache=False).mkdir("walled")
            flags = {"root": "s3://walled/arena", "s3_endpoint": endpoint}
        config = configuration.load(flags=flags)
        lake = Lake.open(config)
        fill(lake, config)
        released = views(lake).files
        [unreleased] = set(views(lake, "head").files) - set(released)
        with Session(lake, LIMITS) as opened:
            yield {
                "session": opened,
                "root": lake.storage.root,
                "released": next(file for file in released if "/slices/" in file),
                "unreleased": unreleased,
            }


@pytest.mark.parametrize("text", REFUSED)
def test_a_query_reads_the_release_and_nothing_else(walled: dict[str, Any], text: str) -> None:
    python_object = pa.table({"secret": [1]})
    assert len(python_object) == 1
    session = walled["session"]
    with pytest.raises(InputError):
        rows(session, text.format(**walled))
    assert list(Path.cwd().iterdir()) == []
    assert rows(session, "select count(*) from slices") == [(5,)], "the session goes on, unharmed"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("from duckdb_secrets()", []),
        ("select count(*) from query('select 1')", [(1,)]),
        ("select count(*) from query_table('slices')", [(5,)]),
        ("from checkpoint()", None),
        ("from json_execute_serialized_sql(json_serialize_sql('select 1'))", [(1,)]),
        ("select current_setting('enable_external_access')", [(False,)]),
        ("explain analyze create temp table slices as select 1", None),
        ("select count(*) from read_parquet('{released}')", None),
    ],
)
def test_what_looks_dangerous_and_is_harmless(walled: dict[str, Any], text: str, answer: Any) -> None:
    found = rows(walled["session"], text.format(**walled))
    assert answer is None or found == answer
    assert rows(walled["session"], "select count(*) from slices") == [(5,)]


def test_the_configuration_stays_locked_after_an_assignment(session: Session) -> None:
    session.assign("set variable x = (select count(*) from slices)")
    assert rows(session, "select getvariable('x')") == [(5,)]
    with pytest.raises(InputError, match="locked"):
        session.assign("set enable_external_access = true")


# Limits

ENDLESS = {
    "before the first row": "select count(*) from range(1000000) a, range(10000000) b where a.range * b.range % 7 = 3",
    "between rows": "select * from range(1000000) a, range(10000000) b where a.range * b.range % 1000007 = 3",
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_the_time_limit_names_its_setting_and_the_session_goes_on(filled: Config, text: str) -> None:
    with Session(Lake.open(filled), Query(timeout_s=0.5)) as session:
        began = time.monotonic()
        with pytest.raises(ArenaError, match=r"longer than query\.timeout_s = 0\.5 seconds"):
            rows(session, text)
        assert time.monotonic() - began < 5
        assert rows(session, "select 1") == [(1,)]


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_ctrl_c_ends_the_query(session: Session, text: str) -> None:
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # processes in the background ignore the signal
    try:
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(ArenaError, match="interrupted"):
            rows(session, text)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert rows(session, "select 1") == [(1,)]


def test_the_memory_limit_names_its_setting_and_nothing_is_spilled(filled: Config) -> None:
    with Session(Lake.open(filled), Query(memory_limit="50MB")) as session:
        with pytest.raises(ArenaError, match=r"more than query\.memory_limit = 50MB"):
            rows(session, "select range, md5(range::varchar) as m from range(3000000) order by m")
        assert rows(session, "select 1") == [(1,)]
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("limits", [{"memory_limit": "much"}, {"memory_limit": "1GB'; select '"}, {"timeout_s": 0}])
def test_wrong_limits_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"query\."):
        configuration.load(flags={"query": limits})


# Formats

MANY = """select 1::bigint as i, 'a|b' || chr(10) || 'c' as text, '' as empty, null::varchar as nothing, 0.5::double as d,
'nan'::double as nan, sum(range) as total, 1.25::decimal(9, 2) as money, true as yes, date '2026-01-05' as day,
timestamptz '2026-01-05 03:00:00+00' as at, [1, null] as list, {'x': 1, 'y': 'z'} as struct, map {'k': 2} as map,
interval 1 day as span, 'ab'::blob as bytes, uuid '00000000-0000-0000-0000-000000000001' as id from range(3)"""


def written(session: Session, text: str, format_: Any) -> tuple[bytes, str | None]:
    out = io.BytesIO()
    with session.ask(text) as result:
        note = results.write(result, format_, out)
    return out.getvalue(), note


def test_json_is_a_list_of_objects(session: Session) -> None:
    [row] = json.loads(written(session, MANY, "json")[0])
    assert (row["i"], row["text"], row["empty"], row["nothing"]) == (1, "a|b\nc", "", None)
    assert (row["d"], row["nan"], row["total"], row["money"], row["yes"]) == (0.5, None, 3, 1.25, True)
    assert (row["day"], row["at"]) == ("2026-01-05", "2026-01-05T03:00:00+00:00")
    assert (row["list"], row["struct"], row["bytes"]) == ([1, None], {"x": 1, "y": "z"}, "6162")
    assert row["id"].endswith("0001")
    assert json.loads(written(session, "select 1 as a where false", "json")[0]) == []
    assert len(json.loads(written(session, "from range(3)", "json")[0])) == 3


def test_csv_tells_null_from_empty_and_nests_json(session: Session) -> None:
    content, _ = written(session, MANY, "csv")
    read = pa.csv.read_csv(
        io.BytesIO(content),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False),
    )
    [row] = read.to_pylist()
    assert (row["text"], row["empty"], row["nothing"], row["total"]) == ("a|b\nc", "", None, 3)
    assert (json.loads(row["list"]), json.loads(row["struct"])) == ([1, None], {"x": 1, "y": "z"})
    assert written(session, "select 1 as a where false", "csv")[0] == b'"a"\n'


def test_parquet_keeps_types(session: Session) -> None:
    table = pa.parquet.read_table(io.BytesIO(written(session, "select * from training_sets", "parquet")[0]))
    assert table.schema.field("prompt").type == TABLES["training_sets"].arrow_schema().field("prompt").type
    assert len(table) == 2


def test_a_column_that_a_format_cannot_hold_is_an_error_with_a_remedy(session: Session) -> None:
    with pytest.raises(InputError, match=r"parquet: .*Cast that column"):
        written(session, "select interval 1 day as span", "parquet")


@pytest.mark.parametrize("format_", ["table", "markdown"])
def test_people_see_the_first_rows_and_how_many_there_are(session: Session, format_: str) -> None:
    content, note = written(session, "from range(120000)", format_)
    assert note == "first 1,000 of 120,000 rows"
    assert len(content.decode().splitlines()) in (1_001, 1_002)
    assert written(session, "from range(1000)", format_)[1] is None


def test_people_see_nulls_and_no_control_characters(session: Session) -> None:
    text = "select null as a, '' as b, '[red]x' || chr(27) || '[2J|' as c"
    table = written(session, text, "table")[0].decode()
    assert "NULL" in table
    assert "[red]x␛[2J|" in table
    assert written(session, text, "markdown")[0].decode().splitlines()[2] == "| NULL |  | [red]x␛[2J\\| |"


def test_rows_stream_instead_of_being_collected(session: Session) -> None:
    with session.ask("select range, repeat('x', 1000) as text from range(2000000)") as result:  # 2 GB in all
        before = pa.total_allocated_bytes()
        for number, batch in enumerate(result.batches):
            assert batch.num_rows <= 60_000
            assert pa.total_allocated_bytes() - before < 500e6
            if number == 3:
                break


# The verbs


def test_sql_reads_a_query_a_file_a_question_or_stdin(filled: Config, tmp_path: Path) -> None:
    file = tmp_path / "mine.sql"
    file.write_text("-- mine\nselect count(*) as n from slices;\n")
    for arguments, stdin in (
        (["select count(*) as n from slices"], None),
        (["-f", str(file)], None),
        (["-f", "-"], "select count(*) as n from slices"),
    ):
        result = ask(filled, "sql", *arguments, "--format", "json", stdin=stdin)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) == [{"n": 5}]
        assert result.stderr.startswith("release 2 (round 2026-01-05, made ")
    result = ask(filled, "sql", "-f", "where_do_we_lose", "--json", "--var", "target=beta-00000002")
    assert json.loads(result.stdout)[0]["losses"] == 2


def test_sql_writes_a_new_file_and_never_over_one(filled: Config, tmp_path: Path) -> None:
    file = tmp_path / "answer.parquet"
    query = ["sql", "select * from slices order by all", "--output", str(file)]
    result = ask(filled, *query)
    assert (result.exit_code, result.stdout) == (0, "")
    assert pa.parquet.read_table(file).num_rows == 5
    before = file.read_bytes()
    again = ask(filled, *query)
    assert isinstance(again.exception, InputError)
    assert "exists already" in str(again.exception)
    assert file.read_bytes() == before


def test_a_failed_query_leaves_no_file(filled: Config, tmp_path: Path) -> None:
    file = tmp_path / "answer.csv"
    failing = "select 1 / (range - 100000)::integer, error('x' || range) from range(200000) where range > 190000"
    result = ask(filled, "sql", failing, "--output", str(file))
    assert isinstance(result.exception, InputError)
    assert not file.exists()


def test_parquet_goes_to_a_pipe_but_not_to_a_terminal(filled: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    piped = ask(filled, "sql", "select 1 as a", "--format", "parquet")
    assert pa.parquet.read_table(io.BytesIO(piped.stdout_bytes)).to_pylist() == [{"a": 1}]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(InputError, match="not for a terminal"), results.destination(None, "parquet"):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["copy (select 1) to 'x'"], "one SELECT at a time"),
        (["select * from nowhere"], "SQL: Catalog Error"),
        (["select 1", "-f", "x.sql"], "give one of"),
        ([], "give one of"),
        (["-f", "nowhere.sql"], "nowhere.sql: cannot be read"),
        (["select 1", "--var", "x"], "NAME=VALUE"),
        (["select 1", "--json", "--format", "csv"], "give one of them"),
        (["select 1", "--as-of", "9"], "--as-of 9: no such release"),
        (["select 1", "--output", "no/where.csv"], "cannot be written"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_message(filled: Config, arguments: list[str], message: str) -> None:
    result = ask(filled, "sql", *arguments)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
    assert result.stdout == ""


def test_the_exit_code_of_a_refused_write_is_2(filled: Config) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "arena_etl", "--root", filled.root, "sql", "copy (select 1) to 'x'"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert "error: one SELECT at a time: the lake is read-only here." in result.stderr
    assert "Traceback" not in result.stderr


def test_the_list_has_every_question_with_its_purpose(filled: Config) -> None:
    listing = ask(filled, "sql", "--list").stdout
    assert len(questions()) >= 12
    for name, purpose in questions().items():
        assert name in listing
        assert purpose in listing


# In a plain client


@pytest.mark.parametrize("as_of", [None, "1"])
def test_every_question_answers_alike_here_and_in_a_plain_client(filled: Config, as_of: str | None) -> None:
    lake = Lake.open(filled)
    with duckdb.connect() as plain, Session(lake, LIMITS, as_of) as session:
        plain.execute(script(lake, as_of))
        for name in questions():
            text = sql.load(f"adhoc/{name}")
            assert rows(session, text) == plain.sql(text).fetchall(), name
        plain.execute("set variable target = 'beta-00000002'")
        session.set_variable("target", "beta-00000002")
        text = sql.load("adhoc/where_do_we_lose")
        assert rows(session, text) == plain.sql(text).fetchall() != []


def test_the_questions_find_something(session: Session) -> None:
    assert rows(session, sql.load("adhoc/what_changed")) == [("slices", "2026-01-05", 0, 2, 2, 0)]
    assert rows(session, sql.load("adhoc/examples_per_rival"))
    assert rows(session, sql.load("adhoc/rating_changes"))


def test_the_views_explain_themselves_in_a_plain_client(filled: Config) -> None:
    text = ask(filled, "views").stdout
    assert text.startswith(f"-- Views of {Lake.open(filled).storage.root}: release 2 ")
    with duckdb.connect() as plain:
        plain.execute(text)
        [(comment,)] = plain.sql(
            "select comment from duckdb_columns() "
            "where schema_name = 'before' and table_name = 'battles' and column_name = 'margin'"
        ).fetchall()
    assert comment == next(c.meaning for c in TABLES["battles"].columns if c.name == "margin")


def test_views_on_s3_say_what_to_load(s3_settings: dict[str, Any]) -> None:
    config = configuration.load(flags=s3_settings)
    lake = Lake.open(config)
    lake.commit(FIRST, slices("2026-01-05", 2), 1, {})
    release(lake, config, "2026-01-05", "night", "round 2026-01-05")
    lines = script(lake).splitlines()
    assert "credentials are yours" in lines[1]
    assert "install httpfs; load httpfs; create secret" in lines[2]
    assert f"endpoint '{config.s3_endpoint.removeprefix('http://')}'" in lines[2]  # type: ignore[union-attr]
    assert "test" not in lines[2]


def test_columns_of_a_result_need_no_rows() -> None:
    out = io.BytesIO()
    results.write(Rows(pa.schema([("a", pa.int64())]), iter([])), "markdown", out)
    assert out.getvalue() == b"| a |\n| ---: |\n"
