"""What every verb prints with: results on stdout, progress and messages on stderr."""

import json
import sys
from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

stdout = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 1_000)


stderr = Console(stderr=True, soft_wrap=True, highlight=False)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=_json_default) + "\n")


def _json_default(value: Any) -> Any:
    known = plain(value)
    return str(value) if known is value else known


_TEXT_WIDTH = 14  # cells; a column of longer texts is folded to no less


class Grid:
    """Rows of texts as a table; where the terminal is too narrow for it, a block of lines per row. No number is ever cut."""

    def __init__(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        right: Collection[str] = (),
        title: str | None = None,
    ) -> None:
        self.header, self.rows, self.right, self.title = header, rows, right, title

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = [[name, *(row[n] for row in self.rows)] for n, name in enumerate(self.header)]
        widths = [max(map(cell_len, column)) for column in columns]
        if sum(min(width, _TEXT_WIDTH) + 2 for width in widths) > options.max_width:
            yield from self._blocks()
            return
        table = RichTable(title=Text(self.title) if self.title else None, title_justify="left", box=None)
        for name, width in zip(self.header, widths, strict=True):
            folds = width > _TEXT_WIDTH
            table.add_column(
                name,
                justify="right" if name in self.right else "left",
                no_wrap=not folds,
                overflow="fold",
                min_width=min(width, _TEXT_WIDTH),
            )
        for row in self.rows:
            table.add_row(*map(Text, row))
        yield table

    def _blocks(self) -> Iterator[Text]:
        if self.title:
            yield Text(self.title)
        for number, row in enumerate(self.rows):
            if number:
                yield Text("")
            for name, value in zip(self.header, row, strict=True):
                if value:
                    yield Text(f"{name}: {value}" if name else value)


def print_rows(header: list[str], rows: list[dict[str, Any]]) -> None:
    numbers = [name for name in header if any(isinstance(row.get(name), int | float | Decimal) for row in rows)]
    stdout.print(Grid(header, [[cell(row.get(name)) for name in header] for row in rows], right=numbers))


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


def leaderboard_table(rows: list[dict[str, Any]], title: str | None = None) -> Grid:
    """Ratings as a table, columns as in the lake's table ratings; name and role of the models where they are known."""
    registered = "role" in rows[0]
    header = ["rank", "model", *(["role"] if registered else []), "rating", "interval", "ranks", "battles", "remark"]
    lines = []
    for row in rows:
        known = row["lower"] is not None
        group = f"group {row['component']}" if (row["component"] or 1) > 1 else None
        lines.append(
            [
                str(row["rank"]),
                row.get("name", row["model"]),
                *([row["role"] or ""] if registered else []),
                f"{row['rating']:.0f}",
                f"{row['lower']:.0f} to {row['upper']:.0f}" if known else "-",
                f"{row['rank_lower']} to {row['rank_upper']}" if known else "-",
                str(row["n"]),
                ", ".join(filter(None, (group, row["flag"]))),
            ]
        )
    return Grid(header, lines, title=title)


def card_line(card: dict[str, Any]) -> str:
    """A row of reports/judge_cards in words."""
    if card["dataset"] is None:
        return f"{card['judge_id']} has no card: how far it agrees with people is not known (`arena-etl calibrate`)"
    interval = "" if card["lower"] is None else f" ({card['lower']:.1%} to {card['upper']:.1%})"
    kappa = "" if card["kappa"] is None else f", kappa {card['kappa']:.2f}"
    return f"{card['judge_id']} agrees with people in {card['agreement']:.1%}{interval} on {card['dataset']}{kappa}"
