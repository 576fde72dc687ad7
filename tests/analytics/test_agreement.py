"""Agreement of leaderboards and of judges, from the files that people have."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from arena_etl import cli
from arena_etl.analytics.agreement import compare_judges, compare_leaderboards, holds_battles
from arena_etl.errors import InputError

BOARD = "model,rating,lower,upper\na,3,2.5,3.5\nb,2,1.5,2.5\nc,1,0,1.4\n"
REFERENCE = "model,rating,lower,upper\na,30,29,31\nb,10,9,11\nc,20,19,21\nd,5,4,6\n"


def _file(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text)
    return file


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return _file(tmp_path, "reference.csv", REFERENCE)


def test_measures_over_the_common_models(tmp_path: Path, reference: Path) -> None:
    # The reference exchanges b and c. Intervals of a and b touch.
    assert compare_leaderboards(_file(tmp_path, "board.csv", BOARD), reference) == {
        "models": 3,
        "pairs": 3,
        "pairs_separated": 3,
        "pairs_separated_by_reference": 3,
        "spearman": 0.5,
        "kendall": pytest.approx(1 / 3),
        "human_agreement_separated": pytest.approx(1 / 3),
        "human_agreement_all": pytest.approx(1 / 3),
        "differentiation": 1,
        "average": pytest.approx((0.5 + 1 / 3 + 1) / 3),
        "only_in_file": [],
        "only_in_reference": ["d"],
        "notes": [],
    }


def test_touching_intervals_can_count_as_overlapping(tmp_path: Path, reference: Path) -> None:
    measures = compare_leaderboards(_file(tmp_path, "board.csv", BOARD), reference, touching_separated=False)
    assert measures["pairs_separated"] == 2
    assert measures["human_agreement_separated"] == 0


RATED = [
    {
        "scope": scope,
        "model": model,
        "rating": sign * rating,
        "lower": sign * rating - 0.5,
        "upper": sign * rating + above,
    }
    for scope, sign in (("overall", 1), ("overall/category=math", -1))
    for model, rating, above in (("a", 3, 0.5), ("b", 2, 0.5), ("c", 1, 0.4))
]
LINES = [{"competitor": "a", "score": 3, "CI": "(-0.5, +0.5)"}, {"competitor": "b", "score": 2, "CI": "(-0.5, +0.5)"}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("board.csv", "Rank,Model,Arena Score,95% CI,Votes\n1,a,3,+.5/-.5,9\n1,b,2,+.5/-.5,9\n3,c,1,+0.4/-1,9\n"),
        ("board.csv", ",win_rate,lower_bound,upper_bound\na,3,2.5,3.5\nb,2,1.5,2.5\nc,1,0,1.4\n"),
        ("board.tsv", "name\tELO\trating_q025\trating_q975\na\t3\t2.5\t3.5\nb\t2\t1.5\t2.5\nc\t1\t0\t1.4\n"),
        ("board.jsonl", "\n".join(map(json.dumps, [*LINES, {"competitor": "c", "score": 1.0, "CI": "(-1, +0.40)"}]))),
        ("rated.json", json.dumps({"method": "bradley_terry", "n_battles": 9, "ratings": RATED})),
    ],
    ids=["LMArena", "AlpacaEval", "Arena-Hard", "lines", "rate"],
)
def test_names_and_formats_that_people_use(tmp_path: Path, reference: Path, name: str, text: str) -> None:
    expected = compare_leaderboards(_file(tmp_path, "board.csv", BOARD), reference)
    assert compare_leaderboards(_file(tmp_path, name, text), reference) == expected


def test_parquet_and_missing_intervals(tmp_path: Path, reference: Path) -> None:
    file = tmp_path / "board.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            "copy (select * from (values ('a', 3, 2.5, 3.5), ('b', 2, 'nan'::double, null), ('c', 1, 0, 1.4), "
            f"('d', null, null, null)) as board (model, rating, lower, upper)) to '{file}' (format parquet)"
        )
    measures = compare_leaderboards(file, reference)
    assert measures["models"] == 3
    assert measures["spearman"] == 0.5
    assert measures["pairs_separated"] is measures["human_agreement_all"] is measures["differentiation"] is None
    assert measures["pairs_separated_by_reference"] == 3
    assert measures["only_in_reference"] == ["d"]
    assert measures["notes"] == [f"{file} has no interval for b: measures that need it are null"]


def test_equal_ratings_have_no_correlation(tmp_path: Path, reference: Path) -> None:
    file = _file(tmp_path, "board.csv", "model,rating\na,1\nb,1\nc,1\nd,1\n")
    measures = compare_leaderboards(file, reference)
    assert measures["spearman"] is measures["kendall"] is measures["average"] is None
    assert f"{file} rates all common models alike: no rank correlation is defined" in measures["notes"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("b.csv", "llm,rating\na,1\n", "no column for the model: looked for model, name, "),
        ("b.csv", "llm,rating\na,1\n", "the file has llm, rating"),
        ("b.csv", "model,quality\na,1\n", "no column for the rating: looked for rating, elo, "),
        ("b.csv", "model,rating,upper\na,1,2\n", "no column for the lower bound"),
        ("b.csv", "model,rating\na,1\nb,2\na,3\n", "a more than once"),
        ("b.csv", "model,rating\na,1\nb,high\n", "b: 'high' is not a number"),
        ("b.csv", "model,rating\na,1\n,2\n", "a row has no model"),
        ("b.csv", "model,rating,ci\na,1,about 3\n", "'about 3' is not an interval"),
        ("b.csv", "model,rating,lower,upper\na,1,3,2\n", "from 3.0 to 2.0 ends before it begins"),
        ("b.csv", "model,rating\nx,1\ny,2\n", "have no model in common"),
        ("b.csv", "model,rating\nx,1\na,2\n", "have a in common; agreement needs two"),
        ("b.csv", "model,rating\n", "one file has no model, the other a, b, c and 1 more"),
        ("b.csv", "model,rating,scope\na,1,math\na,2,code\n", "scope is code, math, and none is 'overall'"),
        ("b.json", "{", "cannot be read"),
        ("b.xlsx", "", "the format is not known by its name"),
    ],
)
def test_wrong_leaderboards_are_told_apart(tmp_path: Path, reference: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        compare_leaderboards(_file(tmp_path, name, text), reference)
    assert message in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path, reference: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        compare_leaderboards(tmp_path / "absent.csv", reference)


JUDGE = """question_id,turn,model_a,model_b,winner,category
1,1,a,b,model_a,math
1,2,a,b,model_b,math
2,1,a,b,tie,writing
3,1,a,b,perhaps,writing
"""
PEOPLE = """question_id,turn,model_a,model_b,winner
1,1,b,a,model_b
1,2,a,b,model_a
2,1,a,b,tie (bothbad)
3,1,a,b,model_a
4,1,a,b,model_a
"""


def test_judges_are_compared_battle_by_battle(tmp_path: Path) -> None:
    judge, people = _file(tmp_path, "judge.csv", JUDGE), _file(tmp_path, "people.csv", PEOPLE)
    assert holds_battles(judge)
    found = compare_judges(judge, people, scope="category")
    assert [(row["category"], row["n"], row["agreement"], row["decided"]) for row in found["agreement"]] == [
        ("overall", 3, pytest.approx(2 / 3), 2),
        ("math", 2, 0.5, 2),
        ("writing", 1, 1, 0),
    ]
    assert found["n_unusable"] == 1
    assert any("row 4" in note and "perhaps" in note for note in found["notes"])
    assert [row["category"] for row in compare_judges(judge, people)["agreement"]] == ["overall"]


def test_soft_preferences_count_for_the_side_they_lean_to(tmp_path: Path) -> None:
    soft = "instruction_id,model_a,model_b,prob_a\ni1,a,b,0.9\ni2,a,b,0.5\ni3,a,b,0.2\n"
    hard = '{"instruction_id": "i%d", "turn": 1, "model_a": "a", "model_b": "b", "winner": "%s"}\n'
    people = "".join(hard % (i, winner) for i, winner in enumerate(("model_a", "tie", "model_b"), start=1))
    found = compare_judges(_file(tmp_path, "soft.csv", soft), _file(tmp_path, "people.jsonl", people))
    assert found["agreement"] == [
        {
            "category": "overall",
            "n": 3,
            "agreement": 1,
            "kappa": 1,
            "decided": 2,
            "decided_agreement": 1,
            "decided_kappa": 1,
        }
    ]


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ("question_id,turn,model_a,model_b,winner\n9,1,a,b,model_b\n", "no usable battle in common"),
        ("question_id,turn,winner\n1,1,model_b\n", "no columns with the two models"),
        ("model,rating\na,1\n", "no columns with the two models"),
    ],
)
def test_battles_that_cannot_be_compared(tmp_path: Path, people: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare_judges(_file(tmp_path, "judge.csv", JUDGE), _file(tmp_path, "people.csv", people))


def test_a_judge_is_not_compared_with_itself(tmp_path: Path) -> None:
    judge = _file(tmp_path, "judge.csv", JUDGE)
    with pytest.raises(InputError, match="always agrees"):
        compare_judges(judge, judge)


def _command(*arguments: object) -> Any:
    return CliRunner().invoke(cli.app, ["agreement", *map(str, arguments)])


def test_command_for_leaderboards(tmp_path: Path, reference: Path) -> None:
    board = _file(tmp_path, "board.csv", BOARD)
    shown = _command(board, "--reference", reference)
    assert shown.exit_code == 0
    assert "human_agreement_separated" in shown.stdout
    assert "0.3333" in shown.stdout
    found = _command(board, "--reference", reference, "--touching", "overlapping", "--json")
    assert json.loads(found.stdout) == compare_leaderboards(board, reference, touching_separated=False)
    assert isinstance(_command(board, "--reference", reference, "--scope", "x").exception, InputError)


def test_command_for_battles(tmp_path: Path) -> None:
    judge, people = _file(tmp_path, "judge.csv", JUDGE), _file(tmp_path, "people.csv", PEOPLE)
    shown = _command(judge, "--reference", people)
    assert shown.exit_code == 0
    assert "decided_kappa" in shown.stdout
    assert "perhaps" in shown.stderr
    found = _command(judge, "--reference", people, "--scope", "category", "--json")
    assert json.loads(found.stdout) == compare_judges(judge, people, "category")
