"""How far a leaderboard agrees with a reference, or a judge with people: from files, without a lake (sql/agreement/)."""

import glob
import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from arena_etl.analytics import battle_files
from arena_etl.errors import InputError
from arena_etl.lake import sql

# Names of columns, compared in lower case with "_" for all but letters and digits; the first that a file has counts.
# column0 is what DuckDB calls the unnamed index that pandas writes to a CSV file.
MODEL = ("model", "name", "model_name", "competitor", "generator", "column0")
RATING = ("rating", "elo", "elo_rating", "arena_score", "score", "win_rate", "winrate")
LOWER = ("lower", "rating_lower", "rating_q025", "q025", "lower_bound", "ci_lower")
UPPER = ("upper", "rating_upper", "rating_q975", "q975", "upper_bound", "ci_upper")
OFFSETS = ("ci", "95_ci", "95_pct_ci")

SCHEMA = pa.schema({"model": "string", "rating": "float64", "lower": "float64", "upper": "float64"})


class Row(NamedTuple):
    """A row of a leaderboard, as SCHEMA has it."""

    model: str
    rating: float | None
    lower: float | None
    upper: float | None


def compare_leaderboards(file: Path, reference: Path, touching_separated: bool = True) -> dict[str, Any]:
    """The measures of sql/agreement/consistency.sql, over the models that both leaderboards rate.

    A leaderboard is a CSV, JSON, JSON Lines or Parquet file with a column for the model, one for its rating (higher is
    better) and, for all measures but the rank correlations, two for the bounds of its interval or one for "+5/-4"; or the
    JSON of ``arena-etl rate``. Of a file with a column ``scope`` the rows of 'overall' are taken.

    The result also has ``only_in_file`` and ``only_in_reference`` (models without a counterpart) and ``notes`` (why a
    measure is null). Raises InputError for missing columns, values that are no numbers, a model that appears twice, and
    fewer than two models in common.
    """
    board, other = read_leaderboard(file), read_leaderboard(reference)
    rated, other_rated = ({row.model for row in rows if row.rating is not None} for rows in (board, other))
    common = rated & other_rated
    if len(common) < 2:
        raise InputError(
            f"{file} and {reference} have {_listed(common)} in common; agreement needs two models. Their names must be "
            f"equal: one file has {_listed(rated)}, the other {_listed(other_rated)}."
        )
    with duckdb.connect() as connection:
        for table, rows in (("leaderboard", board), ("reference_leaderboard", other)):
            connection.register(table, pa.Table.from_pylist([row._asdict() for row in rows], schema=SCHEMA))
        result = sql.run(connection, "agreement/consistency", touching_separated=touching_separated)
        [measures] = result.to_arrow_table().to_pylist()
    return {
        **measures,
        "only_in_file": sorted(rated - common),
        "only_in_reference": sorted(other_rated - common),
        "notes": [*_notes(file, board, common), *_notes(reference, other, common)],
    }


def holds_battles(file: Path) -> bool:
    """Whether the file has columns for the two models of a battle, so is no leaderboard. Raises InputError if unreadable."""
    columns = {name.strip().lower() for name in _read(file, "from file limit 0").column_names}
    return any(columns.issuperset(pair) for pair in battle_files.MODELS)


def compare_judges(file: Path, reference: Path, scope: str | None = None) -> dict[str, Any]:
    """The rows of sql/agreement/judge_against_people.sql for two battle files: what a judge said, and what people said.

    The files are read as ``arena-etl rate`` reads them. Battles are matched on instruction, turn (1 where there is none)
    and models, in any order; a soft preference counts for the side it leans to. ``scope``: a column whose values are the
    categories; without it there is only 'overall'.

    The result has ``agreement`` (the rows), ``n_unusable`` and ``notes`` (which rows are unusable and why). Raises
    InputError as battle_files.open_files does, and where no battle is in both files.
    """
    if file == reference:
        raise InputError(f"{file}: compared with itself, a judge always agrees. Give another file as --reference.")
    with battle_files.open_files([str(file), str(reference)], scope) as connection:
        for number, table in enumerate(("judgements", "reference_judgements"), start=1):
            connection.execute(
                f"create temporary view {table} as select instruction_id, coalesce(turn, 1) as turn, model_a, model_b, "
                "case when score > 0.5 then 'model_a' when score < 0.5 then 'model_b' when score = 0.5 then 'tie' end "
                "as winner, substr(subscope, strpos(subscope, '=') + 1) as category "
                f"from recorded_battles where file_number = {number} and reason is null"
            )
        rows = sql.run(connection, "agreement/judge_against_people").to_arrow_table().to_pylist()
        *_, reasons = battle_files.tally(connection)
        unusable = battle_files.unusable(connection, 5)
    if not rows:
        raise InputError(
            f"{file} and {reference} have no usable battle in common: the same instruction, turn and two models, by exactly "
            f"these names. Unusable rows: {sum(reasons.values())}."
        )
    return {
        "agreement": rows,
        "n_unusable": sum(reasons.values()),
        "notes": [
            *(f"{count} rows are unusable: {reason}" for reason, count in reasons.items()),
            *(f"{row['file']}, row {row['row']}: {row['reason']} ({row['value']})" for row in unusable),
        ],
    }


def read_leaderboard(file: Path) -> list[Row]:
    """One row per model; None where the file has nothing. Files and errors as in ``compare_leaderboards``."""
    table = _read(file, "from file")
    if "ratings" in table.column_names and pa.types.is_list(table.schema.field("ratings").type):
        table = _read(file, "select unnest(ratings, recursive := true) from file")
    columns = {re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"): name for name in reversed(table.column_names)}

    def find(names: Iterable[str]) -> str | None:
        return next((columns[name] for name in names if name in columns), None)

    def need(what: str, names: Iterable[str]) -> str:
        found = find(names)
        if found is None:
            raise InputError(
                f"{file}: no column for the {what}: looked for {', '.join(names)}; the file has "
                f"{', '.join(table.column_names)}."
            )
        return found

    model, rating = need("model", MODEL), need("rating", RATING)
    lower, upper, offsets = find(LOWER), find(UPPER), find(OFFSETS)
    if lower or upper:
        lower, upper = need("lower bound", LOWER), need("upper bound", UPPER)

    rows = []
    for record in _overall(file, table.to_pylist(), columns.get("scope")):
        if record[model] in (None, ""):
            raise InputError(f"{file}: a row has no {model}: {record}.")
        where = f"{file}: {record[model]}"
        value = _number(where, record[rating])
        low = _number(where, record[lower]) if lower else None
        high = _number(where, record[upper]) if upper else None
        if not lower and offsets and record[offsets] and value is not None:
            low, high = _interval(where, value, str(record[offsets]))
        if low is not None and high is not None and low > high:
            raise InputError(f"{where}: the interval from {low} to {high} ends before it begins.")
        rows.append(Row(str(record[model]), value, low, high))
    repeated = {name for name, count in Counter(row.model for row in rows).items() if count > 1}
    if repeated:
        raise InputError(f"{file}: {_listed(repeated)} more than once. Keep one row per model.")
    return rows


def _read(file: Path, query: str) -> pa.Table:
    """The result of a query over the rows of ``file``. Values of CSV files are text."""
    if not file.is_file():
        raise InputError(f"{file}: no such file.")
    suffixes = [suffix.lower() for suffix in file.suffixes if suffix.lower() not in battle_files.COMPRESSIONS]
    reader = battle_files.READERS.get(suffixes[-1] if suffixes else "")
    if reader is None:
        raise InputError(f"{file}: the format is not known by its name. Known: {', '.join(battle_files.READERS)}.")
    options = ", header = true, all_varchar = true" if reader == "read_csv" else ""
    with duckdb.connect() as connection:
        try:
            rows = connection.sql(
                f"with file as (from {reader}($file{options})) {query}", params={"file": glob.escape(str(file))}
            )
            return rows.to_arrow_table()
        except duckdb.Error as error:
            raise InputError(f"{file}: cannot be read: {str(error).splitlines()[0]}") from error


def _overall(file: Path, records: list[dict[str, Any]], scope: str | None) -> list[dict[str, Any]]:
    if scope is None:
        return records
    scopes = {record[scope] for record in records}
    if len(scopes) == 1:
        return records
    if "overall" not in scopes:
        raise InputError(f"{file}: {scope} is {_listed(scopes)}, and none is 'overall'. Keep the rows of one of them.")
    return [record for record in records if record[scope] == "overall"]


def _number(where: str, value: Any) -> float | None:
    """None for null, an empty text and NaN."""
    try:
        number = math.nan if value in (None, "") else float(value)
    except (TypeError, ValueError):
        raise InputError(f"{where}: {value!r} is not a number.") from None
    return None if math.isnan(number) else number


def _interval(where: str, rating: float, offsets: str) -> tuple[float, float]:
    """Bounds from the distances above and below, as LMSYS ("+5/-4") and Arena-Hard ("(-1.9, +2.0)") write them."""
    above = re.search(r"\+\s*(\d*\.?\d+)", offsets)
    below = re.search(r"-\s*(\d*\.?\d+)", offsets)
    if above is None or below is None:
        raise InputError(f'{where}: {offsets!r} is not an interval like "+5/-4".')
    return rating - float(below[1]), rating + float(above[1])


def _notes(file: Path, rows: list[Row], common: set[str]) -> list[str]:
    """Why measures over the common models are null."""
    notes = []
    if len({row.rating for row in rows if row.model in common}) == 1:
        notes.append(f"{file} rates all common models alike: no rank correlation is defined")
    unknown = {row.model for row in rows if row.model in common and (row.lower is None or row.upper is None)}
    if unknown:
        notes.append(f"{file} has no interval for {_listed(unknown)}: measures that need it are null")
    return notes


def _listed(names: set[Any], most: int = 3) -> str:
    shown = sorted(map(str, names))
    rest = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + rest if shown else "no model"
