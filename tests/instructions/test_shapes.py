"""Rows of every shape that sources have: what is read, and what is refused with which words."""

from typing import Any

import pytest

from arena_etl.config import Source
from arena_etl.instructions.shapes import Draft, Malformed, draft


def source(**settings: Any) -> Source:
    return Source(name="s", path="s.jsonl", license="MIT", **settings)


def chat(*roles: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": f"{role} {n}"} for n, role in enumerate(roles)]} | more


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"instruction": " Add. ", "input": "1 2", "output": "3"}, Draft(("Add.\n\n1 2",))),
        ({"instruction": "Add.", "input": None, "category": "Math"}, Draft(("Add.",), category="math")),
        ({"instruction": "Add.", "category": "code", "language": "English"}, Draft(("Add.",))),
        ({"prompt": "Hi there", "language": "de"}, Draft(("Hi there",), language="de")),
        ({"turns": ["One", "Two"]}, Draft(("One", "Two"))),
        ({"instruction": "One", "turns": ["One", "Two"]}, Draft(("One", "Two"))),
        ({"instruction": "One", "turns": None}, Draft(("One",))),
        ({"turns": '["One"]'}, Draft(("One",))),
        (chat("user", "assistant", "user"), Draft(("user 0", "user 2"))),
        (chat("system", "user", "assistant"), Draft(("user 1",))),
        (chat("user", "assistant", "tool", "assistant"), Draft(("user 0",))),
        ({"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}, Draft(("Q",))),
        ({"conversation": [{"role": "user", "content": "Q"}], "model": "x"}, Draft(("Q",))),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Q"}, {"type": "image_url"}]}]},
            Draft(("Q",), attachment="image_url"),
        ),
    ],
)
def test_shapes_are_told_from_their_columns(row: dict[str, Any], expected: Draft) -> None:
    assert draft(row, source()) == expected


def test_columns_have_the_source_s_names() -> None:
    named = source(columns={"instruction": "q", "reference": "a", "difficulty": "level", "category": None})
    row = {"q": "Add.", "a": "3", "level": "2", "category": "math"}
    assert draft(row, named) == Draft(("Add.",), reference=("3",), difficulty=2.0)


def test_a_column_may_be_inside_another() -> None:
    assert draft({"request": chat("user")}, source(columns={"messages": "request.messages"})).turns == ("user 0",)


def test_a_system_message_is_left_out_or_put_first() -> None:
    row = chat("system", "user", "assistant", "user")
    assert draft(row, source(system_message="prepend")).turns == ("system 0\n\nuser 1", "user 3")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (chat("assistant", "user"), "begins with the assistant"),
        (chat("user", "user"), "two user turns"),
        (chat("user", "moderator"), "unknown role 'moderator'"),
        (chat("system"), "no user turn"),
        ({"messages": []}, "no user turn"),
        ({"messages": [{"role": "user", "content": " "}]}, "a user turn is empty"),
        ({"instruction": ""}, "a user turn is empty"),
        ({"turns": []}, "no user turn"),
    ],
)
def test_no_conversation(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        draft(row, source())


@pytest.mark.parametrize(
    ("row", "settings", "reason"),
    [
        ({"text": "x", "id": 1}, {}, "none of the columns .* but text, id: name yours in `columns`"),
        ({"text": "x"}, {"shape": "instruction"}, "instruction: missing"),
        ({"instruction": 5}, {}, "instruction: text is expected, not a number"),
        ({"messages": "hello"}, {}, "messages: a list is expected, and this text is no JSON"),
        ({"messages": ["hello"]}, {}, "a message is an object, not str"),
        ({"messages": {"role": "user"}}, {}, "a list is expected, not an object"),
        ({"prompt": "x", "level": "hard"}, {"columns": {"difficulty": "level"}}, "'hard' is no number"),
        ({"prompt": "x", "level": 11}, {"columns": {"difficulty": "level"}}, "11 is outside 0 to 10"),
        ({"prompt": "x", "a": ["1", "2"]}, {"columns": {"reference": "a"}}, "reference has 2 entries for 1 turns"),
    ],
)
def test_what_cannot_be_read_says_why(row: dict[str, Any], settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        draft(row, source(**settings))
