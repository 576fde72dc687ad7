"""The faulty store, and lakes behind it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.s3_proxy import Proxy, serve


@pytest.fixture(scope="session")
def s3_proxy(s3_endpoint: str) -> Iterator[Proxy]:
    with serve(s3_endpoint) as proxy:
        yield proxy


@pytest.fixture
def proxied(s3_settings: dict[str, Any], s3_proxy: Proxy) -> Iterator[dict[str, Any]]:
    """Settings of a lake in a bucket of its own, behind a proxy that does nothing yet."""
    s3_proxy.does()
    yield {**s3_settings, "s3_endpoint": s3_proxy.url}
    s3_proxy.does()
