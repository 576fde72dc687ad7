"""Rows to pictures. One figure serves light and dark pages: no background, and colours that are legible on both."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

INK = "#737a84"  # axes and labels: about 4.2 to 1 on white and on near-black
ACCENT = "#3d82c9"
_LABEL_LENGTH = 44
_STYLE = {
    "svg.fonttype": "none",  # text stays text: small, selectable, and shaped by the reader's own fonts
    "svg.hashsalt": "arena_etl",  # the same rows give the same bytes
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def rating_forest(rows: Sequence[Mapping[str, Any]], image_format: str = "svg") -> bytes:
    """The leaderboard as intervals, best model on top. ``image_format``: svg or png.

    ``rows``: name, rating, lower, upper (rating points; bounds may be null), in order.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(4.9, 0.65 + 0.48 * max(len(rows), 1)), layout="constrained")
        axes = figure.subplots()
        for position, row in enumerate(rows):
            rating = row["rating"]
            lower, upper = (rating if row[b] is None else row[b] for b in ("lower", "upper"))
            axes.plot([lower, upper], [position, position], color=ACCENT, linewidth=2.2, solid_capstyle="round")
            axes.plot([rating], [position], "o", color=ACCENT, markersize=6.5)
            # Above its interval, from the left edge: a name of any length leaves the width to the ratings.
            axes.annotate(
                _label(row["name"]),
                (0, position),
                (0, 6),
                xycoords=axes.get_yaxis_transform(),
                textcoords="offset points",
                parse_math=False,
            )
        if not rows:
            axes.text(0.5, 0.5, "No ratings yet", ha="center", va="center", transform=axes.transAxes)
            axes.set_xticks([])
        axes.set_ylim(max(len(rows), 1) - 0.6, -0.85)
        axes.set_yticks([])
        axes.margins(x=0.05)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=INK, alpha=0.2, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set_xlabel("rating points")
        return _bytes(figure, image_format)


def training_curve(curve: Sequence[Mapping[str, Any]], image_format: str = "svg") -> bytes:
    """The loss of every optimizer step. ``curve``: step, loss. ``image_format``: svg or png."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with rc_context(_STYLE):
        figure = Figure(figsize=(4.4, 2.3), layout="constrained")
        axes = figure.subplots()
        losses = [math.nan if point["loss"] is None else point["loss"] for point in curve]
        marker = "o" if len(curve) <= 40 else None
        axes.plot([p["step"] for p in curve], losses, color=ACCENT, linewidth=1.8, marker=marker, markersize=3.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color=INK, alpha=0.2, linewidth=0.8)
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("loss")
        return _bytes(figure, image_format)


def _label(name: str) -> str:
    """A name on one short line without control characters, which XML cannot hold and which could turn text around."""
    clean = "".join(c if c.isprintable() else " " for c in name)
    return clean if len(clean) <= _LABEL_LENGTH else clean[: _LABEL_LENGTH - 1] + "…"


def _bytes(figure: Any, image_format: str) -> bytes:
    buffer = io.BytesIO()
    metadata = _NO_METADATA if image_format == "svg" else None
    figure.savefig(buffer, format=image_format, transparent=True, dpi=200, metadata=metadata)
    return buffer.getvalue()
