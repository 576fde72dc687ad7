"""The WizardArena sets and the draw: what is tested on is never trained on, whatever arrives later."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from arena_etl import config as configuration
from arena_etl.cli import app
from arena_etl.config import Config
from arena_etl.errors import InputError
from arena_etl.flywheel import do, ingest_plan
from arena_etl.instructions.wizard_arena import card
from arena_etl.lake.delta import Lake
from tests.tiny_round import ROUND, run

VERSION = "v1"


def text(number: int) -> str:
    """About one of four topics, in words that no other number shares."""
    topic = ("integral of a polynomial", "pirate on a ship", "Python function", "letter to a friend")[number % 4]
    words = random.Random(number).sample(NOUNS, 14)
    return f"Think of a {topic} about {' '.join(words)}."


NOUNS = [
    a + b
    for a in ("river", "stone", "cloud", "lamp", "garden", "window", "market", "forest", "candle", "bridge", "mirror")
    for b in ("", "side", "work", "light", "house", "man", "ware", "bird")
]


def config_of(folder: Path, texts: list[str], **settings: Any) -> Config:
    folder.mkdir(exist_ok=True)
    lines = [{"conversation": [{"role": "user", "content": each}], "category": "unknown"} for each in texts]
    (folder / "pool.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    flags: dict[str, Any] = {
        "root": str(folder / "lake"),
        "sources": [{"name": "pool", "path": str(folder / "pool.jsonl"), "license": "CC0-1.0"}],
        "features": {"clusters": 4, "rows_per_cluster": 4},
        "wizard_arena": {"hard_per_cluster": 3, "hard": 5},
        "battles": {"slice_size": 7},
        "decontamination": {"neighbours": 0},  # all these texts are neighbours
        **settings,
    }
    return configuration.load(flags=flags)


def ingest(config: Config) -> Lake:
    lake = Lake.open(config)
    for name, keys in ingest_plan(config):
        do(config, lake, name, *keys)
    return lake


def build(config: Config, lake: Lake, version: str = VERSION) -> None:
    do(config, lake, "build", version)
    do(config, lake, "hold_out", version)


def draw_all(config: Config, lake: Lake) -> list[set[str]]:
    """Every slice until nothing is left, as texts."""
    slices = []
    for day in range(1, 29):
        for stage in config.stages:
            try:
                do(config, lake, "draw", f"2026-02-{day:02}", stage)
            except InputError as error:
                assert "no fresh training instruction is left" in str(error)
                return slices
            slices.append(texts(lake, f"slices where round = '2026-02-{day:02}' and stage = '{stage}'"))
    raise AssertionError("the pool is larger than the test thought")


def texts(lake: Lake, which: str) -> set[str]:
    with lake.connect() as connection:
        rows = connection.sql(
            f"select conversation[1].content from instructions where instruction_id in (select instruction_id from {which})"
        ).fetchall()
    return {content for (content,) in rows}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Lake]:
    """A lake of 60 instructions with a built version, then variants of every member in the next night's increment."""
    folder = tmp_path_factory.mktemp("built")
    pool = [text(n) for n in range(60)]
    config = config_of(folder, pool)
    lake = ingest(config)
    build(config, lake)
    members = sorted(texts(lake, f"wizard_arena where version = '{VERSION}'"))
    copies = [near(member) for member in members] + [f"Dear assistant. {member} Thanks a lot!" for member in members]
    config = config_of(folder, [*pool, *copies])
    ingest(config)
    return config, lake


def near(member: str) -> str:
    """The member with other case and one word less: 0.7 and more of the word shingles are shared."""
    return member.upper().removeprefix("THINK ")


def test_no_member_and_no_near_duplicate_of_one_is_ever_drawn(built: tuple[Config, Lake]) -> None:
    config, lake = built
    members = texts(lake, f"wizard_arena where version = '{VERSION}'")
    assert len(members) == 8 + 5
    drawn = draw_all(config, lake)
    assert [len(each) for each in drawn] == [7] * 6 + [5]
    assert set().union(*drawn) == {text(n) for n in range(60)} - members
    assert sum(map(len, drawn)) == 60 - len(members), "and nothing is drawn twice"


def test_the_sets_are_what_the_settings_say(built: tuple[Config, Lake]) -> None:
    _, lake = built
    with lake.connect() as connection:
        sizes = connection.sql("select set, cluster, count(*) from wizard_arena group by all order by all").fetchall()
        hard = connection.sql("select difficulty from wizard_arena where set = 'hard' order by rank").fetchall()
    assert [(name, count) for name, _, count in sizes if name == "diverse"] == [("diverse", 2)] * 4
    assert sum(count for name, _, count in sizes if name == "hard") == 5
    assert hard == sorted(hard, reverse=True)
    diverse, hardest, mix = card(lake, VERSION)
    assert (diverse["instructions"], hardest["instructions"], mix["instructions"]) == (8, 5, 13)
    assert mix["near_duplicates"] + mix["contaminated"] >= 13
    assert sum(mix["categories"].values()) == 13


def test_a_version_is_frozen(built: tuple[Config, Lake]) -> None:
    config, lake = built
    heads = lake.heads()
    other = config.model_copy(update={"wizard_arena": config.wizard_arena.model_copy(update={"seed": 9, "hard": 1})})
    assert do(other, lake, "build", VERSION)["unchanged"]
    assert lake.heads()["wizard_arena"] == heads["wizard_arena"]


def test_the_order_of_the_lines_does_not_matter(tmp_path: Path) -> None:
    pool = [text(n) for n in range(40)]
    found = []
    for name, order in (("a", pool), ("b", pool[::-1])):
        config = config_of(tmp_path / name, order)
        lake = ingest(config)
        build(config, lake)
        with lake.connect() as connection:
            members = connection.sql("select * exclude (created_at) from wizard_arena order by all").fetchall()
        found.append((members, draw_all(config, lake)))
    assert found[0] == found[1]


def test_a_round_fights_on_the_version_that_is_set(tiny: Config) -> None:
    config = tiny.model_copy(
        update={
            "features": tiny.features.model_copy(update={"clusters": 2, "rows_per_cluster": 4}),
            "wizard_arena": tiny.wizard_arena.model_copy(update={"hard": 2, "version": VERSION}),
            "stages": ("sft",),
        }
    )
    lake = ingest(config)
    build(config, lake)
    run(config, ROUND)
    arena = "battles where arena = 'wizard_arena'"
    assert texts(lake, arena) == texts(lake, "wizard_arena")
    assert len(texts(lake, arena)) == 2 * 2 + 2
    assert not texts(lake, "battles where arena = 'training'") & texts(lake, arena)
    with lake.connect() as connection:
        calls = connection.sql(
            "select name, sum(calls) from plans where arena = 'wizard_arena' and kind = 'response' group by all"
        ).fetchall()
    turns = sum(1 + (n % 7 == 0) for n in range(1, 33) if f"What is {n} + {n}?" in texts(lake, "wizard_arena"))
    assert {name: int(count) for name, count in calls} == dict.fromkeys(
        ("tiny", "tiny-warm", "references", "candidate"), turns
    )


def test_equal_slices_use_everything_up(tmp_path: Path) -> None:
    config = config_of(tmp_path, [text(n) for n in range(20)], battles={"slices": 3})
    lake = ingest(config)
    assert [len(each) for each in draw_all(config, lake)] == [7, 7, 6]


def test_weights_of_sources_decide_the_draw(tmp_path: Path) -> None:
    for name, numbers in (("often", range(20)), ("never", range(20, 40))):
        config_of(tmp_path / name, [text(n) for n in numbers])
    sources = [
        {"name": name, "path": str(tmp_path / name / "pool.jsonl"), "license": "CC0-1.0", "weight": weight}
        for name, weight in (("often", 2), ("never", 0))
    ]
    config = config_of(tmp_path, [], sources=sources)
    drawn = draw_all(config, ingest(config))
    assert set().union(*drawn) == {text(n) for n in range(20)}


def test_nothing_to_draw_from_is_said(tmp_path: Path) -> None:
    config = config_of(tmp_path, [text(1)], battles={"slice_size": 5})
    lake = ingest(config)
    do(config, lake, "draw", "2026-02-01", "sft")
    with pytest.raises(InputError, match="no training instruction with a cluster is free"):
        do(config, lake, "build", VERSION)


def test_the_verb_prints_the_card(built: tuple[Config, Lake]) -> None:
    config, _ = built
    root = ["--root", config.root]
    result = CliRunner().invoke(app, [*root, "wizard-arena", "card", "--version", VERSION, "--json"])
    assert result.exit_code == 0
    assert [each["set"] for each in json.loads(result.stdout)["sets"]] == ["diverse", "hard", "mix"]
    shown = CliRunner().invoke(app, [*root, "wizard-arena", "build", "--version", VERSION])
    assert "multi turn" in shown.stdout and "mix" in shown.stdout
