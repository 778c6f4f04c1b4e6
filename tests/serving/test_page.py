"""The page in a real browser, at desktop and phone width, with mouse and by keyboard alone.

MOVIE_RATINGS_SCREENSHOTS names a folder to keep screenshots in, MOVIE_RATINGS_PAGE_MODEL the model to take them of.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import python_calamine
from playwright.sync_api import Browser, Page, expect

from serving.page import link
from tests.support.browser import (
    MOVIE,
    NEEDED,
    add_variants,
    field,
    open_tab,
    opened,
    picture,
    predict,
    predict_all,
)  # fmt: skip
from tests.support.service import Server
from tests.support.workbooks import xlsx

pytestmark = NEEDED


@pytest.fixture
def page(width: str, browser: Browser, server: Server) -> Iterator[Page]:
    with opened(browser, server, width) as page:
        yield page


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
    expect(page.locator("#label h2:visible")).to_have_text(_labels())
    for name in ("bad", "average", "good"):
        expect(page.get_by_text(name, exact=True).last).to_be_visible()
    page.get_by_text("All words in their order").click()
    expect(page.locator(".words").get_by_text("widowed", exact=True)).to_be_visible()
    for name in ("genres", "year", "runtime", "cast"):
        expect(page.locator("#fields")).to_contain_text(name)
    expect(page.get_by_text("not endorsed or certified by")).to_be_visible()


@pytest.mark.parametrize("width", ["desktop"])
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
    expect(page.locator("#label h2:visible")).to_have_text(_labels())
    expect(page.locator("#fields")).to_contain_text("genres")


@pytest.mark.parametrize("width", ["phone"])
def test_an_example_fills_the_form(page: Page) -> None:
    page.get_by_text("Paper Lanterns").click()
    expect(page.get_by_label("Title")).to_have_value("Paper Lanterns")


@pytest.mark.parametrize("width", ["phone"])
def test_an_empty_movie_is_refused_with_the_reason(page: Page) -> None:
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.get_by_text("Title and summary are both empty.")).to_be_visible()


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


@pytest.mark.parametrize("width", ["phone"])
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


@pytest.mark.parametrize("width", ["phone"])
def test_a_broken_table_is_refused_with_its_line(page: Page, tmp_path: Path) -> None:
    source = tmp_path / "broken.csv"
    source.write_text("title,summary\nA,b\nB,c,d\n")
    predict_all(page, source)
    expect(page.get_by_text("broken.csv line 3: 3 cells, the header has 2")).to_be_visible()


@pytest.mark.parametrize("width", ["phone"])
def test_a_table_that_is_too_long_is_refused(page: Page, tmp_path: Path) -> None:
    source = tmp_path / "long.csv"
    source.write_text("title\n" + "A\n" * 2_001)
    predict_all(page, source)
    expect(page.get_by_text("More than 2,000 movies")).to_be_visible()


def test_the_models_card(page: Page, server: Server) -> None:
    open_tab(page, "The model")
    version = server.ask("GET", "/v1/model")[1]["version"]
    expect(page.get_by_text(version).last).to_be_visible()
    expect(page.get_by_text("balanced accuracy").last).to_be_visible()


@pytest.mark.parametrize("width", ["phone"])
def test_the_answer_is_a_rating_on_a_scale_and_probabilities_beside_their_base_rates(page: Page) -> None:
    page.get_by_label("Title").fill("The Long Harbour")
    predict(page)
    expect(page.locator("#label .figure")).to_have_text(re.compile(r"^\d\.\d of 10, 80% interval \d+\.\d to \d+\.\d$"))
    scale = page.get_by_role("img", name=re.compile("Predicted rating .* 80% interval .* Bad is a rating below"))
    expect(scale).to_be_visible()
    names = ("bad", "average", "good")
    for name, row in zip(names, page.locator(".classes li").all(), strict=True):
        expect(row).to_contain_text(re.compile(rf"{name}.*\d+%.*times the usual \d+%", re.DOTALL))


@pytest.mark.parametrize("width", ["desktop"])
def test_the_radio_shows_the_most_probable_class_without_another_prediction(page: Page, server: Server) -> None:
    # With this word, the model of the tests labels a movie otherwise than by its most probable class.
    for summary in ("A radiant vision.", "A dull noise.", "A widowed pilot.", "noise vision", "dull radiant"):
        body = {"movies": [{"title": "Film 7", "summary": summary}]}
        (found,) = server.ask("POST", "/v1/predict", body)[1]["predictions"]
        probable = max(found["probabilities"], key=found["probabilities"].__getitem__)
        if found["label"] != probable:
            break
    page.get_by_label("Title").fill("Film 7")
    page.get_by_label("Summary").fill(summary)
    predict(page)
    expect(page.locator("#label h2:visible")).to_have_text(found["label"])
    if found["label"] != probable:
        expect(page.get_by_text(f"The most probable class is {probable}")).to_be_visible()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.get_by_label("the most probable").check()
    expect(page.locator("#label h2:visible")).to_have_text(probable)
    expect(page.get_by_text("The most probable class is")).to_be_hidden()
    assert not [url for url in sent if "queue" in url]


def test_variants_stand_side_by_side_with_their_differences_marked(page: Page) -> None:
    page.get_by_label("Title").fill("The Long Harbour")
    page.get_by_label("Summary").fill("A radiant vision.")
    add_variants(page, 2)
    expect(field(page, 2, "summary")).to_have_value("A radiant vision.")
    field(page, 2, "runtime").fill("95")
    field(page, 2, "summary").fill("A dull noise.")
    changed = page.locator("[data-changed]")
    expect(changed).to_have_count(2)
    expect(field(page, 2, "runtime")).to_have_attribute("aria-description", "differs from variant 1")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#answer-1 .difference")).to_have_count(0)
    # Of the rating and of three probabilities.
    expect(page.locator("#answer-2 .difference")).to_have_count(4)
    expect(page.locator("#answer-2 .changes li")).to_have_text(
        ["summary A radiant vision. → A dull noise.", "runtime nothing → 95"]
    )
    expect(page.locator("#variant-3")).to_be_hidden()
    field(page, 2, "runtime").fill("")
    expect(changed).to_have_count(1)
    page.locator("#variant-2").get_by_role("button", name="More facts").click()
    field(page, 2, "writers").fill("Di Example")
    expect(changed).to_have_count(2)
    page.get_by_role("button", name="Remove the last variant").click()
    expect(page.locator("#variant-2")).to_be_hidden()
    expect(page.locator("#variant-1")).to_be_visible()


@pytest.mark.parametrize("width", ["phone"])
def test_a_fourth_variant_is_refused(page: Page) -> None:
    page.get_by_label("Title").fill("The Long Harbour")
    add_variants(page, 3)
    page.get_by_role("button", name="Add the form as a variant").click()
    expect(page.get_by_text("There are 3 variants already")).to_be_visible()


@pytest.mark.parametrize("width", ["desktop"])
def test_a_link_carries_the_form(page: Page, browser: Browser, server: Server, width: str) -> None:
    page.get_by_label("Title").fill("Über-Film “7” & <b>8</b>")
    genres = page.get_by_label("Genres")
    genres.fill("Drama")
    genres.press("Enter")
    genres.press("Escape")
    page.get_by_role("button", name="What else is known (optional)").click()
    page.get_by_label("Runtime in minutes").fill("112")
    page.get_by_label("Cast").fill("Bo Example, Cy Example")
    page.get_by_role("button", name="Link to this movie").click()
    page.get_by_role("button", name="Make the link").click()
    made = page.locator("#link").locator("textarea, input")
    expect(made).to_have_value(re.compile("movie="))
    address, _, query = made.input_value().partition("?")
    assert address == f"{server.url}/"
    with opened(browser, server, width, f"?{query}") as other:
        expect(other.get_by_label("Title")).to_have_value("Über-Film “7” & <b>8</b>")
        expect(other.get_by_text("Drama", exact=True)).to_be_visible()
        other.get_by_role("button", name="What else is known (optional)").click()
        expect(other.get_by_label("Runtime in minutes")).to_have_value("112")
        expect(other.get_by_label("Cast")).to_have_value("Bo Example, Cy Example")
        predict(other)


@pytest.mark.parametrize("width", ["desktop"])
@pytest.mark.parametrize("query", ["?movie=broken!", "?movie=", "?movie=" + "A" * 8_001])
def test_a_broken_link_is_a_message_above_an_empty_form(
    browser: Browser, server: Server, width: str, query: str
) -> None:
    with opened(browser, server, width, query) as page:
        expect(page.locator("#notice")).to_contain_text("The movie of this link cannot be shown. The link is")
        expect(page.get_by_label("Title")).to_have_value("")
        page.get_by_label("Title").fill("The Long Harbour")
        predict(page)


@pytest.mark.parametrize("width", ["desktop"])
def test_what_a_visitor_writes_is_shown_and_never_run(page: Page, tmp_path: Path, width: str) -> None:
    written = "<img src=x onerror=alert(1)>${alert(2)}{{alert(3)}}"
    page.get_by_label("Title").fill(written)
    predict(page)
    expect(page.locator("#fields")).to_contain_text("<img src=x")
    add_variants(page, 2)
    field(page, 2, "title").fill(f"{written}!")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#answer-2 .changes")).to_contain_text(f"{written} → {written}!")
    source = tmp_path / "movies.csv"
    source.write_text(f"title,<b>{written}</b>\n{written},{written}\n")
    predict_all(page, source)
    expect(page.locator(".preview td").last).to_have_text(written)
    assert page.locator("#details img, .preview img, .changes img").count() == 0


@pytest.mark.parametrize("width", ["desktop"])
def test_a_table_shows_its_progress_and_its_first_rows(page: Page, tmp_path: Path) -> None:
    source = tmp_path / "movies.csv"
    source.write_text("title,summary\n" + "".join(f"Film {n},{'A radiant vision. ' * 20}\n" for n in range(1_500)))
    # A progress can be gone before a question for it comes: the page itself keeps what it showed.
    page.evaluate(
        """() => {
          window.shown = [];
          const keep = () => window.shown.push(document.querySelector("#message")?.innerText ?? "");
          new MutationObserver(keep).observe(document.body, {childList: true, subtree: true, characterData: true});
        }"""
    )
    predict_all(page, source)
    expect(page.locator("#message")).to_contain_text("1,500 movies rated")
    progress = [text for text in page.evaluate("window.shown") if "of 1,500 movies predicted" in text]
    assert progress
    table = page.get_by_role("region", name="The first 10 of 1,500 rows")
    expect(table.locator("tbody tr")).to_have_count(10)
    expect(table.locator("thead th").nth(1)).to_have_text("label")
    expect(table.locator("tbody tr").first).to_contain_text("Film 0")


@pytest.mark.parametrize("width", ["desktop"])
@pytest.mark.parametrize(("scheme", "query", "dark"), [
    ("light", "", False), ("dark", "", True), ("light", "?__theme=dark", True), ("dark", "?__theme=light", False),
])  # fmt: skip
def test_dark_and_light_follow_the_system_and_the_address(
    browser: Browser, server: Server, width: str, scheme: str, query: str, dark: bool
) -> None:
    with opened(browser, server, width, query, color_scheme=scheme) as page:
        background = "getComputedStyle(document.body).getPropertyValue('background-color').match(/\\d+/g).map(Number)"
        assert (max(page.evaluate(background)[:3]) < 64) is dark


def test_the_pictures_of_the_documentation(browser: Browser, server: Server, width: str, tmp_path: Path) -> None:
    """`MOVIE_RATINGS_SCREENSHOTS=docs` takes them anew."""
    with opened(browser, server, width, f"?movie={link.pack(MOVIE)}") as page:
        expect(page.get_by_label("Title")).to_have_value(str(MOVIE["title"]))
        predict(page)
        picture(page, "answer")
        add_variants(page, 3)
        field(page, 2, "runtime").fill("85")
        field(page, 3, "directors").fill("Akira Kurosawa")
        page.get_by_role("button", name="Compare").click()
        expect(page.locator("#answer-3 .changes")).to_be_visible()
        if width == "desktop":
            picture(page, "what-if")
        source = tmp_path / "movies.csv"
        source.write_text(
            "title,summary,genres,year,runtime\n"
            "The Long Harbour,A widowed pilot guides one last ship home through the ice.,Drama,2004,112\n"
            'Spring Break Shark 4,"The shark is back, and this time it has brought its cousins.",Horror,2015,84\n'
            "Paper Lanterns,Three sisters keep their mother's cinema alive in occupied Seoul.,Drama,1997,126\n"
        )
        predict_all(page, source)
        expect(page.locator(".preview")).to_be_visible()
        if width == "desktop":
            picture(page, "table")


def test_the_page_hides_no_route(server: Server) -> None:
    assert server.ask("GET", "/status")[1] == {"working": "yes"}
    assert server.ask("GET", "/docs")[0] == 200
    assert server.ask("GET", "/v1/model")[0] == 200


def _labels() -> re.Pattern[str]:
    return re.compile("^(bad|average|good)$")
