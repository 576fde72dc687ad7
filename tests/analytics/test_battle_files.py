"""Battle files in the forms that people publish: which columns and labels are read, and what is refused."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from arena_etl.analytics.battle_files import open_files, tally, unusable
from arena_etl.errors import InputError
from tests.shared_data import SHARED_DATA

Row = dict[str, Any]


def write(file: Path, rows: Sequence[Row]) -> str:
    """The rows as JSON Lines, or in the format that the name of the file says."""
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if file.suffix == ".jsonl":
        file.write_text(lines)
        return str(file)
    source = file.with_suffix(".source.jsonl")
    source.write_text(lines)
    with duckdb.connect() as connection:
        connection.read_json(str(source)).create_view("rows")
        connection.execute(f"copy rows to '{file}'")
    return str(file)


def read(*files: str, columns: str = "score", scope: str | None = None, style: bool = False) -> list[Any]:
    """Columns of the recorded battles, in the order of the files; of one column its values."""
    with open_files(files, scope, style) as connection:
        rows = connection.sql(f"select {columns} from recorded_battles order by file_number, row").fetchall()
    return [row[0] for row in rows] if "," not in columns else rows


def battles(*winners: Any, **rest: Any) -> list[Row]:
    return [{"model_a": "x", "model_b": "y", "winner": winner, **rest} for winner in winners]


def published(name: str) -> str:
    file = SHARED_DATA / name
    if not file.is_file():
        pytest.skip(f"{file} is absent: set SHARED_DATA to the folder of the published votes")
    return str(file)


@pytest.mark.parametrize("name", ["b.parquet", "b.csv", "b.csv.gz", "b.tsv", "b.json", "b.jsonl", "B.CSV"])
def test_every_format_reads_the_same(tmp_path: Path, name: str) -> None:
    rows = battles("model_a", "tie", None, "model_b", "?", question_id=81)
    file = tmp_path / name
    match name.lower().split(".")[1]:
        case "csv" | "tsv":
            mark = "\t" if name.endswith("tsv") else ","
            lines = [mark.join(rows[0]), *(mark.join(str(cell or "") for cell in row.values()) for row in rows)]
            text = "\n".join(lines).encode()
            file.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        case "json":
            file.write_text(json.dumps(rows))
        case _:
            write(file, rows)
    found = read(str(file), columns="row, instruction_id, model_a, model_b, score, reason")
    assert found == [
        (1, "81", "x", "y", 1.0, None),
        (2, "81", "x", "y", 0.5, None),
        (3, "81", "x", "y", None, "label missing"),
        (4, "81", "x", "y", 0.0, None),
        (5, "81", "x", "y", None, "label unknown"),
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("model_a", "model_b"),
        ("model_1", "model_2"),
        ("Model_A", " model_b "),
        ("left", "right"),
        ("competitor_a", "competitor_b"),
        ("player_a", "player_b"),
        ("generator_1", "generator_2"),
    ],
)
def test_columns_of_the_models(tmp_path: Path, first: str, second: str) -> None:
    file = tmp_path / "b.csv"
    file.write_text(f"{second},winner,{first}\n b ,left, a\n")
    assert read(str(file), columns="model_a, model_b, score") == [("a", "b", 1.0)]


@pytest.mark.parametrize("column", ["winner", "verdict", "preference", "label", "outcome"])
def test_columns_of_the_result(tmp_path: Path, column: str) -> None:
    rows = [{"model_a": "x", "model_b": "y", column: label} for label in ("A", "[[B]]", "[[C]]", "B>>A")]
    assert read(write(tmp_path / "b.jsonl", rows)) == [1, 0, 0.5, 0]


@pytest.mark.parametrize(("one", "zero"), [(1, 0), (True, False), (1.0, None), ("1", "0")])
@pytest.mark.parametrize("name", ["b.parquet", "b.jsonl"])
def test_one_hot_columns(tmp_path: Path, one: Any, zero: Any, name: str) -> None:
    flags = [(one, zero, zero), (zero, one, zero), (zero, zero, one), (zero, zero, zero), (one, zero, one)]
    names = ("winner_model_a", "winner_model_b", "winner_tie")
    rows = [{"model_a": "x", "model_b": "y", **dict(zip(names, each, strict=True))} for each in flags]
    assert read(write(tmp_path / name, rows), columns="score, reason") == [
        (1, None),
        (0, None),
        (0.5, None),
        (None, "label missing"),
        (None, "label unknown"),
    ]


def test_both_kinds_of_one_hot_tie_are_ties(tmp_path: Path) -> None:
    rows = [
        {
            "model_a": "x",
            "model_b": "y",
            "winner_model_a": 0,
            "winner_model_b": 0,
            "winner_tie": t,
            "winner_tie_bothbad": b,
        }
        for t, b in ((1, 0), (0, 1))
    ]
    assert read(write(tmp_path / "b.jsonl", rows)) == [0.5, 0.5]


def test_pairs_of_games_count_where_both_agree(tmp_path: Path) -> None:
    games = [("model_1", "model_1"), ("model_2", "model_1"), ("tie", "model_2"), ("model_2", "model_2")]
    games += [("error", "model_1"), ("error", "error"), ("model_1", None)]
    rows = [{"question_id": 1, "model_1": "x", "model_2": "y", "g1_winner": a, "g2_winner": b} for a, b in games]
    assert read(write(tmp_path / "b.jsonl", rows), columns="score, reason") == [
        (1, None),
        (0.5, None),
        (0.5, None),
        (0, None),
        (None, "label unknown"),
        (None, "label unknown"),
        (None, "label missing"),
    ]


def test_preferences_of_alpaca_eval_may_be_soft(tmp_path: Path) -> None:
    rows = [
        {"generator_1": "base", "generator_2": "new", "preference": p, "instruction": i, "annotator": "gpt-4"}
        for p, i in ((1, "Hi"), (2.0, "Hi"), (1.5, "Ho"), (0, "Ho"), (1.25, "Ho"), (None, "Ho"), (3, "Ho"))
    ]
    found = read(write(tmp_path / "b.jsonl", rows), columns="model_b, judge_id, instruction_id, score")
    assert [row[3] for row in found] == [1, 0, 0.5, 0.5, 0.75, None, None]
    assert {row[:2] for row in found} == {("new", "gpt-4")}
    assert found[0][2] == found[1][2] != found[2][2]


def test_numbers_in_a_preference_between_lettered_models_are_not_guessed(tmp_path: Path) -> None:
    rows = [{"model_a": "x", "model_b": "y", "preference": p} for p in (0, 1, 2)]
    assert read(write(tmp_path / "b.jsonl", rows)) == [None, None, None]


def test_a_file_that_may_count_its_sides_from_zero_is_not_guessed(tmp_path: Path) -> None:
    counted = [{"model_1": "x", "model_2": "y", "label": label} for label in (0, 1, 2)]
    from_zero = counted[:2]
    files = [write(tmp_path / "one.jsonl", counted), write(tmp_path / "zero.jsonl", from_zero)]
    assert read(*files) == [0.5, 1, 0, None, None]


@pytest.mark.parametrize(
    ("columns", "values", "scores"),
    [
        (["score_a"], [(1,), (0.25,), (7,), (None,)], [1, 0.25, None, None]),
        (["prob_b"], [(1,), (0.25,), ("high",)], [0, 0.75, None]),
        (["score_1", "score_2"], [(8, 7.5), (7, 9), (7, 7.0), (None, 7)], [1, 0, 0.5, None]),
    ],
)
def test_scores_instead_of_a_winner(tmp_path: Path, columns: list[str], values: Any, scores: list[float]) -> None:
    rows = [{"model_a": "x", "model_b": "y", **dict(zip(columns, each, strict=True))} for each in values]
    assert read(write(tmp_path / "b.jsonl", rows)) == scores


def test_unusable_rows_are_counted_and_listed(tmp_path: Path) -> None:
    good = write(tmp_path / "good.parquet", battles("model_a"))
    bad = tmp_path / "bad.csv"
    bad.write_text("model_a,model_b,winner\nx,y,model_a\nx,x,tie\n,y,model_a\nx,y,\nx,y,neither\n x ,y, Model_B \n")
    with open_files([good, str(bad)]) as connection:
        reasons = {"label missing": 1, "label unknown": 1, "model against itself": 1, "model missing": 1}
        n_battles, _, counted = tally(connection)
        assert (n_battles, counted) == (3, reasons)
        name = str(bad)
        assert unusable(connection, 100) == [
            {"file": name, "row": 2, "reason": "model against itself", "value": "x / x"},
            {"file": name, "row": 3, "reason": "model missing", "value": "y"},
            {"file": name, "row": 4, "reason": "label missing", "value": None},
            {"file": name, "row": 5, "reason": "label unknown", "value": "neither"},
        ]
        assert len(unusable(connection, 2)) == 2


def test_rows_keep_their_numbers_in_large_text_files(tmp_path: Path) -> None:
    # Large enough for several threads to read it at once.
    for name in ("b.csv", "b.jsonl"):
        file = tmp_path / name
        with duckdb.connect() as connection:
            connection.execute(
                "copy (select 'x' as model_a, 'y' as model_b, if(i % 50000 = 7, '?' || i, 'tie') as winner, "
                f"repeat('text ', 20) as prompt from range(300000) as numbers (i)) to '{file}'"
            )
        with open_files([str(file)]) as connection:
            wrong = unusable(connection, 10)
        assert [(row["row"], row["value"]) for row in wrong] == [
            (i + 8, f"?{i + 7}") for i in range(0, 300_000, 50_000)
        ]


def test_files_are_read_in_the_order_given_and_times_order_them_all(tmp_path: Path) -> None:
    late = write(tmp_path / "late.jsonl", battles("model_a", "model_b", tstamp=1700000000.5))
    early = write(tmp_path / "early.parquet", battles("tie", date="2023-01-31 12:00:00+00"))
    undated = write(tmp_path / "undated.csv", battles("model_a"))
    assert read(late, early, columns="position") == [2, 3, 1]
    assert read(undated, late, early, columns="position") == [1, 2, 3, 4]


def test_the_instruction_is_what_rows_share(tmp_path: Path) -> None:
    by_id = write(tmp_path / "id.jsonl", battles("tie", "tie", question_id="q", id=1, prompt="p"))
    by_text = write(tmp_path / "text.jsonl", [*battles("tie", prompt="p", id=1), *battles("tie", prompt="p", id=2)])
    by_row_id = write(tmp_path / "row.jsonl", [*battles("tie", id=1), *battles("tie", id=2)])
    by_nothing = write(tmp_path / "nothing.jsonl", battles("tie", "tie"))
    ids = read(by_id, by_text, by_row_id, by_nothing, columns="instruction_id")
    assert ids[:2] == ["q", "q"]
    assert ids[2] == ids[3]
    assert len(set(ids)) == 6


def test_a_scope_per_value_of_a_column(tmp_path: Path) -> None:
    rows = [*battles("model_a", "?", Language="en"), *battles("tie", Language=None), *battles("tie", Language="de")]
    file = write(tmp_path / "b.parquet", rows)
    with open_files([file], scope="language") as connection:
        scopes = connection.sql("select scope, count(*) from scoped_battles group by scope order by scope").fetchall()
    assert scopes == [("overall", 3), ("overall/Language=de", 1), ("overall/Language=en", 1)]
    with pytest.raises(InputError, match=r"no such column\. The columns are: model_a, model_b, winner, Language"):
        read(file, scope="topic")


@pytest.mark.parametrize("name", ["b.parquet", "b.jsonl"])
def test_style_as_published(tmp_path: Path, name: str) -> None:
    metadata = {
        "sum_assistant_a_tokens": 120,
        "sum_assistant_b_tokens": 80,
        "header_count_a": {"h1": 1, "h2": 2},
        "header_count_b": {"h1": 0, "h2": 0},
        "list_count_a": {"ordered": 3, "unordered": 4},
        "list_count_b": {"ordered": 1, "unordered": 0},
        "bold_count_a": {"**": 5, "__": 1},
        "bold_count_b": {"**": 0, "__": 0},
    }
    conversation = [{"role": "assistant", "content": "not measured"}]
    rows = battles("tie", conv_metadata=metadata, conversation_a=conversation, conversation_b=conversation)
    columns = "length_a, length_b, headers_a, headers_b, bold_a, bold_b, lists_a, lists_b"
    file = write(tmp_path / name, rows)
    assert read(file, columns=columns, style=True) == [(120, 80, 3, 0, 6, 0, 7, 1)]
    assert read(file, columns=columns) == [(None,) * 8]


@pytest.mark.parametrize("name", ["b.parquet", "b.jsonl"])
@pytest.mark.parametrize("parts", [False, True])
def test_style_measured_in_conversations(tmp_path: Path, name: str, parts: bool) -> None:
    def turn(role: str, text: str) -> Row:
        return {"role": role, "content": [{"type": "text", "text": text}] if parts else text}

    first = [
        turn("user", "# Question"),
        turn("assistant", "# Yes"),
        turn("user", "- and?"),
        turn("assistant", "- **no**"),
    ]
    rows = battles("tie", conversation_a=first, conversation_b=first[:2])
    columns = "length_a, length_b, headers_a, headers_b, bold_a, bold_b, lists_a, lists_b"
    assert read(write(tmp_path / name, rows), columns=columns, style=True) == [(14, 5, 1, 1, 1, 0, 1, 0)]


@pytest.mark.parametrize(("a", "b"), [("response_a", "response_b"), ("output_1", "output_2"), ("answer_a", "answer_b")])
def test_style_measured_in_answers(tmp_path: Path, a: str, b: str) -> None:
    answers = [{a: "## Why\n1. so", b: None}, {a: "", b: "**so**"}]
    file = write(tmp_path / "b.jsonl", [row for each in answers for row in battles("tie", **each)])
    columns = "length_a, headers_a, lists_a, length_b, bold_b"
    assert read(file, columns=columns, style=True) == [(12, 1, 1, None, None), (0, 0, 0, 6, 1)]


def test_names_with_wildcards_and_quotes_are_just_names(tmp_path: Path) -> None:
    names = ["it's [1]*?.jsonl", "it's [1]*?.parquet", "it's 1.jsonl"]
    files = [write(tmp_path / name, battles("tie")) for name in names[::2]]
    parquet = tmp_path / names[1]
    (tmp_path / "plain.parquet").write_bytes(Path(write(tmp_path / "plain.parquet", battles("tie"))).read_bytes())
    (tmp_path / "plain.parquet").rename(parquet)
    assert read(*files, str(parquet), columns="file") == [*files, str(parquet)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("absent.csv", None, "absent.csv: no such file"),
        ("b.xlsx", "cells", "b.xlsx: the format is not known by its name. Known: .parquet"),
        ("b.parquet.gz", "cells", "the format is not known by its name"),
        ("b.parquet", "not Parquet", "b.parquet: cannot be read"),
        ("b.csv.gz", "not compressed", "b.csv.gz: cannot be read"),
        ("b.jsonl", '{"model_a": "x"\n', "b.jsonl: cannot be read"),
        ("b.jsonl", '{"model_a": "x"}\n{"model_a": y}\n', "b.jsonl: cannot be read: .* at byte 13 in line"),
        ("b.csv", "model_a,model_b,winner\nx,y,tie,more,and more\nx,y\n", "b.csv: "),
        ("b.csv", "", "b.csv: the file is empty"),
        ("b.jsonl", "", "b.jsonl: the file is empty"),
        (
            "b.csv",
            "model,opponent,winner\nx,y,x\n",
            r"no columns with the two models of a battle. Looked for model_a and model_b; .* "
            r"The file has: model, opponent, winner\.",
        ),
        (
            "b.csv",
            "model_a,model_b,won\nx,y,x\n",
            r"no column with the result of a battle. Looked for winner; verdict; .* The file has: model_a, model_b, won\.",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=message):
        read(str(file))


def test_a_file_given_twice_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "b.csv", battles("tie"))
    with pytest.raises(InputError, match="given twice"):
        read(file, file)


def test_a_file_without_rows_has_no_battles(tmp_path: Path) -> None:
    file = tmp_path / "b.csv"
    file.write_text("model_a,model_b,winner\n")
    assert read(str(file)) == []


@pytest.mark.parametrize(
    ("source", "rows", "counts"),
    [
        ("alpaca_eval", 55_539, {"model_a": 32_372, "model_b": 21_312, "tie": 1_827, None: 28}),
        ("mt_bench", 5_755, {"model_a": 1_483, "model_b": 2_892, "tie": 1_380}),
        ("vicuna_bench", 1_440, {"model_a": 266, "model_b": 931, "tie": 163, None: 80}),
        ("arena_2023", 1_135, {"model_a": 369, "model_b": 406, "tie": 360}),
    ],
)
def test_published_battles(tmp_path: Path, source: str, rows: int, counts: dict[str | None, int]) -> None:
    part = tmp_path / "part.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"copy (from read_parquet('{published('battles.parquet')}') where source = '{source}') to '{part}'"
        )
    scores = read(str(part))
    assert len(scores) == rows
    names = {1.0: "model_a", 0.0: "model_b", 0.5: "tie", None: None}
    assert {names[score]: scores.count(score) for score in set(scores)} == counts


def test_published_mt_bench_labels() -> None:
    people, judge = (published(f"raw/mt_bench/{name}.jsonl") for name in ("human", "gpt4_pair"))
    scores = read(people)
    assert [scores.count(score) for score in (1, 0, 0.5)] == [1_293, 1_282, 780]
    scores = read(judge)
    assert [scores.count(score) for score in (1, 0, 0.5)] == [190, 1_610, 220 + 380]


def test_published_arena_votes_are_the_same_in_both_forms() -> None:
    columns = "position, model_a, model_b, label, score, judge_id, turn"
    raw = read(published("raw/arena_2023/question_original.jsonl"), columns=columns)
    assert len(raw) == 1_135
    assert sorted(raw) == sorted(read(published("arena_2023/votes.parquet"), columns=columns))


@pytest.mark.parametrize(
    ("model", "judge", "wins", "ties"),
    [
        ("alpaca-7b", "alpaca_eval_gpt4", 205, 16),
        ("alpaca-7b", "alpaca_eval_cot_gpt4_turbo_fn", 18, 3),
        ("alpaca-7b", "weighted_alpaca_eval_gpt4_turbo", None, None),
        ("falcon-7b-instruct", "alpaca_eval_gpt4", 366, 4),
        ("gemini-pro", "alpaca_eval_gpt4_turbo_fn", 162, 4),
    ],
)
def test_published_alpaca_eval_annotations(model: str, judge: str, wins: int | None, ties: int | None) -> None:
    scores = read(published(f"raw/alpaca_eval/{model}/{judge}/annotations.json"))
    assert len(scores) == 805
    assert None not in scores
    if wins is not None:
        assert (scores.count(0), scores.count(0.5)) == (wins, ties)
    with duckdb.connect() as connection:
        [row] = connection.execute(
            f"select avg(score_model) from read_parquet('{published('alpaca_eval/verdicts.parquet')}') "
            "where model = ? and judge = ?",
            [model, judge],
        ).fetchall()
    assert 1 - sum(scores) / len(scores) == pytest.approx(row[0], abs=1e-9)


def test_published_pandalm_verdicts(tmp_path: Path) -> None:
    source = published("agreement/pandalm.parquet")
    people, judge = tmp_path / "people.parquet", tmp_path / "judge.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"copy (select model_1, model_2, human_1 as label from '{source}') to '{people}'")
        connection.execute(f"copy (select model_1, model_2, gpt35_verdict as verdict from '{source}') to '{judge}'")
        counts = connection.sql(
            f"select count_if(human_1 = 0), count_if(gpt35_verdict = 'Tie'), count_if(gpt35_verdict = 'garbage') from '{source}'"
        ).fetchall()[0]
    found = read(str(people)), read(str(judge))
    assert (found[0].count(0.5), found[1].count(0.5), found[1].count(None)) == counts
    assert None not in found[0]
    assert len(found[0]) == len(found[1]) == 999
