"""The page for those who use a keyboard or a screen reader, in light and in dark, at both widths: axe-core's rules."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from serving.page import link
from tests.support.browser import (
    MOVIE,
    NEEDED,
    WIDTHS,
    add_variants,
    field,
    open_tab,
    opened,
    predict,
    predict_all,
)  # fmt: skip
from tests.support.service import Server

pytestmark = NEEDED
# The element that has the keyboard: its text or name, whether it is the page's body, and whether it is seen to have it.
FOCUSED = """() => {
  const found = document.activeElement, box = found.getBoundingClientRect(), style = getComputedStyle(found);
  return [
    found === document.body, found.innerText || found.getAttribute("aria-label") || found.tagName,
    box.width > 0 && (style.outlineStyle !== "none" || style.boxShadow !== "none"),
  ];
}"""
# A busy computer draws the page less often than keys are pressed.
SLOW_FRAMES = """() => {
  const frame = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (step) => setTimeout(() => frame(step), 300);
}"""
STILL = "!document.querySelector('.pending') && document.getAnimations().every((one) => one.playState !== 'running')"


def violations(page: Page) -> list[str]:
    """The serious and critical violations of axe-core's rules, with the elements that violate them."""
    # A button under the pointer changes its colour, and an answer that has just come is still faint.
    page.mouse.move(0, 0)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.wait_for_function(STILL)
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node['html'][:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize(("scheme", "width"), [("light", "desktop"), ("dark", "phone")])
def test_no_rule_of_axe_is_violated_on_any_tab(
    browser: Browser, full_server: Server, width: str, scheme: str, tmp_path: Path
) -> None:
    with opened(browser, full_server, width, f"?movie={link.pack(MOVIE)}", color_scheme=scheme) as page:
        expect(page.get_by_label("Title")).to_have_value(str(MOVIE["title"]))
        page.get_by_role("button", name="What else is known (optional)").click()
        predict(page)
        page.get_by_text("All words in their order").click()
        page.get_by_role("button", name="Link to this movie").click()
        page.get_by_role("button", name="Make the link").click()
        page.get_by_role("button", name="The label is wrong").click()
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_text("Choose the true label")).to_be_visible()
        page.get_by_label("Film", exact=True).fill("film 1")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_role("button", name="Fill the form")).to_be_visible()
        assert not violations(page)
        add_variants(page, 3)
        field(page, 2, "runtime").fill("85")
        page.get_by_role("button", name="Compare").click()
        expect(page.locator("#answer-2 .changes")).to_be_visible()
        assert not violations(page)
        source = tmp_path / "movies.csv"
        source.write_text("title,summary\n" + "Film 7,A radiant vision of a long title and of many words\n" * 12)
        predict_all(page, source)
        expect(page.locator(".preview")).to_be_visible()
        assert not violations(page)
        open_tab(page, "Slate")
        expect(page.get_by_role("region", name="The first 100 of 120 films")).to_be_visible()
        page.get_by_role("button", name="Make the list as .csv").click()
        expect(page.get_by_role("cell", name="slate-2026-12-08.csv")).to_be_visible()
        assert not violations(page)
        open_tab(page, "The model")
        assert not violations(page)


@pytest.mark.parametrize("query", ["?movie=broken"])
def test_no_rule_of_axe_is_violated_by_a_message(browser: Browser, full_server: Server, query: str) -> None:
    with opened(browser, full_server, "phone", query) as page:
        expect(page.locator("#notice")).to_contain_text("The link is broken")
        page.get_by_role("button", name="Predict", exact=True).click()
        expect(page.get_by_text("Title and summary are both empty.")).to_be_visible()
        assert not violations(page)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_keyboard_comes_to_everything_and_its_place_is_always_seen(
    browser: Browser, full_server: Server, width: str
) -> None:
    with opened(browser, full_server, width) as page:
        page.get_by_label("Title").fill("The Long Harbour")
        predict(page)
        page.evaluate(SLOW_FRAMES)
        page.evaluate("document.activeElement.blur(), getSelection().removeAllRanges(), scrollTo(0, 0)")
        page.get_by_role("tab", name="One movie").focus()
        places, unseen = [], []
        for _ in range(80):
            page.keyboard.press("Tab")
            is_body, name, seen = page.evaluate(FOCUSED)
            if is_body:
                break
            places.append(name)
            if not seen:
                unseen.append(name)
        else:
            pytest.fail(f"the keyboard does not leave the page: {places}")
        assert not unseen
        joined = "\n".join(places)
        found = ("Search", "Predict", "All words in their order", "The label is right", "Link to this movie")
        for name in (*found, "API documentation"):
            assert name in joined


def test_tabs_are_reached_and_opened_by_keyboard(browser: Browser, full_server: Server) -> None:
    with opened(browser, full_server, "desktop") as page:
        page.get_by_role("tab", name="One movie").focus()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
            page.keyboard.press("Enter")
            if page.get_by_role("tab", name="What if").get_attribute("aria-selected") == "true":
                break
            page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Compare")).to_be_visible()


def test_an_answer_is_spoken(browser: Browser, full_server: Server) -> None:
    with opened(browser, full_server, "desktop") as page:
        for place in ("label", "notice", "found", "thanks"):
            expect(page.locator(f"#{place}")).to_have_attribute("aria-live", "polite")
        page.get_by_label("Title").fill("The Long Harbour")
        predict(page)
        expect(page.locator("#label[aria-live=polite] h2:visible")).to_have_count(1)
