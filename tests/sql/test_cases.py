"""Every SQL file against small inputs with results computed by hand, without input, and on shuffled input."""

from typing import Any

import duckdb
import pytest

from arena_etl.lake import sql
from arena_etl.lake.tables import TABLES
from tests.sql.harness import INTERMEDIATES, RATING_PARAMETERS, Case, cases, empty_lake

CASES = cases()
FILES = sorted({case.file for case in CASES})
# The files whose rows are a table of the lake.
PUBLISHED = {
    "battles/styled": "battles",
    "ratings/elo": "ratings",
    "ratings/bradley_terry": "ratings",
    "ratings/style_controlled": "ratings",
    "win_rates/pairwise": "win_rates",
    "win_rates/average": "win_rates",
    "win_rates/length_controlled": "win_rates",
    "win_rates/baseline": "win_rates",
    "selection/sft": "training_sets",
    "selection/pairs": "training_sets",
    "selection/ppo": "training_sets",
    "selection/draw": "training_sets",
    "instructions/draw_slice": "slices",
    "instructions/wizard_arena": "wizard_arena",
    "decontamination/evidence": "contamination",
    "training/examples": "training_sets",
    "deduplication/near_duplicates": "near_duplicates",
}
# The files whose rows other files read.
SOURCES = {
    "turns": "quality/turns",
    "arena_instructions": "instructions/arena",
    "shard": "verdicts/shard",
    "standing_answers": "verdicts/standing_answers",
    "scoped_battles": "ratings/scoped_battles",
    "answer_style": "battles/answer_style",
    "judged_answers": "battles/judged_answers",
    "judge_battles": "battles/merge_games",
    "merged_battles": "battles/merge_panel",
    "pair_counts": "ratings/pair_counts",
    "components": "ratings/components",
    "outcomes": "ratings/outcomes",
    "matrices": "ratings/matrices",
    "resampled_ratings": "ratings/bradley_terry_resamples",
    "style_pairs": "ratings/style_pairs",
    "style_observations": "ratings/style_observations",
    "style_estimates": "ratings/style_estimates",
    "clusters": "resampling/clusters",
    "resample_weights": "resampling/weights",
    "winner_labels": "battles/winner_labels",
    "recorded_battles": "battles/recorded",
    "labelled_pairs": "agreement/labelled_pairs",
    "calibration_games": "agreement/calibration_games",
    "actual": "plan/actual",
    "test_items": "instructions/test_items",
    "splits": "export/splits",
    "words": "instructions/words",
    "colliding": "deduplication/colliding",
    "candidate_pairs": "deduplication/candidate_pairs",
    "compared_pairs": "deduplication/leading_pairs",
    "shingles": "deduplication/shingles",
    "identical": "decontamination/identical",
    "subjects": "decontamination/subjects",
    "items": "decontamination/items",
    "alignments": "decontamination/alignments",
    "shared_runs": "decontamination/shared_runs",
    "described": "instructions/described",
    "category_weights": "instructions/category_weights",
    "neighbours": "decontamination/neighbours",
    "scored_answers": "selection/scored_answers",
    "prompted_answers": "selection/prompted_answers",
}
# The files that are made views, or whose readers sort: an order would be sorted again for every use.
UNORDERED = (
    "training/examples",
    *("battles/recorded", "battles/recorded_scopes", "instructions/identified_rows", "instructions/unprepared_rows"),
    *("instructions/words", "instructions/test_items"),
)
# The files that have one row whatever the input: what they say without any.
WITHOUT_INPUT: dict[str, list[tuple[Any, ...]]] = {
    "ratings/rating_difference": [(None, None, None, 0)],
    "plan/spent": [(0, 0.0)],
    "selection/coverage": [(0, 0, 0, 0)],
    "selection/iteration": [(1,)],
    "instructions/clusterable_count": [(0,)],
    "quality/responses": [("(all)", 0, *[None] * 16)],
    "quality/verdicts": [("(all)", 0, *[None] * 13)],
    "quality/battles": [("(all)", 0, 0, 0, *[None] * 8)],
    "quality/slices": [("(all)", 0, None, None, 0, 10, None)],
    "quality/instructions": [("(all)", 0, 0, None, None, None)],
    "quality/training_sets": [("(all)", 0, None, 0, 0, None, None, None, None)],
    "quality/promotions": [("(all)", None, None, None, None, None)],
    "promotion/judges": [([], [], False)],
    "training/digest": [(0, "0" * 32)],
}
PARAMETERS = RATING_PARAMETERS | {
    "stage": "sft",
    "arena": "training",
    "target": "a",
    "margin": 1,
    "candidate": "a",
    "champion": "b",
    "baseline": "b",
    "resamples": 100,
    "method": "elo",
    "size": 10,
    "strategy": "threshold",
    "group": "category",
    "max_per_group": None,
    "judge_id": "judge",
    "checked": None,
    "shard": 0,
    "shards": 1,
    "panel": ["judge"],
    "panel_id": "panel",
    "rule": "mean",
    "quorum": 1,
    "test_share": 0.1,
    "accumulate": True,
    "touching_separated": True,
    "imported": False,
    "slice_size": 10,
    "min_instructions": 1,
    "promotion_margin": 0,
    "table": "battles",
    "benchmark": "wizard_arena",
    "rounds": 3,
    "state": None,
    "ingested": [],
    "now": "2026-01-01",
    "min_judge_agreement": 0.5,
    "source": "s",
    "describer": "d",
    "difficulty_by": "rater",
    "category_by": "rater",
    "slices": None,
    "loss_weight": 1,
    "version": "v1",
    "diverse_per_cluster": 2,
    "hard_per_cluster": 20,
    "hard": 10,
    "paths": ["$.id", "$.license"],
    "license": None,
    "rules": "r",
    "meant_for": "instructions",
    "scheme": "k",
    "since": None,
    "window": 50,
    "shingle": 3,
    "threshold": 0.7,
    "ngram": 13,
    "shortest": 8,
    "share": 0.5,
    "neighbours": 5,
    "similarity": 0.8,
    "model": "encoder",
}


def _name(case: Case) -> str:
    return f"{case.file}/{case.folder.name}"


def _rows(result: duckdb.DuckDBPyRelation) -> list[tuple[Any, ...]]:
    """Timestamps with a zone as text: DuckDB makes Python objects of them only with a time zone library."""
    zoned = [name for name, kind in zip(result.columns, result.types, strict=True) if str(kind).endswith("TIME ZONE")]
    texts = ", ".join(f'"{name}"::varchar as "{name}"' for name in zoned)
    return (result.project(f"* replace ({texts})") if zoned else result).fetchall()


def _same(value: Any, expected: Any) -> bool:
    if isinstance(value, float) and isinstance(expected, float):
        return bool(value == pytest.approx(expected, abs=1e-6, rel=1e-9))
    return bool(value == expected)


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_case_gives_the_expected_rows(case: Case) -> None:
    result = sql.run(case.connect(), case.file, **case.parameters)
    columns, expected = case.expected(result)
    positions = [result.columns.index(column) for column in columns]
    actual = [tuple(row[position] for position in positions) for row in _rows(result)]
    assert len(actual) == len(expected), f"rows found:\n{actual}\nexpected:\n{expected}"
    for found, wanted in zip(actual, expected, strict=True):
        wrong = [(column, a, b) for column, a, b in zip(columns, found, wanted, strict=True) if not _same(a, b)]
        assert not wrong, f"row {found}: (column, found, expected) {wrong}"


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_order_of_the_input_does_not_matter(case: Case) -> None:
    given, backwards, shuffled = (
        _rows(sql.run(case.connect(order), case.file, **case.parameters))
        for order in ("line", "line desc", "md5(line::varchar)")
    )
    if case.file in UNORDERED:
        given, backwards, shuffled = (sorted(rows, key=str) for rows in (given, backwards, shuffled))
    assert backwards == given
    assert shuffled == given


@pytest.mark.parametrize("file", FILES)
def test_empty_input_gives_no_rows(file: str) -> None:
    rows = sql.run(empty_lake(file), file, **PARAMETERS).fetchall()
    assert rows == WITHOUT_INPUT.get(file, [])


@pytest.mark.parametrize("file", PUBLISHED)
def test_columns_and_types_are_the_declared_ones(file: str) -> None:
    result = sql.run(empty_lake(file), file, **PARAMETERS)
    with duckdb.connect() as connection:
        declared = connection.sql(TABLES[PUBLISHED[file]].empty_select())
        assert list(zip(result.columns, result.types, strict=True)) == list(
            zip(declared.columns, declared.types, strict=True)
        )


@pytest.mark.parametrize("table", SOURCES)
def test_intermediate_results_have_the_columns_that_other_files_read(table: str) -> None:
    result = sql.run(empty_lake(SOURCES[table]), SOURCES[table], **PARAMETERS)
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(result.columns, result.types, strict=True))
    assert columns == INTERMEDIATES[table]


@pytest.mark.parametrize("name", sql.names())
def test_file_has_a_header_and_a_case(name: str) -> None:
    text = sql.load(name)
    assert text.startswith("-- Purpose:") and "\n-- Grain:" in text and "\n-- Inputs:" in text
    assert name in FILES, f"sql/{name}.sql has no case folder in tests/sql/cases"
