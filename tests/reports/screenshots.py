"""Pictures of a report for docs/: ``python -m tests.reports.screenshots lake/reports/ROUND/index.html docs``."""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.reports.test_browser import CHROMIUM, SCHEMES, SIZES, Opened


def main(page: Path, folder: Path) -> None:
    """Write report-phone.png, report-tablet.png (dark) and report-desktop.png: the first two screens of the page."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for size, (width, height) in SIZES.items():
            with Opened(browser, page.resolve(), size, SCHEMES[size]) as opened:
                shown = {"x": 0, "y": 0, "width": width, "height": 2 * height}
                opened.page.screenshot(path=folder / f"report-{size}.png", full_page=True, clip=shown)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
