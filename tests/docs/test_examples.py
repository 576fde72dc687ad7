"""The configurations and the app of examples/ work as they are."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from arena_etl import config as configuration
from arena_etl import resources
from arena_etl.lake.delta import Lake
from arena_etl.lake.query import Session
from tests.docs.blocks import ROOT

CONFIGURATIONS = sorted(file.name for file in resources.EXAMPLES.glob("*.yaml"))


def test_there_is_one_for_each_kind_of_machine() -> None:
    assert CONFIGURATIONS == ["cluster.yaml", "gpu-vllm.yaml", "laptop.yaml"]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_is_valid_and_names_files_that_are_there(name: str) -> None:
    config = configuration.load(resources.EXAMPLES / name)
    for word in config.launch.command:
        assert not word.startswith("/infra/") or (ROOT / word.removeprefix("/")).is_file(), word


def test_the_laptop_is_the_embedded_deployment() -> None:
    laptop, embedded = configuration.load(resources.EXAMPLES / "laptop.yaml"), configuration.Config()
    assert laptop.target.contestant_id == embedded.target.contestant_id
    assert [rival.contestant_id for rival in laptop.rivals] == [rival.contestant_id for rival in embedded.rivals]
    assert laptop.battles == embedded.battles


def test_the_app_shows_a_battle(folder: Path) -> None:
    app = runpy.run_path(str(resources.EXAMPLES / "battles.py"))["app"]
    shown: dict[str, Any] = app.run()[1]
    config = configuration.load()
    battles, chosen = shown["battles"], shown["chosen"]
    first, second = shown["first"].value, shown["second"].value
    with Session(Lake.open(config, create=False), config.query) as session:
        query = f"select count(*) n from battles where [model_a, model_b] in (['{first}', '{second}'], ['{second}', '{first}'])"
        with session.ask(query) as rows:
            [counted] = [row for batch in rows.batches for row in batch.to_pylist()]
    assert battles.height == counted["n"] > 0
    assert chosen["instruction"]
    assert {first, second} <= shown["answers"].keys()
    assert shown["games"].height in (1, 2)
