"""``python -m arena_etl.documentation [--check]``: write the reference pages, or fail if one is not what the code says."""

import sys
from pathlib import Path

from arena_etl.documentation import commands, configuration, expectations, sql_files, tables

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
PAGES = {
    "cli.md": commands.reference,
    "configuration.md": configuration.reference,
    "tables.md": tables.reference,
    "sql-files.md": sql_files.reference,
    "expectations.md": expectations.reference,
}


def main(check: bool) -> None:
    stale = []
    for name, reference in PAGES.items():
        page, text = FOLDER / name, reference()
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            stale.append(f"docs/reference/{name}")
            if not check:
                page.write_text(text, encoding="utf-8")
    if check and stale:
        sys.exit(f"{', '.join(stale)}: not what the code says: run `make docs`")


if __name__ == "__main__":
    main("--check" in sys.argv)
