"""Delta tables of one lake: read a version, and commit an audited batch exactly once.

A commit carries one application transaction: its id is the key of what it replaces (``battles/2026-01-05/sft/training``)
and its version is the fingerprint of the inputs. delta-rs refuses two concurrent commits with the same id, so of two
writers of one partition one wins even when the partition is new; and a task that comes again finds its own fingerprint
and changes nothing, which also covers a commit whose reply was lost.
"""

import atexit
import json
import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote
from weakref import WeakSet

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from arena_etl.config import Config, digest
from arena_etl.errors import ArenaError, InputError
from arena_etl.lake.storage import REMEDY, Storage, reason
from arena_etl.lake.tables import SCHEMA_VERSION, TABLES, Table

RETENTION = "interval 3650 days"  # old versions stay readable; delta-rs would drop their log entries after 30 days
CHECKPOINT = "10"  # commits; a reader of the log asks for all since the last one, each by itself
MARKER = "arena-lake.json"
ATTEMPTS = 8
# How data files are written. DuckDB reads a file by as many threads as it has row groups.
DATA_FILES = WriterProperties(compression="ZSTD", max_row_group_size=16_384)


@dataclass(frozen=True)
class Partition:
    """What one commit is about, named by ``key``.

    It replaces the rows of ``table`` with these values in its partition columns. In tables that only grow, the values
    just name the batch that is added.
    """

    table: str
    values: tuple[str, ...] = ()

    @property
    def declaration(self) -> Table:
        return TABLES[self.table]

    @property
    def key(self) -> str:
        return "/".join((self.table, *self.values))

    @property
    def columns(self) -> dict[str, str]:
        return dict(zip(self.declaration.partition_by, self.values, strict=False))

    @property
    def predicate(self) -> str:
        if odd := [value for value in self.values if not re.fullmatch(r"[A-Za-z0-9._-]+", value)]:
            raise InputError(f"{self.key}: {odd[0]!r} cannot name a partition: letters, digits, dots, dashes only.")
        return " and ".join(f"{column} = '{value}'" for column, value in self.columns.items())


def fingerprint(inputs: Any) -> int:
    """A 60-bit number that names the inputs of a step; equal inputs (as JSON) have equal fingerprints."""
    return int(digest(inputs)[:15], 16)


class Lake:
    """The tables under one root. ``opened``: names of the tables that were, for lineage."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.opened: set[str] = set()
        self._newest: dict[str, DeltaTable] = {}

    @classmethod
    def open(cls, config: Config, create: bool = True) -> "Lake":
        """Open the configured lake; with ``create``, make it when the place is empty and check that it can be written.

        Raises what ``Storage.errors`` does for the place, and InputError for a lake that is not there and for one that was
        written by a newer schema.
        """
        storage = Storage.of(config)
        marker = storage.uri(MARKER)
        with storage.errors():
            there = storage.filesystem.exists(marker)
            if create:
                storage.check_writable()
                if not there:
                    storage.put(marker, json.dumps({"schema_version": SCHEMA_VERSION}).encode())
            elif not there:
                raise InputError(
                    f"lake {storage.root}: there is none. `arena-etl run --round today` makes it; see `root`."
                )
            content = storage.filesystem.cat_file(marker)
        try:
            found = json.loads(content)["schema_version"]
        except (ValueError, KeyError, TypeError):
            raise InputError(f'{marker}: damaged. Write {{"schema_version": {SCHEMA_VERSION}}} into it.') from None
        if found > SCHEMA_VERSION:
            raise InputError(
                f"lake {storage.root}: written by schema version {found}, this program knows {SCHEMA_VERSION}. "
                "Install a newer arena_etl, or point `root` at another lake."
            )
        return cls(storage)

    # Reading

    def table(self, name: str, version: int | None = None) -> DeltaTable | None:
        """The Delta table at a version (None: newest), or None when nothing was ever committed to it.

        The newest is opened once and then brought up to date: on S3 that is two requests, opening it up to fourteen. The
        handle is for reading: it moves on with the next call, so a writer that checks before it writes has one of its own.
        """
        self.opened.add(name)
        with _understood(name):
            if version is None and (known := self._newest.get(name)) is not None:
                known.update_incremental()
                return known
            try:
                table = DeltaTable(self.storage.uri(name), version=version, storage_options=self.storage.delta_options)
            except TableNotFoundError:
                return None
        if version is None:
            self._newest[name] = table
        return table

    def heads(self) -> dict[str, int]:
        """Newest version of every table that exists, except the releases themselves."""
        tables = ((name, self.table(name)) for name in TABLES if name != "releases")
        return {name: table.version() for name, table in tables if table is not None}

    def fingerprint(self, partition: Partition) -> int | None:
        """The fingerprint with which a partition was last committed; None if it was not, or was rolled back."""
        table = self.table(partition.table)
        return (table.transaction_version(partition.key) or None) if table is not None else None

    def fingerprints(self, name: str) -> dict[tuple[str, ...], int]:
        """The fingerprint of every partition that has rows, by its values."""
        table = self.table(name)
        if table is None:
            return {}
        found = sorted(tuple(p[column] for column in TABLES[name].partition_by) for p in table.partitions())
        committed = self._transactions(name, table.version())
        keys = {values: Partition(name, values).key for values in found}
        return {values: committed[key] for values, key in keys.items() if committed.get(key)}

    def _transactions(self, name: str, version: int) -> dict[str, int]:
        """The last transaction of every key, up to a version of the table.

        From the log itself (Delta protocol, Actions, Transaction Identifiers): delta-rs tells of one key at a time, and reads
        the log since the last checkpoint anew for each.
        """
        log, files = self.storage.uri(name, "_delta_log"), self.storage.filesystem
        transactions: dict[str, int] = {}
        first = 0
        if files.exists(pointer := f"{log}/_last_checkpoint"):
            first = json.loads(files.cat_file(pointer))["version"] + 1
            with files.open(f"{log}/{first - 1:020}.checkpoint.parquet") as file:
                actions = pq.read_table(file, columns=["txn"])["txn"].drop_null().to_pylist()
            transactions |= {action["appId"]: action["version"] for action in actions}
        for number in range(first, version + 1):
            for line in files.cat_file(f"{log}/{number:020}.json").splitlines():
                if action := json.loads(line).get("txn"):
                    transactions[action["appId"]] = action["version"]
        return transactions

    def require(self, partition: Partition, remedy: str) -> int:
        """The fingerprint of a partition that a step builds on. Raises ArenaError while it is not published."""
        found = self.fingerprint(partition)
        if found is None:
            raise ArenaError(f"{partition.key}: not published yet. {remedy}")
        return found

    def connect(
        self, tables: Iterable[str] = TABLES, versions: Mapping[str, int] | None = None
    ) -> duckdb.DuckDBPyConnection:
        """A connection to an in-memory DuckDB with one temporary view per table.

        ``versions``: the table versions of a release; a table that it does not name is empty. None: newest versions.
        Views have exactly the declared columns, also over files that were written before a column was added.
        """
        connection = self._database.cursor()
        connection.execute("set enable_progress_bar = false")
        self._show(connection, "temp", tables, versions)
        return connection

    @contextmanager
    def spilling(self, tables: Iterable[str], memory_limit: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """``connect`` for work larger than memory: what is above the limit goes to files that are gone afterwards."""
        with TemporaryDirectory(prefix="arena-etl-") as folder, self.database() as connection:
            connection.execute(
                f"set memory_limit = {_quote(memory_limit)}; set temp_directory = {_quote(folder)};"
                "set preserve_insertion_order = false"
            )
            self._show(connection, "main", tables, None)
            yield connection

    @cached_property
    def _database(self) -> duckdb.DuckDBPyConnection:
        """Shared by all connections: a database of its own takes 20 ms for each. Their views and tables are temporary."""
        _WITH_DATABASE.add(self)
        return self.database()

    def database(self) -> duckdb.DuckDBPyConnection:
        """An in-memory DuckDB of its own, for who changes its settings: it can read the files of the lake and has no view.

        It keeps the footers of files: every view looks into all files of its table, and data files never change.
        """
        connection = duckdb.connect()
        connection.execute("set global parquet_metadata_cache = true")
        connection.execute("set global TimeZone = 'UTC'; set enable_progress_bar = false")
        if not self.storage.is_local:
            connection.register_filesystem(self.storage.data_filesystem)
        return connection

    def _show(
        self,
        connection: duckdb.DuckDBPyConnection,
        schema: str,
        tables: Iterable[str],
        versions: Mapping[str, int] | None,
    ) -> None:
        for name in tables:
            files = self.files(name, versions)
            with self.opening(name, files):
                connection.execute(view(TABLES[name], files, schema))

    @contextmanager
    def opening(self, what: str, files: list[str]) -> Iterator[None]:
        """Around the making of views, which looks into their files: an ArenaError names one that is gone or damaged."""
        try:
            yield
        except (duckdb.Error, OSError) as error:
            told = self.storage.astray(files) or reason(error).partition(" LINE ")[0]
            raise ArenaError(
                f"{what}: a file that the lake names cannot be read ({told}). {REMEDY}. If it is gone or damaged, bring it back "
                "from a backup or the bucket's versions, or return to a release from before it (`arena-etl releases list`, "
                "`arena-etl rollback`)."
            ) from error

    def files(self, name: str, versions: Mapping[str, int] | None = None) -> list[str]:
        """The committed files of a table as DuckDB names them, sorted. ``versions`` as in ``connect``."""
        known = versions is None or name in versions
        table = self.table(name, versions[name] if versions else None) if known else None
        if table is None:
            return []
        if self.storage.is_local:  # delta-rs answers with URLs, DuckDB wants paths
            return sorted(unquote(file) for file in table.file_uris())
        added = pa.table(table.get_add_actions(flatten=True)).select(["path", "size_bytes", "modification_time"])
        found = {self.storage.uri(name, path): known for path, *known in zip(*added.to_pydict().values(), strict=True)}
        for file, (size, modified) in found.items():
            self.storage.remember(file, size, modified)
        return sorted(found)

    # Writing

    def commit(self, partition: Partition, rows: pa.Table, fingerprint: int, metadata: Mapping[str, Any]) -> int:
        """Publish an audited batch in one Delta commit and return the table's version.

        Replaces the partition, or adds to it where the table is declared ``append``: then only rows whose grain is not
        there yet. Zero rows empty the partition. A batch that is already committed under this fingerprint changes nothing.

        Raises ArenaError when another writer published other contents of the same partition, or rows that must be unique
        over all partitions, in the meantime; InputError when a newer program gave the table more columns.
        """
        declared = partition.declaration
        table = self.create(declared)
        if unknown := {field.name for field in table.schema().fields} - set(declared.column_names):
            raise InputError(_newer(declared.name, f"it has the columns {', '.join(sorted(unknown))}"))
        before = table.transaction_version(partition.key)
        transactions = [Transaction(partition.key, fingerprint)]
        if declared.unique:  # writers of different partitions must not overtake each other's check
            transactions.append(Transaction(declared.name, 1))
        properties = CommitProperties(
            custom_metadata={"key": partition.key, **{k: str(v) for k, v in metadata.items()}},
            app_transactions=transactions,
            max_commit_retries=0,
        )
        for attempt in range(ATTEMPTS):
            if table.transaction_version(partition.key) == fingerprint:
                return table.version()
            if table.transaction_version(partition.key) != before:
                break
            try:
                batch = self._unique(partition, rows.cast(declared.arrow_schema()))
                options: dict[str, Any] = {
                    "commit_properties": properties,
                    "storage_options": self.storage.delta_options,
                    "schema_mode": "merge" if len(table.schema().fields) < len(declared.columns) else None,
                    "writer_properties": DATA_FILES,
                }
                if declared.append:
                    write_deltalake(table, batch, mode="append", **options)
                else:
                    write_deltalake(table, batch, mode="overwrite", predicate=partition.predicate, **options)
                return table.version()
            except CommitFailedError:  # somebody committed first: look what it was
                time.sleep(random.uniform(0.02, 0.1) * 2**attempt)
                table = DeltaTable(self.storage.uri(declared.name), storage_options=self.storage.delta_options)
            except DeltaError as error:
                raise ArenaError(
                    f"{partition.key}: the store refused the commit ({reason(error)}). Nothing of it was published. {REMEDY}, "
                    "and run the step again."
                ) from error
        raise ArenaError(
            f"{partition.key}: another writer published it at version {table.version()} while this one worked. "
            "Nothing of this batch was published; run the step again to build on what is there now."
        )

    def _unique(self, partition: Partition, rows: pa.Table) -> pa.Table:
        """The rows that may be committed: growing tables skip what they have, others refuse what is elsewhere."""
        declared = partition.declaration
        if not declared.unique:
            return rows
        key = "using (" + ", ".join(f'"{column}"' for column in declared.unique) + ")"
        with self.connect([declared.name]) as connection:
            connection.register("batch", rows)
            if declared.append:
                fresh: pa.Table = connection.sql(
                    f'select * from batch anti join "{declared.name}" {key}'
                ).to_arrow_table()
                return fresh.cast(rows.schema)
            [(double,)] = connection.sql(
                f'select count(*) from batch semi join (from "{declared.name}" where not ({partition.predicate})) {key}'
            ).fetchall()
        if double:
            raise ArenaError(
                f"{partition.key}: {double} rows were published elsewhere in the meantime. Run the step again."
            )
        return rows

    def restore(self, name: str, version: int) -> None:
        """Give a table the contents of an earlier version again, as a new version.

        Keys that were committed since lose their fingerprint first, so that their steps count as not done.
        """
        table = self.table(name)
        earlier = self.table(name, version)
        if table is None or earlier is None or sorted(table.file_uris()) == sorted(earlier.file_uris()):
            return
        keys = sorted({commit["key"] for commit in table.history() if "key" in commit})
        then = {key: earlier.transaction_version(key) or 0 for key in keys}
        resets = [Transaction(key, then[key]) for key in keys if then[key] != (table.transaction_version(key) or 0)]
        write_deltalake(
            table,
            TABLES[name].arrow_schema().empty_table(),
            mode="append",
            commit_properties=CommitProperties(app_transactions=resets),
            storage_options=self.storage.delta_options,
        )
        table.restore(version)

    def create(self, declared: Table) -> DeltaTable:
        """The Delta table of a declaration, created empty when it is not there."""
        place, options = self.storage.uri(declared.name), self.storage.delta_options
        with _understood(declared.name):
            try:
                return DeltaTable.create(
                    place,
                    schema=declared.arrow_schema(),
                    mode="ignore",
                    partition_by=list(declared.partition_by),
                    name=declared.name,
                    description=declared.meaning,
                    configuration={
                        "delta.logRetentionDuration": RETENTION,
                        "delta.deletedFileRetentionDuration": RETENTION,
                        "delta.checkpointInterval": CHECKPOINT,
                    },
                    storage_options=options,
                )
            except CommitFailedError:  # somebody created it between the look and the commit
                return DeltaTable(place, storage_options=options)


_WITH_DATABASE: WeakSet[Lake] = WeakSet()


@atexit.register
def _close() -> None:
    """Before the interpreter is torn down, which DuckDB's threads may not outlive."""
    for lake in _WITH_DATABASE:
        lake._database.close()


@contextmanager
def _understood(name: str) -> Iterator[None]:
    """Around the opening of a table: a feature of Delta that this program does not know is an InputError."""
    try:
        yield
    except DeltaError as error:
        if "Unsupported" not in str(error):
            raise
        raise InputError(_newer(name, reason(error))) from error


def _newer(name: str, why: str) -> str:
    return f"{name}: written by a newer program than this ({why}). Install a newer arena_etl, or point `root` at another lake."


def view(declared: Table, files: list[str], schema: str = "main") -> str:
    """CREATE VIEW of a table: an explicit list of files, never a glob."""
    body = declared.empty_select()
    if files:
        types = ", ".join(f"'{column}': VARCHAR" for column in declared.partition_by)  # a date-like round stays text
        hive = f", hive_partitioning=true, hive_types={{{types}}}" if types else ""
        body += f" union all by name select * from read_parquet({literals(files)}, union_by_name=true{hive})"
    columns = ", ".join(f'"{column}"' for column in declared.column_names)
    kind = "temporary view" if schema == "temp" else "view"
    return f'create or replace {kind} "{schema}"."{declared.name}" as select {columns} from ({body})'


def comments(declared: Table, schema: str = "main") -> list[str]:
    """COMMENT statements of a table's view and its columns, for readers."""
    name = f'"{schema}"."{declared.name}"'
    return [
        f"comment on view {name} is {_quote(declared.meaning)}",
        *(f'comment on column {name}."{column.name}" is {_quote(column.meaning)}' for column in declared.columns),
    ]


def literals(texts: list[str]) -> str:
    """A SQL list of strings."""
    return "[" + ", ".join(_quote(text) for text in texts) + "]"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
