"""sql/agreement/ against the figures that Arena Learning, MT-bench, LLMBar and PandaLM published."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import duckdb
import pytest

from arena_etl.lake import sql
from tests.shared_data import SHARED_DATA
from tests.sql.harness import empty_lake

Row = tuple[str, float, float | None, float | None]

# Arena Learning (arXiv 2407.10627), Elo table: the 22 models that LMSYS rates too, with 95 % intervals.
ELO = """
model                         | LMSYS       | Diverse    | Hard       | Mix
Claude 3.5 Sonnet             | 1246 +4/-7  | 1389 +5/-6 | 1378 +6/-6 | 1384 +6/-4
Gemini 1.5 Pro                | 1235 +5/-4  | 1383 +6/-5 | 1373 +5/-5 | 1377 +5/-5
GPT-4-1106-Preview            | 1232 +3/-4  | 1369 +3/-5 | 1376 +6/-4 | 1374 +4/-3
Llama-3-70B-Instruct          | 1227 +3/-3  | 1366 +5/-5 | 1354 +6/-5 | 1357 +6/-4
Command R+                    | 1163 +4/-4  | 1351 +9/-6 | 1327 +8/-6 | 1337 +6/-4
Claude 3 Haiku                | 1158 +4/-3  | 1340 +4/-5 | 1345 +5/-5 | 1342 +4/-6
Qwen1.5-72B-Chat              | 1135 +3/-4  | 1332 +9/-7 | 1312 +7/-5 | 1321 +6/-5
Qwen1.5-32B-Chat              | 1109 +4/-5  | 1298 +7/-8 | 1276 +5/-8 | 1283 +6/-4
Starling-LM-7B-Beta           | 1108 +5/-5  | 1275 +6/-4 | 1270 +6/-5 | 1272 +4/-6
WizardLM-70B-v1.0             | 1098 +7/-6  | 1184 +6/-6 | 1163 +6/-5 | 1169 +5/-5
Llama-2-70B-Chat              | 1097 +5/-4  | 1100 +0/-0 | 1100 +0/-0 | 1100 +0/-0
Tulu-2-DPO-70B                | 1091 +8/-10 | 1147 +8/-6 | 1181 +5/-6 | 1157 +4/-6
Vicuna-33B                    | 1086 +6/-5  | 1113 +5/-7 | 1076 +7/-5 | 1091 +4/-5
Nous-Hermes-2-Mixtral-DPO     | 1078 +9/-8  | 1107 +8/-6 | 1121 +7/-7 | 1114 +5/-4
OpenChat-3.5                  | 1065 +9/-10 | 1042 +7/-5 | 1050 +8/-5 | 1045 +5/-5
DeepSeek-LLM-67B-Chat         | 1065 +12/-10 | 991 +7/-7 | 1008 +5/-7 | 1000 +7/-5
Llama-2-13B-Chat              | 1061 +5/-6  | 1052 +5/-6 | 1041 +7/-7 | 1042 +5/-4
GPT-3.5-Turbo-1106            | 1052 +5/-5  | 955 +6/-7  | 1004 +6/-7 | 981 +5/-5
Zephyr-7b-alpha               | 1040 +17/-13 | 905 +7/-6 | 967 +6/-8  | 939 +4/-5
Vicuna-13B                    | 1029 +6/-5  | 934 +6/-7  | 923 +8/-5  | 927 +5/-5
Qwen-14B-Chat                 | 1017 +9/-10 | 916 +5/-7  | 932 +6/-8  | 924 +4/-6
Mistral-7B-Instruct-v0.1      | 1009 +7/-7  | 883 +6/-7  | 904 +6/-9  | 894 +4/-5
"""

# The same paper, choice of judge: Elo under a GPT-4 judge and under Llama-3-70B, in the same order of models.
GPT_4 = (1372, 1365, 1349, 1355, 1331, 1297, 1275, 1107, 1100, 1063, 985, 974, 942, 925, 939, 916)
LLAMA_3 = (1384, 1377, 1337, 1342, 1321, 1283, 1272, 1169, 1100, 1114, 1000, 1042, 981, 939, 927, 924)


def _board(column: str, first: bool = False) -> list[Row]:
    """A column of the Elo table; with ``first``, one more model above and apart from all others."""
    header, *lines = ([cell.strip() for cell in line.split("|")] for line in ELO.strip().splitlines())
    rows: list[Row] = []
    for cells in lines:
        match = re.fullmatch(r"(\d+) \+(\d+)/-(\d+)", cells[header.index(column)])
        assert match
        rating, above, below = map(float, match.groups())
        rows.append((cells[0], rating, rating - below, rating + above))
    return [*rows, ("first", 2000.0, 1990.0, 2010.0)] if first else rows


def _consistency(board: list[Row], reference: list[Row], touching_separated: bool = True) -> dict[str, Any]:
    connection = empty_lake()
    connection.executemany("insert into leaderboard values (?, ?, ?, ?)", board)
    connection.executemany("insert into reference_leaderboard values (?, ?, ?, ?)", reference)
    result = sql.run(connection, "agreement/consistency", touching_separated=touching_separated)
    [row] = result.fetchall()
    return dict(zip(result.columns, row, strict=True))


def _percent(value: float) -> float:
    return round(100 * value, 2)


@pytest.mark.parametrize(
    ("column", "spearman", "separated", "agreed"),
    [("Diverse", 98.62, 225, 197), ("Hard", 98.67, 223, 199), ("Mix", 99.12, 226, 201)],
)
def test_models_of_the_elo_table(column: str, spearman: float, separated: int, agreed: int) -> None:
    measures = _consistency(_board(column), _board("LMSYS"))
    assert (measures["models"], measures["pairs"]) == (22, 231)
    assert _percent(measures["spearman"]) == spearman
    assert measures["pairs_separated"] == separated
    assert measures["differentiation"] == pytest.approx(separated / 231)
    assert measures["pairs_separated_by_reference"] == 203
    assert measures["human_agreement_separated"] == pytest.approx(agreed / 203)
    assert measures["human_agreement_all"] == pytest.approx(agreed / 231)


@pytest.mark.parametrize(("column", "agreed"), [("Diverse", 196), ("Hard", 198), ("Mix", 200)])
def test_the_one_pair_of_the_elo_table_that_touches(column: str, agreed: int) -> None:
    measures = _consistency(_board(column), _board("LMSYS"), touching_separated=False)
    assert measures["pairs_separated_by_reference"] == 202
    assert measures["human_agreement_separated"] == pytest.approx(agreed / 202)
    assert measures["human_agreement_all"] == pytest.approx(agreed / 231)


@pytest.mark.parametrize(
    ("column", "spearman", "agreement", "differentiation", "average"),
    [
        ("Diverse", 98.79, 97.33, 97.63, 97.92),
        ("Hard", 98.84, 98.22, 96.84, 97.97),
        ("Mix", 99.23, 99.11, 98.02, 98.79),
    ],
)
def test_published_consistency(
    column: str, spearman: float, agreement: float, differentiation: float, average: float
) -> None:
    # The paper compared 23 models. GPT-4o is missing from its Elo table: it led both boards, apart from all others.
    measures = _consistency(_board(column, first=True), _board("LMSYS", first=True))
    assert (measures["models"], measures["pairs"], measures["pairs_separated_by_reference"]) == (23, 253, 225)
    assert _percent(measures["spearman"]) == spearman
    assert _percent(measures["human_agreement_separated"]) == agreement
    assert _percent(measures["differentiation"]) == differentiation
    assert 100 * measures["average"] == pytest.approx(average, abs=0.01)


def test_published_correlation_of_two_judges() -> None:
    boards = [[(f"m{i:02}", float(rating), None, None) for i, rating in enumerate(r)] for r in (GPT_4, LLAMA_3)]
    measures = _consistency(*boards)
    assert measures["models"] == 16
    assert _percent(measures["spearman"]) == 99.12
    # Three pairs of neighbours change places.
    assert measures["kendall"] == pytest.approx((120 - 2 * 3) / 120)
    assert measures["human_agreement_separated"] is measures["differentiation"] is measures["average"] is None
    first: Row = ("first", 2000.0, None, None)
    assert _percent(_consistency([*boards[0], first], [*boards[1], first])["spearman"]) == 99.26


def test_a_leaderboard_against_itself_and_upside_down() -> None:
    board = [(f"m{i}", float(i), i - 0.1, i + 0.1) for i in range(10)]
    upside_down = [(model, -rating, -upper, -lower) for model, rating, lower, upper in board]
    for reference, value in ((board, 1.0), (upside_down, -1.0)):
        measures = _consistency(board, reference)
        for name in ("spearman", "kendall", "human_agreement_separated", "human_agreement_all"):
            assert measures[name] == pytest.approx(value)
        assert measures["differentiation"] == 1


def _agreement(judgements: str, reference: str) -> dict[str, dict[str, Any]]:
    """Per category, for two SELECTs over the published files that give the columns of ``judgements``."""
    connection = empty_lake()
    connection.execute(f"insert into judgements by name {judgements}")
    connection.execute(f"insert into reference_judgements by name {reference}")
    result = sql.run(connection, "agreement/judge_against_people")
    return {row[0]: dict(zip(result.columns, row, strict=True)) for row in result.fetchall()}


def _published(name: str) -> str:
    file = SHARED_DATA / name
    if not file.is_file():
        pytest.skip(f"{file} is absent: set SHARED_DATA to the folder of the published verdicts")
    return f"read_parquet('{file}')"


def _kappa(labels: Iterable[tuple[str, str]]) -> float:
    pairs = list(labels)
    ones, others = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    chance = sum(ones[label] * others[label] for label in ones) / len(pairs) ** 2
    return (sum(one == other for one, other in pairs) / len(pairs) - chance) / (1 - chance)


def test_mt_bench_people_and_gpt4() -> None:
    votes = _published("mt_bench/votes.parquet")
    columns = "instruction_id, turn, model_a, model_b, if(winner like 'tie%', 'tie', winner) as winner"
    gpt4 = f"select {columns} from {votes} where judge = 'gpt4_pair'"
    people = f"select {columns} from {votes} where judge_type = 'human'"
    joined = f"from ({gpt4}) as gpt4 join ({people}) as people using (instruction_id, turn, model_a, model_b)"

    # The published figure joins on exactly these four columns: votes on the exchanged pair are left out of it.
    found = _agreement(gpt4, f"select people.* {joined}")["overall"]
    assert (found["n"], found["decided"]) == (1751, 1118)
    assert found["decided_agreement"] == pytest.approx(0.856, abs=5e-4)
    with duckdb.connect() as connection:
        labels = connection.sql(f"select gpt4.winner, people.winner {joined}").fetchall()
    assert found["kappa"] == pytest.approx(_kappa(labels))
    decided = [pair for pair in labels if "tie" not in pair]
    assert found["decided_kappa"] == pytest.approx(_kappa(decided))

    # With them, every vote has its verdict, and the agreement is nearly the same.
    found = _agreement(gpt4, people)["overall"]
    assert (found["n"], found["decided"]) == (3355, 2129)
    assert found["decided_agreement"] == pytest.approx(0.8563, abs=5e-5)
    assert found["agreement"] == pytest.approx(0.6617, abs=5e-5)


def test_llmbar_gpt4_on_natural() -> None:
    pairs = _published("agreement/llmbar_pairs.parquet")
    judgements = _published("agreement/llmbar_judgements.parquet")
    columns = "pair_id as instruction_id, 1 as turn, '1' as model_a, '2' as model_b, subset as category"
    # `winner` is told in the unswapped frame for both orders.
    found = _agreement(
        f"select {columns}, 'model_' || chr(96 + winner::int) as winner from {judgements} "
        "where judge = 'GPT-4' and strategy = 'Vanilla' and winner in ('1', '2')",
        f"select {columns}, 'model_' || chr(96 + gold::int) as winner from {pairs}",
    )
    # Every pair was judged in both orders.
    assert (found["Natural"]["n"], found["Natural"]["agreement"]) == (200, 0.955)


def test_pandalm_gpt35_and_the_majority_of_people() -> None:
    file = _published("agreement/pandalm.parquet")
    columns = "pair_id as instruction_id, 1 as turn, model_1 as model_a, model_2 as model_b, category"
    label = "['tie', 'model_a', 'model_b'][1 + {}]".format
    majority = "case when human_1 in (human_2, human_3) then human_1 else human_2 end"
    verdict = "case gpt35_verdict when 'Tie' then 0 else try_cast(gpt35_verdict as int) end"
    found = _agreement(
        f"select {columns}, {label(verdict)} as winner from {file}",
        f"select {columns}, {label(majority)} as winner from {file}",
    )
    # 25 of the 999 verdicts are no label. The published share counts them as wrong, ours leaves them out.
    assert found["overall"]["n"] == 974
    assert found["overall"]["agreement"] * 974 / 999 == pytest.approx(0.698, abs=5e-4)
