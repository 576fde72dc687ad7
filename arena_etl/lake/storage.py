"""The one place that knows where bytes lie: a local folder or an S3 prefix, for fsspec, delta-rs and DuckDB alike."""

import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from arena_etl.config import Config
from arena_etl.errors import ArenaError, InputError

REMEDY = (
    "Check the permissions and free space of the folder or bucket, the endpoint and the credentials (AWS_*: they may have "
    "expired)"
)
CLOCKS_APART_S = 60
_LASTING = (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)


@dataclass(frozen=True)
class Storage:
    """``root``: an absolute folder or ``s3://bucket/prefix``, without a trailing slash."""

    root: str
    s3_endpoint: str | None = None

    @classmethod
    def of(cls, config: Config) -> "Storage":
        root = config.root.rstrip("/")
        scheme, separator, _ = root.partition("://")
        if separator and scheme != "s3":
            raise InputError(f"root: {config.root!r}: a lake is a local folder or s3://bucket/prefix, not {scheme}://")
        if not separator:
            root = str(Path(root).expanduser().resolve())
        if odd := sorted(set(root) & set("[]*?%'")):
            raise InputError(
                f"root: {config.root!r}: the characters {' '.join(odd)} do not work in the path of a lake."
            )
        return cls(root, config.s3_endpoint)

    @property
    def is_local(self) -> bool:
        return not self.root.startswith("s3://")

    def uri(self, *parts: str) -> str:
        return "/".join((self.root, *parts))

    @cached_property
    def filesystem(self) -> Any:
        """The fsspec file system of the root. Listings are never cached: another worker may have just written."""
        if self.is_local:
            from fsspec.implementations.local import LocalFileSystem

            return LocalFileSystem(auto_mkdir=True)
        import s3fs

        return s3fs.S3FileSystem(endpoint_url=self.s3_endpoint, use_listings_cache=False)

    @cached_property
    def data_filesystem(self) -> Any:
        """The fsspec file system that DuckDB reads Parquet through: it trusts what ``remember`` told it.

        DuckDB asks for a file's size and time a dozen times a query, and s3fs would ask the store each time.
        """
        if self.is_local:
            return self.filesystem
        import s3fs

        return s3fs.S3FileSystem(endpoint_url=self.s3_endpoint, use_listings_cache=True)

    def remember(self, uri: str, size: int, modified_ms: int) -> None:
        """Tell ``data_filesystem`` about a file that never changes, as a Delta log names them. ``size``: bytes."""
        path = uri.removeprefix("s3://")
        modified = datetime.fromtimestamp(modified_ms / 1000, UTC)
        entry = {"name": path, "type": "file", "size": size, "LastModified": modified}
        self.data_filesystem.dircache[path] = [entry]

    def astray(self, uris: Iterable[str]) -> str | None:
        """The first remembered file that the store does not have as it was told, and why; DuckDB's error may not name it."""
        remembered = {} if self.is_local else self.data_filesystem.dircache
        for uri in uris:
            for known in remembered.get(uri.removeprefix("s3://"), []):
                try:
                    size = self.filesystem.info(uri)["size"]
                except FileNotFoundError:
                    return f"{uri} is gone"
                if size != known["size"]:
                    return f"{uri} has {size} bytes, not {known['size']}"
        return None

    def filesystem_of(self, url: str) -> Any:
        """The fsspec file system of any other place: S3 at the configured endpoint, else whatever the URL says."""
        import fsspec

        if url.startswith("s3://"):
            return fsspec.filesystem("s3", endpoint_url=self.s3_endpoint, use_listings_cache=False)
        return fsspec.url_to_fs(url)[0]

    def put(self, path: str, content: bytes) -> None:
        """Write one file, whole or not at all."""
        if not self.is_local:  # a PUT is atomic
            self.filesystem.pipe_file(path, content)
            return
        self.filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        mine = f"{path}.{uuid.uuid4().hex}.tmp"  # others may write the same file at the same moment
        self.filesystem.pipe_file(mine, content)
        self.filesystem.mv(mine, path)

    @property
    def delta_options(self) -> dict[str, str]:
        """Options for delta-rs; credentials are left to its own reading of the environment."""
        if self.is_local:
            return {}
        options = {"AWS_REGION": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"}
        if self.s3_endpoint:
            options["AWS_ENDPOINT_URL"] = self.s3_endpoint
            options["AWS_ALLOW_HTTP"] = str(self.s3_endpoint.startswith("http://")).lower()
        return options

    def check_writable(self) -> None:
        """Raise what ``errors`` does, naming the place and the reason, when the root cannot be written to."""
        probe = self.uri(f".writable-{os.getpid()}")
        with self.errors():
            self.put(probe, b"")
            self.filesystem.rm_file(probe)

    def check_clock(self) -> float:
        """How many seconds this machine's clock is apart from the store's. Raises ArenaError when that is more than a minute.

        Files get the store's time. Whoever compares it with this machine's, as garbage collection does, must ask first.
        """
        probe = self.uri(f".clock-{uuid.uuid4().hex}")
        self.put(probe, b"")
        try:
            there = self.filesystem.modified(probe)
        finally:
            self.filesystem.rm_file(probe)
        apart: float = abs((datetime.now(UTC) - there).total_seconds())
        if apart > CLOCKS_APART_S:
            raise ArenaError(f"this machine and the storage are {apart:.0f} s apart: let both follow a time server.")
        return apart

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Around access to the root: what the store says becomes an error that names the place and the remedy.

        An InputError where another attempt cannot help, an ArenaError where it may.
        """
        try:
            yield
        except (OSError, BotoCoreError, ClientError) as error:
            kind = InputError if isinstance(error, _LASTING) else ArenaError
            raise kind(
                f"lake {self.root}: cannot be read or written ({reason(error)}). {REMEDY}, or set another `root`."
            ) from error


def fault(error: Exception) -> str | None:
    """What to tell a person about an error of a store, a disk or a network; None where it is none of these."""
    import duckdb
    from deltalake.exceptions import DeltaError

    if not isinstance(
        error,
        OSError | BotoCoreError | ClientError | DeltaError | duckdb.IOException | duckdb.OutOfMemoryException,
    ):
        return None
    return f"{reason(error)}. {REMEDY}. What was committed stays; run the same command again."


def reason(error: Exception) -> str:
    """What an error says, in one short line: those of delta-rs come in several and in colours, and DuckDB passes on the
    whole traceback of a file system in Python, whose last line is what happened.
    """
    text = re.sub(r"\x1b\[[0-9;]*m|\u21b3", "", str(error))
    before, traceback, lines = text.partition("Traceback (most recent call last):")
    told = before + lines.strip().splitlines()[-1] if traceback else text
    return " ".join(told.split())[:600].rstrip(".")
