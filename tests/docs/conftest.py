"""The folder that the pages speak about: a lake after two nights, its configuration, models, a few files."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from arena_etl import config as configuration
from arena_etl import resources
from arena_etl.config import Config
from arena_etl.flywheel import ARENA, do, ingest_plan
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import release
from arena_etl.rounds import TRAINING
from tests.docs import files
from tests.tiny_model import make_tiny_model
from tests.tiny_round import NEXT, instruction, settings

# What the pages leave out: models of 40 thousand weights, which cannot judge, and a machine that should not work long.
ENVIRONMENT = {
    "ARENA_QUALITY__MIN_PARSE_RATE": "0",
    "ARENA_QUALITY__MAX_ERROR_RATE": "1",
    "ARENA_ENGINE__DTYPE": "float32",
    "ARENA_RATINGS__RESAMPLES": "100",
    "ARENA_WIZARD_ARENA__HARD": "8",
    "COLUMNS": "200",
}


@pytest.fixture(scope="module")
def two_nights(first_night: Config, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``arena.yaml``, ``lake``, ``models`` and files of battles, after two nights. Tests work in a copy."""
    folder = tmp_path_factory.mktemp("pages")
    for name, seed in (("my-model", 0), ("other-model", 1), ("judge", 2)):
        make_tiny_model(folder / "models" / name, seed)
    shutil.copytree(first_night.root, folder / "lake")
    written = settings(folder, tiny_model)
    with (folder / "train.jsonl").open("a") as more:  # instructions for the nights to come
        more.writelines(json.dumps(instruction(number, checked=True)) + "\n" for number in range(33, 65))
    sources = [source | {"path": Path(source["path"]).name} for source in written["sources"]]
    (folder / "arena.yaml").write_text(yaml.safe_dump(written | {"sources": sources}))
    _second_night(configuration.load(flags=written | {"root": str(folder / "lake")}))
    files.write(folder)
    return folder


def _second_night(config: Config) -> None:
    """Battles of one stage, without a training: what the pages ask about, in half the time."""
    lake = Lake.open(config)
    training = (NEXT, "sft", TRAINING)
    battles = [
        ("draw", (NEXT, "sft")),
        *((name, training) for name in ARENA),
        ("rate", (NEXT,)),
        ("win_rates", (NEXT,)),
    ]
    for name, keys in [*ingest_plan(config), *battles]:
        do(config, lake, name, *keys)
    release(lake, config, NEXT, "test", f"round {NEXT}")


@pytest.fixture
def folder(two_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "page"
    shutil.copytree(two_nights, copy)
    shutil.copytree(resources.EXPECTATIONS, copy / "expectations")
    monkeypatch.setattr(resources, "EXPECTATIONS", copy / "expectations")
    monkeypatch.chdir(copy)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ARENA_ENGINE__MODELS_DIR", str(two_nights / "converted"))
    assert configuration.load().root == "lake"
    return copy


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket `my-bucket` on a server of its own, at whatever endpoint the page names."""
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("ARENA_S3_ENDPOINT", s3_endpoint)
    s3fs.S3FileSystem(endpoint_url=s3_endpoint, use_listings_cache=False).mkdir("my-bucket")
