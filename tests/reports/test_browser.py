"""Pages in a real browser: quiet, offline, accessible, legible at any width, and deaf to what models wrote."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arena_etl.config import Config
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import release
from arena_etl.reports import site
from arena_etl.reports.report import write
from tests import tiny_round
from tests.reports.hostile import ARABIC, ATTACKS, BRACES, CLOSING, IMAGE, LINK, LONG, SCRIPT, SVG
from tests.reports.test_report import ROUND, commit, configure, full_round

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt-get install chromium): pages are not opened"
)

SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1280, 900)}
SCHEMES = {"phone": "light", "tablet": "dark", "desktop": "light"}
MOST_BYTES = 5_000_000
PATIENCE_MS = 180_000  # of a browser on busy cores


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def real(first_night: Config) -> Path:
    """The page of a round that was really fought."""
    return Path(write(first_night, Lake.open(first_night), tiny_round.ROUND))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on which everything that others write is an attack."""
    config = configure(tmp_path_factory.mktemp("hostile"))
    lake = Lake.open(config)
    tables = full_round()
    tables["models"][0]["name"], tables["models"][1]["name"] = LONG, CLOSING
    for row in tables["instructions"]:
        row["category"] = IMAGE
    tables["training_sets"][0] |= {"prompt": [{"role": "user", "content": SCRIPT}], "chosen": SVG, "category": BRACES}
    tables["responses"][0]["text"] = LONG
    tables["verdicts"][0]["explanation"] = CLOSING
    tables["promotions"][0]["reason"] = IMAGE
    tables["training_runs"][0] |= {"checkpoint": LINK, "status": "stopped", "reason": SCRIPT}
    tables["quality_results"][0] |= {"batch": f"verdicts/{ROUND}/sft/training", "observed": CLOSING, "limit": SVG,
                                     "expectation": IMAGE, "runbook": LINK}  # fmt: skip
    tables["ratings"][2] |= {"lower": 1100.0, "upper": 1300.0}
    commit(lake, tables)
    release(lake, config, ROUND, SCRIPT, CLOSING)
    page = write(config, lake, ROUND)
    site.write(config, lake)
    return Path(page)


class Opened:
    """A page in the browser, and what it asked for and complained about."""

    def __init__(self, browser: Any, file: Path, size: str = "desktop", scheme: str = "light") -> None:
        width, height = SIZES[size]
        self.page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.page.set_default_timeout(PATIENCE_MS)
        self.noise: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.noise.append(message.text))
        self.page.on("pageerror", lambda error: self.noise.append(str(error)))
        self.page.on("dialog", lambda dialog: self.noise.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())
        if self.page.locator("[data-chart]").count():
            self.page.wait_for_selector("html[data-charts=drawn]", state="attached")

    def violations(self) -> list[tuple[str, str]]:
        """What axe finds serious: the rule and the first element that breaks it."""
        from axe_playwright_python.sync_playwright import Axe

        self.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
        found = Axe().run(self.page).response["violations"]
        return [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")]

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self.page.close()


@pytest.mark.parametrize("name", ["real", "hostile"])
@pytest.mark.parametrize("size", SIZES)
def test_pages_are_quiet_offline_and_as_wide_as_the_screen(
    browser: Any, request: pytest.FixtureRequest, name: str, size: str
) -> None:
    file = request.getfixturevalue(name)
    assert file.stat().st_size < MOST_BYTES
    with Opened(browser, file, size, SCHEMES[size]) as opened:
        assert opened.noise == []
        assert opened.requests == [file.as_uri()]
        places = opened.page.locator("[data-chart]")
        charts = {places.nth(n).get_attribute("data-chart") for n in range(places.count())}
        assert charts >= {"forest", "history", "categories", "training"}
        assert opened.page.locator("[data-chart] svg").count() == len(charts)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["real", "hostile"])
def test_axe_finds_nothing_serious(browser: Any, request: pytest.FixtureRequest, name: str, scheme: str) -> None:
    with Opened(browser, request.getfixturevalue(name), "phone", scheme) as opened:
        assert opened.violations() == []


def test_nothing_that_others_wrote_runs(browser: Any, hostile: Path) -> None:
    with Opened(browser, hostile) as opened:
        page = opened.page
        assert page.evaluate("window.ran") is None
        assert page.locator("main script, main img, main svg[onload], a[href^='javascript']").count() == 0
        text = page.locator("body").inner_text()
        assert [attack for attack in ATTACKS if attack not in text] == []  # shown as it was written
        # The tooltip of a chart is made by a script, from the same names.
        page.locator("[data-chart=forest] path[aria-roledescription=circle]").last.hover(force=True)
        tooltip = page.locator("#vg-tooltip-element.visible")
        tooltip.wait_for()
        assert "</script>" in tooltip.inner_text()
        assert page.evaluate("window.ran") is None and opened.noise == []


def test_names_of_models_keep_their_own_direction(browser: Any, hostile: Path) -> None:
    with Opened(browser, hostile) as opened:
        name = opened.page.locator("#leaderboard bdi", has_text=ARABIC).first
        assert opened.page.evaluate("(name) => getComputedStyle(name).unicodeBidi", name.element_handle()) == "isolate"


def test_printed_in_black_on_white_also_in_the_dark(browser: Any, real: Path) -> None:
    with Opened(browser, real, scheme="dark") as opened:
        opened.page.emulate_media(media="print", color_scheme="dark")
        colours = opened.page.evaluate(
            "(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))"
        )
        assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
        assert not opened.page.locator("nav").is_visible()
        assert opened.page.pdf(format="A4").startswith(b"%PDF")


def test_the_site_can_be_searched_and_is_as_safe_as_the_reports(browser: Any, hostile: Path) -> None:
    with Opened(browser, hostile.parents[1] / "index.html", "phone") as opened:
        page = opened.page
        assert page.locator("tbody tr:visible").count() == 3  # a round and two models
        page.get_by_label("Search rounds and models").fill("ALPHA target")
        assert page.locator("tbody tr:visible").count() == 0
        assert page.get_by_role("status").inner_text() == "0 of 3 shown"
        page.get_by_label("Search rounds and models").fill("target")
        assert page.locator("tbody tr:visible").count() == 1
        assert opened.violations() == []
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"][0]
        page.locator("#models tr:visible a").first.click()
        assert page.locator("h1").inner_text().startswith(ARABIC)
        assert opened.violations() == []
        assert page.evaluate("window.ran") is None and opened.noise == []
