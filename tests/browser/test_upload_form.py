"""The upload form while its files go out: what they are sent with, and what it says at the end."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import drawn_file, visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, FilePayload, Page, Route

    from tests.browser.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.xdist_group("browser")]

ADDED = json.dumps({"files": [{"status": "queued", "analysis_url": "/", "message": "Added."}]})


def picture(seed: int) -> FilePayload:
    return drawn_file("nevus", seed=seed, modality="dermoscopy")


def answer(held: list[Route], page: Page) -> str:
    """Answer the upload that was held the longest; return what it sent beside its picture."""
    while not held:
        page.wait_for_timeout(20)
    route = held.pop(0)
    sent = (route.request.post_data_buffer or b"").decode(errors="replace")
    route.fulfill(content_type="application/json", body=ADDED)
    return sent


def test_files_go_out_as_the_form_said_when_they_were_sent(
    site: Installation, browser: Browser
) -> None:
    held: list[Route] = []
    asked: list[str] = []

    def hold(route: Route) -> None:
        if route.request.method == "POST":
            held.append(route)
        else:
            route.continue_()

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    with visitor(browser, site) as window:
        page = window.page
        page.route("**/images/new/**", hold)
        page.on("dialog", stay)
        window.sign_in("clinician@demo.example")
        window.go("/analyses/new/")
        page.get_by_label("Name or record number").fill("DEMO-003")
        page.get_by_role("link", name=re.compile("DEMO-003")).click()
        page.get_by_text("Dermoscopy", exact=True).click()
        # A label that was typed and hidden again names no lesion.
        lesion = page.get_by_role("combobox", name=re.compile("^Lesion"))
        lesion.select_option("new")
        page.get_by_label("Label of the new lesion").fill("Not meant after all")
        lesion.select_option("")
        files, status = page.locator("input[type=file]").first, page.locator("[data-upload-status]")
        files.set_input_files([picture(seed) for seed in (8101, 8102, 8103)])
        send = page.get_by_role("button", name="Send", exact=True)
        send.click()
        expect(page.locator(".upload-row[data-state=sending]")).to_have_count(2)
        # While two are on their way and one waits: another modality, and a picture for later.
        page.get_by_text("Clinical photograph", exact=True).click()
        files.set_input_files(picture(8104))
        bodies = [answer(held, page) for _ in range(3)]
        assert ["dermoscopy" in body for body in bodies] == [True] * 3
        assert ["clinical" in body for body in bodies] == [False] * 3
        assert ["lesion_label" in body for body in bodies] == [False] * 3
        expect(status).to_have_text("3 of 4 images are in the record. 1 image chosen")

        page.get_by_role("link", name="Back to the patient").click()
        expect(status).to_be_attached()
        assert asked == ["beforeunload"]
        # What was refused before it was sent is not in the record either.
        page.locator("form[data-upload]").evaluate("form => { form.dataset.maxBytes = 10; }")
        files.set_input_files(picture(8105))
        expect(page.locator(".upload-row[data-state=refused]")).to_have_count(1)
        send.click()
        assert "clinical" in answer(held, page)
        expect(status).to_contain_text("4 of 5 images are in the record. 8105.jpg: This file is")
        page.locator(".upload-row[data-state=refused]").get_by_role("button").click()
        page.get_by_role("link", name="Back to the patient").click()
        page.wait_for_url(re.compile(r"/patients/[0-9a-f-]{36}/$"))
        assert asked == ["beforeunload"]
        assert window.problems == []
