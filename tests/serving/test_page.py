"""The page in a real browser, at desktop and phone width, with mouse and by keyboard alone.

MOVIE_RATINGS_SCREENSHOTS names a folder to keep screenshots in, MOVIE_RATINGS_PAGE_MODEL the model to take them of.
"""

import csv
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import python_calamine
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.service import Server
from tests.support.workbooks import xlsx

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
# Two cores may be busy with other things.
expect.set_options(timeout=60_000)
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install the package chromium"),
]


@pytest.fixture(scope="module")
def server(served_model: Path) -> Iterator[Server]:
    with Server(Path(os.environ.get("MOVIE_RATINGS_PAGE_MODEL", served_model))) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Browser, server: Server) -> Iterator[Page]:
    """The page, at each width; at the end, no request went to another host and no script failed."""
    width, height = WIDTHS[request.param]
    opened = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True)
    elsewhere, faults = [], []
    own = (server.url, server.url.replace("http", "ws"), "data:", "blob:")
    opened.on("request", lambda sent: None if sent.url.startswith(own) else elsewhere.append(sent.url))
    opened.on("pageerror", lambda fault: faults.append(str(fault)))
    opened.goto(server.url)
    opened.get_by_label("Title").wait_for()
    yield opened
    name = f"{request.param}-{request.node.originalname.removeprefix('test_')}"
    if folder := os.environ.get("MOVIE_RATINGS_SCREENSHOTS"):
        opened.screenshot(path=Path(folder, f"{name}.png"), full_page=True)
    # Nothing is cut off at the side.
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert not elsewhere
    assert not faults
    opened.close()


def test_one_movie_and_its_explanation(page: Page) -> None:
    page.get_by_label("Title").fill("The Long Harbour")
    page.get_by_label("Summary").fill("A widowed pilot guides one last ship home through the ice.")
    genres = page.get_by_label("Genres")
    for name in ("Drama", "No Such Genre"):
        genres.fill(name)
        genres.press("Enter")
    genres.press("Escape")
    page.get_by_role("button", name="What else is known (optional)").click()
    page.get_by_label("Year").fill("2004")
    page.get_by_label("Runtime in minutes").fill("112")
    page.get_by_label("Cast").fill("Bo Example, Cy Example")
    page.get_by_label("Writers").fill("Di Example")
    page.get_by_label("Companies of production").fill("Quay Films, Ice Films")
    page.get_by_label("Budget in dollars").fill("2500000")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator("#label h2")).to_have_text(_labels())
    for name in ("bad", "average", "good"):
        expect(page.get_by_text(name, exact=True).last).to_be_visible()
    expect(page.get_by_text("widowed", exact=True)).to_be_visible()
    for field in ("genres", "year", "runtime", "cast"):
        expect(page.locator("#fields")).to_contain_text(field)
    expect(page.get_by_text("not endorsed or certified by")).to_be_visible()


def test_by_keyboard_alone(page: Page) -> None:
    page.get_by_label("Title").focus()
    page.keyboard.type("The Long Harbour")
    page.keyboard.press("Tab")
    page.keyboard.type("A widowed pilot.")
    page.keyboard.press("Tab")
    page.keyboard.type("Drama")
    page.keyboard.press("Enter")
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText") == "Predict":
            break
    page.keyboard.press("Enter")
    expect(page.locator("#label h2")).to_have_text(_labels())
    expect(page.locator("#fields")).to_contain_text("genres")


def test_an_example_fills_the_form(page: Page) -> None:
    page.get_by_text("Paper Lanterns").click()
    expect(page.get_by_label("Title")).to_have_value("Paper Lanterns")


def test_an_empty_movie_is_refused_with_the_reason(page: Page) -> None:
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.get_by_text("Title and summary are both empty.")).to_be_visible()


def predict_all(page: Page, source: Path) -> None:
    page.get_by_role("tab", name="Many movies").click()
    page.locator("input[type=file]").first.set_input_files(source)
    expect(page.get_by_role("cell", name=source.name)).to_be_visible()
    page.get_by_role("button", name="Predict all").click()


def test_a_table_of_movies(page: Page, tmp_path: Path) -> None:
    source = tmp_path / "movies.csv"
    source.write_text("title,summary,genres\nFilm 1,A dull noise.,Drama\nFilm 2,A radiant vision.,\n")
    predict_all(page, source)
    expect(page.locator("#message")).to_contain_text("2 movies rated")
    with page.expect_download() as download:
        page.locator("a[download]").last.click()
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    assert [row["title"] for row in rows] == ["Film 1", "Film 2"]
    assert {row["label"] for row in rows} <= {"bad", "average", "good"}


def test_a_workbook_says_which_columns_were_read(page: Page, tmp_path: Path) -> None:
    source = tmp_path / "movies.xlsx"
    cells = [
        ["Film", "Plot", "Released", "Poster"],
        ["Film 1", "A dull noise.", "12 May 1994", "A"],
        ["Film 2", "", "soon", ""],
    ]
    source.write_bytes(xlsx({"Films": cells}))
    predict_all(page, source)
    expect(page.locator("#message")).to_contain_text("2 movies rated")
    expect(page.locator("#message")).to_contain_text("release_date from Released (by its name); 1 value cannot be read")
    expect(page.locator("#message")).to_contain_text("the first in row 3: 'soon'")
    expect(page.locator("#message")).to_contain_text("not read: Poster")
    with page.expect_download() as download:
        page.locator("a[download]").last.click()
    assert download.value.suggested_filename == "rated-movies.xlsx"
    book = python_calamine.CalamineWorkbook.from_path(download.value.path())
    header, *rows = book.get_sheet_by_index(0).to_python()
    assert [row[:4] for row in [header, *rows]] == cells
    assert {row[header.index("label")] for row in rows} <= {"bad", "average", "good"}


def test_a_broken_table_is_refused_with_its_line(page: Page, tmp_path: Path) -> None:
    source = tmp_path / "broken.csv"
    source.write_text("title,summary\nA,b\nB,c,d\n")
    predict_all(page, source)
    expect(page.get_by_text("broken.csv line 3: 3 cells, the header has 2")).to_be_visible()


def test_a_table_that_is_too_long_is_refused(page: Page, tmp_path: Path) -> None:
    source = tmp_path / "long.csv"
    source.write_text("title\n" + "A\n" * 2_001)
    predict_all(page, source)
    expect(page.get_by_text("More than 2,000 movies")).to_be_visible()


def test_the_models_card(page: Page, server: Server) -> None:
    tab = page.get_by_role("tab", name="The model")
    if not tab.is_visible():  # on a phone, behind the dots
        page.locator(".overflow-menu button").first.click()
        tab = page.locator(".overflow-dropdown button", has_text="The model")
    tab.click()
    version = server.ask("GET", "/v1/model")[1]["version"]
    expect(page.get_by_text(version).last).to_be_visible()
    expect(page.get_by_text("balanced accuracy").last).to_be_visible()


def test_the_page_hides_no_route(server: Server) -> None:
    assert server.ask("GET", "/status")[1] == {"working": "yes"}
    assert server.ask("GET", "/docs")[0] == 200
    assert server.ask("GET", "/v1/model")[0] == 200


def _labels() -> re.Pattern[str]:
    return re.compile("^(bad|average|good)$")
