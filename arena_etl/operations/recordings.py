"""Bring recorded battles into the lake: battle files, AlpacaEval's outputs and annotations, FastChat's answers and reviews.

What the files hold becomes rows of the same tables that a fought round fills, through the same audits: instructions (where
their texts are there), slices, responses, models, battles. What the games of a pair amount to: sql/battles/merge_recorded.sql.
"""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import duckdb
import pyarrow as pa

from arena_etl.analytics.battle_files import (
    ANSWERS,
    INSTRUCTION_IDS,
    INSTRUCTIONS,
    MODELS,
    columns_of,
    open_files,
    reader_of,
    reading,
)
from arena_etl.config import Config, Filter, Source, digest
from arena_etl.errors import InputError
from arena_etl.flywheel import do
from arena_etl.instructions.shapes import Category
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging
from arena_etl.quality.publish import publish
from arena_etl.rounds import TRAINING
from arena_etl.steps import Step, Summary, perform

# The columns that tell a kind of file without the two models of a battle. In order: the first that fits counts.
KINDS: dict[str, tuple[str, ...]] = {
    "reviews": ("question_id", "answer1_id", "answer2_id", "score"),
    "answers": ("question_id", "model_id"),
    "questions": ("question_id", "turns"),
    "questions of one turn": ("question_id", "text"),
    "outputs": ("instruction", "output", "generator"),
}


@dataclass(frozen=True)
class Recording:
    """What the files of one import have in common.

    ``judge``: who judged, where a file does not say. ``renames``: other names for models, by the name in the files.
    """

    round: str
    stage: str
    arena: str
    license: str
    language: str
    judge: str | None
    renames: dict[str, str]

    @property
    def keys(self) -> tuple[str, str, str]:
        return self.round, self.stage, self.arena

    @property
    def source(self) -> str:
        return f"import-{'-'.join(self.keys)}"


def import_files(config: Config, lake: Lake, files: Sequence[str], recording: Recording) -> dict[str, Any]:
    """Import the files into the partition of a round, stage and arena. The same files again change nothing.

    A model that is called like the configured target or a rival becomes that contestant. Returns the rows published per
    table, and as ``unusable`` the rows whose pair is not known, by reason.

    Raises InputError for a file of no known kind, for files without a battle, for reviews without their answers, for texts
    without a licence, and if the partition holds battles of another origin. Raises GateStopped as every step does.
    """
    summary: dict[str, Any] = {}
    with duckdb.connect() as connection:
        unusable = _read(connection, files, recording)
        if not connection.sql("from recorded_games limit 1").fetchall():
            raise InputError(f"{', '.join(files)}: no battle in any of the files: give the battles or reviews as well.")
        ids = _identify(connection)
        _name(connection, {c.name: c.contestant_id for c in (config.target, *config.rivals)}, recording.renames)
        [(selfish,)] = connection.execute("delete from recorded_games where model_a = model_b").fetchall()
        if selfish:
            unusable["model against itself"] = selfish
        given = {
            "files": sorted(_sha256(file) for file in files),
            "recording": vars(recording),
            "contestants": connection.sql("select written, contestant_id from names order by all").fetchall(),
        }
        keys = {
            "slices": recording.keys[:2],
            "responses": recording.keys,
            "models": recording.keys[:1],
            "battles": recording.keys,
        }
        if recording.arena != TRAINING or not ids:
            del keys["slices"]
        if not ids:
            del keys["responses"]
        for table in keys.keys() - {"models"}:
            partition = Partition(table, keys[table])
            if lake.fingerprint(partition) not in (
                None,
                _step(table, given).staging(config, lake, *keys[table]).fingerprint,
            ):
                raise InputError(
                    f"{partition.key}: is there already, from something else. Import into another --round, --stage or "
                    "--arena; all files of one recording belong into one import."
                )
        if ids:
            summary["instructions"] = _ingest(config, lake, connection, recording)
        for table, values in keys.items():
            rows = _rows(connection, lake, table, recording)
            if table == "slices" and not rows.num_rows:  # all of them were drawn in another round
                continue
            step = _step(table, given, rows)
            done = perform(step, config, lake, *values) | publish(step, config, lake, *values)
            summary[table] = rows.num_rows if done.get("unchanged") else done["rows"]
    return {**summary, "unusable": unusable}


def _step(table: str, given: Mapping[str, Any], rows: pa.Table | None = None) -> Step:
    def work(config: Config, lake: Lake, staging: Staging, *keys: str, unit: str) -> Summary:
        staging.write(unit, "recorded", rows)
        return {}

    return Step("import", table, lambda config, lake, *keys: given, work)


def _read(connection: duckdb.DuckDBPyConnection, files: Sequence[str], recording: Recording) -> dict[str, int]:
    """Fill recorded_texts, recorded_answers and recorded_games; returns the rows whose pair is unknown, by reason."""
    connection.execute(
        """
        create table recorded_texts (key varchar, turns varchar[], category varchar);
        create table recorded_answers (
            key varchar, turn integer, model varchar, text varchar, answer_id varchar, judged boolean, file varchar
        );
        create table recorded_games (
            instruction_id varchar, turn integer, model_a varchar, model_b varchar, judge_id varchar,
            score double, points_a double, points_b double, file varchar
        )
        """
    )
    unusable: Counter[str] = Counter()
    tables = [(file, *_table(connection, file)) for file in files]
    for file, kind, rows, columns in sorted(tables, key=lambda table: table[1] == "reviews"):  # after all answers
        parameters = {"file": Path(file).name, "judge": recording.judge or Path(file.removesuffix(".gz")).stem}
        with reading(file):
            match kind:
                case "questions" | "questions of one turn":
                    category = "category" if "category" in columns else "null"
                    turns = "turns::json::varchar[]" if "turns" in columns else "[text]"
                    connection.execute(
                        f"insert into recorded_texts select question_id, {turns}, {category} from {rows}"
                    )
                case "answers":
                    turns = "choices->'$[0].turns'" if "choices" in columns else "json_array(text)"
                    identifier = "answer_id" if "answer_id" in columns else "null"
                    connection.execute(
                        f"""
                        insert into recorded_answers
                        select question_id, unnest(range(1, len(turns) + 1)), model_id, unnest(turns), answer_id, false, $file
                        from (select *, ({turns})::varchar[] as turns, {identifier} as answer_id from {rows})
                        """,
                        {"file": parameters["file"]},
                    )
                case "outputs":
                    _add_texts(connection, rows, columns, {"generator": "output"}, False, parameters["file"])
                case "reviews":
                    _add_reviews(connection, rows, columns, parameters)
                case _:
                    _add_battles(connection, file, rows, columns, parameters, unusable)
    return dict(unusable)


def _table(connection: duckdb.DuckDBPyConnection, file: str) -> tuple[str, str, list[str]]:
    """The kind of a file, a SELECT of its columns as text (nested values as JSON), and their names."""
    reader = reader_of(connection, file)
    types = columns_of(connection, file, reader)
    texts = [
        f'to_json("{name}")::varchar as "{name}"'
        if type_.startswith(("STRUCT", "MAP")) or type_.endswith("]")
        else f'"{name}"::varchar as "{name}"'
        for name, type_ in types.items()
    ]
    fights = any({*pair} <= {name.lower() for name in types} for pair in MODELS)
    kind = next((kind for kind, needed in KINDS.items() if not fights and set(needed) <= types.keys()), "battles")
    return kind, f"(select {', '.join(texts)} from {reader})", list(types)


def _add_texts(
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    columns: Sequence[str],
    answers: Mapping[str, str],
    judged: bool,
    file: str,
) -> None:
    """Instructions, with the key that ``open_files`` gives them, and the answers: text column by model column."""
    instruction = next(name for name in INSTRUCTIONS if name in columns)
    key = next((name for name in INSTRUCTION_IDS if name in columns), f"md5(nullif(trim({instruction}), ''))")
    connection.execute(f"insert into recorded_texts select {key}, [{instruction}], null from {rows}")
    for model, answer in answers.items():
        connection.execute(
            f"insert into recorded_answers select {key}, 1, {model}, {answer}, null, $judged, $file from {rows}",
            {"file": file, "judged": judged},
        )


def _add_reviews(
    connection: duckdb.DuckDBPyConnection, rows: str, columns: Sequence[str], parameters: Mapping[str, str]
) -> None:
    """Two points per review, on the scale of 1 to 10; a review without two such points is an unusable game."""
    missing = connection.execute(
        f"select answer from (select unnest([answer1_id, answer2_id]) as answer from {rows}) "
        "anti join recorded_answers on answer = answer_id limit 1"
    ).fetchone()
    if missing:
        raise InputError(
            f"{parameters['file']}: answer {missing[0]} is in none of the answer files. Give the answers (question_id, "
            "answer_id, model_id, text) in the same import."
        )
    connection.execute(
        f"""
        insert into recorded_games
        with games as (
            select
                reviews.question_id, first.turn, first.model as model_a, second.model as model_b,
                try_cast(score->>'$[0]' as double) as points_a, try_cast(score->>'$[1]' as double) as points_b,
                points_a between 1 and 10 and points_b between 1 and 10 as usable
            from (select *, row_number() over () as review from {rows}) as reviews
            inner join recorded_answers as first on first.answer_id = answer1_id
            inner join recorded_answers as second on second.answer_id = answer2_id and second.turn = first.turn
            qualify row_number() over (partition by review order by first.turn desc) = 1 -- judged up to its last turn
        )
        select
            question_id, turn, model_a, model_b, $judge, if(usable, (1 + sign(points_a - points_b)) / 2, null),
            if(usable, points_a, null), if(usable, points_b, null), $file
        from games
        """,
        dict(parameters),
    )


def _add_battles(
    connection: duckdb.DuckDBPyConnection,
    file: str,
    rows: str,
    columns: Sequence[str],
    parameters: Mapping[str, str],
    unusable: Counter[str],
) -> None:
    """The battles as ``arena-etl rate`` reads them, and the texts that stand beside them."""
    with open_files([file]) as source:
        for reason, count in source.sql(
            "select reason, count(*) from recorded_battles where model_a is null or model_b is null group by reason"
        ).fetchall():
            unusable[reason] += count
        games = source.sql(
            "select if(instruction_id = file_number || '/' || row, null, instruction_id) as instruction_id, row, "
            "coalesce(turn, 1) as turn, model_a, model_b, judge_id, if(reason is null, score, null) as score "
            "from recorded_battles where model_a is not null and model_b is not null"
        ).to_arrow_reader()
        connection.register("games", games)
        connection.execute(
            "insert into recorded_games "
            "select coalesce(instruction_id, $sha256 || '/' || row), turn, model_a, model_b, coalesce(judge_id, $judge), "
            "score, null, null, $file from games",
            # Rows without an instruction are one each, over all files and imports.
            {**parameters, "sha256": _sha256(file)},
        )
    if not set(INSTRUCTIONS) & set(columns):
        return
    for pair, models in ((pair, models) for pair in ANSWERS for models in MODELS):
        if {*pair, *models} <= set(columns) and "conversation_a" not in pair:
            _add_texts(connection, rows, columns, dict(zip(models, pair, strict=True)), True, parameters["file"])
            return


def _identify(connection: duckdb.DuckDBPyConnection) -> int:
    """Give instructions with a text the lake's id, everywhere; returns their number. Others keep the id of their file."""
    connection.execute(
        "create table identities (key varchar, instruction_id varchar, turns varchar[], category varchar)"
    )
    double = connection.sql(
        "select key from recorded_texts group by key having count(distinct turns) > 1 order by key limit 1"
    ).fetchall()
    if double:
        raise InputError(
            f"instruction {double[0][0]}: the files have two texts under this id. Import them into two rounds."
        )
    texts = connection.sql(
        "select key, any_value(turns order by turns), any_value(category order by category) from recorded_texts "
        "where len(list_filter(turns, lambda turn: trim(turn) <> '')) = len(turns) group by key order by key"
    ).fetchall()
    rows = [(key, digest([{"role": "user", "content": turn} for turn in turns]), turns, c) for key, turns, c in texts]
    if rows:
        columns = zip(("key", "instruction_id", "turns", "category"), zip(*rows, strict=True), strict=True)
        connection.register("named", pa.table({name: pa.array(values) for name, values in columns}))
        connection.execute("insert into identities select * from named")
    for table, column in (("recorded_games", "instruction_id"), ("recorded_answers", "key")):
        connection.execute(
            f"update {table} set {column} = identities.instruction_id from identities where {table}.{column} = identities.key"
        )
    return len(rows)


def _name(connection: duckdb.DuckDBPyConnection, contestants: Mapping[str, str], renames: Mapping[str, str]) -> None:
    """Contestant ids instead of names: the configured ones, others with the hash of the name."""
    connection.execute(
        """
        create table names as
        select
            written,
            coalesce($renamed[list_position($renames, written)], written) as name,
            coalesce($ids[list_position($names, name)], name || '-' || left(sha256(name), 8)) as contestant_id,
            list_contains($names, name) as configured,
            min(file) as file
        from (
            select unnest([model_a, model_b]) as written, file from recorded_games
            union all
            select model, file from recorded_answers
        )
        group by written
        """,
        {
            "renames": ["", *renames],
            "renamed": ["", *renames.values()],
            "names": list(contestants),
            "ids": list(contestants.values()),
        },
    )
    unknown = set(renames) - {row[0] for row in connection.sql("select written from names").fetchall()}
    if unknown:
        raise InputError(f"--rename {', '.join(sorted(unknown))}: no such model in the files.")
    for table, column in (("recorded_games", "model_a"), ("recorded_games", "model_b"), ("recorded_answers", "model")):
        connection.execute(f"update {table} set {column} = contestant_id from names where {column} = written")


def _ingest(config: Config, lake: Lake, connection: duckdb.DuckDBPyConnection, recording: Recording) -> int:
    """Land and prepare the texts as a source of their own, as any other file of instructions."""
    if not recording.license:
        raise InputError("the files have texts: name the licence they are under, --license CC-BY-4.0 for example.")
    split = "train" if recording.arena == TRAINING else "wizard_diverse"
    with lake.connect(["instructions"]) as there:
        there.register("given", connection.sql("select distinct instruction_id from identities").to_arrow_table())
        [(others,)] = there.sql(
            "select count(*) from instructions semi join given using (instruction_id) where (split = 'train') <> $train",
            params={"train": split == "train"},
        ).fetchall()
    if others:
        raise InputError(
            f"{others} of the instructions are in the lake as {'test' if split == 'train' else 'training'} instructions: what "
            "is tested on is never trained on. Import into the other --arena, or into another lake."
        )
    texts = connection.sql("select distinct instruction_id, turns, category from identities order by all").fetchall()
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".jsonl", prefix="recorded-") as file:
        for _, turns, category in texts:
            line = {
                "conversation": [{"role": "user", "content": turn} for turn in turns],
                "category": category if category in get_args(Category) else "unknown",
                "language": recording.language,
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()
        # Whatever the texts are: the battles about them were fought.
        source = Source(
            name=recording.source, path=file.name, split=split, license=recording.license, skip=get_args(Filter)
        )
        with_source = config.model_copy(update={"sources": (*config.sources, source)})
        for step in ("land", "prepare"):  # recorded battles need no vectors
            do(with_source, lake, step, source.name)
    return len(texts)


def _rows(connection: duckdb.DuckDBPyConnection, lake: Lake, table: str, recording: Recording) -> pa.Table:
    """The rows that the import publishes in a table of the lake."""
    parameters: dict[str, Any] = {"round": recording.round, "stage": recording.stage, "arena": recording.arena}
    match table:
        case "battles":
            connection.register("judged_answers", _rows(connection, lake, "responses", recording))
            sql.materialize(connection, "answer_style", "battles/answer_style")
            sql.materialize(connection, "merged_battles", "battles/merge_recorded", **parameters)
            return sql.run(connection, "battles/styled").to_arrow_table()
        case "slices":
            query = """
                select
                    $round as round, $stage as stage, instruction_id,
                    (row_number() over (order by instruction_id) - 1)::integer as position
                from (select distinct instruction_id from identities)
                where instruction_id not in (select instruction_id from drawn)
                order by position
                """
            with lake.connect(["slices"]) as there:
                drawn = there.sql(
                    "select instruction_id from slices where (round, stage) <> ($round, $stage)",
                    params={"round": recording.round, "stage": recording.stage},
                ).to_arrow_table()
            connection.register("drawn", drawn)
            del parameters["arena"]
        case "models":
            query = """
                select
                    $round as round, contestant_id, name, 'rival' as role, name as family, 'recorded' as backend,
                    file as checkpoint, null as revision, null as system_prompt, '{}' as sampling, null as parent,
                    $now as created_at
                from names
                where not configured and not list_contains($registered, contestant_id)
                qualify row_number() over (partition by contestant_id order by file) = 1
                order by contestant_id
                """
            with lake.connect(["models"]) as known:
                registered = [row[0] for row in known.sql("select contestant_id from models").fetchall()]
            parameters = {"round": recording.round, "registered": registered, "now": datetime.now(UTC)}
        case _:
            # Of several texts that which stands beside a verdict; that there were others is on record.
            query = """
                select
                    $round as round, $stage as stage, $arena as arena, instruction_id, model as contestant_id, turn,
                    if(blank, null, text) as text, if(blank, 'error', 'recorded') as finish_reason,
                    if(blank, 'empty recorded answer', null) as error, null as tokens_in, null as tokens_out,
                    0.0 as latency_s,
                    if(contradicted, json_object('recorded_in', file, 'contradicted', true), json_object('recorded_in', file))
                    as request, $now as created_at,
                    sha256(concat_ws(chr(31), instruction_id, model, turn, if(blank, null, text))) as response_id,
                    null as reasoning, 0.0 as cost_usd
                from (
                    select
                        key as instruction_id, model, turn, text, file, coalesce(trim(text), '') = '' as blank,
                        min(text) over same <> max(text) over same as contradicted
                    from recorded_answers
                    window same as (partition by key, model, turn)
                    qualify row_number() over (
                        partition by key, model, turn order by blank, judged desc, file, text
                    ) = 1
                )
                semi join identities using (instruction_id)
                order by instruction_id, contestant_id, turn
                """
            parameters |= {"now": datetime.now(UTC)}
    schema = Partition(table).declaration.arrow_schema()
    return connection.sql(query, params=parameters).to_arrow_table().select(schema.names).cast(schema)


def _sha256(file: str) -> str:
    try:
        with Path(file).open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}).") from error
