"""Whoever is called at night finds the page that the expectation names."""

import json
import re

from arena_etl import resources

DOCS = resources.EXPECTATIONS.parent / "docs"


def test_every_runbook_anchor_exists() -> None:
    headings = set(re.findall(r"^## (\S+)$", (DOCS / "runbook.md").read_text(), re.M))
    for file in resources.EXPECTATIONS.glob("*.json"):
        suite = json.loads(file.read_text())
        named = [suite["meta"]["runbook"], *(e.get("meta", {}).get("runbook") for e in suite["expectations"])]
        for anchor in filter(None, named):
            page, _, heading = anchor.partition("#")
            assert page == "docs/runbook.md", f"{file.name}: {anchor}"
            assert heading in headings, f"{file.name}: {anchor}"
