"""Ad hoc SQL over one release: read-only, limited, and nothing beyond the files of that release.

Four walls, each of which would do: only reading statements are accepted; every query runs in a read-only transaction
that is rolled back; DuckDB may open no file but those of the views; and its settings are locked.
"""

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import duckdb
import pyarrow as pa

from arena_etl import config
from arena_etl.errors import ArenaError, InputError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, comments, literals, view
from arena_etl.lake.releases import Release, find, releases, retired, table_versions
from arena_etl.lake.tables import TABLES, Column, Table


def _like(table: str, *names: str) -> tuple[Column, ...]:
    return tuple(column for column in TABLES[table].columns if column.name in names)


# Views of SQL files, beside those of the tables.
_DERIVED = {
    "instructions/described": Table(
        "described",
        "What is known about every instruction: the source's own word, else what ingest found out.",
        grain=("instruction_id",),
        partition_by=(),
        columns=_like(
            "instructions",
            *("instruction_id", "source", "split", "license", "language", "turns", "category", "difficulty", "cluster"),
        ),
    ),
    "operations/metrics": Table(
        "metrics",
        "What every batch of a round took: rows, seconds, tokens, money.",
        grain=("batch",),
        partition_by=(),
        columns=(
            *_like("quality_results", "batch", "table", "round", "stage", "arena", "rows"),
            Column("work_s", "DOUBLE", "seconds of all units of the step, added up"),
            Column("audit_s", "DOUBLE", "seconds of its audit"),
            *_like("plans", "tokens_in", "tokens_out", "cost_usd"),
            *_like("quality_results", "created_at"),
        ),
    ),
}
READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI)  # multi: PIVOT
BATCH_ROWS = 50_000
T = TypeVar("T")


@dataclass(frozen=True)
class Views:
    """What a reader sees: the tables of a release in the schema ``main``, those of another in ``before``.

    Beside the tables: ``described`` (what is known about every instruction) and ``metrics`` (what every batch took).
    ``stamp`` names the two for people; ``statements`` create the views, which read exactly ``files``.
    """

    stamp: str
    statements: list[str]
    files: list[str]


@dataclass(frozen=True)
class Rows:
    """A result while it is made. Column names are unique: the second ``n`` is called ``n_1``."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


def views(lake: Lake, as_of: str | None = None, since: str | None = None) -> Views:
    """The views of the release ``as_of``, and in the schema ``before`` those of ``since``.

    Both as in ``releases.find``. Without ``since``: the parent of the release, the newest release for ``head``, and
    empty views if there is none, or if it was given up. Raises InputError when there is no such release.
    """
    chosen = find(lake, as_of)
    before = find(lake, since, "--since") if since else _parent(lake, chosen)
    earlier = table_versions(lake, before) if before or since else {}
    statements, files = ["create schema if not exists before"], set[str]()
    for schema, versions in (("main", table_versions(lake, chosen)), ("before", earlier)):
        for name, declared in TABLES.items():
            found = lake.files(name, versions)
            statements += [view(declared, found, schema), *comments(declared, schema)]
            files.update(found)
    for file, derived in _DERIVED.items():
        statements += [f"create or replace view {derived.name} as {sql.load(file)}", *comments(derived)]
    nothing = "head" if since else "none"
    stamp = f"{_describe(chosen)}; before: {f'release {before.release_id}' if before else nothing}"
    return Views(stamp, statements, sorted(files))


def script(lake: Lake, as_of: str | None = None, since: str | None = None) -> str:
    """The views as a script for a plain DuckDB client. Arguments and errors as in ``views``."""
    found = views(lake, as_of, since)
    lines = [f"-- Views of {lake.storage.root}: {found.stamp}"]
    if not lake.storage.is_local:
        endpoint = lake.storage.s3_endpoint or ""
        host = re.sub("^https?://", "", endpoint)
        options = f", endpoint '{host}', url_style 'path', use_ssl {not endpoint.startswith('http://')}" if host else ""
        lines += [
            "-- The files lie on S3, and the credentials are yours. First run, with your own way of signing in:",
            f"--   install httpfs; load httpfs; create secret (type s3, provider credential_chain{options});",
        ]
    return "\n".join([*lines, *(f"{statement};" for statement in ["set TimeZone = 'UTC'", *found.statements])]) + "\n"


def questions() -> dict[str, str]:
    """The purpose of every file of sql/adhoc, by its name."""
    names = [name.removeprefix("adhoc/") for name in sql.names() if name.startswith("adhoc/")]
    return {name: sql.header(sql.load(f"adhoc/{name}"))["Purpose"] for name in names}


def changes(lake: Lake, limits: config.Query, as_of: str, since: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of sql/adhoc/what_changed and rating_changes between two releases, by question. As in ``views``."""
    found = {}
    with Session(lake, limits, as_of, since) as session:
        for name in ("what_changed", "rating_changes"):
            with session.ask(sql.load(f"adhoc/{name}")) as rows:
                found[name] = [row for batch in rows.batches for row in batch.to_pylist()]
    return found


class Session:
    """One sandboxed connection for any number of queries."""

    def __init__(self, lake: Lake, limits: config.Query, as_of: str | None = None, since: str | None = None) -> None:
        """Arguments and errors as in ``views``."""
        found = views(lake, as_of, since)
        self.stamp = found.stamp
        self._limits = limits
        self._worker = ThreadPoolExecutor(1)
        self._connection = lake.database()  # what it is locked down to is for the whole of it
        with lake.opening(found.stamp.partition(";")[0], found.files):
            self._connection.execute(";\n".join(found.statements))
        self._connection.execute(f"set allowed_paths = {literals(found.files)}")
        self._connection.execute(
            f"set memory_limit = '{limits.memory_limit}'; set temp_directory = '';"
            "set python_enable_replacements = false; set allow_persistent_secrets = false;"
            "set autoload_known_extensions = false; set autoinstall_known_extensions = false;"
            "set enable_external_access = false; set lock_configuration = true"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.shutdown()
        self._connection.close()

    @contextmanager
    def ask(self, text: str) -> Iterator[Rows]:
        """The rows of one reading statement, made while they are read; read them inside the ``with``.

        Raises InputError for anything that is not one reading statement, for SQL that DuckDB refuses and for a file or
        address outside the release; ArenaError when a limit is met or Ctrl-C pressed, also while batches are read.
        """
        deadline = time.monotonic() + self._limits.timeout_s
        statements = self.statements(text)
        if len(statements) != 1 or statements[0].type not in READING:
            raise InputError("one SELECT at a time: the lake is read-only here.")
        self._connection.execute("begin transaction read only")
        try:
            reader = self._wait(lambda: self._connection.sql(statements[0]).to_arrow_reader(BATCH_ROWS), deadline)
            with reader:  # an unread result would keep the connection busy
                fields = zip(reader.schema, _unique(reader.schema.names), strict=True)
                schema = pa.schema([field.with_name(name) for field, name in fields])
                yield Rows(schema, self._batches(reader, schema.names, deadline))
        finally:
            self._connection.execute("rollback")

    def statements(self, text: str) -> list[Any]:
        """The statements of a text. Raises InputError where it cannot be parsed."""
        try:
            return list(self._connection.extract_statements(text))
        except duckdb.Error as error:
            raise InputError(f"SQL: {error}") from error

    def set_variable(self, name: str, value: str) -> None:
        """Let ``getvariable(name)`` be the value in the queries that follow."""
        identifier = '"' + name.replace('"', '""') + '"'
        self._connection.execute(f"set variable {identifier} = $value", {"value": value})

    def assign(self, statement: str) -> None:
        """Run a ``set variable`` or ``reset variable`` statement. Errors as in ``ask``."""
        self._wait(lambda: self._connection.execute(statement), time.monotonic() + self._limits.timeout_s)

    def _batches(self, reader: Any, names: list[str], deadline: float) -> Iterator[pa.RecordBatch]:
        while (batch := self._wait(lambda: next(iter(reader), None), deadline)) is not None:
            yield batch.rename_columns(names)

    def _wait(self, step: Callable[[], T], deadline: float) -> T:
        """The result of a step in the worker thread: this thread stays free for the clock and for Ctrl-C."""
        future = self._worker.submit(step)
        try:
            return future.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise ArenaError(
                f"the query took longer than query.timeout_s = {self._limits.timeout_s:g} seconds. Ask for less, or raise "
                "the limit: --set query.timeout_s=..."
            ) from None
        except KeyboardInterrupt:
            raise ArenaError("interrupted: the query was ended.") from None
        except (duckdb.Error, pa.ArrowException, OSError) as error:  # Arrow wraps DuckDB's error while batches are read
            if "Out of Memory Error" in str(error):
                raise ArenaError(
                    f"the query needs more than query.memory_limit = {self._limits.memory_limit}. Ask for less, or raise "
                    "the limit: --set query.memory_limit=..."
                ) from error
            raise InputError(f"SQL: {error}") from error
        finally:
            self._stop(future)  # whatever came between, no query outlives its caller

    def _stop(self, future: Any) -> None:
        while not future.done():  # an interrupt that comes before DuckDB began is lost
            self._connection.interrupt()
            wait([future], 0.1)


def _parent(lake: Lake, chosen: Release | None) -> Release | None:
    known = releases(lake)
    if chosen is None:
        return known[-1] if known else None
    gone = retired(lake)
    return next((r for r in known if r.release_id == chosen.parent and r.release_id not in gone), None)


def _describe(release: Release | None) -> str:
    if release is None:
        return "head: unreleased tables included"
    return f"release {release.release_id} (round {release.round or '-'}, made {release.created_at:%Y-%m-%d %H:%M}Z)"


def _unique(names: list[str]) -> list[str]:
    taken: list[str] = []
    for name in names:
        candidates = (name if n == 0 else f"{name}_{n}" for n in range(len(names) + 1))
        taken.append(next(candidate for candidate in candidates if candidate not in taken))
    return taken
