"""What lies on paper: pictures, answers, tables and plots, black on white, as wide as the sheet."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pypdf
import pytest
from django.urls import reverse

from tests.browser.test_closed_pages import compare_networks, save_a_filter
from tests.browser.test_looks_and_keys import open_result
from tests.browser.visitor import visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.installation import Installation
    from tests.browser.visitor import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.xdist_group("browser")]

# A4 without the margins of print.css, at 96 pixels an inch.
SHEET = {"width": 703, "height": 1009}
# Each entry is something that must not be on paper, or cannot be.
_WRONG = """(tallest) => {
  const seen = (one) => one.checkVisibility({ visibilityProperty: true })
    && one.getBoundingClientRect().width > 1;
  const name = (one) => `${one.localName}.${one.getAttribute("class") ?? ""}`;
  const width = document.documentElement.clientWidth;
  // The body map is a picture, even if one can press on it.
  const pressed = "nav:not(.body-map-frame), button, .button, input, select, textarea, summary," +
    "[role=search], .filters";
  const found = [...document.querySelectorAll(pressed)].filter(seen)
    .map((one) => `pressed: ${name(one)}`);
  for (const one of document.querySelectorAll("body *:not(svg *)")) {
    const box = one.getBoundingClientRect();
    if (seen(one) && (box.right > width + 1 || box.left < -1)) found.push(`too wide: ${name(one)}`);
  }
  for (const one of document.querySelectorAll("figure, img, svg, tr")) {
    if (one.getBoundingClientRect().height > tallest) found.push(`too tall: ${name(one)}`);
    if (seen(one) && one.localName !== "img" && getComputedStyle(one).breakInside !== "avoid")
      found.push(`may be cut in two: ${name(one)}`);
  }
  for (const one of document.querySelectorAll("table > thead"))
    if (getComputedStyle(one).display !== "table-header-group") found.push("a head stands once");
  const light = (one, what) => getComputedStyle(one)[what]
    .match(/[0-9.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0);
  if (light(document.documentElement, "backgroundColor") < 765) found.push("not on white");
  if (light(document.querySelector("h1"), "color") > 200) found.push("not in black");
  return found;
}"""


def on_paper(window: Visitor) -> list[str]:
    """Return what is wrong with an open page as it would be printed; leave it as it was."""
    page = window.page
    before = page.viewport_size
    page.evaluate("for (const one of document.images) one.loading = 'eager'")
    page.wait_for_load_state("networkidle")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": SHEET["width"], "height": SHEET["height"]})
    wrong: list[str] = page.evaluate(_WRONG, SHEET["height"])
    page.emulate_media(media="screen")
    if before is not None:
        page.set_viewport_size(before)
    return sorted(set(wrong))


def pages_of(window: Visitor) -> dict[str, tuple[str, str]]:
    """Return pages of the demo clinic: their address, and a word that must stay on paper."""
    page = window.page
    window.go("/patients/?q=DEMO-001")
    page.get_by_role("link", name=re.compile("Sommer")).first.click()
    patient = page.url.removeprefix(window.site.address)
    both = page.get_by_role("link", name=re.compile("Compare images of")).first
    lesion = (both.get_attribute("href") or "").removesuffix("compare/")
    # The first patient of the past, whose lesions have outcomes.
    window.go("/patients/?q=DEMO-101")
    page.get_by_role("link", name=re.compile("Fuchs")).first.click()
    known = page.locator("a[href$='/outcome/']").first.get_attribute("href") or ""
    return {
        "patient": (patient, "Sommer"),
        "lesion": (lesion, "Dermoscopy"),
        "lesion with an outcome": (known.removesuffix("outcome/"), "Outcome:"),
        "outcome": (known, "Every past prediction against it"),
        "two dates": (f"{lesion}compare/", "What was said"),
        "one over the other": (f"{lesion}compare/?view=overlay", " over "),
        "outcomes": (reverse("outcome_figures"), "Specificity"),
        "figures": (reverse("figures"), "Agreement"),
        "readings": (f"{reverse('second_reading_list')}?tab=mine", "open"),
        "disagreements": (f"{reverse('second_reading_list')}?tab=differ", "Triage group"),
        "history": (reverse("history"), "Requested"),
    }


def test_what_is_printed_fits_the_sheet_and_holds_nothing_to_press(
    site: Installation, browser: Browser
) -> None:
    with visitor(browser, site, colours="dark") as window:
        page = window.page
        window.sign_in("admin@demo.example")
        window.go("/admin/classifier/clinic/add/")
        window.confirm()
        compared = compare_networks(window)[0]
        save_a_filter(window, "On paper", "state=succeeded")
        pages = pages_of(window) | {"comparison": (compared, "Which way")}
        open_result(window)
        pages["result"] = (page.url.removeprefix(site.address), "The network's answer")
        # Whoever chose the dark theme prints on white as well.
        page.locator("details[data-menu] summary").click()
        page.get_by_role("button", name="Dark").first.click()
        wrong = {}
        for name, (address, word) in pages.items():
            window.go(address)
            wrong[name] = on_paper(window)
            page.emulate_media(media="print")
            told = page.locator("body").inner_text()
            wrong[name] += [one for one in (word, "clinician decides") if one not in told]
            page.emulate_media(media="screen")
        assert {name: found for name, found in wrong.items() if found} == {}
        window.go(pages["two dates"][0])
        page.emulate_media(media="print")
        for picture in page.locator("main img").all():
            assert picture.is_visible()
        page.emulate_media(media="screen")
        window.go(pages["result"][0])
        # The answer begins below the picture, and does not leave the rest of the sheet empty.
        sheets = pypdf.PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True))).pages
        assert "The network's answer" in sheets[0].extract_text()
        assert window.problems == []


def test_the_look_at_paper_finds_what_is_planted(site: Installation, browser: Browser) -> None:
    with visitor(browser, site) as window:
        window.page.set_content(
            "<style>html { background: #222 } h1 { color: #eee } thead { display: block }</style>"
            "<nav>Menu</nav><h1>Words</h1><form class='filters'><button>Go</button></form>"
            "<p style='width: 900px'>x</p><figure style='height: 2000px'></figure>"
            "<table><thead><tr><th>x</th></tr></thead></table>"
        )
        found = " ".join(on_paper(window))
        for wrong in (
            *("pressed: nav", "pressed: button", "pressed: form", "too wide: p"),
            *("too tall: figure", "may be cut in two: figure", "a head stands once"),
            *("not on white", "not in black"),
        ):
            assert wrong in found, wrong
