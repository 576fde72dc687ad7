"""What `arena-etl export` writes is what load_dataset and from_pretrained read."""

from pathlib import Path

import pytest
import yaml

from arena_etl.config import Config
from arena_etl.errors import ArenaError, InputError
from arena_etl.lake.delta import Lake
from arena_etl.training.export import export, export_champion


def test_a_training_set_becomes_a_data_set(first_night: Config, tmp_path: Path) -> None:
    from datasets import load_dataset

    lake = Lake.open(first_night)
    for stage, columns in (("sft", ["messages"]), ("dpo", ["prompt", "chosen", "rejected"])):
        rows = export(first_night, lake, stage, tmp_path / stage, test_share=0.4)
        loaded = load_dataset(str(tmp_path / stage), cache_dir=str(tmp_path / "cache"))
        assert {name: len(split) for name, split in loaded.items()} == rows
        suffix = {"sft": "sft", "dpo": "prefs"}[stage]
        assert set(rows) == {f"train_{suffix}", f"test_{suffix}"}
        instructions = [set(split["instruction_id"]) for split in loaded.values()]
        assert not instructions[0] & instructions[1]
        example = loaded[f"train_{suffix}"][0]
        for column in columns:
            assert [set(message) for message in example[column]] == [{"role", "content"}] * len(example[column])
        assert example["messages" if stage == "sft" else "chosen"][-1]["role"] == "assistant"
        with lake.connect(["training_sets"]) as connection:
            [(count,)] = connection.execute("select count(*) from training_sets where stage = ?", [stage]).fetchall()
        assert sum(rows.values()) == count


def test_the_card_names_origin_and_licences(first_night: Config, tmp_path: Path) -> None:
    export(first_night, Lake.open(first_night), "sft", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "cc0-1.0"
    assert head["configs"][0]["data_files"][0]["split"] == "train_sft"
    assert "release 1 of " in card and first_night.digest in card
    assert "| train | CC0-1.0 |" in card


def test_what_exists_is_left_and_nothing_is_no_data_set(first_night: Config, tmp_path: Path) -> None:
    lake = Lake.open(first_night)
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists already"):
        export(first_night, lake, "sft", tmp_path / "there")
    with pytest.raises(ArenaError, match="nothing of stage ppo is in this release"):
        export(first_night, lake, "ppo", tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_the_champion_is_an_ordinary_checkpoint(first_night: Config, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    contestant = export_champion(first_night, Lake.open(first_night), tmp_path / "model")
    assert contestant == first_night.target.contestant_id
    AutoModelForCausalLM.from_pretrained(tmp_path / "model")
