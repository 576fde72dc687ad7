"""What every verb prints with: results on stdout, progress and messages on stderr."""

import json
import sys
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

stdout = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 1_000)


stderr = Console(stderr=True, soft_wrap=True, highlight=False)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=_json_default) + "\n")


def _json_default(value: Any) -> Any:
    known = plain(value)
    return str(value) if known is value else known


def print_rows(header: list[str], rows: list[dict[str, Any]]) -> None:
    table = RichTable(box=None)
    for name in header:
        numbers = any(isinstance(row.get(name), int | float | Decimal) for row in rows)
        table.add_column(name, justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*(Text(cell(row.get(name))) for name in header))
    stdout.print(table)


def plain(value: Any) -> Any:
    """A value of the lake as JSON has it: sums of integers are decimals in DuckDB."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, date | datetime) else value


def cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:79]}…"


def leaderboard_table(rows: list[dict[str, Any]], title: str | None = None) -> RichTable:
    """Ratings as a table, columns as in the lake's table ratings; name and role of the models where they are known."""
    registered = "role" in rows[0]
    header = ["rank", "model", *(["role"] if registered else []), "rating", "interval", "ranks", "battles", "remark"]
    table = RichTable(*header, title=Text(title) if title else None, title_justify="left", box=None)
    for row in rows:
        known = row["lower"] is not None
        group = f"group {row['component']}" if (row["component"] or 1) > 1 else None
        cells = [
            str(row["rank"]),
            row.get("name", row["model"]),
            *([row["role"] or ""] if registered else []),
            f"{row['rating']:.0f}",
            f"{row['lower']:.0f} to {row['upper']:.0f}" if known else "-",
            f"{row['rank_lower']} to {row['rank_upper']}" if known else "-",
            str(row["n"]),
            ", ".join(filter(None, (group, row["flag"]))),
        ]
        table.add_row(*map(Text, cells))
    return table


def card_line(card: dict[str, Any]) -> str:
    """A row of reports/judge_cards in words."""
    if card["dataset"] is None:
        return f"{card['judge_id']} has no card: how far it agrees with people is not known (`arena-etl calibrate`)"
    interval = "" if card["lower"] is None else f" ({card['lower']:.1%} to {card['upper']:.1%})"
    kappa = "" if card["kappa"] is None else f", kappa {card['kappa']:.2f}"
    return f"{card['judge_id']} agrees with people in {card['agreement']:.1%}{interval} on {card['dataset']}{kappa}"
