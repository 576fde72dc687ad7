"""Verbs that bring data in: init, ingest, contamination, import."""

from pathlib import Path
from typing import Annotated

import typer

from arena_etl import config as configuration
from arena_etl.cli.base import Accept, Arena, AsOf, Json, Reason, Round, Stage, app, open_lake
from arena_etl.cli.output import print_json, print_rows, short, stderr, stdout
from arena_etl.cli.steps import acceptance_of, do_steps
from arena_etl.errors import InputError
from arena_etl.rounds import parse_round


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="Where to write.")] = Path(configuration.DEFAULT_FILE),
    print_: Annotated[bool, typer.Option("--print", help="Print it instead.")] = False,
    paper_: Annotated[
        bool, typer.Option("--paper", help="Stages, slices and trainings of the paper instead of the embedded ones.")
    ] = False,
) -> None:
    """Write a commented configuration file with the embedded defaults."""
    from arena_etl.operations.template import paper, render

    text = render(paper() if paper_ else None)
    if print_:
        stdout.print(text, end="", markup=False)
        return
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise InputError(f"{file}: exists already; it is left as it is. Name another file, or move it away.") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error}") from error
    stdout.print(f"wrote {file}", markup=False)


@app.command()
def ingest(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="Names of configured sources, or files, folders, globs, s3:// and hf://datasets/ places. Default: all sources.",
        ),
    ] = None,
    license_: Annotated[str, typer.Option("--license", help="Of a place's rows that do not name their own.")] = "",
    split: Annotated[configuration.Split, typer.Option(help="What the rows of a place are for.")] = "train",
    accept: Accept = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Land sources, clean and compare their rows, and tell what was taken out and why.

    A source that did not change is passed over, rows that were seen before are not looked at again. Shapes, columns and
    filters: docs/instructions.md.

    \b
    arena-etl ingest
    arena-etl ingest my-source
    arena-etl ingest 'logs/2026-01-*.jsonl.gz' --license proprietary
    """
    from arena_etl.flywheel import ingest_plan
    from arena_etl.operations.ingestion import funnel, with_sources

    config, lake = open_lake()
    if sources:
        config = with_sources(config, sources, license_, split)
    names = [source.name for source in config.sources]
    summaries = do_steps(
        ingest_plan(config), False, quiet=as_json, acceptance=acceptance_of(accept, reason), config=config
    )
    rows = funnel(lake, names)
    if as_json:
        print_json({"steps": summaries, "funnel": rows})
        return
    print_rows(["source", "step", "rows"], rows)


@app.command()
def contamination(
    benchmark: Annotated[str | None, typer.Argument(help="A test set: list what it removed, beside its items.")] = None,
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """What the test sets removed from the training instructions, and why.

    A test set is a source whose split is not train. Ways of being found: identical conversations, a shared run of words
    (ngram), neighbours by embedding, near-duplicates: docs/deduplication.md.

    \b
    arena-etl contamination
    arena-etl contamination alpaca-eval --json
    """
    from arena_etl.lake import sql as files
    from arena_etl.lake.releases import resolve

    _, lake = open_lake(create=False)
    with lake.connect(versions=resolve(lake, as_of)) as connection:
        files.materialize(connection, "test_items", "instructions/test_items")
        rows = files.run(connection, "decontamination/report").to_arrow_table().to_pylist()
        if benchmark is not None and benchmark not in (known := [row["benchmark"] for row in rows]):
            raise InputError(f"{benchmark}: no test set of this release, which has {', '.join(known) or 'none'}.")
        if benchmark is not None:
            found = files.run(connection, "decontamination/removed_by", benchmark=benchmark)
            rows = found.to_arrow_table().to_pylist()
    if as_json:
        print_json(rows)
    elif not rows:
        stdout.print("nothing was removed" if benchmark else "no test set: give a source the split benchmark")
    elif benchmark is None:
        print_rows(list(rows[0]), rows)
    else:
        header = ["method", "measure", "source", "source_id", "training_text", "test_text"]
        print_rows(header, [{**row, **{name: short(row[name]) for name in header[-2:]}} for row in rows])


@app.command("import")
def import_(
    files: Annotated[list[str], typer.Argument(help="Battles, outputs, annotations, questions, answers, reviews.")],
    round_: Round,
    stage: Stage = "sft",
    arena: Arena = "wizard_arena",
    license_: Annotated[str, typer.Option("--license", help="Licence of the texts, needed where there are any.")] = "",
    language: Annotated[str, typer.Option(help="Of the instructions, ISO 639-1.")] = "en",
    judge_: Annotated[
        str | None, typer.Option("--judge", help="Who judged, where a file does not say. Default: the file's name.")
    ] = None,
    renames: Annotated[
        list[str] | None,
        typer.Option("--rename", help="OLD=NEW: the name of a configured contestant for a model, e.g. of the target."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring recorded battles into the lake, with answers and instructions where the files have them.

    Whatever `arena-etl rate` reads; AlpacaEval's outputs and annotations; FastChat's questions, answers and reviews (give
    them together). Then rate, select, leaderboard and sql work on the round as on one that was fought: docs/recorded.md.

    \b
    arena-etl import votes.parquet --round 2024-01-31
    arena-etl import outputs.json annotations.json --round 2024-01-31 --license CC-BY-NC-4.0 --arena training
    """
    from arena_etl.operations.recordings import Recording, import_files

    config, lake = open_lake()
    if wrong := [rename for rename in renames or [] if not all(rename.partition("="))]:
        raise InputError(f"--rename {wrong[0]}: write it as OLD=NEW, e.g. --rename alpaca-7b=my-model")
    pairs = dict(rename.split("=", 1) for rename in renames or [])
    recording = Recording(parse_round(round_), stage, arena, license_, language, judge_, pairs)
    summary = import_files(config, lake, files, recording)
    unusable = summary["unusable"]
    if unusable:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in unusable.items())
        stderr.print(f"note: rows that are no battle: {counts}", markup=False)
    if as_json:
        print_json(summary)
        return
    rows = ", ".join(f"{count:,} {table}" for table, count in summary.items() if table != "unusable")
    stdout.print(f"imported into {'/'.join(recording.keys)}: {rows}", markup=False)
