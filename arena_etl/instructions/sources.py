"""The files of a source: one file, a folder or a glob; local, on S3, or a Hugging Face data set."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from arena_etl.config import Config, Source, source_path
from arena_etl.errors import InputError
from arena_etl.lake.storage import Storage

FORMATS = {
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
COMPRESSED = {"lines": (".gz", ".zst", ".bz2", ".xz"), "json": (".gz", ".zst"), "csv": (".gz", ".zst")}
UNREADABLE = (OSError, EOFError, ImportError, ValueError, BotoCoreError, ClientError)


@dataclass(frozen=True)
class SourceFile:
    """``name`` is for people; ``version`` changes with the contents."""

    filesystem: Any
    path: str
    name: str
    format: str
    version: str


def source_of(config: Config, name: str) -> Source:
    """The source of that name. Raises InputError when the configuration has none."""
    for source in config.sources:
        if source.name == name:
            return source
    raise InputError(f"source {name!r}: not in the configuration, which names {[s.name for s in config.sources]}")


def files(storage: Storage, source: Source) -> list[SourceFile]:
    """The files of a source, sorted by path. In folders and globs, files that are not data are passed over.

    Raises InputError when the place cannot be read or holds no file of a known format.
    """
    place = source_path(source)
    with reading(source, place):
        filesystem = storage.filesystem_of(place)
        root = str(filesystem._strip_protocol(place))
        if any(sign in root for sign in "*?["):
            paths = [path for path in filesystem.glob(root) if _format(path)]
        elif filesystem.isdir(root):
            paths = [path for path in filesystem.find(root) if _format(path)]
        elif _format(root):
            paths = [root]
        else:
            raise InputError(f"source {source.name}: {place}: unknown format. Known endings: {_endings()}.")
        if not paths:
            raise InputError(f"source {source.name}: {place} holds no file of a known format: {_endings()}.")
        return [
            SourceFile(
                filesystem,
                path,
                PurePosixPath(path).name,
                _format(path),
                _version(filesystem, path),
            )
            for path in sorted(paths)
        ]


@contextmanager
def local(file: SourceFile) -> Iterator[Path]:
    """The file on this machine: itself, or a copy for as long as the ``with`` lasts."""
    if _is_local(file.filesystem):
        yield Path(file.path)
        return
    with tempfile.TemporaryDirectory(prefix="arena-etl-") as folder:
        copy = Path(folder) / file.name
        file.filesystem.get_file(file.path, str(copy))
        yield copy


@contextmanager
def reading(source: Source, place: str) -> Iterator[None]:
    """Around access to a source: what the store or the parser says becomes an InputError that names the place."""
    try:
        yield
    except UNREADABLE as error:
        raise InputError(f"source {source.name}: {place} cannot be read: {error}") from error


def sha256(path: Path) -> str:
    """Hash of a local file, read once per state of the file."""
    facts = path.stat()
    return _sha256(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=1024)
def _sha256(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version(filesystem: Any, path: str) -> str:
    """Contents for a local file; what the store says about them (an ETag, a commit) for all others."""
    return sha256(Path(path)) if _is_local(filesystem) else str(filesystem.ukey(path))


def _is_local(filesystem: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(filesystem, LocalFileSystem)


def _format(path: str) -> str:
    """How the file is written, or nothing for a file that is no data."""
    name = PurePosixPath(path)
    if name.name.startswith((".", "_")):
        return ""
    form = FORMATS.get(name.suffix.lower(), "")
    if form:
        return form
    inner = FORMATS.get(PurePosixPath(name.stem).suffix.lower(), "")
    return inner if name.suffix.lower() in COMPRESSED.get(inner, ()) else ""


def _endings() -> str:
    return f"{', '.join(FORMATS)}; text also with {', '.join(COMPRESSED['lines'])}"
