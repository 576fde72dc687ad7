"""A reward model as a judge: it scores every answer by itself, and two rewards make the scores of a game.

Rewards have no unit. What a reward model is trained on is the probability that one answer is preferred to another, the
logistic function of their difference (Bradley-Terry; InstructGPT, arXiv 2203.02155, section 3.5), so a game's scores share
out the scale by it: ``1 + 9 p`` and ``1 + 9 (1 - p)``. Equal rewards tie at 5.5, and a threshold K asks for ``p > (1 + K/9)/2``.
"""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from arena_etl.config import Engine as EngineSettings
from arena_etl.engines import hardware
from arena_etl.engines.base import Message, batched, models_extra
from arena_etl.errors import InputError
from arena_etl.verdicts.ask import PORTION, Question, Ruling
from arena_etl.verdicts.parse import HIGHEST, LOWEST, Parsed

logger = logging.getLogger(__name__)
Dialogue = tuple[tuple[str, str], ...]  # (instruction, answer) per turn; the last answer is scored
Scored = tuple[float, int] | str  # reward and tokens, or why there is none


class RewardModel:
    """The sequence classifier with one output in ``folder``, on the tokens of its own chat template.

    Raises InputError when the checkpoint cannot be loaded, has more than one output or no chat template.
    """

    def __init__(self, folder: Path, settings: EngineSettings) -> None:
        with models_extra():
            import torch
            from transformers import AutoModelForSequenceClassification, AutoTokenizer

        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self._device = hardware.device(settings)
        self._batch_size = settings.batch_size
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model, loaded = AutoModelForSequenceClassification.from_pretrained(
                folder,
                dtype=getattr(torch, hardware.dtype(settings)),
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
            self._tokenizer.get_chat_template()
        except (OSError, ValueError, ImportError) as error:
            raise InputError(f"{folder}: cannot be used as a reward model ({error}).") from error
        if model.config.num_labels != 1 or loaded["missing_keys"]:
            found = f"{model.config.num_labels} outputs" + (", untrained ones" if loaded["missing_keys"] else "")
            raise InputError(
                f"{folder}: a reward model is a sequence classifier with one trained output; here: {found}."
            )
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        # It reads the last token before the padding.
        model.config.get_text_config().pad_token_id = self._tokenizer.pad_token_id
        self._context: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._model = model.to(self._device).eval()

    def rule(self, questions: Iterable[Question]) -> Iterator[Ruling]:
        """Yield one ruling per question; within a portion, an answer that is in several games is scored once."""
        for portion in batched(questions, PORTION):
            sides = [(dialogue(question, "answer_a"), dialogue(question, "answer_b")) for question in portion]
            rewards = dict(self._score({each for pair in sides for each in pair}))
            for question, (first, second) in zip(portion, sides, strict=True):
                yield _ruling(question.key, rewards[first], rewards[second])

    def _score(self, dialogues: Iterable[Dialogue]) -> Iterator[tuple[Dialogue, Scored]]:
        from jinja2 import TemplateError

        encoded: list[tuple[Dialogue, list[int]]] = []
        for each in dialogues:
            try:
                text = self._tokenizer.apply_chat_template(messages(each), tokenize=False)
            except TemplateError as error:
                yield each, f"chat template: {error}"
                continue
            tokens = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            if self._context is not None and len(tokens) > self._context:
                yield each, f"context too long ({len(tokens)} tokens of {self._context})"
            else:
                encoded.append((each, tokens))
        encoded.sort(key=lambda pair: (-len(pair[1]), pair[0]))  # equal lengths together waste least padding
        for batch in batched(encoded, self._batch_size):
            yield from self._score_batch(batch)

    def _score_batch(self, batch: Sequence[tuple[Dialogue, list[int]]]) -> Iterator[tuple[Dialogue, Scored]]:
        import torch

        inputs = self._tokenizer.pad(
            {"input_ids": [tokens for _, tokens in batch]}, padding_side="right", return_tensors="pt"
        )
        try:
            with torch.inference_mode():
                logits: list[float] = self._model(**inputs.to(self._device)).logits[:, 0].float().tolist()
        except RuntimeError as error:  # torch's out-of-memory error is one
            reason = f"engine failed: {str(error).partition(chr(10))[0]}"
            logits = []
        if logits:
            for (each, tokens), reward in zip(batch, logits, strict=True):
                yield each, (reward, len(tokens)) if math.isfinite(reward) else f"the reward is {reward}"
        elif len(batch) == 1:
            yield batch[0][0], reason
        else:
            logger.warning("a batch of %d failed (%s), trying its halves", len(batch), reason)
            middle = len(batch) // 2
            yield from self._score_batch(batch[:middle])
            yield from self._score_batch(batch[middle:])


def dialogue(question: Question, side: str) -> Dialogue:
    """What one contestant was asked and answered, up to the judged turn."""
    return tuple((each.instruction, getattr(each, side)) for each in question.exchanges)


def messages(dialogue: Dialogue) -> list[Message]:
    """The dialogue in chat form."""
    said: list[Message] = []
    for instruction, answer in dialogue:
        said += [{"role": "user", "content": instruction}, {"role": "assistant", "content": answer}]
    return said


def scores(first: float, second: float) -> tuple[float, float]:
    """Scores from 1 to 10 of two rewards; they sum to 11."""
    preferred = 1 / (1 + math.exp(-max(-700.0, min(700.0, first - second))))
    score = LOWEST + (HIGHEST - LOWEST) * preferred
    return score, LOWEST + HIGHEST - score


def _ruling(key: str, first: Scored, second: Scored) -> Ruling:
    errors = [f"answer {side}: {each}" for side, each in (("A", first), ("B", second)) if isinstance(each, str)]
    if isinstance(first, str) or isinstance(second, str):
        return Ruling(key, None, None, "; ".join(errors), Parsed("engine_error"), 1, 0, 0, "")
    (reward_a, tokens_a), (reward_b, tokens_b) = first, second
    parsed = Parsed("ok", *scores(reward_a, reward_b), explanation=f"rewards {reward_a:.4f} and {reward_b:.4f}")
    raw_text = f'{{"reward_a": {reward_a!r}, "reward_b": {reward_b!r}}}'
    return Ruling(key, raw_text, None, None, parsed, 1, tokens_a + tokens_b, 0, "")
