"""Rows of the lake's table training_sets as the data sets of the trainers, in the model's own chat template."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from arena_etl.errors import InputError

Row = dict[str, Any]
BATCH_ROWS = 1_000


def answers(examples: pa.Table, tokenizer: Any, max_length: int) -> Any:
    """For SFT: ``input_ids``, ``completion_mask`` (1 on the tokens of the answer), ``length`` (tokens), by example_id.

    Answers are cut at ``max_length`` tokens, prompts never. Raises InputError that names the example whose prompt leaves
    no room for an answer or whose answer is missing, and for a model whose chat template cannot be trained with.
    """

    def row(example: Row) -> Row:
        prompt, answer = _encoded(example, "chosen", tokenizer, max_length)
        ids = (prompt + answer)[:max_length]
        mask = [0] * len(prompt) + [1] * (len(ids) - len(prompt))
        return {"input_ids": ids, "completion_mask": mask, "length": len(ids)}

    return _dataset(examples, row)


def preferences(examples: pa.Table, tokenizer: Any, max_length: int) -> Any:
    """For DPO: ``prompt``, ``chosen``, ``rejected`` as lists of messages, ``length`` (tokens). Errors as in ``answers``."""

    def row(example: Row) -> Row:
        lengths = [len(p + a) for p, a in (_encoded(example, s, tokenizer, max_length) for s in ("chosen", "rejected"))]
        both = {side: [{"role": "assistant", "content": example[side]}] for side in ("chosen", "rejected")}
        return {"prompt": example["prompt"], **both, "length": min(max(lengths), max_length)}

    return _dataset(examples, row)


def scored(examples: pa.Table, tokenizer: Any, max_length: int) -> Any:
    """For the reward model: ``chosen_ids`` and ``rejected_ids``, prompt included, ending where the answer ends.

    A template may write a line break after the answer; the policy's own answers stop before it, and there they are scored.
    Errors as in ``answers``.
    """

    def row(example: Row) -> Row:
        def ids(side: str) -> list[int]:
            prompt, answer = _encoded(example, side, tokenizer, max_length)
            return (prompt + _until_end(answer, tokenizer.eos_token_id))[:max_length]

        return {"chosen_ids": ids("chosen"), "rejected_ids": ids("rejected")}

    return _dataset(examples, row)


def prompts(examples: pa.Table, tokenizer: Any, max_length: int, copies: int = 1) -> Any:
    """For PPO and RLOO: ``prompt`` as messages and its ``input_ids``; the whole list ``copies`` times.

    Raises InputError for a prompt of more than ``max_length`` tokens.
    """

    def row(example: Row) -> Row:
        return {"prompt": example["prompt"], "input_ids": _prompt(example, tokenizer, max_length)}

    return _dataset(pa.concat_tables([examples] * copies), row)


def _dataset(examples: pa.Table, row: Callable[[Row], Row]) -> Any:
    from datasets import Dataset

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in examples.sort_by("example_id").to_batches(BATCH_ROWS):
            yield pa.RecordBatch.from_pylist([row(example) for example in batch.to_pylist()])

    return Dataset(pa.Table.from_batches(batches()))


def _encoded(example: Row, side: str, tokenizer: Any, max_length: int) -> tuple[list[int], list[int]]:
    """The tokens of the prompt and of the answer after it.

    TRL drops prompts that fill max_length and only logs a template whose prompt is not a prefix of the conversation (it
    would mask the wrong tokens): both are refused here.
    """
    name, prompt = example["example_id"], _prompt(example, tokenizer, max_length)
    if example[side] is None:
        raise InputError(f"Example {name}: `{side}` is null. This stage needs it for every example.")
    ids = _tokens(tokenizer, [*example["prompt"], {"role": "assistant", "content": example[side]}])
    if ids[: len(prompt)] != prompt:
        raise InputError(
            f"Example {name}: the model's chat template renders the prompt differently once an answer follows, "
            "so the answer's tokens cannot be told apart. Choose a checkpoint with an append-only template."
        )
    return prompt, ids[len(prompt) :]


def _prompt(example: Row, tokenizer: Any, max_length: int) -> list[int]:
    if not tokenizer.chat_template:
        raise InputError("The model to train has no chat template. Choose an instruction-tuned checkpoint.")
    ids = _tokens(tokenizer, example["prompt"], add_generation_prompt=True)
    if len(ids) >= max_length:
        raise InputError(
            f"Example {example['example_id']}: its prompt takes {len(ids)} tokens, so max_length {max_length} leaves no "
            "room for the answer. Raise the stage's max_length, or leave the instruction out."
        )
    return ids


def _tokens(tokenizer: Any, messages: Sequence[Any], **options: Any) -> list[int]:
    return list(tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **options)["input_ids"])


def _until_end(ids: list[int], end: int) -> list[int]:
    """The tokens up to the last end token; all of them where there is none."""
    return ids[: len(ids) - ids[::-1].index(end)] if end in ids else ids
