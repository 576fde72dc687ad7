"""The site over all rounds: what is on it, what it links to, what it keeps, and where it can be published."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlparse

import pytest
from typer.testing import CliRunner

from arena_etl import cli
from arena_etl.config import Config
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.releases import release
from arena_etl.lake.storage import Storage
from arena_etl.reports.site import write
from tests.quality.rows import A, B, table_of
from tests.reports.hostile import LONG
from tests.reports.test_report import ROUND, Page, commit, configure, full_round

STRANGE = 'gpt "4" / <b>? ' + LONG


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Lake]:
    config = configure(tmp_path_factory.mktemp("site"))
    lake = Lake.open(config)
    tables = full_round()
    tables["ratings"].append({**tables["ratings"][1], "model": STRANGE, "rating": 1500.0})
    commit(lake, tables)
    release(lake, config, ROUND, "tester", "nightly")
    write(config, lake)
    return config, lake


def links(file: Path) -> list[Path]:
    """The files that a page links to."""
    hrefs = [href for tag, name, href in Page(file.read_text()).attributes if (tag, name) == ("a", "href")]
    return [Path(unquote(urlparse(urljoin(file.as_uri(), href)).path)) for href in hrefs if not href.startswith("#")]


def test_every_round_and_model_is_listed_and_every_link_leads_somewhere(published: tuple[Config, Lake]) -> None:
    config, _ = published
    index = Path(config.root) / "reports" / "index.html"
    text = Page(index.read_text()).text
    assert f"{ROUND} 3 67% 1" in text and "1 round and 3 models, release 1" in text
    assert "alpha target 2026-01-01 1,001 990 to 1,100 2" in text
    assert "candidate 2026-01-01 1,234" in text and "not registered" in text
    found = links(index)
    assert index.parent / ROUND / "index.html" in found
    pages = {page for page in found if page.parent.name == "models"}
    assert len(pages) == 3
    for page in pages:
        found += links(page)
    assert [str(page) for page in found if not page.is_file()] == []
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,100}", page.name) for page in pages)


def test_the_page_of_a_model(published: tuple[Config, Lake]) -> None:
    config, _ = published
    text = Page((Path(config.root) / "reports" / "models" / f"{B}.html").read_text()).text
    assert "candidate, since round 2026-01-01" in text and "promoted to champion" in text
    assert "2026-01-01 1,234 - 1 2" in text
    assert "alpha 0% 0% to 50% 0 0 2" in text
    assert "2026-01-01 SFT 2 none yet, training_sets version 0 000000000000" in text
    assert "Page" not in text and "sql/reports/opponents.sql · release 1" in text
    unregistered = next((Path(config.root) / "reports" / "models").glob("gpt--4*.html")).read_text()
    assert "known from recorded battles only" in unregistered and "<b>?" not in unregistered


def test_reports_that_are_there_are_kept_and_missing_ones_made(published: tuple[Config, Lake]) -> None:
    config, lake = published
    report = Path(config.root) / "reports" / ROUND / "index.html"
    report.write_text("kept")
    write(config, lake)
    assert report.read_text() == "kept"
    report.unlink()
    write(config, lake)
    assert f"Round {ROUND}" in report.read_text()


def test_a_copy_goes_to_a_folder_or_a_bucket(
    published: tuple[Config, Lake], tmp_path: Path, s3_settings: dict[str, Any]
) -> None:
    config, lake = published
    assert write(config, lake, output=str(tmp_path / "site")) == str(tmp_path / "site" / "index.html")
    files = {str(file.relative_to(tmp_path / "site")) for file in (tmp_path / "site").rglob("*") if file.is_file()}
    assert {"index.html", f"{ROUND}/index.html", f"{ROUND}/leaderboard.png", f"models/{A}.html"} <= files
    bucket = f"{s3_settings['root']}/site"
    there = config.model_copy(update={"s3_endpoint": s3_settings["s3_endpoint"]})
    assert write(there, lake, output=bucket) == f"{bucket}/index.html"
    filesystem = Storage.of(there.model_copy(update={"root": bucket})).filesystem
    assert {str(path).removeprefix(f"{bucket.removeprefix('s3://')}/") for path in filesystem.find(bucket)} == files


def test_the_verb_refuses_what_does_not_go_together(published: tuple[Config, Lake]) -> None:
    config, _ = published
    result = CliRunner().invoke(cli.app, ["--root", config.root, "report", "--site"])
    assert result.stdout.strip().endswith("reports/index.html")
    for arguments in (["--site", "--round", ROUND], ["--output", "x"]):
        assert CliRunner().invoke(cli.app, ["--root", config.root, "report", *arguments]).exit_code != 0


def test_a_lake_with_battles_but_no_round(tmp_path: Path) -> None:
    config = configure(tmp_path)
    lake = Lake.open(config)
    rows = full_round()["models"]
    lake.commit(Partition("models", (ROUND,)), table_of("models", rows), 1, {})
    release(lake, config, None, "tester", "imported")
    assert "0 rounds and 2 models" in Page(Path(write(config, lake)).read_text()).text
