"""The one place that knows where bytes lie: a local folder or an S3 prefix, for fsspec, delta-rs and DuckDB alike."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from arena_etl.config import Config
from arena_etl.errors import InputError


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
        self.filesystem.pipe_file(f"{path}.tmp", content)
        self.filesystem.mv(f"{path}.tmp", path)

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
        """Raise InputError, naming the place and the reason, when the root cannot be written to."""
        probe = self.uri(f".writable-{os.getpid()}")
        with self.errors():
            self.put(probe, b"")
            self.filesystem.rm_file(probe)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Around access to the root: what the store says becomes an InputError that names the place and the remedy."""
        try:
            yield
        except (OSError, BotoCoreError, ClientError) as error:
            raise InputError(
                f"lake {self.root}: cannot be read or written ({error}). Check the permissions and free space of the folder "
                "or bucket, the endpoint, the credentials (AWS_*), or set another `root`."
            ) from error
