"""A lesion is found on the body map, and two of its dates are compared."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

    from tests.browser.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.xdist_group("browser")]

CLINICIAN = "clinician@demo.example"


def shown_part(pane: Locator) -> str:
    """Return how a picture is moved and enlarged, or nothing where it is shown whole."""
    return str(pane.evaluate("element => element.style.transform"))


def find_on_the_body_map(page: Page) -> None:
    """Narrow a patient's page to the back, and choose the site of a new lesion."""
    # The body map by keyboard: a site is a link, and a radio button of the form.
    body = page.get_by_role("navigation", name="Lesions by body site")
    body.get_by_role("link", name="Back 1 lesion").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Lesions: back")).to_be_visible()
    page.locator("summary", has_text="New lesion: back").focus()
    page.keyboard.press("Enter")
    chosen = page.get_by_role("radio", name="Back", exact=True)
    expect(chosen).to_be_checked()
    chosen.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="Buttock")).to_be_checked()
    # The drawing itself by pointer.
    page.locator("form label.site", has_text="Chest").locator("path").first.click()
    expect(page.get_by_role("radio", name="Chest")).to_be_checked()


def test_two_dates_of_a_lesion_are_compared(site: Installation, browser: Browser) -> None:
    with visitor(browser, site) as window:
        page = window.page
        window.sign_in(CLINICIAN)
        window.go("/patients/?q=DEMO-001")
        page.get_by_role("link", name=re.compile("Sommer")).first.click()
        find_on_the_body_map(page)

        # One turn of the wheel, one drag and one key move both pictures, until they are unlocked.
        page.get_by_role("link", name=re.compile("Compare images of Mole")).click()
        expect(page.get_by_text("214 days between")).to_be_visible()
        page.wait_for_load_state("load")
        stages, panes = page.locator("[data-viewer-stage]"), page.locator("[data-viewer-pane]")
        one, other = panes.nth(0), panes.nth(1)
        stages.nth(0).hover()
        page.keyboard.down("Control")
        page.mouse.wheel(0, -100)
        page.keyboard.up("Control")
        expect(one).to_have_attribute("style", re.compile(r"scale\(1\.15\)"))
        assert shown_part(one) == shown_part(other)
        before = shown_part(one)
        page.mouse.down()
        page.mouse.move(300, 300)
        page.mouse.up()
        assert shown_part(one) == shown_part(other) != before
        stages.nth(1).focus()
        page.keyboard.press("+")
        assert shown_part(one) == shown_part(other)
        lock = page.get_by_role("button", name="Move together")
        lock.click()
        expect(lock).to_have_attribute("aria-pressed", "false")
        stages.nth(1).focus()
        page.keyboard.press("0")
        assert (bool(shown_part(one)), shown_part(other)) == (True, "")
        lock.click()
        assert shown_part(one) == shown_part(other) == ""

        # One over the other, and the slider between them.
        window.click("link", "One over the other")
        page.wait_for_load_state("load")
        later = page.locator("[data-viewer-map]")
        slider = page.get_by_role("slider", name=re.compile("later picture"))
        for key, opacity in (("End", "1"), ("Home", "0")):
            slider.press(key)
            assert later.evaluate("element => element.style.opacity") == opacity
        # The later picture alone is fitted to the earlier one.
        page.get_by_role("button", name="Fit the later picture").click()
        page.locator("[data-viewer-stage]").press("ArrowRight")
        page.get_by_role("button", name="Turn the later picture left").click()
        assert shown_part(later) == "translate(4px, 0px) rotate(-2deg) scale(1)"
        assert shown_part(page.locator("[data-viewer-pane]")) == ""
        page.set_viewport_size({"width": 320, "height": 800})
        assert not window.scrolls_sideways()
        window.click("link", "Side by side")
        expect(page.locator("[data-viewer-stage]")).to_have_count(2)
        assert not window.scrolls_sideways()
        assert window.problems == []


def test_the_site_of_a_lesion_is_chosen_while_uploading(
    site: Installation, browser: Browser
) -> None:
    with visitor(browser, site) as window:
        page = window.page
        window.sign_in(CLINICIAN)
        window.go("/patients/?q=DEMO-001")
        page.get_by_role("link", name=re.compile("Sommer")).first.click()
        page.get_by_role("link", name="Add images", exact=True).click()
        body = page.locator("summary", has_text="Body site of the new lesion")
        expect(body).to_be_hidden()
        page.get_by_role("combobox", name=re.compile("^Lesion")).select_option("new")
        ear = page.get_by_role("radio", name="Ear")
        expect(ear).to_be_hidden()
        body.focus()
        page.keyboard.press("Enter")
        page.get_by_role("radio", name="Unknown").focus()
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("radio", name="Scalp")).to_be_checked()
        page.locator("label.site", has_text="Chest").locator("path").first.click()
        expect(page.get_by_role("radio", name="Chest")).to_be_checked()
        page.set_viewport_size({"width": 320, "height": 800})
        assert not window.scrolls_sideways()
        assert window.problems == []
