"""The site is built without a warning, and a reader's browser asks nobody else for anything."""

import re
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from tests.docs.blocks import ROOT

ELSEWHERE = re.compile(r"""<(?:script|link|img)[^>]+(?:src|href)=["']?(?:https?:)?//|@import|url\(["']?https?:""")


def test_the_site_is_built_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    pages = {
        page.relative_to(tmp_path).as_posix(): page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")
    }
    assert {"index.html", "quick-start.html", "tutorials/models.html", "reference/cli.html", "benchmarks.html"} <= set(
        pages
    )
    assert [name for name, text in pages.items() if ELSEWHERE.search(text)] == []
    assert [css.name for css in tmp_path.rglob("*.css") if ELSEWHERE.search(css.read_text(encoding="utf-8"))] == []
    assert 'href="benchmarks.html"' in pages["deduplication.html"]
    assert "<!--" not in pages["quick-start.html"].split('role="main"')[1], "notes for tests are not for readers"
