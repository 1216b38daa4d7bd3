"""Colours, narrow screens and the keyboard, in a real browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import Visitor, visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.xdist_group("browser")]

CLINICIAN = "clinician@demo.example"
PAGES = (
    "/",
    "/?tab=failed",
    "/history/?state=succeeded",
    "/patients/",
    "/patients/new/",
    "/figures/",
    "/models/",
    "/analyses/new/",
    "/accounts/2fa/",
    "/accounts/password/change/",
    "/no/such/page/",
)
_BRIGHTNESS = """() => {
  const [red, green, blue] = getComputedStyle(document.documentElement)
    .backgroundColor.match(/[0-9.]+/g).map(Number);
  return (red + green + blue) / 3;
}"""


def open_result(window: Visitor) -> None:
    """Open an answered analysis of the first demo patient, and give a reading where asked."""
    page = window.page
    window.go("/patients/?q=DEMO-001")
    page.get_by_role("link", name=re.compile("Sommer")).first.click()
    page.locator("ol.timeline li").last.get_by_role("link").last.click()
    own = page.get_by_role("heading", name="Your own reading")
    answer = page.get_by_role("heading", name="The network's answer")
    expect(own.or_(answer).first).to_be_visible(timeout=90_000)
    if not answer.is_visible():
        page.get_by_label("Your diagnosis").select_option("nevus")
        page.get_by_role("button", name="Save and show the answer").click()
    expect(answer).to_be_visible()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_chosen_colours_stay(site: Installation, browser: Browser, colours: str) -> None:
    preferred, chosen = ("light", "Dark") if colours == "dark" else ("dark", "Light")
    with visitor(browser, site, colours=preferred) as window:  # type: ignore[arg-type] # a literal of two
        page = window.page
        window.sign_in(CLINICIAN)
        before = page.evaluate(_BRIGHTNESS)
        page.locator("details[data-menu] summary").click()
        page.get_by_role("button", name=chosen).first.click()
        window.go("/patients/")
        after = page.evaluate(_BRIGHTNESS)
        assert (after < before) is (chosen == "Dark")
        page.locator("details[data-menu] summary").click()
        page.get_by_role("button", name="System").first.click()
        assert page.evaluate(_BRIGHTNESS) == before
        assert window.problems == []


@pytest.mark.parametrize("width", [320, 768, 1024])
def test_no_page_scrolls_sideways(site: Installation, browser: Browser, width: int) -> None:
    with visitor(browser, site, width=width) as window:
        window.go("/accounts/login/")
        assert not window.scrolls_sideways()
        window.sign_in(CLINICIAN)
        too_wide = []
        for path in PAGES:
            window.go(path)
            if window.scrolls_sideways():
                too_wide.append(path)
        open_result(window)
        if window.scrolls_sideways():
            too_wide.append("a result")
        assert too_wide == []
        assert window.problems == []


def test_the_plots_of_a_network_follow_the_colours(site: Installation, browser: Browser) -> None:
    colour = "getComputedStyle(document.querySelector('svg .plot-main')).color"
    seen = set()
    for colours in ("light", "dark"):
        with visitor(browser, site, width=360, colours=colours) as window:
            page = window.page
            window.sign_in(CLINICIAN)
            open_result(window)
            page.locator("main a[href^='/models/']").first.click()
            drawing = page.get_by_role("img", name=re.compile("Confusion matrix, test images"))
            expect(drawing).to_be_visible()
            seen.add(page.evaluate(colour))
            table = page.get_by_role("region", name="Confusion matrix, test images")
            expect(table).to_be_hidden()
            page.locator("figure summary").first.focus()
            page.keyboard.press("Enter")
            expect(table).to_be_visible()
            assert not window.scrolls_sideways()
            assert window.problems == []
    assert len(seen) == 2


def test_the_picture_obeys_the_keyboard(site: Installation, browser: Browser) -> None:
    with visitor(browser, site) as window:
        page = window.page
        window.sign_in(CLINICIAN)
        open_result(window)
        pane, overlay = page.locator("[data-viewer-pane]"), page.locator("[data-viewer-map]")
        # A key that is pressed before the scripts are there does nothing.
        page.wait_for_load_state("load")
        page.locator("[data-viewer-stage]").focus()
        page.keyboard.press("+")
        assert "scale(1.4)" in (pane.get_attribute("style") or "")
        page.keyboard.press("0")
        assert "scale" not in (pane.get_attribute("style") or "")

        strength = page.locator("[data-viewer-strength]")
        strength.focus()
        strength.press("End")
        assert overlay.evaluate("element => element.style.opacity") == "1"
        page.get_by_label("Map", exact=True).uncheck()
        expect(overlay).to_be_hidden()
        first = overlay.get_attribute("src")
        page.get_by_label("Map of").select_option(index=1)
        expect(overlay).to_be_visible()
        assert overlay.get_attribute("src") != first
        assert window.problems == []


def test_a_field_appears_when_the_choice_asks_for_it(site: Installation, browser: Browser) -> None:
    with visitor(browser, site) as window:
        page = window.page
        window.sign_in(CLINICIAN)
        open_result(window)
        reason = page.get_by_label("Why you overrule")
        expect(reason).to_be_hidden()
        page.get_by_label("Overrule: another diagnosis").check()
        expect(reason).to_be_visible()
        words = page.get_by_label("In words")
        expect(words).to_be_hidden()
        page.get_by_label("Final diagnosis").select_option("other")
        expect(words).to_be_visible()
        page.get_by_label(re.compile("Defer")).check()
        expect(reason).to_be_hidden()
        assert window.problems == []


def test_the_tab_key_reaches_what_can_be_pressed(site: Installation, browser: Browser) -> None:
    with visitor(browser, site) as window:
        page = window.page
        window.sign_in(CLINICIAN)
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        # The next key counts from there only once the browser has followed the link.
        expect(page).to_have_url(re.compile("#"))
        expect(page.locator("main:target")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name=re.compile("To review"))).to_be_focused()
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert outline == "3px"
        summary = page.locator("details[data-menu] summary")
        summary.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="Change password")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("link", name="Change password")).to_be_hidden()
        expect(summary).to_be_focused()
        assert window.problems == []
