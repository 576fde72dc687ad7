"""Verbs that make something to look at."""

from pathlib import Path
from typing import Annotated

import typer

from arena_etl.cli.base import AsOf, NewestRound, app, open_lake
from arena_etl.cli.output import stdout
from arena_etl.errors import InputError
from arena_etl.rounds import parse_round


@app.command()
def report(
    round_: NewestRound = None,
    as_of: AsOf = None,
    site: Annotated[
        bool, typer.Option("--site", help="Instead: an index over all rounds, with a page per round and per model.")
    ] = False,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="With --site: copy it to this folder or s3://bucket/prefix.")
    ] = None,
) -> None:
    """Write the round's one-page HTML report and print where it is; or, with --site, the site of all rounds and models.

    A round that no release has come to, because it is at work or a gate has stopped it, is shown as it is now. The site is the
    folder `reports` of the lake; rounds that have a report keep it.

    \b
    arena-etl report --round 2026-01-31
    arena-etl report --site --output s3://my-bucket/arena-site
    """
    from arena_etl.lake.releases import resolve
    from arena_etl.operations.status import newest_round

    if site and round_:
        raise InputError("--site is about all rounds: give it without --round.")
    if output and not site:
        raise InputError("--output is for --site; a round's report lies in the lake's folder `reports`.")
    config, lake = open_lake(create=False)
    if site:
        from arena_etl.reports.site import write as write_site

        written = write_site(config, lake, as_of, output)
    else:
        from arena_etl.reports.report import write

        known = resolve(lake, as_of) if as_of else None
        written = write(config, lake, parse_round(round_) if round_ else newest_round(lake, known), as_of)
    stdout.print(written, markup=False)


@app.command()
def plot(
    name: Annotated[str, typer.Argument(help="Which plot: see above.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write, .svg or .png.")],
    round_: NewestRound = None,
    as_of: AsOf = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="For consistency: the leaderboard to compare with, as `arena-etl agreement` reads it."),
    ] = None,
) -> None:
    """Draw a plot into a file: what the lake knew after the round, from one file under sql/ that its title names.

    Plots: rating-forest, rating-history, win-rates, consistency, position-bias, length-scores, difficulty, training,
    quality-trend.

    \b
    arena-etl plot rating-forest -o leaderboard.svg
    arena-etl plot consistency --reference lmsys.csv -o consistency.png
    """
    from arena_etl.lake.releases import resolve
    from arena_etl.operations.status import newest_round
    from arena_etl.reports.plots import write

    config, lake = open_lake(create=False)
    chosen = parse_round(round_) if round_ else newest_round(lake, resolve(lake, as_of))
    write(config, lake, name, output, chosen, as_of, reference)
    stdout.print(f"wrote {output}", markup=False)
