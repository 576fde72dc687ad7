"""Writes the rows of a query: streams for machines (CSV, JSON, Parquet), the first rows for people (table, Markdown)."""

import io
import json
import math
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from arena_etl.config import ResultFormat
from arena_etl.errors import InputError
from arena_etl.lake.query import Rows

ENDINGS: dict[str, ResultFormat] = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".md": "markdown"}
SHOWN_ROWS = 1_000
# Answers of models are shown on a terminal: what would steer it is made visible.
_CONTROL = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"} | {0x7F: "\u2421"}
_CONTROL |= {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}


def format_of(chosen: ResultFormat | None, output: Path | None) -> ResultFormat:
    """The format that was asked for, else that of the file's ending, else a table."""
    return chosen or (ENDINGS.get(output.suffix.lower(), "table") if output else "table")


@contextmanager
def destination(output: Path | None, format_: ResultFormat) -> Iterator[BinaryIO]:
    """Where the bytes go: a new file, which is removed again when writing fails, or stdout.

    Raises InputError for a file that is there already or cannot be made, and for binary data on a terminal.
    """
    if output is None:
        if format_ == "parquet" and sys.stdout.isatty():
            raise InputError("Parquet is not for a terminal: name a file with --output, or redirect to one.")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        file = output.open("xb")
    except FileExistsError:
        raise InputError(
            f"{output}: exists already; it is left as it is. Name another file, or move it away."
        ) from None
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error}") from error
    try:
        with file:
            yield file
    except BaseException:
        output.unlink()
        raise


def write(rows: Rows, format_: ResultFormat, out: BinaryIO) -> str | None:
    """Write the rows; returns what a person should know, if rows were left out.

    Raises InputError for a column that the format cannot hold.
    """
    if format_ in ("table", "markdown"):
        return _write_for_people(rows, format_, out)
    try:
        {"csv": _write_csv, "json": _write_json, "parquet": _write_parquet}[format_](rows, out)
    except pa.ArrowException as error:
        raise InputError(f"{format_}: {error}. Cast that column to VARCHAR, or choose another --format.") from error
    return None


def _write_parquet(rows: Rows, out: BinaryIO) -> None:
    with pyarrow.parquet.ParquetWriter(out, rows.schema, compression="zstd") as writer:
        for batch in rows.batches:
            writer.write_batch(batch)


def _write_csv(rows: Rows, out: BinaryIO) -> None:
    """Null is an empty cell and an empty text is ``""``; lists, structs and maps are JSON."""
    plain = [
        pa.types.is_nested(f.type) or pa.types.is_binary(f.type) or pa.types.is_interval(f.type) for f in rows.schema
    ]
    fields = [pa.field(f.name, pa.string()) if p else f for f, p in zip(rows.schema, plain, strict=True)]
    schema = pa.schema(fields)
    with pyarrow.csv.CSVWriter(out, schema) as writer:
        for batch in rows.batches:
            columns = [
                pa.array([_text(value, null=None) for value in column.to_pylist()], pa.string()) if p else column
                for column, p in zip(batch.columns, plain, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _write_json(rows: Rows, out: BinaryIO) -> None:
    """One list with one object per line. JSON has no infinity and no NaN: they are null, as in other databases."""
    separator = "[\n"
    for batch in rows.batches:
        for row in batch.to_pylist():
            out.write(f"{separator}{json.dumps(_plain(row), ensure_ascii=False)}".encode())
            separator = ",\n"
    out.write(b"[]\n" if separator == "[\n" else b"\n]\n")


def _write_for_people(rows: Rows, format_: ResultFormat, out: BinaryIO) -> str | None:
    shown: list[tuple[str, ...]] = []
    total = 0
    for batch in rows.batches:
        head = batch.slice(0, SHOWN_ROWS - len(shown))
        cells = ([_text(value).translate(_CONTROL) for value in column.to_pylist()] for column in head.columns)
        shown += zip(*cells, strict=True)
        total += batch.num_rows
    text = _markdown(rows.schema, shown) if format_ == "markdown" else _table(rows.schema, shown, out.isatty())
    out.write(text.encode())
    return f"first {SHOWN_ROWS:,} of {total:,} rows" if total > SHOWN_ROWS else None


def _table(schema: pa.Schema, shown: list[tuple[str, ...]], terminal: bool) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = shutil.get_terminal_size().columns if terminal else 1_000
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, highlight=False)
    table = Table(box=None)
    for field in schema:
        table.add_column(Text(field.name), justify="right" if _is_number(field.type) else "left", overflow="fold")
    for row in shown:
        table.add_row(*(Text(cell) for cell in row))
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def _markdown(schema: pa.Schema, shown: list[tuple[str, ...]]) -> str:
    lines = [schema.names, ["---:" if _is_number(field.type) else "---" for field in schema], *shown]
    escaped = (" | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in line) for line in lines)
    return "".join(f"| {line} |\n" for line in escaped)


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_))


def _text(value: Any, null: Any = "NULL") -> Any:
    """A value as people read it."""
    if value is None:
        return null
    plain = _plain(value)
    if isinstance(value, float) and plain is None:
        return str(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """A value as JSON has it: sums of integers are decimals in DuckDB, maps come as pairs."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case date() | datetime():
            return value.isoformat()
        case bytes():
            return value.hex()
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return str(value)
