"""The whole visit: sign in, register, upload, read, see the answer, review, find it again."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import Visitor, drawn_file, visitor

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.browser.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.xdist_group("browser")]

CLINICIAN, READER, ADMIN = "clinician@demo.example", "reader@demo.example", "admin@demo.example"
# No page may grow wider than a phone for a name that cannot be broken at a space.
LONG = "Wolfeschlegelsteinhausenbergerdorff" * 3
STORIES = {
    # modality: (its card on the form, what is drawn, what the clinician sees in it)
    "dermoscopy": ("Dermoscopy", "nevus", "nevus"),
    "clinical": ("Clinical photograph", "acne", "acne"),
}


def answer_waits(window: Visitor) -> None:
    """Wait until the worker has answered; the page notices by itself."""
    heading = window.page.get_by_role("heading", name="Your own reading")
    expect(heading).to_be_visible(timeout=60_000)


def give_reading(window: Visitor, diagnosis: str) -> None:
    """Write down an own diagnosis, which reveals the answer."""
    page = window.page
    assert page.get_by_role("heading", name="The network's answer").count() == 0
    assert page.locator("[data-viewer-map]").count() == 0
    page.get_by_label("Your diagnosis").select_option(diagnosis)
    page.get_by_role("button", name="Save and show the answer").click()
    expect(page.get_by_role("heading", name="The network's answer")).to_be_visible()


@pytest.mark.parametrize("modality", STORIES)
@pytest.mark.parametrize("width", [1280, 360])
def test_the_whole_visit(site: Installation, browser: Browser, modality: str, width: int) -> None:
    card, kind, seen = STORIES[modality]
    number = f"VISIT-{modality}-{width}".upper()
    picture = drawn_file(kind, seed=7000 + width + len(modality), modality=modality)
    with visitor(browser, site, width=width) as window:
        page = window.page
        window.sign_in(CLINICIAN)

        # A new patient is registered in place, together with the image.
        window.click("link", "New analysis")
        page.locator("summary", has_text="A new patient").click()
        window.clicks += 1
        assert window.clicks + 1 <= 3  # the third chooses the image
        form = page.locator("#new-patient")
        form.get_by_label("Medical record number").fill(number)
        form.get_by_label("Name", exact=True).fill(f"Vera Visit {modality} {width} {LONG}")
        form.get_by_label("Date of birth").fill("1970-02-03")
        form.get_by_text(card, exact=True).click()
        form.locator("input[type=file]").first.set_input_files(picture)
        expect(form.get_by_text(picture["name"])).to_be_visible()
        form.get_by_role("button", name="Register and send").click()

        # The answer comes by itself and stays hidden until the clinician has said what they see.
        page.wait_for_url(re.compile(r"/analyses/[0-9a-f-]{36}/"))
        address = page.url
        answer_waits(window)
        give_reading(window, seen)
        rows = page.locator("ol.ranking li")
        assert rows.count() in {0, 5, 9}
        if rows.count():
            assert "%" in rows.first.inner_text()
            assert "ICD-10" in rows.first.inner_text()
        expect(page.get_by_text("Network", exact=True).first).to_be_visible()

        # The review: overruled with a reason, or a final diagnosis where there was no answer.
        page.get_by_label("Defer").check()
        page.get_by_label("Notes").last.fill("Seen again in four weeks.")
        page.get_by_role("button", name="Save review").click()
        expect(page.get_by_text("Seen again in four weeks.")).to_be_visible()
        assert not window.scrolls_sideways()

        # Found again: deferred in the worklist, in the history by the record number, on the
        # patient's page.
        window.go("/?tab=deferred")
        expect(page.get_by_text(number).first).to_be_visible()
        assert not window.scrolls_sideways()
        window.go(f"/history/?q={number}")
        expect(page.get_by_text(number).first).to_be_visible()
        assert not window.scrolls_sideways()
        page.get_by_role("link", name=re.compile("Vera Visit")).first.click()
        assert page.url.split("?")[0] == address
        window.go("/patients/?q=" + number)
        page.get_by_role("link", name=re.compile("Vera Visit")).first.click()
        expect(page.locator("ol.timeline li").first).to_be_visible()
        assert not window.scrolls_sideways()
        assert window.problems == []


def test_the_same_bytes_again_lead_to_the_same_analysis(
    site: Installation, browser: Browser
) -> None:
    picture = drawn_file("nevus", seed=7777, modality="dermoscopy")
    with visitor(browser, site) as window:
        page = window.page
        window.sign_in(CLINICIAN)
        addresses = []
        for again in (False, True):
            window.go("/analyses/new/")
            page.get_by_label("Name or record number").fill("DEMO-002")
            page.get_by_role("link", name=re.compile("DEMO-002")).click()
            page.get_by_text("Dermoscopy", exact=True).click()
            page.locator("input[type=file]").first.set_input_files(picture)
            page.get_by_role("button", name="Send", exact=True).click()
            if again:
                # Nobody is led to an older page without being told.
                known = page.locator(".upload-message", has_text="in the record already")
                expect(known).to_be_visible()
                page.get_by_role("link", name="Show the analysis").click()
            page.wait_for_url(re.compile(r"/analyses/[0-9a-f-]{36}/"))
            addresses.append(page.url.split("?")[0])
        assert addresses[0] == addresses[1]
        assert window.problems == []


def test_several_files_at_once_one_of_them_no_picture(site: Installation, browser: Browser) -> None:
    files = [drawn_file("acne", seed=7800 + n, modality="clinical") for n in range(3)]
    files.append({"name": "letter.jpg", "mimeType": "image/jpeg", "buffer": b"Dear colleague,"})
    with visitor(browser, site) as window:
        page = window.page
        window.sign_in(CLINICIAN)
        window.go("/analyses/new/")
        page.get_by_label("Name or record number").fill("DEMO-003")
        page.get_by_role("link", name=re.compile("DEMO-003")).click()
        page.get_by_text("Clinical photograph", exact=True).click()
        page.locator("input[type=file]").first.set_input_files(files)
        expect(page.locator(".upload-row")).to_have_count(4)
        page.get_by_role("button", name="Send", exact=True).click()
        expect(page.get_by_role("link", name="Show the analysis")).to_have_count(3)
        refused = page.locator(".upload-row[data-state=refused]")
        expect(refused).to_have_count(1)
        assert refused.get_by_text("letter.jpg").count() == 1
        assert window.problems == []


def test_a_reader_sees_and_cannot_change(site: Installation, browser: Browser) -> None:
    with visitor(browser, site) as window:
        window.sign_in(READER)
        assert window.page.get_by_role("link", name="New analysis").count() == 0
        window.go("/patients/")
        window.page.get_by_role("link", name=re.compile("Sommer")).first.click()
        assert window.page.get_by_role("link", name="Add images").count() == 0
        assert window.problems == []


def test_the_list_as_a_file(site: Installation, browser: Browser, tmp_path: Path) -> None:
    with visitor(browser, site) as window:
        window.sign_in(CLINICIAN)
        window.go("/history/")
        with window.page.expect_download() as download:
            window.page.get_by_role("link", name=re.compile("CSV")).click()
        target = tmp_path / "history.csv"
        download.value.save_as(target)
        rows = list(csv.reader(io.StringIO(target.read_text(encoding="utf-8-sig"))))
        assert len(rows) > 6
        assert window.problems == []


def test_an_administrator_finds_the_predictions(site: Installation, browser: Browser) -> None:
    with visitor(browser, site) as window:
        page = window.page
        window.sign_in(ADMIN)
        window.go("/admin/")
        page.get_by_role("link", name="Predictions", exact=True).first.click()
        expect(page.locator("#result_list tbody tr").first).to_be_visible()
        page.locator("#result_list tbody tr th a").first.click()
        expect(page.locator("#content")).to_be_visible()
        assert page.locator("input[name=_save]").count() == 0
        window.go("/admin/classifier/analysis/")
        expect(page.locator("#result_list tbody tr").first).to_be_visible()
        assert window.problems == []


def test_signing_out_ends_the_visit(site: Installation, browser: Browser) -> None:
    with visitor(browser, site) as window:
        page = window.page
        window.sign_in(CLINICIAN)
        window.go("/accounts/logout/")
        page.get_by_role("button", name="Sign out").click()
        window.go("/patients/")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert window.problems == []
