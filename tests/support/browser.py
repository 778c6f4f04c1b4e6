"""The page in a real browser: how it is started, and what tests do in it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.service import Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
NEEDED = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install the package chromium"),
]
MOVIE = {
    "title": "The Long Harbour",
    "summary": "A widowed pilot guides one last ship home through the ice.",
    "genres": ["Drama", "Romance"],
    "year": 2004,
    "runtime": 112,
    "spoken_languages": ["English"],
    "directors": ["Ada Example"],
    "cast": ["Bo Example", "Cy Example"],
    "writers": ["Di Example"],
    "companies": ["Quay Example Films"],
    "countries": ["France"],
}

# Two cores may be busy with other things.
expect.set_options(timeout=60_000)


@contextmanager
def started() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@contextmanager
def opened(browser: Browser, server: Server, width: str, query: str = "", **options: Any) -> Iterator[Page]:
    """The page at a width of `WIDTHS`; at the end, no request went to another host and no script failed."""
    across, down = WIDTHS[width]
    page = browser.new_page(viewport={"width": across, "height": down}, accept_downloads=True, **options)
    elsewhere: list[str] = []
    faults: list[str] = []
    own = (server.url, server.url.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda sent: None if sent.url.startswith(own) else elsewhere.append(sent.url))
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.on("dialog", lambda dialog: faults.append(f"dialog {dialog.message}"))
    page.goto(f"{server.url}/{query}")
    page.get_by_label("Title").first.wait_for()
    yield page
    # Nothing is cut off at the side.
    assert page.evaluate("document.documentElement.scrollWidth") <= across
    assert not elsewhere
    assert not faults
    page.close()


SETTLING = 300  # milliseconds


def open_tab(page: Page, name: str) -> None:
    """Go to a tab, which may be behind the dots on a phone."""
    tab = page.get_by_role("tab", name=name)
    if not tab.is_visible():
        page.locator(".overflow-menu button").first.click()
        tab = page.locator(".overflow-dropdown button", has_text=name)
    tab.click()


def predict(page: Page) -> None:
    """Predict the movie of the form, and wait for the answer."""
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator("#fields")).to_be_visible()


def predict_all(page: Page, source: Path) -> None:
    """Upload a table and start its prediction."""
    open_tab(page, "Many movies")
    page.locator("input[type=file]").first.set_input_files(source)
    expect(page.get_by_role("cell", name=source.name)).to_be_visible()
    page.get_by_role("button", name="Predict all").click()


def add_variants(page: Page, count: int) -> None:
    """Go to the variants, and copy the form ``count`` times."""
    open_tab(page, "What if")
    for number in range(1, count + 1):
        page.get_by_role("button", name="Add the form as a variant").click()
        expect(field(page, number, "title")).to_be_visible()
    # The fields get their values one after another; what a test types before would be overwritten.
    page.wait_for_timeout(SETTLING)


def field(page: Page, variant: int, name: str) -> Any:
    """The field of a variant."""
    return page.locator(f"#variant-{variant}-{name}").locator("input, textarea")


def picture(page: Page, name: str, folder: str | None = os.environ.get("MOVIE_RATINGS_SCREENSHOTS")) -> None:
    """Keep a picture of the page, if a folder for pictures is named."""
    if folder:
        size = page.viewport_size
        assert size is not None
        page.mouse.move(0, 0)
        page.screenshot(path=Path(folder, f"page-{name}-{size['width']}.png"), full_page=True)
