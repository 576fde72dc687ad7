"""What several rooms of tests share: a small configuration, lakes on a folder and on S3, a tiny chat model."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.lake.delta import Lake
from tests.services import s3
from tests.tiny_model import make_tiny_model
from tests.tiny_round import run, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # a worker per core: threads of their own would only wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _no_foreign_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the developer's environment nor a configuration file in the working directory leaks into a test."""
    for name in [name for name in os.environ if name.startswith("ARENA_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3(tmp_path_factory.mktemp("s3") / "log") as endpoint:
        yield endpoint


@pytest.fixture
def s3_settings(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings of a lake in a bucket of its own."""
    import s3fs

    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"lake-{abs(hash(request.node.nodeid)):x}"
    s3fs.S3FileSystem(endpoint_url=s3_endpoint, use_listings_cache=False).mkdir(bucket)
    return {"root": f"s3://{bucket}/arena", "s3_endpoint": s3_endpoint}


@pytest.fixture(params=["folder", "s3"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    """The embedded configuration over an empty lake, once on a folder and once on S3."""
    if request.param == "folder":
        return configuration.load(flags={"root": str(tmp_path / "lake")})
    return configuration.load(flags=request.getfixturevalue("s3_settings"))


@pytest.fixture
def lake(config: Config) -> Lake:
    return Lake.open(config)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def tiny(tmp_path: Path, tiny_model: Path) -> Config:
    return configuration.load(flags={"root": str(tmp_path / "lake"), **settings(tmp_path, tiny_model)})


@pytest.fixture(scope="session")
def first_night(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Config:
    """A lake with one finished round. Tests read it; what they change is a copy."""
    folder = tmp_path_factory.mktemp("first-night")
    config = configuration.load(flags={"root": str(folder / "lake"), **settings(folder, tiny_model)})
    run(config)
    return config


@pytest.fixture
def second_night(first_night: Config, tmp_path: Path) -> Config:
    """A copy of the lake after the first night: lakes can be moved."""
    shutil.copytree(first_night.root, tmp_path / "lake")
    return first_night.model_copy(update={"root": str(tmp_path / "lake")})
