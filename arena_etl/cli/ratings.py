"""Verbs about who is better, and how far a judge can be trusted."""

import math
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table as RichTable
from rich.text import Text

from arena_etl import config as configuration
from arena_etl.cli.base import AsOf, Json, NewestRound, app, author, open_lake
from arena_etl.cli.output import card_line, leaderboard_table, print_json, stderr, stdout
from arena_etl.cli.steps import do_steps
from arena_etl.errors import ArenaError, InputError
from arena_etl.rounds import WIZARD_ARENA, parse_round


@app.command()
def rate(
    context: typer.Context,
    files: Annotated[
        list[str] | None, typer.Argument(help="Parquet, CSV, JSON or JSON Lines; text also with .gz or .zst.")
    ] = None,
    round_: Annotated[
        str | None, typer.Option("--round", "-r", help="Instead of files: rate the lake's battles up to this round.")
    ] = None,
    method: Annotated[Literal["bradley-terry", "elo", "style"], typer.Option(help="How to rate.")] = "bradley-terry",
    k: Annotated[float, typer.Option(help="K factor of Elo.")] = 4,
    scale: Annotated[float, typer.Option(help="Rating points for odds of --base to one.")] = 400,
    base: Annotated[float, typer.Option(help="See --scale.")] = 10,
    initial: Annotated[float, typer.Option(help="Start of Elo; mean rating of the others.")] = 1000,
    anchor: Annotated[
        str | None, typer.Option(help="MODEL=RATING: move the scale so that this model has this rating.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples of whole instructions; 0: no intervals.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = 0,
    prior_games: Annotated[
        float, typer.Option(help="Drawn games of every model against an average one, for Bradley-Terry.")
    ] = 0,
    scope: Annotated[str | None, typer.Option(help="A column: rate the battles of each of its values too.")] = None,
    as_json: Json = False,
) -> None:
    """Rate battle files, without a lake or a configuration; or, with --round, the battles in the lake.

    Columns have the names that people use: model_a, model_b, winner; model_1 and model_2; left and right; one-hot
    winner_model_a...; AlpacaEval's annotations; FastChat's pairs of games. Battles are in the order of a column tstamp
    (timestamp, created_at, date), else of the files. Rows that are not usable are counted and listed on stderr.

    \b
    arena-etl rate votes.parquet
    arena-etl rate votes.csv.gz more.jsonl --scope language --anchor gpt-4=1200 --json
    arena-etl rate --round 2026-01-31
    """
    if round_:
        others = [name for name in context.params if name not in ("round_", "as_json")]
        if given := [n for n in others if (source := context.get_parameter_source(n)) and source.name == "COMMANDLINE"]:
            raise InputError(
                f"--round and {', '.join(given)}: a round is rated as the configuration says (section ratings); "
                "the other options are for files."
            )
        round_ = parse_round(round_)
        do_steps([("rate", (round_,)), ("win_rates", (round_,))], as_json)
        return
    if not files:
        raise InputError("nothing to rate: give battle files, or --round YYYY-MM-DD for the battles of the lake.")
    if min(k, scale) <= 0 or base <= 1 or prior_games < 0:
        raise InputError("--k and --scale must be above 0, --base above 1, and --prior-games 0 or more.")
    model, _, rating = anchor.rpartition("=") if anchor else (None, "", "0")
    try:
        anchor_rating = float(rating)
    except ValueError:
        anchor_rating = float("nan")
    if model == "" or not math.isfinite(anchor_rating):
        raise InputError(f"--anchor {anchor}: write it as MODEL=RATING, e.g. --anchor gpt-4=1200")

    from arena_etl.analytics.battle_files import rate_files

    names = {"bradley-terry": "bradley_terry", "elo": "elo", "style": "style_controlled"}
    settings = configuration.Ratings().model_dump() | {
        "k": k,
        "scale": scale,
        "base": base,
        "initial": initial,
        "anchor": model,
        "anchor_rating": anchor_rating,
        "resamples": bootstrap,
        "seed": seed,
        "prior_games": prior_games,
    }
    result = rate_files(files, names[method], settings, scope) | {"method": method}
    for note in result.pop("notes"):
        stderr.print(f"note: {note}", markup=False)
    if as_json:
        print_json(result)
        return
    for board, rows in groupby(result["ratings"], key=lambda row: str(row["scope"])):
        stdout.print(leaderboard_table(list(rows), None if board == "overall" else board.removeprefix("overall/")))


@app.command()
def leaderboard(
    round_: NewestRound = None,
    scope: Annotated[
        str, typer.Option(help="wizard_arena, training, or a part of one such as wizard_arena/category=math.")
    ] = WIZARD_ARENA,
    method: Annotated[configuration.RatingMethod, typer.Option(help="How battles become ratings.")] = "bradley_terry",
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Ratings with intervals, over all battles of the scope up to the round."""
    from arena_etl.lake import sql as files
    from arena_etl.lake.releases import resolve

    _, lake = open_lake(create=False)
    versions = resolve(lake, as_of)
    with lake.connect(["ratings", "models", "verdicts", "battles", "judge_cards"], versions) as connection:
        chosen = parse_round(round_) if round_ else None
        board = files.run(connection, "ratings/leaderboard", round=chosen, scope=scope, method=method)
        rows = board.to_arrow_table().to_pylist()
        known = connection.sql(
            "select list(distinct scope order by scope), list(distinct method) from ratings"
        ).fetchall()
        cards = files.run(connection, "reports/judge_cards", round=chosen, scope=scope).to_arrow_table().to_pylist()
    scopes, methods = (known[0][0] or [], known[0][1] or [])
    if not rows and scopes:
        raise InputError(
            f"no {method} ratings of {scope} in this release. Scopes: {', '.join(scopes)}. Methods: {', '.join(methods)}."
        )
    if not rows:
        raise ArenaError("no ratings in this release. `arena-etl status` shows what is done.")
    if as_json:
        print_json([{key: value for key, value in row.items() if key not in ("name", "role")} for row in rows])
    else:
        stdout.print(leaderboard_table(rows))
    if told := "; ".join(card_line(card) for card in cards if card["category"] in (None, "overall")):
        stderr.print(f"judge {told}", markup=False)


@app.command()
def agreement(
    file: Annotated[
        Path, typer.Argument(help="A leaderboard, or the battles of a judge: CSV, JSON, JSONL or Parquet.")
    ],
    reference: Annotated[Path, typer.Option(help="The leaderboard, or the battles of people, to compare it with.")],
    touching: Annotated[
        Literal["separated", "overlapping"],
        typer.Option(help="Leaderboards: what intervals count as of which one ends where the other begins."),
    ] = "separated",
    scope: Annotated[str | None, typer.Option(help="Battles: also tell each value of this column apart.")] = None,
    as_json: Json = False,
) -> None:
    """How far a leaderboard agrees with a reference, or a judge with people.

    Leaderboards have columns for the model (model, name...), its rating (rating, elo, score...) and, where known, its
    interval (lower and upper...); the JSON of `arena-etl rate` will do. The measures: sql/agreement/consistency.sql.
    Battles have the columns that `arena-etl rate` reads, and an instruction. Agreement and Cohen's kappa:
    sql/agreement/judge_against_people.sql.
    """
    from arena_etl.analytics.agreement import compare_judges, compare_leaderboards, holds_battles

    if holds_battles(file):
        result = compare_judges(file, reference, scope)
        header = list(result["agreement"][0])
        lines = [list(row.values()) for row in result["agreement"]]
    elif scope:
        raise InputError(f"--scope {scope}: only battles have scopes, and {file} is a leaderboard.")
    else:
        result = compare_leaderboards(file, reference, touching == "separated")
        header = ["measure", "value"]
        lines = [[name, len(value) if isinstance(value, list) else value] for name, value in result.items()]
        lines = [line for line in lines if line[0] != "notes"]
    if as_json:
        print_json(result)
        return
    for note in result["notes"]:
        stderr.print(f"note: {note}", markup=False)
    table = RichTable(*header, box=None)
    for line in lines:
        table.add_row(*(_measure(value) for value in line))
    stdout.print(table, markup=False)


def _measure(value: Any) -> str:
    """A cell of `agreement`'s table."""
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


@app.command()
def calibrate(
    pairs: Annotated[
        str, typer.Option(help="Pairs of answers that people labelled: CSV, JSON, JSONL or Parquet.", metavar="FILE")
    ],
    judge_: Annotated[
        str, typer.Option("--judge", help="A configured judge; with --judgements, a judge of that file.")
    ],
    judgements: Annotated[
        str | None, typer.Option(help="Read what the judge said from a file, and ask nobody.", metavar="FILE")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the pairs. Default: the file's name.")] = None,
    as_json: Json = False,
) -> None:
    """Make the card of a judge: how far it agrees with people, and with itself, what sways it and what it costs.

    Pairs have an instruction, two answers (output_1 and output_2, response_1 and response_2...) and what people said: gold,
    or human_1 to human_n, of whom most decide; 1, 2, or 0 for a tie. Every pair is played in both orders. The card is
    released at once; boards show it, and the gates ask for it: docs/calibration.md.

    \b
    arena-etl calibrate --pairs llmbar.parquet --judge smollm2-judge
    arena-etl calibrate --pairs pandalm.parquet --judgements pandalm.parquet --judge gpt35
    """
    from arena_etl.operations.calibration import calibrate as make_card

    config, lake = open_lake()
    result = make_card(config, lake, pairs, judge_, judgements=judgements, dataset=dataset, author=author())
    for note in result.pop("notes"):
        stderr.print(f"note: {note}", markup=False)
    if as_json:
        print_json(result)
        return
    stamps = ("category", "source", "pairs_sha256", "created_at")
    header = [name for name in result["card"][0] if name not in stamps]
    table = RichTable("category", *(name.replace("_", " ") for name in header), box=None)
    for row in result["card"]:
        table.add_row(Text(row["category"]), *(_measure(row[name]) for name in header))
    stdout.print(table)
    stdout.print(
        f"card of {result['judge_id']} on {result['dataset']}, release {result['release']}; `arena-etl leaderboard` shows it",
        markup=False,
    )
