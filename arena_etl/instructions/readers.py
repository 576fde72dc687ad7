"""Rows of one local file, in its order and in batches, as the JSON text that ``raw_instructions`` keeps.

JSON Lines are cut into lines and not parsed: the lines themselves are the rows. Columnar files become one JSON object per row.
"""

import codecs
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

BLOCK = 16 << 20  # bytes of lines that are handled together
MOST_BYTES = 64 << 20  # of one row
SHOWN_BYTES = 1 << 20  # of a longer row, kept for people
BATCH_ROWS = 50_000


@dataclass(frozen=True)
class Unreadable:
    """A row that cannot be kept as JSON text: ``raw`` is what was read of it."""

    line: int
    raw: bytes
    reason: str


@dataclass(frozen=True)
class Batch:
    """``rows``: line (from 1; of a columnar file: the row) and raw. ``unreadable``: rows that are not in them."""

    rows: pa.Table
    unreadable: list[Unreadable]


def read(path: Path, form: str) -> Iterator[Batch]:
    """The rows of a file in one of the forms of ``sources.FORMATS``.

    Raises ValueError, OSError or EOFError, with the row where reading stopped, for a file that is damaged as a whole.
    """
    if form == "lines":
        yield from _lines(path)
    elif form == "csv":
        yield from _csv(path)
    elif form == "arrow":
        yield from _numbered(_arrow(path))
    else:
        reader = (
            "select to_json(r)::varchar as raw from read_parquet($path) as r"
            if form == "parquet"
            else f"select json::varchar as raw from read_json_objects($path, maximum_object_size = {MOST_BYTES})"
        )
        with duckdb.connect() as connection:
            yield from _numbered(_select(connection, reader, path))


def _lines(path: Path) -> Iterator[Batch]:
    with (
        fsspec.open(str(path), "rb", compression="infer") as file,
        tqdm(desc=f"land {path.name}", unit="B", unit_scale=True, disable=None) as bar,
    ):
        number = 1
        for block in _blocks(file):
            bar.update(len(block))
            count, batch = _cut(block, number)
            number += count
            yield batch


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Whole lines of about ``BLOCK`` bytes; of a line longer than ``MOST_BYTES`` its beginning, one byte too long."""
    carry = file.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)
    if carry.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("it is UTF-16: write it as UTF-8 (iconv -f UTF-16 -t UTF-8)")
    while chunk := file.read(BLOCK):
        block = carry + chunk
        cut = block.rfind(b"\n") + 1
        if cut:
            yield block[:cut]
        carry = block[cut:]
        if len(carry) > MOST_BYTES:
            yield carry[: MOST_BYTES + 1] + b"\n"
            carry = _skip_line(file)
    if carry:
        yield carry + b"\n"


def _skip_line(file: BinaryIO) -> bytes:
    """Read to the end of the line; what was read after it."""
    while chunk := file.read(BLOCK):
        if (end := chunk.find(b"\n")) >= 0:
            return chunk[end + 1 :]
    return b""


def _cut(block: bytes, first: int) -> tuple[int, Batch]:
    """The lines of a block, ``first`` being the number of its first one, without white space around them."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10).astype(np.int32) + 1
    offsets = np.concatenate([np.zeros(1, np.int32), ends])
    numbers = pa.array(np.arange(first, first + len(ends), dtype=np.int64))
    unreadable: list[Unreadable] = []
    try:
        block.decode()
        if np.diff(offsets).max() > MOST_BYTES:
            raise ValueError("a line is too long")
        raw = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(block))
    except ValueError:  # some line is not UTF-8, or too long: look at each
        texts = [_text(line, number, unreadable) for number, line in enumerate(io.BytesIO(block), start=first)]
        raw = pa.array(texts, pa.string())
    raw = pc.ascii_trim_whitespace(raw)
    rows = pa.table({"line": numbers, "raw": raw}).filter(pc.greater(pc.binary_length(raw), 0))
    return len(ends), Batch(rows, unreadable)


def _text(line: bytes, number: int, unreadable: list[Unreadable]) -> str | None:
    if len(line) > MOST_BYTES:
        reason = f"longer than {MOST_BYTES >> 20} MiB; only its beginning is kept here"
        unreadable.append(Unreadable(number, line[:SHOWN_BYTES], reason))
        return None
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        unreadable.append(Unreadable(number, line.strip(), f"not UTF-8: {error}"))
        return None


def _csv(path: Path) -> Iterator[Batch]:
    """Rows of a CSV file with a header; all values are text, an empty one is null. ``line`` is where the row ends."""
    csv.field_size_limit(MOST_BYTES)
    with fsspec.open(
        str(path), "rt", compression="infer", encoding="utf-8-sig", errors="surrogateescape", newline=""
    ) as file:
        top = file.readline()
        delimiter = max(",;\t|", key=top.count)
        header = next(csv.reader([top], delimiter=delimiter), [])
        if "" in header or len(set(header)) < len(header):
            raise ValueError(f"line 1: the first line must name the columns, each once, not {top[:200]!r}")
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        done = False
        while not done:
            lines: list[int] = []
            texts: list[str] = []
            unreadable: list[Unreadable] = []
            while not done and len(lines) < BATCH_ROWS:
                try:
                    row = next(rows)
                except StopIteration:
                    done = True
                except csv.Error as error:
                    unreadable.append(Unreadable(rows.line_num + 1, b"", str(error)))
                else:
                    number = rows.line_num + 1
                    if problem := _problem(row, header):
                        written = delimiter.join(row).encode("utf-8", "surrogateescape")
                        unreadable.append(Unreadable(number, written[:SHOWN_BYTES], problem))
                    elif row:
                        lines.append(number)
                        values = (value or None for value in row)
                        texts.append(json.dumps(dict(zip(header, values, strict=True)), ensure_ascii=False))
            yield Batch(
                pa.table({"line": pa.array(lines, pa.int64()), "raw": pa.array(texts, pa.string())}), unreadable
            )


def _problem(row: list[str], header: list[str]) -> str | None:
    if row and len(row) != len(header):
        return f"{len(row)} values for {len(header)} columns"
    if not all(value.isascii() for value in row) and any("\udc80" <= sign <= "\udcff" for v in row for sign in v):
        return "not UTF-8"
    return None


def _arrow(path: Path) -> Iterator[pa.Array]:
    """Rows of an Arrow file or stream, such as those that `datasets` saves to disk."""
    with pa.memory_map(str(path)) as file, duckdb.connect() as connection:
        try:
            opened: Any = pa.ipc.open_file(file)
            batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
        except pa.ArrowInvalid:
            batches = pa.ipc.open_stream(file)
        for batch in batches:
            connection.register("r", pa.table(batch))
            yield connection.sql("select to_json(r)::varchar as raw from r").to_arrow_table()["raw"].combine_chunks()


def _select(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> Iterator[pa.Array]:
    try:
        for batch in connection.sql(query, params={"path": str(path)}).to_arrow_reader(BATCH_ROWS):
            yield batch["raw"]
    except (duckdb.Error, pa.ArrowException, OSError) as error:  # which one depends on when the file turns out damaged
        raise ValueError(str(error)) from error


def _numbered(arrays: Iterator[pa.Array]) -> Iterator[Batch]:
    number = 1
    try:
        for raw in arrays:
            numbers = pa.array(np.arange(number, number + len(raw), dtype=np.int64))
            number += len(raw)
            yield Batch(pa.table({"line": numbers, "raw": raw}), [])
    except (ValueError, pa.ArrowException) as error:
        raise ValueError(f"after row {number - 1}: {error}") from error
