"""The report of a round: one self-contained page that needs no script and no network, and the leaderboard's picture."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import arena_etl
from arena_etl.config import Config
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import Release, releases, resolve
from arena_etl.reports import plots
from arena_etl.rounds import ARENAS, WIZARD_ARENA

Row = dict[str, Any]

_TEMPLATES = Path(__file__).parent / "templates"
_EXAMPLES = 3
_MISSING = "\N{EN DASH}"
_TEXT_LENGTH = 1_200  # characters of an answer or an instruction that the page shows


def write(config: Config, lake: Lake, round_: str, as_of: str | None = None) -> str:
    """Write the report of a round under ``reports/<round>/`` of the lake and return the URI of the page.

    ``as_of``: None (the newest release), a release id, a date, or ``head`` for tables as they are now, released or not.
    The same release gives the same page. What the round has not done yet, the page says so. Beside ``index.html`` lie
    ``leaderboard.svg`` and ``leaderboard.png``.

    Raises InputError when there is no such release.
    """
    versions = resolve(lake, as_of)
    release = _release(lake, versions)
    with lake.connect(versions=versions) as connection:
        sql.materialize(connection, "described", "instructions/described")
        facts = _facts(config, connection, round_)
    page = _render(config, round_, release, facts)
    pictures = {f"leaderboard.{kind}": plots.rating_forest(facts["leaderboard"], kind) for kind in ("svg", "png")}
    for name, content in {**pictures, "index.html": page.encode()}.items():  # the page last: it is there when all is
        lake.storage.filesystem.pipe_file(lake.storage.uri("reports", round_, name), content)
    return lake.storage.uri("reports", round_, "index.html")


def _release(lake: Lake, versions: dict[str, int] | None) -> Release | None:
    """The release with these table versions. Every release has its own: one without a change is never published."""
    if versions is None:
        return None
    tables = {name: version for name, version in versions.items() if name != "releases"}
    return next(release for release in releases(lake) if release.versions == tables)


def _facts(config: Config, connection: duckdb.DuckDBPyConnection, round_: str) -> dict[str, Any]:
    """Everything that the page says, as rows."""

    def rows(name: str, **parameters: Any) -> list[Row]:
        relation = sql.run(connection, name, round=round_, **parameters)
        found: list[Row] = relation.to_arrow_table().to_pylist()
        return found

    champions = {row["stage"]: row["champion"] for row in rows("reports/champions", target=config.target.contestant_id)}
    promotions = {row["stage"]: row for row in rows("reports/promotions")}
    runs = {row["stage"]: row for row in rows("reports/training")}
    configured = list(config.stages)
    stages = [
        {
            "name": stage,
            "champion": champion,
            "funnel": next(iter(rows("reports/funnel", stage=stage, target=champion)), None),
            "categories": rows("reports/categories", stage=stage, target=champion),
            "examples": rows("reports/examples", stage=stage, size=_EXAMPLES),
            "run": runs.get(stage),
            "promotion": promotions.get(stage),
        }
        for stage, champion in sorted(
            champions.items(),
            key=lambda item: (configured.index(item[0]) if item[0] in configured else len(configured), item[0]),
        )
    ]
    [iteration] = rows("selection/iteration")
    names = _names(connection.sql("select contestant_id, name from models").fetchall())
    leaderboard = rows("ratings/leaderboard", scope=WIZARD_ARENA, method="bradley_terry")
    return {
        "names": names,
        "leaderboard": [{**row, "name": names.get(row["model"], row["model"])} for row in leaderboard],
        "win_rates": {(row["model_a"], row["model_b"]): row for row in rows("reports/win_matrix")},
        "stages": stages,
        "iteration": iteration["iteration"],
        "judges": rows("reports/judges"),
        "cards": rows("reports/judge_cards", scope=WIZARD_ARENA),
        "quality": _by_table(rows("reports/quality")),
        "problems": rows("reports/quality_problems"),
        "effort": rows("reports/effort"),
    }


def _names(models: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Names for people; models that share a name go by their id."""
    by_id = dict(models)
    shared = Counter(by_id.values())
    return {model: name if shared[name] == 1 else model for model, name in by_id.items()}


def _by_table(results: Iterable[Row]) -> dict[str, dict[str, Row]]:
    tables: dict[str, dict[str, Row]] = {}
    for row in results:
        tables.setdefault(row["table"], {})[row["severity"]] = row
    return tables


def _render(config: Config, round_: str, release: Release | None, facts: dict[str, Any]) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=_number, count=_count, percent=_percent, signed=_signed, shorten=_shorten)
    curves = {
        stage["name"]: _inline(plots.training_curve(stage["run"]["curve"]), f"curve-{stage['name']}")
        for stage in facts["stages"]
        if stage["run"] and stage["run"]["curve"]
    }
    return environment.get_template("round.html.j2").render(
        **facts,
        round=round_,
        release=release,
        settings=json.loads(release.config) if release else config.model_dump(mode="json"),
        config_hash=release.config_hash if release else config.digest,
        code_version=release.code_version if release else arena_etl.__version__,
        summary=_summary(facts),
        totals=_totals(facts["stages"]),
        champion=_champion(facts["stages"]),
        forest=_inline(plots.rating_forest(facts["leaderboard"]), "forest") if facts["leaderboard"] else None,
        curves=curves,
        matrix=_matrix(facts),
        categories=_category_table(facts["stages"]),
        severities=("critical", "warning", "info"),
    )


def _totals(stages: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    categories = [row for stage in stages for row in stage["categories"]]
    totals = {arena: sum(row["battles"] for row in categories if row["arena"] == arena) for arena in ARENAS}
    return totals | {"battles": sum(totals.values()), "usable": sum(row["usable"] for row in categories)}


def _champion(stages: list[Row]) -> str | None:
    """Who holds the place after the last stage that the round has come to."""
    if not stages:
        return None
    decision = stages[-1]["promotion"]
    promoted = decision is not None and decision["decision"] == "promoted"
    holder: str = decision["candidate"] if promoted else stages[-1]["champion"]
    return holder


def _summary(facts: Mapping[str, Any]) -> list[str]:
    """What happened: battles, selection, and the champion, a sentence each."""
    stages, names = facts["stages"], facts["names"]
    if not stages:
        return ["No stage of this round has begun: nothing is drawn, fought or trained."]
    return [_battles_sentence(_totals(stages)), _selection_sentence(stages), _champion_sentence(stages, names)]


def _battles_sentence(totals: Mapping[str, int]) -> str:
    if not totals["battles"]:
        return "No battle has been fought yet."
    return (
        f"{_count(totals['battles'])} battles were fought, {_count(totals['training'])} on fresh training instructions and "
        f"{_count(totals['wizard_arena'])} on the test set; in {_percent(totals['usable'] / totals['battles'])} of them both "
        "games could be read."
    )


def _selection_sentence(stages: list[Row]) -> str:
    parts = []
    for stage in stages:
        selected = stage["funnel"]["selected"] if stage["funnel"] else None
        label = stage["name"].upper()
        parts.append(
            f"{label} has not selected its examples yet"
            if selected is None
            else f"{label} selected {_count(selected)} example{'' if selected == 1 else 's'}"
        )
    return f"{', and '.join(parts)}."


def _champion_sentence(stages: list[Row], names: Mapping[str, str]) -> str:
    first, last = stages[0]["champion"], _champion(stages)
    name = names.get(str(last), last)
    state = f"the champion is still {name}." if first == last else f"the champion is new: {name}."
    told = [_decision(stage["promotion"], names) for stage in stages if stage["promotion"]]
    text = "; ".join([*told, state]) if told else f"no promotion has been decided yet; {state}"
    return text[0].upper() + text[1:]


def _decision(row: Row, names: Mapping[str, str]) -> str:
    after = f"after {row['stage'].upper()}"
    if row["candidate"] is None:
        return f"{after} there was no candidate ({row['reason']})"
    verb = "was promoted" if row["decision"] == "promoted" else "was not promoted"
    why = (
        row["reason"]
        if row["lower"] is None
        else f"{_signed(row['difference'])} rating points, interval {_signed(row['lower'])} to {_signed(row['upper'])}"
    )
    return f"{after} {names.get(row['candidate'], row['candidate'])} {verb} ({why})"


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


def _inline(svg: bytes, name: str) -> Markup:
    """A picture as part of the page: without the XML prologue, in the page's colours, its ids led by ``name``."""
    text = svg.decode()
    text = text[text.index("<svg") :].replace(plots.INK, "currentColor").replace(plots.ACCENT, "var(--accent)")
    return Markup(re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text))


def _number(value: float | None, digits: int = 1) -> str:
    return _MISSING if value is None else f"{value:,.{digits}f}"


def _count(value: int | None) -> str:
    return _MISSING if value is None else f"{value:,}"


def _percent(share: float | None) -> str:
    return _MISSING if share is None else f"{share:.0%}"


def _signed(value: float | None) -> str:
    return _MISSING if value is None else f"{value:+,.1f}"


def _shorten(text: str | None) -> str:
    if text is None:
        return "(no text)"
    if len(text) <= _TEXT_LENGTH:
        return text
    return f"{text[:_TEXT_LENGTH]} … ({len(text) - _TEXT_LENGTH:,} more characters)"
