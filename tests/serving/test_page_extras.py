"""What the page has only if the service was started so: search at TMDB, slates, feedback; in a real browser.

The last tests send the same events without the page, with values that the page would not send.
"""

import csv
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import python_calamine
from playwright.sync_api import Browser, Page, expect

from movie_ratings.log import read
from tests.serving.conftest import MARKUP
from tests.support import slates
from tests.support.browser import NEEDED, add_variants, open_tab, opened, picture, predict, predict_all
from tests.support.page_events import answered, join
from tests.support.service import Server
from tests.support.slates import film
from tests.support.tmdb import KEY

pytestmark = NEEDED


@pytest.fixture
def page(width: str, browser: Browser, full_server: Server) -> Iterator[Page]:
    with opened(browser, full_server, width) as page:
        yield page


def search(page: Page, title: str) -> None:
    page.get_by_label("Film", exact=True).fill(title)
    page.get_by_role("button", name="Search").click()


def logged(folder: Path, kind: str, count: int) -> list[dict[str, object]]:
    """The rows of the log from row ``count`` on. It is written twice a second."""
    time.sleep(1.5)
    return rows(folder, kind)[count:]


def rows(folder: Path, kind: str) -> list[dict[str, object]]:
    return [row for batch in read.batches(folder, kind) for row in batch.to_pylist()]


def test_a_film_of_tmdb_fills_the_form(page: Page) -> None:
    search(page, "harbour")
    expect(page.locator("#found")).to_have_text("1 match.")
    match = re.compile("The Long Harbour.*Le film n° 9.*2027-02-03, TMDB 9$")
    expect(page.get_by_role("radio", name=match)).to_be_checked()
    page.get_by_role("button", name="Fill the form").click()
    expect(page.locator("#found")).to_contain_text("what TMDB has of The Long Harbour today (2027-02-03)")
    expect(page.get_by_label("Title")).to_have_value("The Long Harbour")
    expect(page.get_by_label("Summary")).to_have_value(re.compile("the story of day 9"))
    picture(page, "search")
    page.get_by_role("button", name="What else is known (optional)").click()
    expect(page.get_by_label("Year")).to_have_value("2027")
    expect(page.get_by_label("Directors")).to_have_value("Maker of 9")
    predict(page)


@pytest.mark.parametrize("width", ["desktop"])
def test_a_match_is_chosen_by_keyboard_alone(page: Page) -> None:
    page.get_by_label("Film", exact=True).focus()
    page.keyboard.type("film 1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("radio", name=re.compile("TMDB 1$"))).to_be_checked()
    expect(page.get_by_role("radiogroup", name="Matches")).to_be_visible()
    expect(page.get_by_role("button", name="Fill the form")).to_be_visible()
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "radio":
            break
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name=re.compile("TMDB 10$"))).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Title")).to_have_value("Film 10")


@pytest.mark.parametrize("width", ["desktop"])
def test_a_search_without_a_match_is_a_message(page: Page) -> None:
    for title, message in (
        ("no such film", "TMDB has no film that matches."),
        ("  ", "Write a title of 1 to 500 characters."),
    ):
        search(page, "harbour")
        expect(page.get_by_role("button", name="Fill the form")).to_be_visible()
        search(page, title)
        expect(page.locator("#found")).to_have_text(message)
        expect(page.get_by_role("button", name="Fill the form")).to_be_hidden()


@pytest.mark.parametrize("width", ["desktop"])
def test_what_tmdb_cannot_give_is_a_message_and_the_form_stays(page: Page) -> None:
    page.get_by_label("Title").fill("Mine")
    search(page, "Film 5")
    page.get_by_role("button", name="Fill the form").click()
    expect(page.locator("#found")).to_have_text("TMDB: HTTP 500; try again later.")
    expect(page.get_by_label("Title")).to_have_value("Mine")


@pytest.mark.parametrize("width", ["desktop"])
def test_a_title_of_tmdb_is_shown_and_never_run(page: Page) -> None:
    search(page, "onerror")
    expect(page.locator("#matches")).to_contain_text(MARKUP)
    page.get_by_role("button", name="Fill the form").click()
    expect(page.locator("#found")).to_contain_text(MARKUP)
    expect(page.get_by_label("Title")).to_have_value(MARKUP)
    assert page.locator("#matches img, #found img").count() == 0


def test_the_newest_slate_is_listed_and_an_older_one_can_be_chosen(page: Page) -> None:
    open_tab(page, "Slate")
    table = page.get_by_role("region", name="The first 100 of 120 films")
    expect(table.locator("tbody tr")).to_have_count(100)
    expect(table.locator("tbody tr").first).to_contain_text(MARKUP)
    expect(table.locator("tbody tr").nth(1)).to_have_text(re.compile("2Film 22027-02-038.05.0 to 7.0average"))
    expect(table.locator("tbody tr").nth(2)).to_contain_text("no title")
    expect(page.locator("#slate-message")).to_contain_text("on 2026-12-01 08:30 UTC, by model 0123456789ab")
    assert page.locator("#slate img").count() == 0
    picture(page, "slate")
    page.get_by_label("Predicted on").click()
    page.get_by_role("option", name="2026-12-01").click()
    expect(page.get_by_role("region", name="All films").locator("tbody tr")).to_have_count(2)


@pytest.mark.parametrize("width", ["desktop"])
def test_a_slate_is_downloaded_as_a_table_and_as_a_workbook(page: Page) -> None:
    open_tab(page, "Slate")
    for suffix in (".csv", ".xlsx"):
        page.get_by_role("button", name=f"Make the list as {suffix}").click()
        expect(page.get_by_role("cell", name=f"slate-2026-12-08{suffix}")).to_be_visible()
        with page.expect_download() as download:
            page.locator("a[download]").last.click()
        if suffix == ".csv":
            found: list[Any] = list(csv.reader(download.value.path().read_text().splitlines()))
        else:
            book = python_calamine.CalamineWorkbook.from_path(download.value.path())
            found = book.get_sheet_by_index(0).to_python()
        assert len(found) == 121
        assert found[0][:3] == ["rank", "title", "release_date"]
        assert found[2][1] == "Film 2"


@pytest.mark.parametrize("width", ["desktop"])
def test_a_file_that_is_no_slate_is_one_line(page: Page, slate_folder: Path) -> None:
    damaged = slate_folder / "2026-12-09.parquet"
    damaged.write_bytes((slate_folder / "2026-12-08.parquet").read_bytes()[:-100])
    try:
        open_tab(page, "Slate")
        expect(page.locator("#slate-message")).to_have_text("2026-12-09.parquet: no slate that can be read.")
        expect(page.get_by_role("button", name="Make the list as .csv")).to_be_hidden()
        slates.write(damaged, film(1))
        page.get_by_role("tab", name="The model").click()
        open_tab(page, "Slate")
        expect(page.get_by_role("region", name="All films").locator("tbody tr")).to_have_count(1)
    finally:
        damaged.unlink()


@pytest.mark.parametrize("width", ["desktop"])
def test_the_label_is_right(page: Page, log_folder: Path) -> None:
    predictions, feedback = (len(rows(log_folder, kind)) for kind in ("predictions", "feedback"))
    page.get_by_label("Title").fill("The Long Harbour")
    predict(page)
    label = page.locator("#label h2:visible").inner_text()
    picture(page, "feedback")
    page.get_by_role("button", name="The label is right").dblclick()
    expect(page.locator("#thanks")).to_have_text("Thank you. The log has it.")
    expect(page.get_by_role("button", name="The label is right")).to_be_hidden()
    (predicted,) = logged(log_folder, "predictions", predictions)
    (given,) = logged(log_folder, "feedback", feedback)
    assert (given["id"], given["label"], given["rating"]) == (predicted["id"], label, None)
    # Another answer is another question.
    predict(page)
    expect(page.get_by_role("button", name="The label is right")).to_be_visible()
    expect(page.locator("#thanks")).to_have_text("")


@pytest.mark.parametrize("width", ["phone"])
def test_the_label_is_wrong(page: Page, log_folder: Path) -> None:
    feedback = len(rows(log_folder, "feedback"))
    page.get_by_label("Title").fill("The Long Harbour")
    predict(page)
    page.get_by_role("button", name="The label is wrong").click()
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Choose the true label, or write a rating from 0 to 10.")).to_be_visible()
    page.get_by_label("good", exact=True).check()
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#thanks")).to_contain_text("Thank you")
    predict(page)
    page.get_by_role("button", name="The label is wrong").click()
    page.get_by_label("Or the true rating").fill("6,8")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#thanks")).to_contain_text("Thank you")
    found = logged(log_folder, "feedback", feedback)
    assert [(row["label"], row["rating"]) for row in found] == [("good", None), (None, 6.8)]


@pytest.mark.parametrize("width", ["desktop"])
def test_the_label_that_is_right_is_the_one_that_is_seen(page: Page, full_server: Server, log_folder: Path) -> None:
    for summary in ("A radiant vision.", "A dull noise.", "A widowed pilot.", "noise vision", "dull radiant"):
        body = {"movies": [{"title": "Film 7", "summary": summary}]}
        (found,) = full_server.ask("POST", "/v1/predict", body)[1]["predictions"]
        probable = max(found["probabilities"], key=found["probabilities"].__getitem__)
        if found["label"] != probable:
            break
    feedback = len(rows(log_folder, "feedback"))
    page.get_by_label("Title").fill("Film 7")
    page.get_by_label("Summary").fill(summary)
    predict(page)
    page.get_by_label("the most probable").check()
    page.get_by_role("button", name="The label is right").click()
    (given,) = logged(log_folder, "feedback", feedback)
    assert given["label"] == probable


@pytest.mark.parametrize("width", ["desktop"])
def test_variants_and_tables_are_logged_as_requests_are(page: Page, log_folder: Path, tmp_path: Path) -> None:
    count = len(rows(log_folder, "predictions"))
    page.get_by_label("Title").fill("The Long Harbour")
    add_variants(page, 2)
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#answer-2 .changes, #answer-2 .note").first).to_be_visible()
    assert len(logged(log_folder, "predictions", count)) == 2
    source = tmp_path / "movies.csv"
    source.write_text("title\nFilm 1\nFilm 2\nFilm 3\n")
    predict_all(page, source)
    expect(page.locator("#message")).to_contain_text("3 movies rated")
    assert len(logged(log_folder, "predictions", count + 2)) == 3


@pytest.fixture(scope="module")
def events(full_server: Server) -> dict[str, int]:
    """The numbers of the events of buttons and lists, by what is written on them."""
    _, config, _ = full_server.ask("GET", "/config")
    named = {one["id"]: one["props"] for one in config["components"]}
    found = {}
    for event in config["dependencies"]:
        for target, kind in event["targets"]:
            if kind in ("click", "input"):
                props = named[target]
                found[str(props.get("label") or props.get("value"))] = event["id"]
    return found


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (["A" * 501, ""], "Write a title of 1 to 500 characters."),
        ([None, None], "Write a title of 1 to 500 characters."),
        (["Film", "27"], "A year is a number from 1870 to 2100."),
        (["Film", "2027&api_key=x"], "A year is a number from 1870 to 2100."),
        (["Film", "\N{FULLWIDTH DIGIT TWO}027"], "A year is a number from 1870 to 2100."),
        ([{"a": 1}, ["b"]], "A year is a number from 1870 to 2100."),
        (["\ud800", "2027"], "TMDB: "),
    ],
)
def test_a_search_has_the_limits_of_the_api(
    full_server: Server, events: dict[str, int], data: list[Any], message: str
) -> None:
    found = answered(full_server, events["Search"], data)
    assert found["success"]
    assert f'<p class="refused"><bdi>{message}' in found["output"]["data"][0]
    assert KEY not in str(found)


def test_a_search_that_is_too_large_is_refused_before_it_is_read(full_server: Server, events: dict[str, int]) -> None:
    assert join(full_server, events["Search"], ["A" * 140_000, ""])[0] == 413


def test_without_a_match_there_is_nothing_to_fill(full_server: Server, events: dict[str, int]) -> None:
    message, *fields = answered(full_server, events["Fill the form"], [None])["output"]["data"]
    assert "Choose a match first." in message
    assert all("value" not in field for field in fields)


@pytest.mark.parametrize("number", ["9", "9223372036854775808", "../9", 9, ["9"], {"path": "https://example.com"}])
def test_only_a_match_can_fill_the_form(full_server: Server, events: dict[str, int], number: Any) -> None:
    found = answered(full_server, events["Fill the form"], [number])
    assert not found["success"]


@pytest.mark.parametrize("name", ["2026-12-08", "../2026-12-08", "/etc/passwd", ["2026-12-08"], {"path": "http://a/"}])
@pytest.mark.parametrize("event", ["Predicted on", "Make the list as .csv", "Make the list as .xlsx"])
def test_only_a_slate_of_the_list_is_read(full_server: Server, events: dict[str, int], event: str, name: Any) -> None:
    found = answered(full_server, events[event], [name])
    assert not found["success"]
    assert found["output"]["error"] in (
        "This request does not fit the page.",
        "A file must be uploaded from this page.",
    )


def test_feedback_has_the_limits_of_the_api(full_server: Server, events: dict[str, int], log_folder: Path) -> None:
    count = len(rows(log_folder, "feedback"))
    _, answer, _ = full_server.ask("POST", "/v1/predict", {"movies": [{"title": "Film 7"}]})
    own = answer["predictions"][0]["id"]
    wrong = "Choose the true label, or write a rating from 0 to 10."
    for event, data, message in (
        ("The label is right", ["0" * 32, "good", "good", "balanced"], "The log has no such prediction."),
        ("The label is right", [f" {own[1:]}", "good", "good", "balanced"], wrong),
        ("The label is right", [own, "great", "good", "balanced"], wrong),
        ("The label is right", [own, "good", "<img>", "most_probable"], wrong),
        ("The label is right", [None, None, None, None], wrong),
        ("Send", [own, None, ""], wrong),
        ("Send", [own, "good", "11"], wrong),
        ("Send", [own, "good", "nan"], wrong),
        ("Send", [own, "good", "-1"], wrong),
        ("Send", [own, "good", "1,000"], wrong),
        ("Send", ["0" * 32, "good", ""], "The log has no such prediction."),
    ):
        found = answered(full_server, events[event], data)
        assert message in found["output"]["data"][-1], data
    for event, data in (
        ("The label is right", [own, "good", "good", "other"]),
        ("Send", [own, "great", ""]),
        ("Send", [own, ["good"], ""]),
    ):
        assert not answered(full_server, events[event], data)["success"]
    assert logged(log_folder, "feedback", count) == []
