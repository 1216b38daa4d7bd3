"""No page asks a browser for what its security policy refuses; the admin panel's included."""

from __future__ import annotations

import io
import re
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from django.urls import NoReverseMatch, Resolver404, resolve, reverse
from playwright.sync_api import expect

from tests.browser.access import weaknesses
from tests.browser.test_looks_and_keys import open_result
from tests.browser.visitor import Visitor, visitor
from tests.security import cells

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser

    from tests.browser.installation import Installation

# The first test waits for the tour, on which axe looks at some seventy pages twice.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.xdist_group("browser")]

ADMIN = "admin@demo.example"
# Addresses that show no page of their own.
NO_PAGE = {
    *("healthz", "readyz", "history_csv", "image_bytes", "analysis_map"),  # no HTML
    *("patient_search", "analysis_status", "admin:autocomplete", "admin:jsi18n"),  # parts of a page
    *("reading_create", "review_create", "analysis_retry", "analysis_cancel"),  # taken by POST
    *("analysis_modality", "lesion_create", "consent_create", "break_glass_end", "admin:logout"),
    *("account_email", "admin:view_on_site", "mfa_download_recovery_codes"),  # shut, or a file
    *("account_confirm_email", "account_confirm_login_code", "account_set_password"),  # lead on
    *("account_email_verification_sent", "mfa_reauthenticate", "admin:login"),
    *("token_revoke", "webhook_end", "webhook_again"),  # taken by POST
    *("import_start", "import_again", "import_discard", "saved_filter_remove"),
    "saved_filter_open",  # leads on
    *("analysis_letter", "analysis_fhir", "import_refused"),  # files
    *("analysis_dicom_image", "analysis_dicom_report"),
    *("rerun_cancel", "rerun_csv", "choose_language"),  # taken by POST, a file
    *("second_reading_request", "second_reading_withdraw"),  # taken by POST
    *("outcome_record", "outcome_withdraw", "undo"),
    "api_schema",
    *(name for name, _pattern in cells.walk() if name.startswith("api:")),  # for programs
}
# Of whoever has a key: test_security_keys.py looks at them.
OF_A_KEY = {
    *("mfa_authenticate", "mfa_edit_webauthn", "mfa_remove_webauthn"),
    *("mfa_reauthenticate_webauthn", "mfa_deactivate_totp", "mfa_view_recovery_codes"),
}
# Seen by somebody who is not signed in.
ENTRANCE = (
    *("account_login", "account_signup", "account_reset_password", "account_inactive"),
    *("account_reset_password_done", "account_reset_password_from_key_done"),
)
LETTER = "account_reset_password_from_key"
PLANTED = """<!doctype html><title>Planted</title>
<style>body { color: red }</style><p style="color: red">x</p>
<script>document.title = "ran"</script><button onclick="1">x</button>
<img src="https://elsewhere.example/x.png" alt=""><iframe src="/"></iframe>"""


@dataclass(frozen=True)
class Toured:
    """What a tour came back with.

    Attributes:
        seen: one address of each kind of page, by the name of its view.
        problems: what the browser complained of.
        weak: what axe found, by page.
    """

    seen: dict[str, str]
    problems: list[str]
    weak: dict[str, list[str]]


def name_of(address: str) -> str:
    """Return the name of the view that answers an address, or nothing."""
    try:
        return resolve(urlsplit(address).path).view_name
    except Resolver404:
        return ""


def links(window: Visitor) -> list[str]:
    """Return the paths that the open page leads to."""
    found = window.page.evaluate("[...document.links].map((link) => link.href)")
    return [
        link.removeprefix(window.site.address).partition("#")[0]
        for link in found
        if link.startswith(window.site.address)
    ]


def plain_addresses() -> list[str]:
    """Return the addresses that name no row; links lead to those of the admin panel."""
    found = [reverse("admin:index")]
    for name, _pattern in cells.walk():
        if not name.startswith("admin:"):
            with suppress(NoReverseMatch):
                found.append(reverse(name))
    return found


def tour(window: Visitor, starts: list[str], look: Callable[[str], object] = str) -> dict[str, str]:
    """Follow links until no new kind of page turns up; return one address of each kind shown.

    Args:
        window: signed in.
        starts: addresses to begin with.
        look: called with the name of each page while it is open.
    """
    asked, shown = set(NO_PAGE | OF_A_KEY), {}
    ahead = list(starts)
    while ahead:
        address = ahead.pop(0)
        name = name_of(address)
        if not name or name in asked:
            continue
        asked.add(name)
        window.go(address)
        # Some lead elsewhere.
        name = name_of(window.page.url)
        shown[name] = address
        ahead += links(window)
        look(name)
    return shown


def send_old_images(window: Visitor) -> str:
    """Send an archive whose one line is refused; return the address of its page."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("rows.csv", "patient_number,modality,file\n,clinical,a.jpg\n")
    window.go(reverse("import_list"))
    sent = {"name": "old.zip", "mimeType": "application/zip", "buffer": packed.getvalue()}
    window.page.set_input_files('input[name="archive"]', sent)  # type: ignore[arg-type]  # a dict of these is a file
    window.page.get_by_role("button", name="Send and look through").click()
    window.page.get_by_text("names no patient").wait_for()
    return urlsplit(window.page.url).path


def save_a_filter(
    window: Visitor, name: str = "Melanoma", query: str = "label=melanoma"
) -> list[str]:
    """Keep a filter of the history under a name; return the pages on which that is done."""
    page = window.page
    window.go(f"{reverse('history')}?{query}")
    page.get_by_text("Save this filter").press("Enter")
    page.get_by_label("Name", exact=True).fill(name)
    page.keyboard.press("Enter")
    page.get_by_role("link", name=name, exact=True).wait_for()
    window.go(reverse("saved_filter_list"))
    rename = page.locator("main a[href$='/rename/']").first.get_attribute("href") or ""
    return [rename, f"{reverse('saved_filter_create')}?page=history&filter=label%3Dnevus"]


def compare_networks(window: Visitor) -> list[str]:
    """Let a network that does not answer judge what was answered; return the pages about it."""
    page = window.page
    window.go(reverse("model_version_list"))
    active, other = (
        page.locator(f"main section {place} a[href^='/models/']").first.get_attribute("href") or ""
        for place in ("dl", "table")
    )
    window.go(f"{other}compare/")
    page.locator("input[name=since]").fill("2001-01-01")
    page.get_by_role("button", name="How many cases are these?").click()
    page.get_by_role("button", name=re.compile("^Judge")).click()
    page.get_by_role("heading", name="Cases whose triage group would change").wait_for()
    run = urlsplit(page.url).path
    return [run, f"{other}compare/", f"{other}activate/", f"{active}roll-back/"]


def test_the_listener_hears_what_is_planted(site: Installation, browser: Browser) -> None:
    with visitor(browser, site) as window:
        real = window.page.goto(site.address + reverse("account_login"))
        assert real is not None
        policy = real.headers["content-security-policy"]
        assert window.problems == []
        window.page.route(
            "**/planted/",
            lambda route: route.fulfill(
                body=PLANTED,
                content_type="text/html",
                headers={"Content-Security-Policy": policy},
            ),
        )
        window.go("/planted/")
        assert window.page.title() == "Planted"
        said = "\n".join(window.problems)
        for directive in ("style-src-elem", "style-src-attr", "script-src-elem", "script-src-attr"):
            assert f"policy: {directive} inline" in said, said
        assert "policy: img-src https://elsewhere.example" in said
        assert re.search(r"policy: (frame|child|default)-src", said), said


# The stock admin panel's pages are alike; docs/tour.md has axe's word on every one of them.
LIKE_OTHERS = re.compile(
    r"admin:(?!index$|classifier_(user_change|clinic_change|analysis_changelist|membership_add)$)"
)


@pytest.fixture(scope="module")
def toured(site: Installation, browser: Browser) -> Toured:
    """What a tour of every page saw and heard."""
    weak: dict[str, list[str]] = {}
    with visitor(browser, site) as window:

        def look(name: str) -> None:
            if not LIKE_OTHERS.match(name) and (found := weaknesses(window)):
                weak[name] = found

        for name in (*ENTRANCE, LETTER):
            window.go(reverse(name, args=["a", "k"] if name == LETTER else None))
            look(name)
        window.sign_in(ADMIN)
        window.go("/admin/classifier/clinic/add/")
        window.confirm()
        open_result(window)
        look("analysis_detail")
        starts = [*links(window), send_old_images(window), *compare_networks(window)]
        starts += save_a_filter(window)
        seen = tour(window, [*starts, "/patients/", *plain_addresses()], look)
        for error in ("/no/such/page/", "/admin/no/such/page/", "/history/?state=x"):
            window.go(error)
            look(error)
        return Toured(seen, list(window.problems), weak)


def test_axe_finds_nothing_on_any_page(toured: Toured) -> None:
    assert toured.weak == {}


def test_axe_finds_what_is_planted(site: Installation, browser: Browser) -> None:
    with visitor(browser, site) as window:
        window.page.route(
            "**/planted/",
            lambda route: route.fulfill(
                body='<!doctype html><title>x</title><img src="a.png"><style>p {color: #aaa}'
                "@media (prefers-color-scheme: dark) {h1 {color: #fcfcfc}}</style>"
                "<h1>Words</h1><p>Faint</p><input>",
                content_type="text/html",
            ),
        )
        window.go("/planted/")
        found = " ".join(weaknesses(window))
        assert window.problems == []
    for rule in ("html-has-lang", "image-alt", "label", "color-contrast: p", "color-contrast: h1 "):
        assert rule in found, rule


def test_no_page_asks_for_what_its_policy_refuses(
    site: Installation, browser: Browser, toured: Toured
) -> None:
    assert toured.problems == []
    seen = toured.seen
    names = {name for name, _pattern in cells.walk()} - NO_PAGE - OF_A_KEY - {*ENTRANCE, LETTER}
    missing = {
        name
        for name in names - set(seen)
        if not name.startswith("admin:") or name.endswith("_changelist")
    }
    assert not missing, missing
    for kind in ("_add", "_change", "_history", "_delete"):
        assert any(name.startswith("admin:") and name.endswith(kind) for name in seen), kind

    # What scripts do when a person uses them.
    with visitor(browser, site) as window:
        page = window.page
        window.sign_in(ADMIN)
        window.go("/admin/classifier/clinic/add/")
        window.confirm()
        window.go(reverse("admin:classifier_membership_add"))
        page.locator(".select2-selection").first.click()
        page.locator(".select2-search__field").fill("clin")
        expect(page.locator(".select2-results__option").first).to_be_visible()
        page.keyboard.press("Enter")
        window.go(seen["admin:classifier_patient_change"])
        page.locator(".datetimeshortcuts a").first.click()
        window.go(seen["admin:classifier_user_change"])
        page.locator(".add-row a").first.click()
        assert window.problems == []
