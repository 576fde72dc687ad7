import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from arena_etl.config import Engine, Sampling
from arena_etl.engines.base import Completion, Request
from arena_etl.engines.transformers_engine import TransformersEngine
from arena_etl.errors import InputError
from tests.tiny_model import make_tiny_model

QUESTIONS = (
    "Hi",
    "What is the sum of 17 and 25?",
    "Write one sentence about the sea, please, and make it a long one with many words in it.",
    "Ünïcödé, 中文 and 🙂?",
    "Which answer is better?",
)


def request(key: str, content: str) -> Request:
    return Request(key, ({"role": "user", "content": content},))


REQUESTS = [request(f"q{number}", question) for number, question in enumerate(QUESTIONS)]


def engine(
    folder: Path, *, batch_size: int = 8, system_prompt: str | None = None, prefix: str | None = None, **sampling: Any
) -> TransformersEngine:
    settings = Engine(batch_size=batch_size, device="cpu", dtype="float32")
    return TransformersEngine(
        folder, Sampling(**{"max_new_tokens": 24} | sampling), system_prompt, settings, forced_prefix=prefix
    )


def answers(model: TransformersEngine, requests: Sequence[Request] = REQUESTS) -> dict[str, Completion]:
    completions = list(model.complete(requests))
    assert sorted(completion.key for completion in completions) == sorted(request.key for request in requests)
    return {completion.key: completion for completion in completions}


def said(completions: dict[str, Completion]) -> dict[str, tuple[Any, ...]]:
    """All but the latency."""
    return {key: (c.text, c.finish_reason, c.error, c.tokens_in, c.tokens_out) for key, c in completions.items()}


@pytest.fixture
def copy_of_model(tiny_model_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))


def test_each_request_gets_one_answer(tiny_model_dir: Path) -> None:
    completions = answers(engine(tiny_model_dir, batch_size=2))
    for completion in completions.values():
        assert completion.text and completion.text == completion.text.strip()
        assert completion.error is None
        assert completion.tokens_out is not None and 0 < completion.tokens_out <= 24
        assert completion.finish_reason == ("length" if completion.tokens_out == 24 else "stop")
        assert completion.latency_s > 0
    assert list(engine(tiny_model_dir).complete([])) == []


def test_padding_changes_no_answer_and_is_not_counted(copy_of_model: Path) -> None:
    """Answers that stop early and late, in one batch and alone; one stop token is also the padding."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(copy_of_model)
    whole = answers(engine(copy_of_model, batch_size=1))
    # The model's favourite words become stop tokens, as a checkpoint with several of them declares it.
    common = [token for c in whole.values() for token in tokenizer(c.text)["input_ids"][6:8]]
    declared = json.loads((copy_of_model / "generation_config.json").read_text())
    declared |= {"eos_token_id": [tokenizer.eos_token_id, *common[:4]]}
    (copy_of_model / "generation_config.json").write_text(json.dumps(declared))
    config = json.loads((copy_of_model / "tokenizer_config.json").read_text()) | {"pad_token": "<|im_end|>"}
    (copy_of_model / "tokenizer_config.json").write_text(json.dumps(config))

    alone = answers(engine(copy_of_model, batch_size=1))
    assert said(answers(engine(copy_of_model, batch_size=8))) == said(alone)
    lengths = {completion.tokens_out for completion in alone.values()}
    assert len(lengths) > 1 and min(length for length in lengths if length) < 24
    assert any(completion.finish_reason == "stop" for completion in alone.values())
    for asked in REQUESTS:
        prompt = tokenizer.apply_chat_template(list(asked.messages), add_generation_prompt=True, return_dict=True)
        assert alone[asked.key].tokens_in == len(prompt["input_ids"])


def test_random_answers_repeat_with_the_seed_and_in_any_order(tiny_model_dir: Path) -> None:
    drawn = answers(engine(tiny_model_dir, batch_size=2, temperature=1.0, seed=3))
    again = answers(engine(tiny_model_dir, batch_size=2, temperature=1.0, seed=3), REQUESTS[::-1])
    other = answers(engine(tiny_model_dir, batch_size=2, temperature=1.0, seed=4))
    assert said(drawn) == said(again)
    assert {c.text for c in drawn.values()}.isdisjoint(c.text for c in other.values())


def test_defaults_of_the_checkpoint_do_not_change_the_sampling(tiny_model_dir: Path, copy_of_model: Path) -> None:
    declared = json.loads((copy_of_model / "generation_config.json").read_text())
    declared |= {"do_sample": True, "temperature": 5.0, "top_k": 1, "repetition_penalty": 9.0}
    (copy_of_model / "generation_config.json").write_text(json.dumps(declared))
    for temperature in (0.0, 1.0):
        plain = answers(engine(tiny_model_dir, temperature=temperature))
        assert said(answers(engine(copy_of_model, temperature=temperature))) == said(plain)


def test_the_prefix_opens_the_answer(tiny_model_dir: Path) -> None:
    plain, forced = answers(engine(tiny_model_dir)), answers(engine(tiny_model_dir, prefix="Score: 1"))
    for key, completion in forced.items():
        assert completion.text is not None and completion.text.startswith("Score: 1") and len(completion.text) > 8
        assert completion.tokens_in is not None and completion.tokens_in > (plain[key].tokens_in or 0)


def test_the_system_prompt_is_part_of_the_prompt(tiny_model_dir: Path) -> None:
    prompted = engine(tiny_model_dir, system_prompt="Answer in as few words as possible.")
    by_hand = [
        Request(r.key, ({"role": "system", "content": "Answer in as few words as possible."}, *r.messages))
        for r in REQUESTS
    ]
    assert said(answers(prompted)) == said(answers(engine(tiny_model_dir), by_hand))
    assert prompted.request_settings["system_prompt"] == "Answer in as few words as possible."


def test_the_request_settings_are_the_effective_request(tiny_model_dir: Path) -> None:
    settings = engine(tiny_model_dir, temperature=0.5).request_settings
    template = settings.pop("template_sha256")
    assert len(template) == 64
    assert settings == {
        "engine": "transformers",
        "sampling": {"temperature": 0.5, "top_p": 1.0, "max_new_tokens": 24, "seed": 0},
        "system_prompt": None,
        "forced_prefix": None,
        "dtype": "float32",
    }
    json.dumps(settings)


def test_a_prompt_beyond_the_context_is_an_error_and_stops_nobody(tiny_model_dir: Path) -> None:
    completions = answers(engine(tiny_model_dir), [*REQUESTS, request("long", "sea " * 600)])
    long = completions.pop("long")
    assert long.text is None and long.finish_reason == "error"
    assert long.error is not None and long.error.startswith("context too long (")
    assert all(completion.error is None for completion in completions.values())


def test_a_prompt_that_just_fits_is_answered(tiny_model_dir: Path) -> None:
    model = engine(tiny_model_dir)
    tokens = {count: len(model._encode(request("", "a" * count).messages)) for count in (100, 101)}
    fits = 100 + (512 - 24 - tokens[100]) // (tokens[101] - tokens[100])
    completions = answers(model, [request("fits", "a" * fits), request("over", "a" * (fits + 2))])
    assert completions["fits"].tokens_out == 24
    assert completions["over"].error is not None


def test_a_batch_that_fails_is_halved_until_only_the_culprit_is_an_error(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = engine(tiny_model_dir)
    expected = said(answers(model))
    generate = model._model.generate
    sizes = []

    def out_of_memory(**inputs: Any) -> Any:
        """No more than two rows fit, and one row is broken."""
        sizes.append(len(inputs["input_ids"]))
        unpadded = inputs["attention_mask"].sum(dim=1).tolist()
        if len(unpadded) > 2 or expected["q2"][3] in unpadded:
            raise RuntimeError("CUDA out of memory.\nTried to allocate 20 GiB.")
        return generate(**inputs)

    monkeypatch.setattr(model._model, "generate", out_of_memory)
    completions = said(answers(model))
    assert completions.pop("q2")[:3] == (None, "error", "out of memory: RuntimeError: CUDA out of memory.")
    assert completions == {key: value for key, value in expected.items() if key != "q2"}
    assert sizes[0] == 5 and max(sizes[1:]) < 5


def test_an_empty_answer_is_an_error(copy_of_model: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copy_of_model / "model.safetensors")
    weights["lm_head.weight"].zero_()  # every token is as likely, and the first, <|pad|>, is taken
    save_file(weights, copy_of_model / "model.safetensors", metadata={"format": "pt"})
    for prefix in (None, "Score:"):
        for completion in answers(engine(copy_of_model, prefix=prefix)).values():
            assert (completion.text, completion.finish_reason, completion.error) == (None, "error", "empty completion")


def test_a_model_that_cannot_chat_is_refused(copy_of_model: Path) -> None:
    (copy_of_model / "chat_template.jinja").write_text("{{ raise_exception('System role not supported') }}")
    with pytest.raises(InputError, match=r"refuses the system prompt \(System role not supported"):
        engine(copy_of_model, system_prompt="Be brief.")
    (copy_of_model / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="no chat template"):
        engine(copy_of_model)


def test_messages_that_the_template_refuses_are_errors_of_their_own(copy_of_model: Path) -> None:
    template = (copy_of_model / "chat_template.jinja").read_text()
    refusal = "{% if messages[0]['role'] != 'user' %}{{ raise_exception('the user speaks first') }}{% endif %}"
    (copy_of_model / "chat_template.jinja").write_text(refusal + template)
    wrong = Request("wrong", ({"role": "assistant", "content": "Hello"},))
    completions = answers(engine(copy_of_model), [*REQUESTS, wrong])
    assert completions.pop("wrong").error == "chat template: the user speaks first"
    assert all(completion.error is None for completion in completions.values())


def test_a_damaged_checkpoint_is_named(copy_of_model: Path) -> None:
    (copy_of_model / "config.json").write_text("{")
    with pytest.raises(InputError, match="cannot be loaded"):
        engine(copy_of_model)


def test_a_gpu_that_is_not_there_is_refused(tiny_model_dir: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(InputError, match=r"engine\.device is cuda"):
        TransformersEngine(tiny_model_dir, Sampling(), None, Engine(device="cuda"))


@pytest.mark.parametrize(
    ("features", "dtype"),
    [({"avx2": True}, "float32"), ({"avx512_bf16": True}, "bfloat16"), ({"amx_bf16": True}, "bfloat16")],
)
def test_auto_takes_bfloat16_only_where_the_cpu_has_it(
    features: dict[str, bool], dtype: str, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: features)
    model = TransformersEngine(tiny_model_dir, Sampling(), None, Engine(device="cpu", dtype="auto"))
    assert model.request_settings["dtype"] == dtype


def test_the_tiny_model_is_the_same_every_time_and_marks_what_the_assistant_said(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    again = make_tiny_model(tmp_path / "again")
    for file in tiny_model_dir.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes(), file.name
    tokenizer = AutoTokenizer.from_pretrained(again)
    conversation = [{"role": "user", "content": "Hi 🙂"}, {"role": "assistant", "content": "Hello"}]
    encoded = tokenizer.apply_chat_template(conversation, return_dict=True, return_assistant_tokens_mask=True)
    marked = [t for t, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mask]
    assert tokenizer.decode(marked) == "Hello<|im_end|>"


def test_each_request_may_have_its_own_sampling(tiny_model_dir: Path) -> None:
    short = Sampling(max_new_tokens=3)
    asked = [Request(r.key, r.messages, short if r.key == "q1" else None) for r in REQUESTS]
    mixed, plain = answers(engine(tiny_model_dir), asked), answers(engine(tiny_model_dir))
    assert (mixed["q1"].tokens_out or 0) <= 3 and said({"q0": mixed["q0"]}) == said({"q0": plain["q0"]})


def test_candidates_come_with_their_log_probabilities(tiny_model_dir: Path) -> None:
    model = TransformersEngine(tiny_model_dir, Sampling(max_new_tokens=4), None, Engine(device="cpu"), logprobs=3)
    for completion in answers(model).values():
        assert completion.top_logprobs is not None and len(completion.top_logprobs) == completion.tokens_out
        assert all(value <= 0 for step in completion.top_logprobs for value in step.values())
