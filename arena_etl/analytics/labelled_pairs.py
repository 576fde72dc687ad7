"""Files of answer pairs that people labelled, and of judgements on them, in the names that people use.

``read_pairs`` makes the table ``labelled_pairs`` (sql/agreement/labelled_pairs.sql), ``read_judgements`` the table
``recorded_games``. What a label means: sql/battles/winner_labels.sql.
"""

import re
from collections import Counter
from collections.abc import Sequence

import duckdb

from arena_etl.analytics.battle_files import ANSWERS, INSTRUCTIONS, JUDGES, columns_of, reader_of, reading
from arena_etl.errors import InputError
from arena_etl.lake import sql

# In order: the first that a file has counts. Case does not matter.
PAIR_IDS = ("pair_id", "id", "idx")
INPUTS = ("input", "context")
TEXTS = (
    *(pair for pair in ANSWERS if "conversation_a" not in pair),
    ("output1", "output2"),
    ("response1", "response2"),
)
GOLD = ("gold", "human", "label", "winner", "preference")
PEOPLE = re.compile(r"(human|annotator)_?\d+")
CATEGORIES = ("category", "subset")
WINNERS = ("winner", "verdict", "preference", "label")
STRATEGIES = ("strategy",)
SWAPPED = ("swapped",)
COSTS = ("cost_usd", "price_usd")
TOKENS = ("tokens_in", "tokens_out")

GAMES = """
    create or replace temporary table recorded_games (
        instruction_id varchar, turn integer, model_a varchar, model_b varchar, judge_id varchar, score double,
        points_a double, points_b double, file varchar, tokens bigint, cost_usd double
    )
"""
Unusable = list[tuple[str, int, str, str]]  # file, row, pair_id, reason


class Columns:
    """The columns of a file by their names in lower case, as SQL expressions of text."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, file: str) -> None:
        self.file = file
        self.source = reader_of(connection, file)
        self.names = {name.strip().lower(): name for name in columns_of(connection, file, self.source)}
        in_place = self.source.startswith("read_parquet")
        self.row = "file_row_number + 1" if in_place else "row_number() over ()"

    def text(self, name: str) -> str:
        column = '"' + self.names[name].replace('"', '""') + '"'
        return f"{column}::varchar"

    def label(self, name: str) -> str:
        return f"nullif(trim({self.text(name)}), '')"

    def first(self, names: Sequence[str]) -> str | None:
        """The first of the names that the file has."""
        return next((name for name in names if name in self.names), None)

    def optional(self, names: Sequence[str]) -> str:
        found = self.first(names)
        return "null" if found is None else self.label(found)

    def missing(self, what: str, names: Sequence[str]) -> InputError:
        return InputError(
            f"{self.file}: no column {what}: looked for {', '.join(names)}. The file has: {', '.join(self.names.values())}."
        )


def read_pairs(connection: duckdb.DuckDBPyConnection, file: str) -> Unusable:
    """Create ``labelled_pairs`` from a file; returns its unusable rows.

    Needed: an instruction, two answers, and one label (``gold``) or those of several people (``human_1``, ``human_2``...).
    Optional: a pair_id, an input, a category (or subset). Labels are 1, 2 and 0 for a tie, or words.

    Raises InputError that says which names were looked for when a column is missing, and when no row is usable.
    """
    columns = Columns(connection, file)
    instruction = columns.first(INSTRUCTIONS)
    if instruction is None:
        raise columns.missing("with the instruction", INSTRUCTIONS)
    texts = next((pair for pair in TEXTS if {*pair} <= columns.names.keys()), None)
    if texts is None:
        raise columns.missing("s with the two answers", [" and ".join(pair) for pair in TEXTS])
    gold = columns.first(GOLD)
    people = [gold] if gold else sorted(name for name in columns.names if PEOPLE.fullmatch(name))
    if not people:
        raise columns.missing("with what people said", [*GOLD, "human_1 to human_n", "annotator_1 to annotator_n"])
    context = columns.first(INPUTS)
    with reading(file):
        connection.execute(
            f"create or replace temporary table pair_rows as select {columns.row} as row, "
            f"{columns.optional(PAIR_IDS)} as pair_id, {columns.text(instruction)} as instruction, "
            f"{columns.text(context) if context else 'null::varchar'} as input, "
            f"{columns.text(texts[0])} as output_1, {columns.text(texts[1])} as output_2, "
            f"[{', '.join(columns.label(name) for name in people)}] as labels, "
            f"{columns.optional(CATEGORIES)}::varchar as category from {columns.source}"
        )
    _know_labels(connection, "select 1 as file_number, unnest(labels) as label from pair_rows")
    sql.materialize(connection, "labelled_pairs", "agreement/labelled_pairs")
    bad = connection.execute(
        "select $file, row, pair_id, reason from labelled_pairs where reason is not null order by row", {"file": file}
    ).fetchall()
    if not connection.sql("from labelled_pairs where reason is null limit 1").fetchall():
        raise InputError(f"{file}: no usable pair. {describe(bad) or 'The file has no rows.'}")
    return bad


def read_judgements(connection: duckdb.DuckDBPyConnection, file: str, judge: str) -> tuple[str, Unusable]:
    """Create ``recorded_games`` with what a judge said about ``labelled_pairs``; returns its name and the unusable rows.

    Needed: pair_id, and a winner in the frame of the pairs' file (1, 2, 0 or a word; anything else is a verdict that could
    not be read). Optional: judge, strategy (which makes a judge of its own, JUDGE-STRATEGY), swapped (whether output_2 was
    shown first), cost_usd, tokens_in and tokens_out. A file with a column JUDGE_verdict has its judgements there.

    Raises InputError when a column is missing, when the file has no such judge, and when no judgement is on a usable pair.
    """
    columns = Columns(connection, file)
    pair = columns.first(PAIR_IDS)
    if pair is None:
        raise columns.missing("with the pair", PAIR_IDS)
    own = f"{judge.lower()}_verdict"
    winner = own if own in columns.names else columns.first(WINNERS)
    if winner is None:
        raise columns.missing("with what the judge said", [own, *WINNERS])
    name, condition = (judge, "true") if winner == own else _select_judge(connection, columns, judge)
    tokens = [columns.label(each) for each in TOKENS if each in columns.names]
    with reading(file):
        connection.execute(
            f"create or replace temporary table judgement_rows as select {columns.row} as row, "
            f"{columns.label(pair)} as pair_id, {columns.label(winner)} as label, "
            f"{columns.optional(SWAPPED)}::varchar as swapped, {columns.optional(COSTS)}::varchar as cost, "
            f"[{', '.join(tokens)}]::varchar[] as tokens, {condition} as mine from {columns.source}"
        )
    connection.execute("delete from judgement_rows where not mine")
    _know_labels(connection, "select 1 as file_number, label from judgement_rows")
    bad = connection.execute(
        """
        select
            $file,
            judgement_rows.row,
            judgement_rows.pair_id,
            if(pairs.pair_id is null, 'pair unknown', 'order unknown') as reason
        from judgement_rows
        left join labelled_pairs as pairs using (pair_id)
        where pairs.pair_id is null or (swapped is not null and try_cast(swapped as boolean) is null)
        order by all
        """,
        {"file": file},
    ).fetchall()
    connection.execute(GAMES)
    connection.execute(
        """
        insert into recorded_games by name
        select
            judgement_rows.pair_id as instruction_id,
            1 as turn,
            if(other_first, 'output_2', 'output_1') as model_a,
            if(other_first, 'output_1', 'output_2') as model_b,
            $judge as judge_id,
            if(other_first, 1 - winner_labels.score, winner_labels.score) as score,
            $file as file,
            list_sum(tokens::bigint[])::bigint as tokens,
            cost::double as cost_usd
        from (select *, coalesce(try_cast(swapped as boolean), false) as other_first from judgement_rows) as judgement_rows
        semi join labelled_pairs as pairs on pairs.pair_id = judgement_rows.pair_id and pairs.reason is null
        left join winner_labels on winner_labels.label = judgement_rows.label
        where swapped is null or try_cast(swapped as boolean) is not null
        """,
        {"judge": name, "file": file},
    )
    if not connection.sql("from recorded_games limit 1").fetchall():
        raise InputError(f"{file}: no judgement of {name} on a usable pair. {describe(bad)}")
    return name, bad


def count_reasons(unusable: Unusable) -> dict[str, int]:
    """How many rows each reason has, the most frequent first."""
    return dict(Counter(reason for *_, reason in unusable).most_common())


def describe(unusable: Unusable, most: int = 5) -> str:
    """Unusable rows in words: a count per reason, then the first rows."""
    if not unusable:
        return ""
    counts = ", ".join(f"{count:,} {reason}" for reason, count in count_reasons(unusable).items())
    rows = [f"{file} row {row} ({pair}): {reason}" for file, row, pair, reason in unusable[:most]]
    return "\n  ".join([f"Unusable rows: {counts}.", *rows])


def _select_judge(connection: duckdb.DuckDBPyConnection, columns: Columns, judge: str) -> tuple[str, str]:
    """The full name of the judge that is meant, and the condition that its rows fulfil."""
    name = f"concat_ws('-', {columns.optional(JUDGES)}, {columns.optional(STRATEGIES)})"
    with reading(columns.file):
        found = connection.sql(
            f"select distinct {columns.optional(JUDGES)} as judge, {name} as name from {columns.source} order by all"
        ).fetchall()
    names = [name for _, name in found]
    if names == [""]:  # the file tells no judges apart
        return judge, "true"
    meant = [judge] if judge in names else [name for each, name in found if each == judge]
    if len(meant) != 1:
        several = f"{judge} has several strategies; name one" if meant else "no such judge"
        raise InputError(f"{columns.file}: --judge {judge}: {several}. Known: {', '.join(meant or names)}.")
    return meant[0], f"{name} = '{meant[0].replace(chr(39), chr(39) * 2)}'"


def _know_labels(connection: duckdb.DuckDBPyConnection, labels: str) -> None:
    """Create ``winner_labels`` for the labels of a SELECT. Two numbered sides: 1, 2, and 0 for a tie."""
    connection.execute(f"create or replace temporary table battle_rows as select 'numbered' as kind, * from ({labels})")
    sql.materialize(connection, "winner_labels", "battles/winner_labels")
