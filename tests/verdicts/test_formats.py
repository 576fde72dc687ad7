"""The published judge texts: labels are reproduced, and each text that names no choice is counted with its reason."""

from collections import Counter
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena_etl.verdicts.formats import FORMATS, alpaca_ranking, alpaca_token, llmbar, pandalm, vicuna
from tests.shared_data import SHARED_DATA


def _rows(query: str, file: str) -> list[tuple[Any, ...]]:
    path = SHARED_DATA / file
    if not path.is_file():
        pytest.skip(f"{path} is not there: set SHARED_DATA to the folder with the published verdicts")
    return duckdb.sql(query.format(f"'{path}'")).fetchall()


def test_vicuna_reviews() -> None:
    rows = _rows("select judge_text, score_1, score_2 from {}", "vicuna_bench/reviews.parquet")
    found: Counter[str] = Counter()
    for text, first, second in rows:
        reading = vicuna(text)
        if reading.choice is None:
            assert reading.reason == "the first line is not two numbers"
            found["unread, prose published as scores" if first is not None else "unread, nothing published"] += 1
        else:
            assert (reading.first, reading.second) == (first, second)
            found[reading.choice] += 1
    # The prose: a first line such as "To find the value of f(2), we plug 2 in", which counts as a tie of 2 and 2 elsewhere.
    assert found == {
        "first": 266,
        "second": 930,
        "tie": 158,
        "unread, nothing published": 80,
        "unread, prose published as scores": 6,
    }


def test_alpaca_eval_annotations() -> None:
    rows = _rows(
        "select judge, shown_first, winner, judge_text from {} where judge_text is not null",
        "alpaca_eval/verdicts.parquet",
    )
    found: Counter[Any] = Counter()
    reasons: Counter[Any] = Counter()
    for judge, shown_first, winner, text in rows:
        reading = FORMATS["alpaca-token" if judge.startswith("weighted") else "alpaca-ranking"](text)
        assert reading.choice != "tie"
        if reading.choice is None:
            reasons[judge, reading.reason] += 1
        elif shown_first is None:
            found[judge, "order unknown"] += 1
        else:
            found[judge, (reading.choice == "first") == (shown_first == winner)] += 1
    assert found == {
        ("alpaca_eval_cot_gpt4_turbo_fn", True): 4810,
        ("alpaca_eval_gpt4", "order unknown"): 3167,
        ("alpaca_eval_gpt4_turbo_fn", "order unknown"): 3212,
        ("weighted_alpaca_eval_gpt4_turbo", "order unknown"): 6,
        # This judge's label is the likelier token, and its text the token that was drawn.
        ("weighted_alpaca_eval_gpt4_turbo", True): 21999,
        ("weighted_alpaca_eval_gpt4_turbo", False): 461,
    }
    assert reasons == {
        ("alpaca_eval_cot_gpt4_turbo_fn", "ranks 1 and 1"): 6,
        ("alpaca_eval_gpt4_turbo_fn", "ranks 1 and 1"): 2,
        ("alpaca_eval_gpt4", "unknown models model_1, model_name"): 1,
        ("weighted_alpaca_eval_gpt4_turbo", "neither m nor M: 'Neither'"): 10,
        ("weighted_alpaca_eval_gpt4_turbo", "neither m nor M: 'Please'"): 1,
        ("weighted_alpaca_eval_gpt4_turbo", "neither m nor M: 'Both'"): 1,
    }


def test_llmbar_judgements() -> None:
    rows = _rows(
        "select judge, strategy, swapped, winner, judge_text from {} where judge_text is not null",
        "agreement/llmbar_judgements.parquet",
    )
    found: Counter[Any] = Counter()
    reasons: Counter[Any] = Counter()
    misread: Counter[Any] = Counter()
    for judge, strategy, swapped, winner, text in rows:
        reading = llmbar(text)
        if reading.choice is None:
            reasons[reading.reason, winner == "None"] += 1
            continue
        label = "1" if (reading.choice == "first") != swapped else "2"
        found[label == winner] += 1
        if label != winner:
            misread[judge, strategy] += 1
    assert found == {True: 22217, False: 88}
    # The published label of these 88 is the output that their text never calls better.
    assert misread == {("PaLM2", "CoT"): 51, ("LLaMA2", "Vanilla_2shot"): 23, ("LLaMA2", "Vanilla_1shot"): 14}
    assert reasons == {
        ("blank text", True): 95,
        ("no output is called better", True): 25,
        ("no output is called better", False): 5,
        ("both outputs are called better", False): 18,
    }


@pytest.mark.parametrize(
    ("judge", "choices", "unread"),
    [
        ("gpt35", {"first": 460, "second": 476, "tie": 38}, {"neither 1, 2 nor tie: 'garbage'": 25}),
        ("pandalm7b", {"first": 433, "second": 459, "tie": 107}, {}),
    ],
)
def test_pandalm_verdicts(judge: str, choices: dict[str, int], unread: dict[str, int]) -> None:
    rows = _rows(f"select {judge}_verdict || '\n' || {judge}_reason from {{}}", "agreement/pandalm.parquet")
    readings = [pandalm(text) for (text,) in rows]
    assert Counter(r.choice for r in readings if r.choice) == choices
    assert Counter(r.reason for r in readings if r.reason) == unread


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("vicuna", "8 9 10\nThree numbers."),
        ("vicuna", "8\n9"),
        ("vicuna", "8/10 9/10"),
        ("vicuna", "nan nan"),
        ("alpaca-ranking", '{"ordered_models": [{"model": "m", "rank": 1}]}'),
        ("alpaca-ranking", '{"ordered_models": [{"model": "m", "rank": true}, {"model": "M", "rank": 2}]}'),
        ("alpaca-ranking", "[{'model': 'model_1', 'rank': 1}, {'model': 'model_1', 'rank': 2}]"),
        ("alpaca-ranking", "__import__('os').getcwd()"),
        ("alpaca-token", "mM"),
        ("llmbar", "Output (a) or Output (b)"),
        ("llmbar", "Output (a) is better. No: Output (b) is better."),
        ("pandalm", "3"),
    ],
)
def test_what_names_no_choice_is_no_tie(form: str, text: str) -> None:
    reading = FORMATS[form](text)
    assert reading.choice is None and reading.reason


def test_both_answers_can_be_chosen() -> None:
    assert [vicuna(t).choice for t in ("9 8\nx", "8,9", "8 8")] == ["first", "second", "tie"]
    assert [alpaca_token(t).choice for t in ("m", " M")] == ["first", "second"]
    assert [llmbar(t).choice for t in ("Output (a)", "So Output (b) is better.")] == ["first", "second"]
    assert alpaca_ranking("[{'model': 'model_2', 'rank': 1}, {'model': 'model_1', 'rank': 2}]").choice == "second"


@given(form=st.sampled_from(sorted(FORMATS)), text=st.text())
def test_any_text_has_a_choice_or_a_reason(form: str, text: str) -> None:
    reading = FORMATS[form](text)
    assert (reading.choice is None) == (reading.reason is not None)
