"""Every filter alone, on texts that a user would try, and the chain in its order."""

from pathlib import Path
from typing import Any

import pytest

from arena_etl.config import Cleaning, Source
from arena_etl.errors import InputError
from arena_etl.instructions.cleaning import attachments, encoding, language, personal_data, prefixes, secrets, toxicity
from arena_etl.instructions.cleaning.chain import Clean, Rejection, clean
from arena_etl.instructions.shapes import Draft


def one(text: str | Draft, skip: tuple[Any, ...] = (), split: Any = "train", **settings: Any) -> Clean | Rejection:
    draft = text if isinstance(text, Draft) else Draft((text,))
    source = Source(name="s", path="s.jsonl", license="MIT", skip=skip, split=split)
    [result] = clean([draft], Cleaning(**settings), source)
    return result


def reason(text: str | Draft, **settings: Any) -> str:
    result = one(text, **settings)
    assert isinstance(result, Rejection), result
    return f"{result.filter}: {result.reason}"


def text(given: str, **settings: Any) -> str:
    result = one(given, **settings)
    assert isinstance(result, Clean), result
    return "\n".join(result.draft.turns)


@pytest.mark.parametrize(
    ("given", "repaired"),
    [
        ("schÃ¶ne GrÃ¼ÃŸe", "schöne Grüße"),
        ("a\x00b", "ab"),
        ("“quoted” ﬁne &lt;b&gt; ｱ", "“quoted” ﬁne &lt;b&gt; ｱ"),
        ("e\u0301", "é"),
        ("plain\ttext\n", "plain\ttext\n"),
    ],
)
def test_encodings_are_repaired_and_nothing_else(given: str, repaired: str) -> None:
    assert encoding.repair(given) == repaired


def test_what_was_lost_in_decoding_is_rejected() -> None:
    assert reason("Wie hei\ufffdt die Hauptstadt?") == "encoding: 1 characters were lost when the text was decoded"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("short", "5 characters, fewer than cleaning.min_characters 10"),
        ("x" * 60, "60 characters, more than cleaning.max_characters 50"),
        (Draft(("Hello there",) * 3), "3 user turns, more than cleaning.max_turns 2"),
    ],
)
def test_lengths(given: str | Draft, words: str) -> None:
    assert reason(given, max_characters=50, max_turns=2) == f"length: {words}"


@pytest.mark.parametrize(
    "given",
    [
        "Summarize the attached document.",
        "What is shown in this picture?",
        "Describe the following image.",
        "Translate this: [image]",
        "Summarize the following article:",
        "Write a review of the text below:",
    ],
)
def test_prompts_about_what_is_not_there(given: str) -> None:
    assert attachments.missing((given,))


@pytest.mark.parametrize(
    "given",
    [
        "Write a description of an image of a sunset.",
        "Which file formats can hold a picture?",
        "Summarize the following article: Rome was not built in a day.",
        "Rome was not built in a day.\nWrite a title for this article:",
        "How do I attach a file to an email?",
    ],
)
def test_prompts_that_are_complete(given: str) -> None:
    assert attachments.missing((given,)) is None


# Put together here, so that no scanner takes this file for a leak.
KEYS = [
    "AKIA" + "ABCDEFGHIJKLMNOP",
    "ghp_" + "a1" * 18,
    "sk-" + "abcdEFGH" * 4,
    "hf_" + "x" * 34,
    "xoxb-" + "123456789012-abcdef",
    "eyJ" + "a" * 12 + ".eyJ" + "b" * 12 + "." + "c" * 12,
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:5])
def test_secrets_are_redacted(key: str) -> None:
    assert secrets.redact(f"Why is {key} refused?") == "Why is [SECRET] refused?"
    assert reason(f"Why is {key} refused by it?", secrets="reject") == "secrets: it holds secrets"
    assert "[SECRET]" not in text(f"Why is {key} refused by it?", secrets="keep", languages=None)


def test_a_password_in_an_address() -> None:
    assert secrets.redact("git clone https://me:hunter2@example.com/x") == "git clone https://[SECRET]@example.com/x"


@pytest.mark.parametrize(
    ("given", "redacted"),
    [
        ("Write to anna.m@corp.co.uk today", "Write to [EMAIL] today"),
        ("Write to anna@example.com today", "Write to anna@example.com today"),
        ("Call +49 30 901820 or (650) 253-0000", "Call [PHONE] or [PHONE]"),
        ("Call 555-0123, that is 555-123-4567", "Call 555-0123, that is 555-123-4567"),
        ("Is 4111 1111 1111 1111 valid, or 4111 1111 1111 1112?", "Is [CARD] valid, or 4111 1111 1111 1112?"),
        ("What is 6502530000 divided by 4155552671?", "What is 6502530000 divided by 4155552671?"),
        ("On 2024-01-31 at 10.15 we had 1,234,567.89", "On 2024-01-31 at 10.15 we had 1,234,567.89"),
    ],
)
def test_personal_data_is_redacted_and_numbers_stay(given: str, redacted: str) -> None:
    assert personal_data.redact(given, "US") == redacted


def test_references_are_redacted_with_the_prompt_and_checkers_refuse_it() -> None:
    draft = Draft(("Repeat the address anna@corp.com, please.",), reference=("anna@corp.com",))
    result = one(draft)
    assert isinstance(result, Clean)
    assert (result.draft.turns, result.draft.reference) == (("Repeat the address [EMAIL], please.",), ("[EMAIL]",))
    assert "its checker may ask" in reason(Draft(draft.turns, checker='[{"type": "exact", "value": "anna@corp.com"}]'))


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("What is the capital of France, and why?", "en"),
        ("Was ist die Hauptstadt von Frankreich?", "de"),
        ("¿Cuál es la capital de Francia?", "es"),
        ("Какой город является столицей Франции?", "ru"),
        ("フランスの首都はどこですか。", "ja"),
        ("2 + 2 = 4", "und"),
    ],
)
def test_languages(given: str, code: str) -> None:
    assert language.detect(given, 0.5) == code


def test_the_language_filter_believes_the_source_and_keeps_what_cannot_be_told() -> None:
    german = "Was ist die Hauptstadt von Frankreich?"
    assert reason(german) == "language: de is not one of cleaning.languages en"
    kept = one(Draft((german,), language="en"))
    assert isinstance(kept, Clean)
    assert kept.language == "en"
    undetermined = one("12 + 30 = ?  7 * 6 = ?")
    assert isinstance(undetermined, Clean)
    assert undetermined.language == "und"
    assert isinstance(one(german, languages=None), Clean)


def test_toxicity_is_a_probability() -> None:
    low, high = toxicity.probabilities(["How do plants grow?", "You fucking idiot, go kill yourself"], Cleaning())
    assert 0 <= low < 0.2 < 0.9 < high <= 1
    assert reason("You fucking idiot, go kill yourself").startswith("toxicity: ")
    assert isinstance(one("You fucking idiot, go kill yourself", max_toxicity=None), Clean)


def test_a_hugging_face_classifier_takes_the_place_of_the_bundled_one(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    words = tmp_path / "vocab.txt"
    words.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "plants", "grow"]))
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=7,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
            id2label={0: "NEUTRAL", 1: "TOXIC"},
        )
    )
    model.save_pretrained(tmp_path / "model")
    BertTokenizer(str(words), model_max_length=512).save_pretrained(tmp_path / "model")
    settings = Cleaning(toxicity_model=str(tmp_path / "model"))
    scores = toxicity.probabilities(["plants grow", "grow " * 2000], settings)
    assert len(scores) == 2
    assert all(0 < score < 1 for score in scores)
    neutral = toxicity.probabilities(["plants grow"], settings.model_copy(update={"toxic_label": "neutral"}))
    assert neutral[0] == pytest.approx(1 - scores[0], abs=1e-5)
    with pytest.raises(InputError, match=r"toxic_label 'insult': .* has the labels neutral, toxic"):
        toxicity.probabilities(["plants"], settings.model_copy(update={"toxic_label": "insult"}))


def test_beginnings_are_equal_up_to_case_and_white_space() -> None:
    def prefix(given: str, **settings: Any) -> str | None:
        return prefixes.prefix((given,), Cleaning(**settings))

    assert prefix("One two  three", prefix=2) == prefix("one TWO four", prefix=2) != prefix("one three", prefix=2)
    assert prefix("abcdef", prefix=3, prefix_unit="characters") == prefix("abcxyz", prefix=3, prefix_unit="characters")
    assert prefix("One two", prefix=2) != prefix("One two", prefix=3)
    assert prefix("One two", prefix=None) is None


def test_a_test_set_is_kept_as_it_is() -> None:
    result = one("Mail x@corp.com", split="wizard_hard")
    assert isinstance(result, Clean)
    assert (result.draft.turns, result.prefix) == (("Mail x@corp.com",), None)


def test_a_source_may_skip_a_filter() -> None:
    assert isinstance(one("short", skip=("length",)), Clean)
    kept = one("Write a poem about the sea.", skip=("prefix_duplicate",))
    assert isinstance(kept, Clean)
    assert kept.prefix is None
