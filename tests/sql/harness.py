"""Case folders for SQL files.

``cases/<file, / written as __>/<case>/`` holds one CSV per input table, ``parameters.yaml`` and ``expected.csv``.
Input: only the columns that matter; an empty cell is null, a missing column its value in ``DEFAULTS`` or null.
``before.<table>.csv`` fills the table of the release before. Parameters are DuckDB variables too.
Expected: all rows in order, and the columns that the case is about. Lists and structs are written as DuckDB literals.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import yaml

from arena_etl.lake import sql
from arena_etl.lake.tables import STYLE, TABLES

CASES = Path(__file__).parent / "cases"
DEFAULTS = {
    "round": "2026-01-01",
    "stage": "sft",
    "arena": "training",
    "turn": "1",
    "judge_id": "judge",
    "scope": "overall",
    "component": "1",
    "finite": "true",
}


def _columns(table: str) -> str:
    return ", ".join(f'"{column.name}" {column.type}' for column in TABLES[table].columns)


TRAINING_SET = ", ".join(f"{column.name} {column.type}" for column in TABLES["training_sets"].columns)

# Without the columns that battles/styled adds.
MERGED_BATTLE = ", ".join(f"{column.name} {column.type}" for column in TABLES["battles"].columns[: -2 * len(STYLE)])

# Temporary tables that SQL files read from one another, beside the lake's own.
INTERMEDIATES = {
    "answer_style": "instruction_id VARCHAR, contestant_id VARCHAR, turn INTEGER, "
    "length INTEGER, headers INTEGER, bold INTEGER, lists INTEGER",
    "judged_answers": "instruction_id VARCHAR, contestant_id VARCHAR, turn INTEGER, text VARCHAR",
    "scoped_battles": "scope VARCHAR, position BIGINT, instruction_id VARCHAR, model_a VARCHAR, model_b VARCHAR, score DOUBLE, "
    "length_a DOUBLE, length_b DOUBLE, headers_a DOUBLE, headers_b DOUBLE, bold_a DOUBLE, bold_b DOUBLE, "
    "lists_a DOUBLE, lists_b DOUBLE",
    "clusters": "scope VARCHAR, instruction_id VARCHAR, cluster INTEGER",
    "resample_weights": "resample BIGINT, cluster INTEGER, weight BIGINT",
    "pair_counts": "scope VARCHAR, model_a VARCHAR, model_b VARCHAR, wins_a DOUBLE, wins_b DOUBLE",
    "components": "scope VARCHAR, model VARCHAR, n BIGINT, component INTEGER, position INTEGER",
    "outcomes": "scope VARCHAR, component INTEGER, resample BIGINT, wins_a DOUBLE[], wins_b DOUBLE[]",
    "matrices": "scope VARCHAR, component INTEGER, resample BIGINT, fit INTEGER, data_fit INTEGER, finite BOOLEAN, "
    "present DOUBLE[], scores DOUBLE[], games DOUBLE[][]",
    "resampled_ratings": "scope VARCHAR, resample BIGINT, model VARCHAR, log_strength DOUBLE, rating DOUBLE, n BIGINT, "
    "converged BOOLEAN, component INTEGER, finite BOOLEAN",
    "style_pairs": "pair INTEGER, scope VARCHAR, model_a VARCHAR, model_b VARCHAR",
    "style_observations": "pair INTEGER, cluster INTEGER, score DOUBLE, length DOUBLE, headers DOUBLE, bold DOUBLE, lists DOUBLE",
    "style_estimates": "scope VARCHAR, resample BIGINT, model VARCHAR, feature VARCHAR, estimate DOUBLE, n BIGINT, "
    "converged BOOLEAN, component INTEGER, flag VARCHAR",
    "leaderboard": "model VARCHAR, rating DOUBLE, lower DOUBLE, upper DOUBLE",
    "reference_leaderboard": "model VARCHAR, rating DOUBLE, lower DOUBLE, upper DOUBLE",
    "judgements": "instruction_id VARCHAR, turn INTEGER, model_a VARCHAR, model_b VARCHAR, winner VARCHAR, category VARCHAR",
    "reference_judgements": "instruction_id VARCHAR, turn INTEGER, model_a VARCHAR, model_b VARCHAR, winner VARCHAR, "
    "category VARCHAR",
    "scored_answers": "instruction_id VARCHAR, turn INTEGER, contestant_id VARCHAR, mean DOUBLE, lost_to VARCHAR[], "
    "battle_ids VARCHAR[]",
    "prompted_answers": "instruction_id VARCHAR, turn INTEGER, contestant_id VARCHAR, "
    'prompt STRUCT("role" VARCHAR, "content" VARCHAR)[], text VARCHAR',
    "training_examples": TRAINING_SET,
    "battle_rows": "file VARCHAR, file_number INTEGER, row BIGINT, time VARCHAR, instruction_id VARCHAR, turn VARCHAR, "
    "judge_id VARCHAR, model_a VARCHAR, model_b VARCHAR, kind VARCHAR, label VARCHAR, subscope VARCHAR, metadata VARCHAR, "
    "answer_a VARCHAR, answer_b VARCHAR",
    "recorded_games": "instruction_id VARCHAR, turn INTEGER, model_a VARCHAR, model_b VARCHAR, judge_id VARCHAR, score DOUBLE, "
    "points_a DOUBLE, points_b DOUBLE, file VARCHAR, tokens BIGINT, cost_usd DOUBLE",
    "pair_rows": "row BIGINT, pair_id VARCHAR, instruction VARCHAR, input VARCHAR, output_1 VARCHAR, output_2 VARCHAR, "
    "labels VARCHAR[], category VARCHAR",
    "labelled_pairs": "row BIGINT, pair_id VARCHAR, instruction_id VARCHAR, content_id VARCHAR, instruction VARCHAR, "
    "output_1 VARCHAR, output_2 VARCHAR, category VARCHAR, score DOUBLE, reason VARCHAR",
    "merged_pairs": "instruction_id VARCHAR, winner VARCHAR, order_consistent BOOLEAN",
    "calibration_games": "scope VARCHAR, pair_id VARCHAR, instruction_id VARCHAR, first_shown_first BOOLEAN, "
    "in_both_orders BOOLEAN, judged INTEGER, people INTEGER, merged INTEGER, order_consistent BOOLEAN, length_1 BIGINT, "
    "length_2 BIGINT, tokens BIGINT, cost_usd DOUBLE",
    "winner_labels": "file_number INTEGER, label VARCHAR, score DOUBLE",
    "recorded_battles": "file VARCHAR, file_number INTEGER, row BIGINT, position BIGINT, seconds DOUBLE, "
    "instruction_id VARCHAR, turn INTEGER, judge_id VARCHAR, model_a VARCHAR, model_b VARCHAR, label VARCHAR, score DOUBLE, "
    "reason VARCHAR, subscope VARCHAR, length_a DOUBLE, length_b DOUBLE, headers_a DOUBLE, headers_b DOUBLE, bold_a DOUBLE, "
    "bold_b DOUBLE, lists_a DOUBLE, lists_b DOUBLE",
    "pairs": "model_a VARCHAR, model_b VARCHAR",
    **dict.fromkeys(
        ("arena_instructions", "shard"),
        'instruction_id VARCHAR, conversation STRUCT("role" VARCHAR, "content" VARCHAR)[], category VARCHAR, '
        "language VARCHAR, reference VARCHAR[], checker VARCHAR",
    ),
    "standing_answers": "instruction_id VARCHAR, contestant_id VARCHAR, turn INTEGER, response_id VARCHAR, text VARCHAR",
    "given": "line BIGINT, raw VARCHAR",
    "landing": "part INTEGER, line BIGINT, source_id VARCHAR, content UBIGINT",
    "settled": "line_sha256 VARCHAR, source_id VARCHAR, rules VARCHAR",
    "prepared": _columns("instructions"),
    "staged": _columns("verdicts"),
    "described": "instruction_id VARCHAR, source VARCHAR, split VARCHAR, license VARCHAR, language VARCHAR, turns INTEGER, "
    "category VARCHAR, difficulty DOUBLE, cluster INTEGER",
    "source_weights": "source VARCHAR, weight DOUBLE",
    "category_weights": "category VARCHAR, weight DOUBLE",
    **{f"staged_{table}": _columns(table) for table in TABLES},
    "figures": "subject VARCHAR, a DOUBLE, b DOUBLE, c DOUBLE",
    "seeds": "measure VARCHAR, usual DOUBLE, spread DOUBLE",
    "turns": "instruction_id VARCHAR, turn INTEGER, checked BOOLEAN, language VARCHAR",
    **dict.fromkeys(("judge_battles", "merged_battles"), MERGED_BATTLE),
    "entrants": "name VARCHAR, contestant_id VARCHAR, subject VARCHAR",
    "seats": "name VARCHAR, judge_id VARCHAR, checked BOOLEAN, model_a VARCHAR, model_b VARCHAR",
    "actual": "stage VARCHAR, arena VARCHAR, kind VARCHAR, name VARCHAR, calls BIGINT, tokens_in BIGINT, tokens_out BIGINT, "
    "cost_usd DOUBLE, seconds DOUBLE",
    "wanted": "instruction_id VARCHAR",
    "splits": "instruction_id VARCHAR, source VARCHAR, split VARCHAR",
    "test_items": "instruction_id VARCHAR, benchmark VARCHAR, listed_at TIMESTAMP WITH TIME ZONE",
    "colliding": "place INTEGER, neighbour INTEGER, instruction_id VARCHAR, source VARCHAR, is_test BOOLEAN, fresh BOOLEAN, "
    "bands INTEGER[]",
    **dict.fromkeys(("candidate_pairs", "compared_pairs"), "first INTEGER, second INTEGER"),
    "removed": "place INTEGER, kept INTEGER, jaccard DOUBLE",
    "shingles": "place INTEGER, hashes UBIGINT[]",
    "landed": "instruction_id VARCHAR",
    "identical": "instruction_id VARCHAR, source VARCHAR, benchmark VARCHAR",
    "subjects": "instruction_id VARCHAR, source VARCHAR, fresh BOOLEAN",
    "items": "instruction_id VARCHAR, benchmark VARCHAR",
    **dict.fromkeys(("words", "test_words"), "instruction_id VARCHAR, words VARCHAR[]"),
    "alignments": "instruction_id VARCHAR, test_id VARCHAR, shift BIGINT, size BIGINT",
    **dict.fromkeys(("similarities", "neighbours"), "instruction_id VARCHAR, test_id VARCHAR, similarity DOUBLE"),
    "shared_runs": "instruction_id VARCHAR, test_id VARCHAR, overlap INTEGER",
    # Both have the shape of the training sets that they become.
    **dict.fromkeys(("candidates", "preference_pairs"), TRAINING_SET),
}

RATING_PARAMETERS: dict[str, Any] = {
    "round": "2026-01-01",
    "scope": "wizard_arena",
    "resamples": 0,
    "seed": 0,
    "max_clusters": 10000,
    "prior_games": 0,
    "style_ridge": 1,
    "k": 32,
    "scale": 400,
    "base": 10,
    "initial": 1000,
    "anchor": None,
    "anchor_rating": 1000,
    "arenas": ["training", "wizard_arena"],
    "breakdowns": [],
    "confidence": 0.95,
}


@dataclass(frozen=True)
class Case:
    folder: Path

    @property
    def file(self) -> str:
        return self.folder.parent.name.replace("__", "/")

    @property
    def parameters(self) -> dict[str, Any]:
        return yaml.safe_load((self.folder / "parameters.yaml").read_text()) or {}

    def connect(self, order: str = "line") -> duckdb.DuckDBPyConnection:
        """A connection with the case's inputs, in the order of the files or in that of another SQL expression."""
        connection = empty_lake(self.file)
        for file in sorted(self.folder.glob("*.csv")):
            if file.stem != "expected":
                _fill(connection, file, order)
        for name, value in self.parameters.items():
            connection.execute(f'set variable "{name}" = $value', {"value": value})
        return connection

    def expected(self, actual: duckdb.DuckDBPyRelation) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Columns and rows of ``expected.csv``, cast to the types of the actual result."""
        types = dict(zip(actual.columns, map(str, actual.types), strict=True))
        with duckdb.connect() as connection:
            lines = connection.read_csv(str(self.folder / "expected.csv"), all_varchar=True, header=True)
            unknown = set(lines.columns) - types.keys()
            assert not unknown, f"{self.folder}: the result has no {unknown}"
            casts = ", ".join(f'cast("{column}" as {types[column]})' for column in lines.columns)
            return lines.columns, connection.sql(f"select {casts} from lines").fetchall()


def cases() -> list[Case]:
    return [Case(file.parent) for file in sorted(CASES.glob("*/*/parameters.yaml"))]


def empty_lake(file: str | None = None) -> duckdb.DuckDBPyConnection:
    """A connection with every table of the lake and every shared intermediate result, typed and without rows.

    ``file``: only those that this SQL file names, which is many times faster.
    """
    text = sql.load(file) if file else None
    lake = [(schema, table) for schema in ("main", "before") for table in TABLES.values()]
    tables = [(table.name, f'{schema}."{table.name}" as {table.empty_select()}') for schema, table in lake]
    tables += [(name, f"{name} ({columns})") for name, columns in INTERMEDIATES.items()]
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("create schema before")
    connection.execute("; ".join(f"create table {table}" for name, table in tables if text is None or name in text))
    return connection


def _fill(connection: duckdb.DuckDBPyConnection, file: Path, order: str) -> None:
    target = ".".join(f'"{part}"' for part in file.stem.split("."))
    types = {name: kind for name, kind, *_ in connection.execute(f"describe {target}").fetchall()}
    with file.open(newline="") as lines:
        given = next(csv.reader(lines))
    unknown = set(given) - types.keys()
    assert not unknown, f"{file}: {file.stem} has no {unknown}"
    values = ", ".join(
        f'cast("{name}" as {kind})' if name in given else f"cast($d_{name} as {kind})" if name in DEFAULTS else "null"
        for name, kind in types.items()
    )
    defaults = {f"d_{name}": value for name, value in DEFAULTS.items() if name in types and name not in given}
    connection.execute(
        f"insert into {target} select {values} from (select *, row_number() over () as line "
        f"from read_csv($file, columns = $columns, auto_detect = false, delim = ',', quote = '\"', header = true)) "
        f"order by {order}",
        {"file": str(file), "columns": dict.fromkeys(given, "VARCHAR"), **defaults},
    )
