"""Two clinicians read the same picture, the second blinded; then the case is settled and known."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.access import weaknesses
from tests.browser.visitor import visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.installation import Installation
    from tests.browser.visitor import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.xdist_group("browser")]

FIRST, SECOND = "clinician@demo.example", "admin@demo.example"


def read(window: Visitor, diagnosis: str) -> None:
    """Save an own reading on an open result page, by its form."""
    page = window.page
    page.get_by_label("Your diagnosis").select_option(diagnosis)
    page.get_by_role("button", name="Save and show the answer").click()
    expect(page.get_by_role("heading", name="The network's answer")).to_be_visible()


def said(window: Visitor) -> str:
    """Return the words of the page, without the diagnoses that a form offers."""
    words: str = window.page.locator("main").evaluate(
        "main => { const copy = main.cloneNode(true);"
        " copy.querySelectorAll('option').forEach(each => each.remove());"
        " return copy.textContent; }"
    )
    return words


def test_a_second_clinician_reads_blinded_and_the_outcome_settles_it(
    site: Installation, browser: Browser
) -> None:
    with visitor(browser, site) as kim, visitor(browser, site) as alex:
        page = kim.page
        kim.sign_in(FIRST)
        kim.go("/patients/?q=DEMO-004")
        page.get_by_role("link", name=re.compile("Novak")).first.click()
        page.locator("ol.timeline li").last.get_by_role("link").last.click()
        own = page.get_by_role("heading", name="Your own reading")
        expect(own).to_be_visible(timeout=90_000)
        result = page.url.removeprefix(site.address)
        read(kim, "nevus")
        page.get_by_role("link", name="Show them").click()
        expect(page.get_by_role("heading", name="Similar confirmed cases")).to_be_focused()
        assert page.url.endswith(result)
        page.get_by_role("button", name="Ask for a second reading").click()
        expect(page.get_by_text("asked the clinic on")).to_be_visible()

        second = alex.page
        alex.sign_in(SECOND)
        second.get_by_role("navigation", name="Main").get_by_role(
            "link", name=re.compile("Readings")
        ).click()
        assert weaknesses(alex) == []
        second.get_by_role("table").get_by_role("link", name=re.compile("Novak")).first.click()
        expect(second.get_by_text("for a second reading")).to_be_visible()
        assert "Nevus" not in said(alex)
        expect(second.get_by_role("heading", name="The network's answer")).to_have_count(0)
        read(alex, "melanoma")
        assert "Nevus" in said(alex)
        expect(second.get_by_text("The readers do not agree.")).to_be_visible()

        kim.go("/readings/?tab=differ")
        assert weaknesses(kim) == []
        page.get_by_role("link", name=re.compile("Novak")).first.click()
        page.get_by_label("Overrule").check()
        page.get_by_label("Final diagnosis").select_option("other")
        page.get_by_label("In words").fill("Spitz naevus")
        page.get_by_label("Why you decide so").fill("Symmetrical starburst.")
        page.get_by_role("button", name="Save review").click()
        expect(page.get_by_text("changed their mind")).to_be_visible()
        expect(page.get_by_text("Opinions differ.")).to_have_count(0)
        assert weaknesses(kim) == []

        page.get_by_role("link", name="Record what it turned out to be").click()
        page.get_by_label("Diagnosis").select_option("melanoma")
        page.get_by_label("Reference number").fill("H-2026-17")
        page.get_by_role("button", name="Save the outcome").click()
        expect(page.get_by_role("heading", name="Melanoma")).to_be_visible()
        assert weaknesses(kim) == []
        kim.go("/outcomes/")
        expect(page.get_by_text("too few to say").first).to_be_visible()
        assert weaknesses(kim) == []
        kim.go(result)
        expect(page.get_by_role("link", name="Melanoma")).to_be_visible()
        assert kim.problems == alex.problems == []
