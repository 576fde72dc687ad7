"""Recorded battles in the lake: what each published format becomes, and that nothing is doubled, lost or replaced."""

import json
from pathlib import Path
from typing import Any

import pytest

from arena_etl.analytics import selection
from arena_etl.config import Config, Contestant
from arena_etl.errors import InputError
from arena_etl.flywheel import do
from arena_etl.lake.delta import Lake
from arena_etl.operations.recordings import Recording, import_files
from arena_etl.rounds import TRAINING, WIZARD_ARENA
from tests.shared_data import SHARED_DATA

ROUND = "2026-01-05"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(
        root=str(tmp_path / "lake"),
        sources=(),
        target=Contestant(name="pupil", backend="recorded", checkpoint="references"),
        rivals=(),
    )


def recording(arena: str = WIZARD_ARENA, **changes: Any) -> Recording:
    usual = {"license": "CC0-1.0", "language": "en", "judge": None, "renames": {}}
    return Recording(ROUND, "sft", arena, **(usual | changes))


def write(file: Path, rows: list[dict[str, Any]]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def rows(config: Config, query: str) -> list[tuple[Any, ...]]:
    with Lake.open(config).connect() as connection:
        return connection.sql(query).fetchall()


def reviewed(folder: Path) -> list[str]:
    """Two questions, three models, one judge with points: pupil loses 2 : 9 and 5 : 6, one review has no points."""
    questions = [{"question_id": i, "text": f"Question {i}?", "category": "generic"} for i in (1, 2)]
    answers = [
        {"question_id": i, "model_id": model, "answer_id": f"{model}{i}", "text": f"{model} says {i}"}
        for i in (1, 2)
        for model in ("pupil", "teacher", "zebra")
    ]
    pairs = [
        ("pupil1", "teacher1", [2, 9]), ("teacher1", "zebra1", [9, 3]), ("zebra1", "pupil1", [3, 2]),
        ("pupil2", "teacher2", [5, 6]), ("teacher2", "zebra2", [-1, -1]), ("zebra2", "pupil2", [5, 5]),
    ]  # fmt: skip
    reviews = [
        {
            "review_id": f"{a}{b}",
            "question_id": int(a[-1]),
            "answer1_id": a,
            "answer2_id": b,
            "text": "...",
            "score": score,
        }
        for a, b, score in pairs
    ]
    names = {"review.jsonl": reviews, "question.jsonl": questions, "answer.jsonl": answers}
    return [write(folder / name, lines) for name, lines in names.items()]


def test_reviews_become_battles_that_can_be_rated_and_selected(config: Config, tmp_path: Path) -> None:
    files, given = reviewed(tmp_path), recording(TRAINING, judge="gpt-x")
    lake = Lake.open(config)
    summary = import_files(config, lake, files, given)
    assert summary == {
        "instructions": 2, "slices": 2, "responses": 6, "models": 2, "battles": 6, "unusable": {}
    }  # fmt: skip
    found = rows(
        config,
        "select split_part(model_a, '-', 1), split_part(model_b, '-', 1), mean_a, mean_b, winner, margin, games, judge_id "
        "from battles join instructions using (instruction_id) order by conversation[1].content, battles.model_a, model_b",
    )
    pupil, teacher, zebra = "pupil", "teacher", "zebra"
    assert found == [
        (pupil, teacher, 2, 9, "model_b", 7, 1, "gpt-x"),
        (pupil, zebra, 2, 3, "model_b", 1, 1, "gpt-x"),
        (teacher, zebra, 9, 3, "model_a", 6, 1, "gpt-x"),
        (pupil, teacher, 5, 6, "model_b", 1, 1, "gpt-x"),
        (pupil, zebra, 5, 5, "tie", 0, 1, "gpt-x"),
        (teacher, zebra, None, None, "unusable", None, 0, "gpt-x"),
    ]
    version = lake.heads()
    assert import_files(config, lake, files, given)["battles"] == 6
    assert lake.heads() == version

    do(config, lake, "rate", ROUND)
    board = "select split_part(model, '-', 1) from ratings where scope = 'training' and method = 'bradley_terry' order by rank"
    assert [row[0] for row in rows(config, board)] == [teacher, zebra, pupil]
    assert do(config, lake, "select", ROUND, "sft") | {"version": 0} == {
        "step": "select", "selected": 1, "unusable": 1, "table": "training_sets", "rows": 1, "held": 0, "version": 0
    }  # fmt: skip
    assert rows(config, "select prompt[1].content, chosen, margin, license from training_sets") == [
        ("Question 1?", "teacher says 1", 7.0, "CC0-1.0")
    ]
    assert selection.inputs(config, lake, ROUND, "sft")["target"] == config.target.contestant_id


def test_annotations_bring_texts_and_soft_preferences(config: Config, tmp_path: Path) -> None:
    common = {"instruction": "Name a colour.", "output_1": "Blue", "generator_1": "base", "annotator": "weighted"}
    annotations = [
        {**common, "output_2": "Red, judged", "generator_2": "mine", "preference": 1.7},
        {**common, "output_2": "Green", "generator_2": "other", "preference": None},
        {**common, "instruction": "Name a river.", "output_2": "Nile", "generator_2": "mine", "preference": 1.5},
    ]
    outputs = [{"instruction": "Name a colour.", "output": "Red", "generator": "mine"}]
    files = [write(tmp_path / "outputs.json", outputs), write(tmp_path / "annotations.json", annotations)]
    import_files(config, Lake.open(config), files, recording(renames={"mine": "pupil"}))
    assert rows(
        config,
        "select winner, mean_a, order_consistent, judge_id, recorded_in from battles order by winner",
    ) == [
        ("model_b", None, None, "weighted", "annotations.json"),
        ("tie", None, None, "weighted", "annotations.json"),
        ("unusable", None, None, "weighted", "annotations.json"),
    ]
    assert rows(config, "select text from responses where contestant_id = '" + config.target.contestant_id + "' order by 1") == [
        ("Nile",), ("Red, judged",)
    ]  # fmt: skip
    assert rows(config, "select distinct category, split, license from instructions") == [
        ("unknown", "wizard_diverse", "CC0-1.0")
    ]


def test_no_filter_takes_out_or_changes_what_was_fought_about(config: Config, tmp_path: Path) -> None:
    prompts = ["Hi", "Write to bob@corp.com", "Write to bob@corp.com, and say that the meeting of the team is off"]
    common = {
        "output_1": "A",
        "generator_1": "a",
        "output_2": "B",
        "generator_2": "b",
        "preference": 2,
        "annotator": "judge",
    }
    file = write(tmp_path / "annotations.json", [{**common, "instruction": prompt} for prompt in prompts])
    import_files(config, Lake.open(config), [file], recording(arena="training"))
    texts = "select conversation[1].content from battles join instructions using (instruction_id) order by 1"
    assert [row[0] for row in rows(config, texts)] == prompts


def test_votes_without_texts_keep_the_ids_of_their_file(config: Config, tmp_path: Path) -> None:
    votes = [
        {"question_id": "q1", "model_a": "a", "model_b": "b", "winner": "model_a", "judge": "p"},
        {"question_id": "q1", "model_a": "b", "model_b": "a", "winner": "model_a", "judge": "p"},
        {"question_id": "q1", "model_a": "a", "model_b": "b", "winner": "model_a", "judge": "q"},
        {"question_id": "q1", "model_a": "a", "model_b": "b", "winner": "who knows", "judge": "r"},
        {"question_id": "q1", "model_a": "a", "model_b": "a", "winner": "tie", "judge": "q"},
        {"question_id": "q2", "model_a": None, "model_b": "b", "winner": "tie", "judge": "q"},
    ]
    file = write(tmp_path / "votes.jsonl", votes)
    lake = Lake.open(config)
    summary = import_files(config, lake, [file], recording(license=""))
    assert summary == {"models": 2, "battles": 3, "unusable": {"model against itself": 1, "model missing": 1}}
    assert rows(config, "select instruction_id, judge_id, winner, games, order_consistent from battles order by 2") == [
        ("q1", "p", "tie", 2, False), ("q1", "q", "model_a", 1, None), ("q1", "r", "unusable", 0, None)
    ]  # fmt: skip
    with pytest.raises(InputError, match="battles/2026-01-05/sft/wizard_arena: is there already, from something else"):
        import_files(config, lake, [write(tmp_path / "more.jsonl", votes[:1])], recording(license=""))


def test_rows_without_an_instruction_are_one_each_and_the_order_of_files_does_not_matter(
    config: Config, tmp_path: Path
) -> None:
    one = write(tmp_path / "one.jsonl", [{"model_a": "x", "model_b": "y", "winner": "model_a"}])
    two = write(tmp_path / "two.jsonl", [{"model_a": "x", "model_b": "y", "winner": "model_b"}])
    given = recording(judge="j")
    assert import_files(config, Lake.open(config), [one, two], given)["battles"] == 2
    version = Lake.open(config).heads()
    assert import_files(config, Lake.open(config), [two, one], given)["battles"] == 2
    assert Lake.open(config).heads() == version


def test_what_is_tested_on_is_never_trained_on(config: Config, tmp_path: Path) -> None:
    lake, files = Lake.open(config), reviewed(tmp_path)
    import_files(config, lake, files, recording(WIZARD_ARENA))
    with pytest.raises(InputError, match="2 of the instructions are in the lake as test instructions"):
        import_files(config, lake, files, recording(TRAINING))
    assert "slices" not in lake.heads()


def test_texts_are_found_by_the_id_that_their_battles_have(config: Config, tmp_path: Path) -> None:
    line = {"question_id": "7", "category": "math", "prompt": "One?", "response_a": "1", "response_b": "2"}
    battle = {**line, "model_a": "x", "model_b": "y", "winner": "model_a"}
    summary = import_files(config, Lake.open(config), [write(tmp_path / "b.jsonl", [battle])], recording())
    assert (summary["instructions"], summary["responses"], summary["battles"]) == (1, 2, 1)
    joined = (
        "select count(*) from battles join responses using (instruction_id) join instructions using (instruction_id)"
    )
    assert rows(config, joined) == [(2,)]
    other = write(tmp_path / "c.jsonl", [battle | {"prompt": "Another?"}])
    with pytest.raises(InputError, match="instruction 7: the files have two texts"):
        import_files(config, Lake.open(config), [str(tmp_path / "b.jsonl"), other], recording(judge="j"))


def test_a_slice_that_was_drawn_is_not_replaced(config: Config, tmp_path: Path) -> None:
    lake = Lake.open(config)
    import_files(config, lake, reviewed(tmp_path), recording(TRAINING))
    lines = [
        {
            "instruction": "New?",
            "output_1": "1",
            "output_2": "2",
            "generator_1": "a",
            "generator_2": "b",
            "preference": 1,
        }
    ]
    other = write(tmp_path / "other.jsonl", lines)
    drawn = rows(config, "from slices order by all")
    with pytest.raises(InputError, match="from something else"):
        import_files(config, lake, [other], recording(TRAINING))
    assert rows(config, "from slices order by all") == drawn


@pytest.mark.parametrize(
    ("left_out", "changes", "message"),
    [
        ("answer.jsonl", {}, "answer pupil1 is in none of the answer files"),
        ("", {"license": ""}, "--license"),
        ("", {"renames": {"nobody": "pupil"}}, "--rename nobody: no such model"),
        ("review.jsonl", {}, None),
    ],
)
def test_what_is_missing_is_named(
    config: Config, tmp_path: Path, left_out: str, changes: dict[str, Any], message: str | None
) -> None:
    files = [file for file in reviewed(tmp_path) if Path(file).name != left_out]
    lake = Lake.open(config)
    if message is None:
        with pytest.raises(InputError, match="no battle"):
            import_files(config, lake, files, recording())
        return
    with pytest.raises(InputError, match=message):
        import_files(config, lake, files, recording(**changes))
    assert "battles" not in lake.heads()


def test_an_unknown_file_is_told_what_was_looked_for(config: Config, tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", [{"colour": "blue"}])
    with pytest.raises(
        InputError, match=r"x\.jsonl: no columns with the two models of a battle\. Looked for model_a and"
    ):
        import_files(config, Lake.open(config), [file], recording())


def test_published_annotations_are_imported_whole(config: Config) -> None:
    folder = SHARED_DATA / "raw" / "alpaca_eval" / "alpaca-7b"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: set SHARED_DATA to the folder of the published files")
    files = [str(folder / "model_outputs.json"), str(folder / "alpaca_eval_gpt4" / "annotations.json")]
    summary = import_files(config, Lake.open(config), files, recording(license="CC-BY-NC-4.0"))
    assert (summary["instructions"], summary["responses"], summary["battles"]) == (805, 1610, 805)
