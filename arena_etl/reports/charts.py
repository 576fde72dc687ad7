"""Rows to Vega-Lite charts, and charts to files. One chart serves light and dark pages: it has no background.

Every function takes the rows of one SQL file and gives a chart without a width: a page lets it fill its place,
``image`` fixes it.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from statistics import mean
from typing import Any, Literal, TypeAlias

import altair as alt

from arena_etl.reports.names import label

Row = dict[str, Any]
Chart: TypeAlias = alt.TopLevelMixin
ImageFormat = Literal["svg", "png"]

# In files: legible on white and on near-black. Pages put their own colours in their place.
INK, LINE, FIRST, SECOND, THIRD, FOURTH = "#737a84", "#73798455", "#3d82c9", "#cf7326", "#3f9a6c", "#a268c4"
FIFTH, SIXTH = "#c25a80", "#918a2c"
_PAGE_COLOURS = {INK: "var(--soft)", LINE: "var(--line)", FIRST: "var(--accent)", SECOND: "var(--second)",
                 THIRD: "var(--third)", FOURTH: "var(--fourth)", FIFTH: "var(--fifth)", SIXTH: "var(--sixth)"}  # fmt: skip
SERIES = [FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH]  # three stages in two arenas
_WIDTH = 560
_VEGA_LITE = "6.4"

_CONFIG = {
    "background": None,
    "font": "system-ui, 'Liberation Sans', sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": LINE,
        "domainColor": LINE,
        "tickColor": LINE,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 160,
        "labelOverlap": "greedy",
        "tickCount": 8,
    },
    "legend": {
        "labelColor": INK,
        "titleColor": INK,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "orient": "top",
        "labelLimit": 220,
    },
    "title": {
        "color": INK,
        "subtitleColor": INK,
        "fontSize": 14,
        "fontWeight": "normal",
        "anchor": "start",
        "offset": 14,
    },
    "text": {"color": INK, "fontSize": 12},
    "range": {"category": SERIES},
}


def rating_forest(rows: Sequence[Row]) -> Chart:
    """The leaderboard as intervals, best model on top. ``rows``: ratings/leaderboard, in its order."""
    data = [
        {key: row[key] for key in ("rating", "lower", "upper", "n")} | {"name": row["name"], "place": place}
        for place, row in enumerate(rows)
    ]
    y = alt.Y("place:O", axis=None)
    scale = alt.Scale(zero=False, padding=12)
    tooltip = [_text("name", "model"), _number("rating"), _number("lower"), _number("upper"), _count("n", "battles")]
    base = alt.Chart(_values(data))
    interval = base.mark_rule(color=FIRST, size=2.5).encode(
        x=alt.X("lower:Q", scale=scale, title="rating points"), x2="upper:Q", y=y, tooltip=tooltip
    )
    point = base.mark_circle(color=FIRST, size=80, opacity=1).encode(
        x=alt.X("rating:Q", scale=scale, title="rating points"), y=y, tooltip=tooltip
    )
    # Above its interval, from the left edge: a name of any length leaves the width to the ratings.
    name = base.mark_text(align="left", dy=-13, limit=alt.ExprRef("width")).encode(x=alt.value(0), y=y, text="name:N")
    return alt.layer(interval, point, name).properties(height=alt.Step(38))


def rating_history(rows: Sequence[Row]) -> Chart:
    """The champion as a line, every candidate as a point with its interval. ``rows``: reports/rating_history."""
    data = [
        {**row, "when": row["round"] if row["stage"] == "start" else _when(row)}
        | {"outcome": {"start": "target at first", "promoted": "promoted", "kept": "not promoted"}[row["decision"]]}
        for row in rows
    ]
    order = [row["when"] for row in data]
    x = alt.X("when:N", sort=order, title=None, axis=alt.Axis(labelAngle=-35, labelOverlap=True, grid=False))
    scale = alt.Scale(zero=False, padding=12)
    outcome = alt.Color(
        "outcome:N",
        title=None,
        scale=alt.Scale(domain=["promoted", "not promoted", "target at first"], range=[THIRD, SECOND, INK]),
    )
    tooltip = [_text("name", "model"), _text("when", "decided"), _text("outcome"), _number("rating"), _number("lower"),
               _number("upper"), _number("rating_then", "rating that night")]  # fmt: skip
    base = alt.Chart(_values(data))
    champion = base.mark_line(color=FIRST, interpolate="step-after", size=2).encode(
        x=x, y=alt.Y("champion_rating:Q", scale=scale, title="rating points")
    )
    interval = base.mark_rule(size=2, opacity=0.7).encode(
        x=x, y=alt.Y("lower:Q", scale=scale, title="rating points"), y2="upper:Q", color=outcome, tooltip=tooltip
    )
    point = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=x,
        y=alt.Y("rating:Q", scale=scale, title="rating points"),
        color=outcome,
        shape=alt.Shape(
            "outcome:N",
            title=None,
            scale=alt.Scale(
                domain=["promoted", "not promoted", "target at first"], range=["triangle-up", "cross", "circle"]
            ),
        ),
        tooltip=tooltip,
    )
    return alt.layer(champion, interval, point).properties(height=220)


def win_rates(rows: Sequence[Row]) -> Chart:
    """Who beats whom, and in how many battles. ``rows``: reports/win_matrix, with ``name_a`` and ``name_b``."""
    data = [
        {**row, "name_a": label(row["name_a"]), "name_b": label(row["name_b"]), "battles": _battles(row)}
        | {"better": row["rate"] >= 0.5, "strength": abs(row["rate"] - 0.5)}
        for row in rows
    ]
    rates: dict[str, list[float]] = {}
    for row in data:
        rates.setdefault(row["name_a"], []).append(row["rate"])
    order = sorted(rates, key=lambda name: -mean(rates[name]))
    base = alt.Chart(_values(data)).encode(
        x=alt.X("name_b:N", sort=order, title="against", axis=alt.Axis(labelAngle=-40, orient="top", labelLimit=120)),
        y=alt.Y("name_a:N", sort=order, title=None, axis=alt.Axis(labelLimit=140)),
        tooltip=[_text("name_a", "model"), _text("name_b", "against"), _share("rate", "wins"), _share("lower"),
                 _share("upper"), _count("battles")],
    )  # fmt: skip
    cell = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color("better:N", legend=None, scale=alt.Scale(domain=[True, False], range=[FIRST, SECOND])),
        opacity=alt.Opacity("strength:Q", legend=None, scale=alt.Scale(domain=[0, 0.5], range=[0.08, 0.6])),
    )
    rate = base.mark_text(dy=-6).encode(text=alt.Text("rate:Q", format=".0%"))
    count = base.mark_text(dy=8, fontSize=10).encode(text=alt.Text("battles:Q", format=","))
    return alt.layer(cell, rate, count).properties(height=alt.Step(40))


def categories(rows: Sequence[Row]) -> Chart:
    """The champion's win rate per category, a bar per stage and arena. ``rows``: reports/categories, with ``stage``."""
    data = [{**row, "battles": row["wins"] + row["ties"] + row["losses"], "where": _where(row)} for row in rows]
    order = list(dict.fromkeys(row["where"] for row in data))
    chart: Chart = (
        alt.Chart(_values([row for row in data if row["rate"] is not None]))
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            x=alt.X(
                "rate:Q", title="win rate", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=5)
            ),
            y=alt.Y("category:N", title=None),
            yOffset=alt.YOffset("where:N", sort=order),
            # A legend of one line does not fit a phone.
            color=alt.Color("where:N", sort=order, title=None, legend=alt.Legend(columns=2)),
            tooltip=[
                _text("category"),
                _text("where", "battles"),
                _share("rate", "win rate"),
                _count("battles", "usable"),
            ],
        )
        .properties(height=alt.Step(11))
    )
    return chart


def training_curve(rows: Sequence[Row]) -> Chart:
    """The loss of every optimizer step. ``rows``: reports/training."""
    data = [
        {"run": f"{row['round']} {row['stage'].upper()}", "step": point["step"], "loss": point["loss"],
         "learning_rate": point["learning_rate"]}
        for row in rows for point in row["curve"]
    ]  # fmt: skip
    chart: Chart = (
        alt.Chart(_values(data))
        .mark_line(size=2, point=alt.OverlayMarkDef(size=25) if len(data) <= 80 else False)
        .encode(
            x=alt.X("step:Q", title="optimizer step", axis=alt.Axis(format="d", tickMinStep=1, grid=False)),
            y=alt.Y("loss:Q", title="loss", scale=alt.Scale(zero=False, padding=8)),
            color=alt.Color("run:N", title=None, sort=list(dict.fromkeys(row["run"] for row in data))),
            tooltip=[
                _text("run"),
                _count("step"),
                _number("loss", digits=4),
                _number("learning_rate", "learning rate", 8),
            ],
        )
        .properties(height=200)
    )
    return chart


def consistency(rows: Sequence[Row]) -> Chart:
    """Ratings against those of a reference leaderboard. ``rows``: agreement/common_models."""
    data = [{**row, "name": row["model"]} for row in rows]
    x_scale, y_scale = alt.Scale(zero=False, padding=14), alt.Scale(zero=False, padding=14)
    x = alt.X("reference_rating:Q", scale=x_scale, title="reference rating")
    y = alt.Y("rating:Q", scale=y_scale, title="our rating")
    tooltip = [_text("name", "model"), _number("rating"), _number("lower"), _number("upper"),
               _number("reference_rating", "reference")]  # fmt: skip
    base = alt.Chart(_values(data))
    ours = base.mark_rule(color=FIRST, opacity=0.6).encode(x=x, y=alt.Y("lower:Q", scale=y_scale), y2="upper:Q")
    theirs = base.mark_rule(color=FIRST, opacity=0.6).encode(
        x=alt.X("reference_lower:Q", scale=x_scale), x2="reference_upper:Q", y=y
    )
    point = base.mark_circle(color=FIRST, size=70, opacity=1).encode(x=x, y=y, tooltip=tooltip)
    name = base.mark_text(align="left", dx=7, dy=-7, limit=140).encode(x=x, y=y, text="name:N")
    return alt.layer(ours, theirs, point, name).properties(height=340)


def position_bias(rows: Sequence[Row]) -> Chart:
    """How often the answer shown first wins, per judge and category. ``rows``: adhoc/position_bias."""
    point = (
        alt.Chart(_values(rows))
        .mark_circle(opacity=0.85)
        .encode(
            x=alt.X(
                "first_share:Q", title="wins of the answer shown first", scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format=".0%"),
            ),
            y=alt.Y("category:N", title=None),
            color=alt.Color("judge_id:N", title=None),
            size=alt.Size("games:Q", legend=None, scale=alt.Scale(range=[40, 300])),
            tooltip=[_text("judge_id", "judge"), _text("category"), _share("first_share", "first wins"), _count("games")],
        )
    )  # fmt: skip
    fair = alt.Chart(_values([{"fair": 0.5}])).mark_rule(color=INK, strokeDash=[4, 4]).encode(x="fair:Q")
    return alt.layer(fair, point).properties(height=alt.Step(30))


def length_scores(rows: Sequence[Row]) -> Chart:
    """Mean score by length of the answer, a line per judge. ``rows``: reports/length_scores."""
    base = alt.Chart(_values(rows)).encode(
        x=alt.X("shortest:Q", title="characters of the answer, at least", scale=alt.Scale(type="log", base=2)),
        y=alt.Y("mean_score:Q", title="mean score", scale=alt.Scale(domain=[1, 10])),
        color=alt.Color("judge_id:N", title=None),
    )
    point = base.mark_circle(opacity=1).encode(
        size=alt.Size("scores:Q", legend=None, scale=alt.Scale(range=[25, 250])),
        tooltip=[_text("judge_id", "judge"), _count("shortest", "characters from"), _number("mean_score", "mean score", 2),
                 _number("deviation", digits=2), _count("scores")],
    )  # fmt: skip
    return alt.layer(base.mark_line(size=2), point).properties(height=240)


def selected_difficulty(rows: Sequence[Row]) -> Chart:
    """Quartiles of the difficulty of what was drawn and selected. ``rows``: reports/selected_difficulty."""
    data = [{**row, "when": f"I{row['iteration']} {_when(row)}"} for row in rows]
    order = list(dict.fromkeys(row["when"] for row in data))
    base = alt.Chart(_values(data)).encode(
        x=alt.X("when:N", sort=order, title=None, axis=alt.Axis(labelAngle=-35, labelOverlap=True)),
        xOffset=alt.XOffset("set:N", sort=["drawn", "selected"]),
        color=alt.Color("set:N", title=None, scale=alt.Scale(domain=["drawn", "selected"], range=[INK, FIRST])),
        tooltip=[_text("when", "iteration"), _text("set"), _count("instructions"), _number("lower_quartile", "lower quartile"),
                 _number("median"), _number("upper_quartile", "upper quartile")],
    )  # fmt: skip
    scale = alt.Scale(domain=[0, 10])
    box = base.mark_bar(opacity=0.35).encode(
        y=alt.Y("lower_quartile:Q", scale=scale, title="difficulty"), y2="upper_quartile:Q"
    )
    median = base.mark_tick(thickness=3).encode(y=alt.Y("median:Q", scale=scale, title="difficulty"))
    return alt.layer(box, median).properties(height=240)


def quality_trend(rows: Sequence[Row]) -> Chart:
    """Share of expectations that passed, round by round. ``rows``: reports/quality_trend."""
    chart: Chart = (
        alt.Chart(_values(rows))
        .mark_line(size=2, point=alt.OverlayMarkDef(size=45))
        .encode(
            x=alt.X("round:N", title=None, axis=alt.Axis(labelAngle=-35, labelOverlap=True)),
            y=alt.Y("pass_rate:Q", title="passed", scale=alt.Scale(zero=False), axis=alt.Axis(format=".1%")),
            color=alt.Color(
                "severity:N", title=None,
                scale=alt.Scale(domain=["critical", "warning", "info"], range=[SECOND, FOURTH, FIRST]),
            ),
            tooltip=[_text("round"), _text("severity"), _share("pass_rate", "passed"), _count("failed"), _count("broken")],
        )
        .properties(height=220)
    )  # fmt: skip
    return chart


def specification(chart: Chart) -> dict[str, Any]:
    """The chart for a page, compiled to Vega: as wide as its place, in the page's colours."""
    import vl_convert

    vega = vl_convert.vegalite_to_vega(_complete(chart, "container"), vl_version=_VEGA_LITE)
    del vega["$schema"]
    found: dict[str, Any] = json.loads(_coloured(json.dumps(vega)))
    return found


def image(chart: Chart, image_format: ImageFormat, title: Row | None = None) -> bytes:
    """The chart as a file of its own. ``title``: Vega-Lite's, with text and subtitle."""
    import vl_convert

    complete = _complete(chart, _WIDTH) | ({"title": title} if title else {}) | {"padding": 10}
    if image_format == "svg":
        return str(vl_convert.vegalite_to_svg(complete, vl_version=_VEGA_LITE, show_warnings=False)).encode()
    complete["config"] = _CONFIG | {"background": "white"}
    return bytes(vl_convert.vegalite_to_png(complete, vl_version=_VEGA_LITE, scale=2, show_warnings=False))


@cache
def script() -> tuple[str, str]:
    """The JavaScript of a page with charts, and its hash for the page's Content-Security-Policy.

    It draws every ``[data-chart]`` from the JSON text of ``#charts``. Expressions are interpreted, not compiled: nothing
    in a chart can run as code.
    """
    import vl_convert

    text = vl_convert.javascript_bundle(
        """
        const charts = JSON.parse(document.getElementById("charts").textContent);
        const options = {mode: "vega", renderer: "svg", actions: false, ast: true,
                         tooltip: {theme: "custom", disableDefaultStyle: true}};
        const drawn = [...document.querySelectorAll("[data-chart]")].map(
            (place) => vegaEmbed(place, charts[place.dataset.chart], options));
        Promise.all(drawn).then(() => { document.documentElement.dataset.charts = "drawn"; });
        """,
        vl_version=_VEGA_LITE,
    ).replace("</script", "<\\/script")
    return text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _complete(chart: Chart, width: int | str) -> dict[str, Any]:
    spec: dict[str, Any] = chart.to_dict()
    del spec["$schema"]  # an address, which nobody needs to visit
    return spec | {"width": width, "config": _CONFIG}


def _coloured(text: str) -> str:
    for ours, theirs in _PAGE_COLOURS.items():
        text = text.replace(f'"{ours}"', f'"{theirs}"')
    return text


def _values(rows: Iterable[Row]) -> alt.InlineData:
    """The rows as they are, also when there are none: only what a chart can show, and no text at its full length."""
    shown = [
        {key: label(value) if isinstance(value, str) else value for key, value in row.items()
         if value is None or isinstance(value, str | int | float)}
        for row in rows
    ]  # fmt: skip
    return alt.InlineData(values=shown)


def _when(row: Row) -> str:
    return f"{row['round']} {row['stage'].upper()}"


def _where(row: Row) -> str:
    return f"{row['stage'].upper()} {'test set' if row['arena'] == 'wizard_arena' else row['arena']}"


def _battles(row: Row) -> int:
    return int(row["wins"] + row["ties"] + row["losses"])


def _text(field: str, title: str | None = None) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:N", title=title or field)


def _number(field: str, title: str | None = None, digits: int = 1) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", title=title or field, format=f",.{digits}f")


def _share(field: str, title: str | None = None) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", title=title or field, format=".0%")


def _count(field: str, title: str | None = None) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", title=title or field, format=",")
