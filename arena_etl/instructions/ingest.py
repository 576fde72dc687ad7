"""Land a source's lines untouched, then prepare one clean row per distinct conversation."""

import hashlib
import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Literal

import pyarrow as pa
from botocore.exceptions import BotoCoreError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from tqdm import tqdm

from arena_etl import verifiers
from arena_etl.config import Config, Source, Split, digest, source_path
from arena_etl.errors import InputError
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES

Category = Literal["writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities", "unknown"]
BATCH = 5_000  # rows per staged part


class Turn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["user"]
    content: str = Field(min_length=1, pattern=r"\S")


class Line(BaseModel):
    """One line of an instruction file: docs/instructions.md."""

    model_config = ConfigDict(extra="forbid")

    id: str | int | None = None
    conversation: list[Turn] = Field(min_length=1, max_length=8)
    category: Category
    language: str = Field("en", pattern=r"^[a-z]{2}$")
    difficulty: float | None = Field(None, ge=0, le=10)
    license: str | None = None
    split: Split | None = None
    reference: list[str] | None = None
    checker: list[dict[str, Any] | None] | None = None

    @model_validator(mode="after")
    def _one_per_turn(self) -> "Line":
        for name in ("reference", "checker"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.conversation):
                raise ValueError(f"{name} has {len(values)} entries for {len(self.conversation)} turns")
        return self

    @model_validator(mode="after")
    def _checkers_known(self) -> "Line":
        for checker in self.checker or []:
            if checker is not None:
                try:
                    verifiers.validate(checker)
                except InputError as error:
                    raise ValueError(str(error)) from error
        return self

    @property
    def instruction_id(self) -> str:
        return digest([{"role": turn.role, "content": turn.content} for turn in self.conversation])


def land_inputs(config: Config, lake: Lake, source_name: str) -> Any:
    source = source_of(config, source_name)
    return {"file": _sha256(lake, source), "license": source.license}


def land(config: Config, lake: Lake, staging: Staging, source_name: str, unit: str) -> dict[str, int]:
    """Stage the source's new lines as raw_instructions rows.

    Lines that cannot be read are rejected with the reason, once; so is a line whose id was landed with other contents.
    """
    source = source_of(config, source_name)
    known, refused = _landed(lake, source_name)
    sha256, now = _sha256(lake, source), datetime.now(UTC)
    counts = {"lines": 0, "new": 0, "known": 0, "rejected": 0}
    rows: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    for number, raw in _lines(lake, source):
        counts["lines"] += 1
        line_sha256 = hashlib.sha256(raw).hexdigest()
        try:
            text = raw.decode("utf-8")
            line = Line.model_validate_json(text)
            source_id = str(line.id) if line.id is not None else line.instruction_id
            if known.get(source_id, line_sha256) != line_sha256:
                raise ValueError(f"id {source_id} was landed before with other contents: give the new line a new id")
        except ValueError as error:  # of which UnicodeDecodeError and ValidationError are kinds
            if line_sha256 not in refused:
                refused.add(line_sha256)
                rejects.append(_reject(source, number, raw, line_sha256, error, now))
            continue
        if source_id in known:
            counts["known"] += 1
            continue
        known[source_id] = line_sha256
        counts["new"] += 1
        rows.append(
            {
                "source": source.name,
                "source_id": source_id,
                "line": number,
                "raw": text,
                "license": line.license or source.license,
                "file": PurePosixPath(source.path).name,
                "file_sha256": sha256,
                "loaded_at": now,
            }
        )
        if len(rows) == BATCH:
            staging.write(unit, f"{number:09d}", _table("raw_instructions", rows))
            rows.clear()
    staging.write(unit, "last", _table("raw_instructions", rows))
    staging.reject(_table("quarantine", rejects))
    counts["rejected"] = len(rejects)
    return counts


def prepare_inputs(config: Config, lake: Lake, source_name: str) -> Any:
    landed = lake.require(Partition("raw_instructions", (source_name,)), "`arena-etl ingest` lands it.")
    return {"raw_instructions": landed, "split": source_of(config, source_name).split}


def prepare(config: Config, lake: Lake, staging: Staging, source_name: str, unit: str) -> dict[str, int]:
    """Stage an instructions row for every landed conversation that the lake does not have yet, whatever its source.

    Raises InputError when rows of this source are in the lake with another split: a test set never becomes training data.
    """
    source = source_of(config, source_name)
    now = datetime.now(UTC)
    counts = {"landed": 0, "new": 0, "duplicates": 0}
    rows: list[dict[str, Any]] = []
    with lake.connect(["raw_instructions", "instructions"]) as connection:
        known = {
            i: (s, p) for i, s, p in connection.sql("select instruction_id, source, split from instructions").fetchall()
        }
        landed = connection.execute(
            "select source_id, raw, license from raw_instructions where source = $source order by line, source_id",
            {"source": source_name},
        )
        while batch := landed.fetchmany(BATCH):
            for source_id, raw, license_ in batch:
                counts["landed"] += 1
                line = Line.model_validate_json(raw)
                split = line.split or source.split
                if (there := known.get(line.instruction_id)) is not None:
                    counts["duplicates"] += 1
                    if there[0] == source_name and there[1] != split:
                        raise InputError(
                            f"source {source_name}, {source_id}: in the lake as {there[1]}, now {split}. What was loaded keeps "
                            "its split: set it back, or load the file under another source name into another lake."
                        )
                    continue
                known[line.instruction_id] = (source_name, split)
                rows.append(
                    {
                        "instruction_id": line.instruction_id,
                        "source": source_name,
                        "source_id": source_id,
                        "license": license_,
                        "conversation": [turn.model_dump() for turn in line.conversation],
                        "turns": len(line.conversation),
                        "language": line.language,
                        "category": line.category,
                        "difficulty": line.difficulty,
                        "cluster": None,
                        "split": split,
                        "reference": line.reference,
                        "checker": json.dumps(line.checker, ensure_ascii=False) if line.checker else None,
                        "loaded_at": now,
                    }
                )
                counts["new"] += 1
            staging.write(unit, f"{counts['landed']:09d}", _table("instructions", rows))
            rows.clear()
    return counts


def source_of(config: Config, name: str) -> Source:
    for source in config.sources:
        if source.name == name:
            return source
    raise InputError(f"source {name!r}: not in the configuration, which names {[s.name for s in config.sources]}")


@contextmanager
def _opened(lake: Lake, source: Source) -> Iterator[Any]:
    path = source_path(source)
    try:
        filesystem = lake.storage.filesystem_of(path)
        with filesystem.open(path, "rb", compression="infer") as file:
            yield file
    except (OSError, EOFError, ImportError, BotoCoreError) as error:
        raise InputError(f"source {source.name}: {path} cannot be read: {error}") from error


def _sha256(lake: Lake, source: Source) -> str:
    with _opened(lake, source) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lines(lake: Lake, source: Source) -> Iterator[tuple[int, bytes]]:
    """Line number and bytes of every line that is not blank, without white space around it or a byte order mark."""
    with _opened(lake, source) as file:
        for number, raw in enumerate(tqdm(file, desc=f"land {source.name}", unit=" lines", disable=None), start=1):
            if line := raw.removeprefix(BOM_UTF8).strip():
                yield number, line


def _landed(lake: Lake, source_name: str) -> tuple[dict[str, str], set[str]]:
    """SHA-256 of the landed lines by source_id, and of the lines that were refused before."""
    parameters = {"source": source_name}
    with lake.connect(["raw_instructions", "quarantine"]) as connection:
        landed = connection.execute(
            "select source_id, sha256(raw) from raw_instructions where source = $source", parameters
        ).fetchall()
        refused = connection.execute(
            """
            select key::json ->> 'line_sha256' from quarantine
            where "table" = 'raw_instructions' and key::json ->> 'source' = $source and expectation = 'readable_line'
            """,
            parameters,
        ).fetchall()
    return dict(landed), {row[0] for row in refused}


def _reject(
    source: Source, number: int, raw: bytes, line_sha256: str, error: ValueError, now: datetime
) -> dict[str, Any]:
    if isinstance(error, ValidationError):
        problems = [f"{'.'.join(str(p) for p in e['loc']) or 'line'}: {e['msg']}" for e in error.errors()]
        reason = "; ".join(problems)
    else:
        reason = f"not UTF-8: {error}" if isinstance(error, UnicodeDecodeError) else str(error)
    return {
        "table": "raw_instructions",
        "key": json.dumps({"line_sha256": line_sha256, "source": source.name}),
        "expectation": "readable_line",
        "round": None,
        "row": raw.decode("utf-8", errors="backslashreplace"),
        "reason": f"{PurePosixPath(source.path).name}, line {number}: {reason}",
        "state": "held",
        "created_at": now,
    }


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=TABLES[name].arrow_schema())
