"""The server is away for a moment: nothing is lost on the page, and it asks again by itself."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import drawn_file, visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

    from tests.browser.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.xdist_group("browser")]

SENTENCE = "It is not certain that what you just sent was saved. Try again in a minute."


def test_an_upload_is_sent_again_and_a_waiting_page_asks_again(
    site: Installation, browser: Browser
) -> None:
    """The answers are those of ``skinapp/faults.py``; how it gives them is tested elsewhere."""
    uploads = polls = 0

    def upload(route: Route) -> None:
        nonlocal uploads
        uploads += route.request.method == "POST"
        if route.request.method == "POST" and uploads == 1:
            body = json.dumps({"errors": {"images": [SENTENCE]}})
            route.fulfill(status=503, content_type="application/json", body=body)
        else:
            route.continue_()

    def poll(route: Route) -> None:
        nonlocal polls
        polls += 1
        if polls == 1:
            headers = {"Retry-After": "3"}
            route.fulfill(status=503, content_type="text/plain", headers=headers, body="Later.")
        elif polls == 2:
            route.abort("connectionrefused")
        else:
            route.continue_()

    with visitor(browser, site) as window:
        page = window.page
        page.route("**/images/new/**", upload)
        page.route("**/status/**", poll)
        window.sign_in("clinician@demo.example")
        window.go("/analyses/new/")
        page.get_by_label("Name or record number").fill("DEMO-001")
        page.get_by_role("link", name=re.compile("DEMO-001")).click()
        page.get_by_text("Dermoscopy", exact=True).click()
        picture = drawn_file("nevus", seed=7950, modality="dermoscopy")
        page.locator("input[type=file]").first.set_input_files(picture)
        page.get_by_role("button", name="Send", exact=True).click()
        expect(page.locator(".upload-row[data-state=failed]").get_by_text(SENTENCE)).to_be_visible()
        with site.resting_workers():
            # The chosen picture is still there: one press sends it again.
            page.get_by_role("button", name="Send", exact=True).click()
            page.wait_for_url(re.compile(r"/analyses/[0-9a-f-]{36}/"))
            expect(page.locator("[data-unanswered]")).to_be_visible()
        answer = page.get_by_role("heading", name="Your own reading")
        expect(answer).to_be_visible(timeout=60_000)
        expect(page.locator("[data-unanswered]")).to_be_hidden()
        assert (uploads, polls >= 3) == (2, True)
        # htmx tells the console of what it met; nothing else went wrong.
        others = [
            problem
            for problem in window.problems
            if "503" not in problem and not problem.startswith("console: htmx:")
        ]
        assert others == []


def test_a_waiting_page_does_not_stay_open_after_the_sign_in_ended(
    site: Installation, browser: Browser
) -> None:
    with visitor(browser, site) as window:
        page = window.page
        window.sign_in("clinician@demo.example")
        window.go("/analyses/new/")
        page.get_by_label("Name or record number").fill("DEMO-002")
        page.get_by_role("link", name=re.compile("DEMO-002")).click()
        page.get_by_text("Dermoscopy", exact=True).click()
        picture = drawn_file("nevus", seed=7951, modality="dermoscopy")
        page.locator("input[type=file]").first.set_input_files(picture)
        with site.resting_workers():
            page.get_by_role("button", name="Send", exact=True).click()
            page.wait_for_url(re.compile(r"/analyses/[0-9a-f-]{36}/"))
            page.context.clear_cookies()
            # The page asks by itself, and is led away: nothing of the patient stays on it.
            page.wait_for_url(re.compile(r"/accounts/login/\?next=/analyses/"))
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        expect(page.get_by_text("DEMO-002")).to_have_count(0)
