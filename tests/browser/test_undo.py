"""Undo by the keyboard: the button beside the sentence that says what was done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.browser.access import weaknesses
from tests.browser.test_closed_pages import save_a_filter
from tests.browser.visitor import visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.xdist_group("browser")]


def test_a_filter_that_was_removed_comes_back(site: Installation, browser: Browser) -> None:
    with visitor(browser, site) as window:
        page = window.page
        window.sign_in("reader@demo.example")
        save_a_filter(window)
        window.go(reverse("saved_filter_list"))
        page.get_by_role("button", name=re.compile("^Remove")).press("Enter")
        undo = page.get_by_role("status").get_by_role("button", name="Undo")
        expect(undo).to_be_visible()
        assert weaknesses(window) == []
        page.set_viewport_size({"width": 320, "height": 800})
        assert not window.scrolls_sideways()
        undo.press("Enter")
        expect(page.get_by_text("“Melanoma” is back.")).to_be_visible()
        expect(page.get_by_role("link", name="Melanoma", exact=True)).to_be_visible()
        assert window.problems == []
