"""Land a source's lines untouched, then prepare one clean row per distinct conversation."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Literal

import fsspec
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from tqdm import tqdm

from arena_etl import verifiers
from arena_etl.config import Config, Source, Split, digest, source_path
from arena_etl.errors import InputError
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES

Category = Literal["writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"]
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
    source = _source(config, source_name)
    return {"file": _sha256(source), "license": source.license}


def land(config: Config, lake: Lake, staging: Staging, source_name: str, unit: str) -> dict[str, int]:
    """Stage the source's new lines as raw_instructions rows; lines that cannot be read are rejected with the reason."""
    source = _source(config, source_name)
    known = _known(lake, "raw_instructions", "source_id", f"source = '{source_name}'")
    sha256, now = _sha256(source), datetime.now(UTC)
    counts = {"lines": 0, "new": 0, "rejected": 0}
    rows: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    for number, raw in _lines(source):
        counts["lines"] += 1
        try:
            text = raw.decode("utf-8")
            line = Line.model_validate_json(text)
        except (UnicodeDecodeError, ValidationError) as error:
            rejects.append(_reject(source, number, raw, error, now))
            continue
        source_id = str(line.id) if line.id is not None else str(number)
        if source_id in known:
            continue
        known.add(source_id)
        rows.append(
            {
                "source": source.name,
                "source_id": source_id,
                "line": number,
                "raw": text.strip(),
                "license": line.license or source.license,
                "file": PurePosixPath(source.path).name,
                "file_sha256": sha256,
                "loaded_at": now,
            }
        )
        counts["new"] += 1
        if len(rows) == BATCH:
            staging.write(f"lines-{number:09d}", _table("raw_instructions", rows))
            rows.clear()
    staging.write("lines-last", _table("raw_instructions", rows))
    staging.reject(_table("quarantine", rejects))
    counts["rejected"] = len(rejects)
    return counts


def prepare_inputs(config: Config, lake: Lake, source_name: str) -> Any:
    source = _source(config, source_name)
    return {**land_inputs(config, lake, source_name), "split": source.split}


def prepare(config: Config, lake: Lake, staging: Staging, source_name: str, unit: str) -> dict[str, int]:
    """Stage an instructions row for every landed conversation that the lake does not have yet, whatever its source."""
    source = _source(config, source_name)
    known = _known(lake, "instructions", "instruction_id", "true")
    now = datetime.now(UTC)
    counts = {"rows": 0, "new": 0, "duplicates": 0}
    rows: list[dict[str, Any]] = []
    with lake.connect(["raw_instructions"]) as connection:
        landed = connection.execute(
            "select source_id, raw, license from raw_instructions where source = $source order by line",
            {"source": source_name},
        )
        while batch := landed.fetchmany(BATCH):
            for source_id, raw, license_ in batch:
                counts["rows"] += 1
                line = Line.model_validate_json(raw)
                if line.instruction_id in known:
                    counts["duplicates"] += 1
                    continue
                known.add(line.instruction_id)
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
                        "split": line.split or source.split,
                        "reference": line.reference,
                        "checker": json.dumps(line.checker, ensure_ascii=False) if line.checker else None,
                        "loaded_at": now,
                    }
                )
                counts["new"] += 1
    staging.write("prepared", _table("instructions", rows))
    return counts


def _source(config: Config, name: str) -> Source:
    for source in config.sources:
        if source.name == name:
            return source
    raise InputError(f"source {name!r}: not in the configuration, which names {[s.name for s in config.sources]}")


def _open(source: Source) -> Any:
    path = source_path(source)
    try:
        return fsspec.open(path, "rb", compression="infer").open()
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"source {source.name}: {path} cannot be opened: {error}") from error


def _sha256(source: Source) -> str:
    with _open(source) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lines(source: Source) -> Iterator[tuple[int, bytes]]:
    with _open(source) as file:
        for number, raw in enumerate(tqdm(file, desc=f"land {source.name}", unit=" lines", disable=None), start=1):
            if raw.strip():
                yield number, raw


def _known(lake: Lake, table: str, column: str, condition: str) -> set[str]:
    with lake.connect([table]) as connection:
        return {row[0] for row in connection.execute(f"select {column} from {table} where {condition}").fetchall()}


def _reject(source: Source, number: int, raw: bytes, error: Exception, now: datetime) -> dict[str, Any]:
    if isinstance(error, ValidationError):
        problems = [f"{'.'.join(str(p) for p in e['loc']) or 'line'}: {e['msg']}" for e in error.errors()]
        reason = "; ".join(problems)
    else:
        reason = f"not UTF-8: {error}"
    return {
        "table": "raw_instructions",
        "key": json.dumps({"line": number, "source": source.name}),
        "expectation": "readable_line",
        "round": None,
        "row": raw.decode("utf-8", errors="backslashreplace").strip(),
        "reason": f"{PurePosixPath(source.path).name}, line {number}: {reason}",
        "state": "held",
        "created_at": now,
    }


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=TABLES[name].arrow_schema())
