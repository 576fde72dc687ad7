"""Battle files of any origin: Parquet, CSV or JSON with the column names and labels that people use.

``open_files`` shows them as the views ``recorded_battles`` (every row, with its score or why it has none) and
``scoped_battles`` (the usable ones, which everything under sql/ratings reads). Parquet is read in place, column by column.
Other formats are converted once, because a rating reads its battles several times. What labels mean, and when a row is
unusable, is in sql/battles/.
"""

import difflib
import glob
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from arena_etl.errors import InputError
from arena_etl.lake import sql
from arena_etl.ranking import draw_resamples, rate_scopes

READERS = {
    ".parquet": "read_parquet",
    ".pq": "read_parquet",
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".json": "read_json",
    ".jsonl": "read_json",
    ".ndjson": "read_json",
}
COMPRESSIONS = (".gz", ".zst")

# In order: the first that a file has counts. Case does not matter.
MODELS = (
    ("model_a", "model_b"),
    ("model_1", "model_2"),
    ("generator_1", "generator_2"),
    ("left", "right"),
    ("competitor_a", "competitor_b"),
    ("player_a", "player_b"),
)
NUMBERED = (("model_1", "model_2"), ("generator_1", "generator_2"))
GAMES = ("g1_winner", "g2_winner")
WINNERS = ("winner", "verdict", "preference", "label", "outcome")
ONE_HOT = {
    "winner_model_a": "model_a",
    "winner_model_b": "model_b",
    "winner_tie": "tie",
    "winner_tie_bothbad": "tie (bothbad)",
}
POINTS = (("score_a", "score_b"), ("score_1", "score_2"))
SHARES = {"score_a": "score_a", "prob_a": "score_a", "score": "score_a", "prob_b": "score_b", "score_b": "score_b"}
INSTRUCTION_IDS = ("instruction_id", "question_id", "prompt_id", "uid", "task_id")
INSTRUCTIONS = ("instruction", "prompt")
JUDGES = ("judge", "judge_id", "annotator")
TIMES = ("tstamp", "timestamp", "created_at", "date")
METADATA = ("conv_metadata",)
ANSWERS = (
    ("response_a", "response_b"),
    ("answer_a", "answer_b"),
    ("output_a", "output_b"),
    ("response_1", "response_2"),
    ("answer_1", "answer_2"),
    ("output_1", "output_2"),
    ("conversation_a", "conversation_b"),
)
TEXTS = (
    *("time", "instruction_id", "turn", "judge_id", "model_a", "model_b", "kind", "label", "subscope"),
    *("metadata", "answer_a", "answer_b"),
)


@contextmanager
def open_files(
    files: Sequence[str], scope: str | None = None, style: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection with the views ``recorded_battles`` and ``scoped_battles`` over the files, in their order.

    ``scope``: a column whose values make scopes of their own, beside 'overall'. ``style``: read what the length and the
    Markdown of the answers can be told from; without it these columns are null.

    Raises InputError for a file that is absent, unreadable, of an unknown format, or without the columns of a battle, and
    for a scope column that no file has.
    """
    if repeated := [file for file, times in Counter(files).items() if times > 1]:
        raise InputError(f"{', '.join(repeated)}: given twice, so that every battle would count twice.")
    with tempfile.TemporaryDirectory(prefix="arena-etl-") as folder, duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
        connection.execute(f"set temp_directory = {_text(folder)}")
        sources = [reader_of(connection, file) for file in files]
        columns = [columns_of(connection, file, source) for file, source in zip(files, sources, strict=True)]
        layouts = [
            _layout(file, types, scope, style, trim=not source.startswith("read_parquet"))
            for file, source, types in zip(files, sources, columns, strict=True)
        ]
        if scope and all(layout["subscope"] == "null" for layout in layouts):
            names = ", ".join(dict.fromkeys(name for types in columns for name in types))
            raise InputError(f"--scope {scope}: no such column. The columns are: {names}.")
        if any(layout["time"] == "null" for layout in layouts):
            # Rows with and without a time have no common order: the order of the files is the only one for all.
            layouts = [layout | {"time": "null"} for layout in layouts]
        selects = []
        for number, (file, source, layout) in enumerate(zip(files, sources, layouts, strict=True), start=1):
            texts = ", ".join(f"{expression}::varchar as {name}" for name, expression in layout.items())
            reader = source
            if not source.startswith("read_parquet"):
                target = _text(str(Path(folder) / f"{number}.parquet"))
                with reading(file):
                    connection.execute(f"copy (select {texts} from {source}) to {target} (format parquet)")
                reader, texts = f"read_parquet({target}, file_row_number = true)", ", ".join(layout)
            selects.append(
                f"select {_text(file)} as file, {number}::integer as file_number, file_row_number + 1 as row, {texts} "
                f"from {reader}"
            )
        connection.execute(f"create temporary view battle_rows as {' union all '.join(selects)}")
        with reading(", ".join(files)):
            sql.materialize(connection, "winner_labels", "battles/winner_labels")
        for view, name in (("recorded_battles", "recorded"), ("scoped_battles", "recorded_scopes")):
            connection.execute(f"create temporary view {view} as {sql.load(f'battles/{name}')}")
        if style:  # Regular expressions over every answer: not again for each reading.
            target = _text(str(Path(folder) / "recorded.parquet"))
            with reading(", ".join(files)):
                connection.execute(f"copy recorded_battles to {target} (format parquet)")
            connection.execute(f"create or replace temporary view recorded_battles as from read_parquet({target})")
        yield connection


def rate_files(
    files: Sequence[str], method: str, settings: Mapping[str, Any], scope: str | None = None
) -> dict[str, Any]:
    """Rate the battles of the files by ``method``: elo, bradley_terry or style_controlled.

    ``settings``: those of ``config.Ratings``; ``resamples`` 0 gives no intervals. Returns what ``arena-etl rate --json``
    prints: method, n_battles, n_unusable, converged and components (of 'overall'; both null for elo), ratings (columns as
    in the lake's table ratings; by scope, component and rank), unusable (the first 100 rows); and ``notes``, what a person
    should know before reading the ratings.

    Raises InputError as ``open_files`` does, if no battle is usable, and for an anchor that did not fight.
    """
    with open_files(files, scope, style=method == "style_controlled") as connection:
        with reading(", ".join(files)):
            n_battles, n_ties, reasons = tally(connection)
        problems = unusable(connection, 100) if reasons else []
        if not n_battles:
            raise InputError(f"{', '.join(files)}: no usable battle. {_describe(reasons, problems[:5])}")
        notes = [_describe(reasons, problems[:20])] if reasons else []
        if n_ties == n_battles:
            notes.append("Every battle is a tie: nothing tells the models apart.")
        if method == "elo":
            notes += _undated(connection)
        else:
            draw_resamples(connection, settings)
        rows = rate_scopes(connection, [method], {**settings, "round": None}).to_pylist()
    if not rows:
        raise InputError(
            f"{', '.join(files)}: no battle with known style. Looked for {_or([*METADATA, *_pairs(ANSWERS)])}."
        )
    overall = [row for row in rows if row["scope"] == "overall"]
    models = [row["model"] for row in overall]
    anchor = settings["anchor"]
    if anchor is not None and anchor not in models:
        near = difflib.get_close_matches(anchor, models, n=5, cutoff=0.4) or sorted(models)[:10]
        raise InputError(f"--anchor {anchor}: no such model in the battles. Near: {', '.join(near)}.")
    fitted = method != "elo"
    converged = all(row["converged"] for row in rows) if fitted else None
    components = len({row["component"] for row in overall}) if fitted else None
    if components and components > 1:
        notes.append(
            f"The models form {components} groups without a battle between them: compare within a component only."
        )
    if flagged := sorted({row["model"] for row in overall if row["flag"]}):
        notes.append(f"Ratings without a finite maximum, held by a prior game: {', '.join(flagged)} (column flag).")
    if converged is False:
        notes.append("Not every fit converged: do not trust the ratings of scopes with converged = false.")
    return {
        "method": method,
        "n_battles": n_battles,
        "n_unusable": sum(reasons.values()),
        "converged": converged,
        "components": components,
        "ratings": [{name: value for name, value in row.items() if name not in ("round", "method")} for row in rows],
        "unusable": problems,
        "notes": notes,
    }


def _describe(reasons: Mapping[str, int], problems: Sequence[Mapping[str, Any]]) -> str:
    """The unusable rows in words: a count per reason, then the rows given."""
    counts = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items()) or "none, there are no rows at all"
    rows = [
        f"{problem['file']} row {problem['row']}: {problem['reason']}"
        + ("" if problem["value"] is None else f" ({problem['value']})")
        for problem in problems
    ]
    return "\n  ".join([f"Unusable rows: {counts}.", *rows])


def tally(connection: duckdb.DuckDBPyConnection) -> tuple[int, int, dict[str, int]]:
    """How many rows are usable, how many of those are ties, and how many are not by reason, the most frequent first."""
    rows = connection.sql(
        "select reason, count(*) as rows, count_if(score = 0.5) as ties from recorded_battles "
        "group by reason order by rows desc, reason"
    ).fetchall()
    counts = {reason: (number, ties) for reason, number, ties in rows}
    n_battles, n_ties = counts.pop(None, (0, 0))
    return n_battles, n_ties, {reason: number for reason, (number, _) in counts.items()}


def _undated(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """A note if the files have times and usable rows lack a readable one: online Elo plays them last."""
    [row] = connection.sql(
        "select count(*) from recorded_battles "
        "where reason is null and seconds is null and exists (from battle_rows where time is not null)"
    ).fetchall()
    return [f"{row[0]:,} battles without a readable time are played last."] if row[0] else []


def unusable(connection: duckdb.DuckDBPyConnection, limit: int) -> list[dict[str, Any]]:
    """The first unusable rows: file, row (from 1, a header does not count), reason, and the value that is to blame."""
    columns = ("file", "row", "reason", "value")
    rows = connection.sql(
        "select file, row, reason, if(reason like 'model%', concat_ws(' / ', model_a, model_b), label) as value "
        f"from recorded_battles where reason is not null order by file_number, row limit {limit}"
    ).fetchall()
    return [dict(zip(columns, row, strict=True)) for row in rows]


def reader_of(connection: duckdb.DuckDBPyConnection, file: str) -> str:
    """The DuckDB table function that reads the file; every value of CSV and JSON as text."""
    if not Path(file).is_file():
        raise InputError(f"{file}: no such file.")
    if not Path(file).stat().st_size:
        raise InputError(f"{file}: the file is empty.")
    path = Path(file.lower())
    suffix = Path(path.stem).suffix if path.suffix in COMPRESSIONS else path.suffix
    if suffix not in READERS or (READERS[suffix] == "read_parquet" and path.suffix in COMPRESSIONS):
        known = ", ".join(READERS)
        raise InputError(f"{file}: the format is not known by its name. Known: {known}; text also with .gz or .zst.")
    name = _text(glob.escape(file))
    match READERS[suffix]:
        case "read_parquet":
            return f"read_parquet({name}, file_row_number = true)"
        case "read_csv":
            return f"read_csv({name}, header = true, all_varchar = true)"
        case _:
            # One level deep is enough to know the names; then nothing in the rows can contradict a guessed type.
            names = columns_of(connection, file, f"read_json({name}, maximum_depth = 1)")
            types = ", ".join(f"{_text(column)}: 'VARCHAR'" for column in names)
            return f"read_json({name}, columns = {{{types}}})"


def columns_of(connection: duckdb.DuckDBPyConnection, file: str, source: str) -> dict[str, str]:
    """Names and types of the file's columns."""
    with reading(file):
        found = connection.sql(f"select * from {source} limit 0")
    types = dict(zip(found.columns, map(str, found.types), strict=True))
    types.pop("file_row_number", None)
    return types


def _layout(file: str, columns: Mapping[str, str], scope: str | None, style: bool, trim: bool) -> dict[str, str]:
    """An SQL expression over the file's columns for each of TEXTS. Empty text is null.

    ``trim``: values may have white space around them. Not in Parquet, where it would slow down every reading.
    """
    types = {name.strip().lower(): (name, type_) for name, type_ in columns.items()}

    def raw(name: str) -> str:
        original, type_ = types[name]
        column = '"' + original.replace('"', '""') + '"'
        nested = type_.startswith(("STRUCT", "MAP", "UNION")) or type_.endswith("]")
        return f"to_json({column})::varchar" if nested else f"{column}::varchar"

    def text(name: str) -> str:
        return f"nullif({f'trim({raw(name)})' if trim else raw(name)}, '')"

    def first(names: Sequence[str]) -> str:
        return next((text(name) for name in names if name in types), "null")

    def first_pair(pairs: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
        return next((pair for pair in pairs if pair[0] in types and pair[1] in types), None)

    models = first_pair(MODELS)
    if models is None:
        raise InputError(
            f"{file}: no columns with the two models of a battle. Looked for {_or(_pairs(MODELS))}. "
            f"The file has: {', '.join(columns)}."
        )
    layout = dict.fromkeys(TEXTS, "null") | {"model_a": text(models[0]), "model_b": text(models[1])}

    winner = next((name for name in WINNERS if name in types), None)
    points = first_pair(POINTS)
    share = next((name for name in SHARES if name in types), None)
    if all(name in types for name in GAMES):
        layout |= {"kind": "'two_games'", "label": f"{text(GAMES[0])} || '|' || {text(GAMES[1])}"}
    elif winner == "preference" and models == ("generator_1", "generator_2"):
        layout |= {"kind": "'preference'", "label": text(winner)}
    elif winner:
        layout |= {"kind": "'numbered'" if models in NUMBERED else "'named'", "label": text(winner)}
    elif "winner_model_a" in types and "winner_model_b" in types:
        chosen = ", ".join(
            f"case when coalesce(try_cast({text(name)} as boolean), try_cast({text(name)} as double) = 1) "
            f"then {_text(label)} end"
            for name, label in ONE_HOT.items()
            if name in types
        )
        layout |= {"kind": "'named'", "label": f"nullif(concat_ws(' and ', {chosen}), '')"}
    elif points:
        layout |= {"kind": "'score_pair'", "label": f"{text(points[0])} || '|' || {text(points[1])}"}
    elif share:
        layout |= {"kind": _text(SHARES[share]), "label": text(share)}
    else:
        pairs = _pairs([GAMES, ("winner_model_a", "winner_model_b"), *POINTS])
        raise InputError(
            f"{file}: no column with the result of a battle. Looked for {_or([*WINNERS, *pairs, *SHARES])}. "
            f"The file has: {', '.join(columns)}."
        )

    identifier = first(INSTRUCTION_IDS)
    instruction = first(INSTRUCTIONS)
    if identifier == "null":
        # The same instruction in several rows is one unit of resampling; a row's own id would hide that.
        identifier = f"md5({instruction})" if instruction != "null" else first(["id"])
    layout |= {
        "instruction_id": identifier,
        "turn": first(["turn"]),
        "judge_id": first(JUDGES),
        "time": first(TIMES),
    }
    if scope and scope.lower() in types:
        layout["subscope"] = f"{_text(types[scope.lower()][0] + '=')} || {text(scope.lower())}"
    if style:
        answers = first_pair(ANSWERS)
        layout["metadata"] = first(METADATA)
        if layout["metadata"] == "null" and answers:
            layout |= {"answer_a": raw(answers[0]), "answer_b": raw(answers[1])}  # an empty answer is an answer
    return layout


@contextmanager
def reading(file: str) -> Iterator[None]:
    """What DuckDB says about an unreadable file, as an InputError; its first lines hold the place and the cause."""
    try:
        yield
    except duckdb.Error as error:
        cause = " ".join(str(error).partition("Possible")[0].split())
        raise InputError(f"{file}: cannot be read: {cause[:500]}") from error


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _pairs(names: Iterable[tuple[str, str]]) -> list[str]:
    return [" and ".join(pair) for pair in names]


def _or(names: Iterable[str]) -> str:
    return "; ".join(names)
