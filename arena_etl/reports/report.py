"""The report of a round: one self-contained page that needs no network, and the leaderboard's picture."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import duckdb

import arena_etl
from arena_etl.config import Config
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import Release, find, releases, table_versions
from arena_etl.quality.alerts import ingested
from arena_etl.reports import charts, pages, words
from arena_etl.reports.names import display_names
from arena_etl.rounds import ARENAS, WIZARD_ARENA

Row = dict[str, Any]

_EXAMPLES = 3


def write(config: Config, lake: Lake, round_: str, as_of: str | None = None) -> str:
    """Write the report of a round under ``reports/<round>/`` of the lake and return the URI of the page.

    ``as_of``: a release id, a date, or ``head`` for tables as they are now, released or not. None: the newest release, or
    ``head`` where no release has come to the round: it is at work, or a gate has stopped it. The same release gives the
    same page. What the round has not done yet, the page says so. Beside ``index.html`` lie ``leaderboard.svg`` and
    ``leaderboard.png``.

    Raises InputError when there is no such release.
    """
    release = _released(lake, round_) if as_of is None else find(lake, as_of)
    settings = json.loads(release.config) if release else config.model_dump(mode="json")
    with lake.connect(versions=table_versions(lake, release)) as connection:
        sql.materialize(connection, "described", "instructions/described")
        facts = _facts(config, settings, connection, round_)
    facts["pages"] = _quality_pages(lake, round_)
    forest = charts.rating_forest(facts["leaderboard"])
    content = {
        "leaderboard.svg": charts.image(forest, "svg"),
        "leaderboard.png": charts.image(forest, "png"),
        "index.html": _render(config, settings, round_, release, facts).encode(),  # last: it is there when all is
    }
    for name, data in content.items():
        lake.storage.filesystem.pipe_file(lake.storage.uri("reports", round_, name), data)
    return lake.storage.uri("reports", round_, "index.html")


def _released(lake: Lake, round_: str) -> Release | None:
    """The newest release, if it has anything of the round."""
    if not releases(lake):
        return None
    newest = find(lake)
    with lake.connect(["slices"], table_versions(lake, newest)) as connection:
        has = connection.sql("select 1 from slices where round = $round limit 1", params={"round": round_}).fetchall()
    return newest if has else None


def _facts(
    config: Config, settings: Mapping[str, Any], connection: duckdb.DuckDBPyConnection, round_: str
) -> dict[str, Any]:
    """Everything that the page says, as rows. ``settings``: the configuration of the release."""

    def rows(name: str, **parameters: Any) -> list[Row]:
        relation = sql.run(connection, name, round=round_, **parameters)
        found: list[Row] = relation.to_arrow_table().to_pylist()
        return found

    target = config.target.contestant_id
    champions = {row["stage"]: row["champion"] for row in rows("reports/champions", target=target)}
    promotions = {row["stage"]: row for row in rows("reports/promotions")}
    runs = rows("reports/training")
    run_of = {row["stage"]: row for row in runs}
    [iteration] = rows("selection/iteration")
    configured = list(config.stages)
    stages = []
    for stage, champion in sorted(
        champions.items(),
        key=lambda item: (configured.index(item[0]) if item[0] in configured else len(configured), item[0]),
    ):
        margin = _margin(settings["selection"], stage, iteration["iteration"])
        stages.append(
            {
                "name": stage,
                "champion": champion,
                "margin": margin,
                "funnel": next(iter(rows("reports/funnel", stage=stage, target=champion, margin=margin)), None),
                "categories": rows("reports/categories", stage=stage, target=champion),
                "examples": rows("reports/examples", stage=stage, size=_EXAMPLES),
                "run": run_of.get(stage),
                "promotion": promotions.get(stage),
            }
        )
    names = display_names(connection.sql("select contestant_id, name from models").fetchall())
    leaderboard = rows("ratings/leaderboard", scope=WIZARD_ARENA, method="bradley_terry")
    champion = words.champion(stages)
    history = rows("reports/rating_history", target=target)
    standing = rows("quality/standing", ingested=ingested(config), now=datetime.now(UTC))
    return {
        "names": names,
        "leaderboard": [{**row, "name": names.get(row["model"], row["model"])} for row in leaderboard],
        "history": [{**row, "name": names.get(row["model"], row["name"])} for row in history],
        "win_rates": {(row["model_a"], row["model_b"]): row for row in rows("reports/win_matrix")},
        "stages": stages,
        "champion": champion,
        "lineage": rows("reports/lineage", model=champion) if champion else [],
        "iteration": iteration["iteration"],
        "runs": sorted(runs, key=lambda run: list(run_of).index(run["stage"])),
        "judges": rows("reports/judges"),
        "cards": rows("reports/judge_cards", scope=WIZARD_ARENA),
        "stops": [row for row in standing if row["stops"]],
        "quality": _by_table(rows("reports/quality")),
        "problems": rows("reports/quality_problems"),
        "trend": rows("reports/quality_trend"),
        "effort": rows("reports/effort"),
    }  # fmt: skip


def _margin(selection: Mapping[str, Any], stage: str, iteration: int) -> float | None:
    """The score difference that the stage asked for; None where the strategy asks for none."""
    if selection["strategy"] != "threshold":
        return None
    margins: list[float] = selection[f"{stage}_margins"]
    return margins[min(iteration, len(margins)) - 1]


def _by_table(results: Iterable[Row]) -> dict[str, dict[str, Row]]:
    tables: dict[str, dict[str, Row]] = {}
    for row in results:
        tables.setdefault(row["table"], {})[row["severity"]] = row
    return tables


def _quality_pages(lake: Lake, round_: str) -> list[dict[str, str]]:
    """Great Expectations' pages of the round's audits, which lie beside the report: file, table and what it is about."""
    folder = lake.storage.uri("reports", round_, "quality")
    filesystem = lake.storage.filesystem
    files = (
        sorted(str(path).rsplit("/", 1)[-1] for path in filesystem.ls(folder, detail=False))
        if filesystem.exists(folder)
        else []
    )
    found = []
    for file in files:
        table, *about = file.removesuffix(".html").split("-")
        found.append({"file": file, "table": table, "title": " ".join(about) or "all of the round"})
    return found


def _render(
    config: Config, settings: Mapping[str, Any], round_: str, release: Release | None, facts: Mapping[str, Any]
) -> str:
    return pages.render(
        "round.html.j2",
        **facts,
        round=round_,
        release=release,
        settings=settings,
        config_hash=release.config_hash if release else config.digest,
        code_version=release.code_version if release else arena_etl.__version__,
        summary=words.summary(facts["stages"], facts["names"]),
        totals=words.totals(facts["stages"]),
        charts={name: charts.specification(chart) for name, chart in _charts(facts).items()},
        script=charts.script(),
        matrix=_matrix(facts),
        categories=_category_table(facts["stages"]),
        severities=("critical", "warning", "info"),
    )


def _charts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The charts that there are rows for."""
    in_stages = [{**row, "stage": stage["name"]} for stage in facts["stages"] for row in stage["categories"]]
    curves = [run for run in facts["runs"] if run["curve"]]
    drawn = {
        "forest": (charts.rating_forest, facts["leaderboard"]),
        "history": (charts.rating_history, facts["history"]),
        "categories": (charts.categories, in_stages),
        "training": (charts.training_curve, curves),
        # A line needs two rounds.
        "quality": (charts.quality_trend, facts["trend"] if len({row["round"] for row in facts["trend"]}) > 1 else []),
    }
    return {name: draw(rows) for name, (draw, rows) in drawn.items() if rows}


def _matrix(facts: Mapping[str, Any]) -> list[str]:
    """The models with win rates: in the order of the leaderboard, then any that are not on it."""
    ranked = [row["model"] for row in facts["leaderboard"]]
    return [*ranked, *sorted({model for model, _ in facts["win_rates"]} - set(ranked))]


def _category_table(stages: list[Row]) -> dict[str, Any]:
    """Categories in rows, the arenas of the stages in columns; cells are rows of reports/categories."""
    cells = {(row["category"], stage["name"], row["arena"]): row for stage in stages for row in stage["categories"]}
    return {
        "rows": sorted({category for category, _, _ in cells}),
        "columns": [
            (stage["name"], arena, stage["champion"])
            for stage in stages
            for arena in ARENAS
            if any(row["arena"] == arena for row in stage["categories"])
        ],
        "cells": cells,
    }
