"""``python -m tests.browser.screenshots``: pictures of the pages, taken from a demo clinic.

Without arguments it writes the pictures of the README into ``docs/screenshots``; with
``--all FOLDER`` it writes every page at 1280 and 360 pixels, light and dark.
"""

from __future__ import annotations

import argparse
import io
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from skinapp.runtime.supervisor import ROOT
from tests.browser.installation import Installation, running_installation
from tests.browser.visitor import Visitor, drawn_file, system_browser, visitor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from playwright.sync_api import Browser

    Colours = Literal["light", "dark"]

_WAIT_SECONDS = 120.0
_PHONE = 600
_CLINICIAN = "clinician@demo.example"
_ADMIN = "admin@demo.example"
# Names of the README's pictures: (page, width, colours).
_README: tuple[tuple[str, int, Colours], ...] = (
    ("worklist", 1280, "light"),
    ("result", 1280, "light"),
    ("result", 360, "dark"),
    ("patient", 1280, "light"),
    ("upload", 360, "light"),
    ("history", 1280, "dark"),
)


@dataclass(frozen=True)
class Tour:
    """Addresses of the pages that are shown.

    Attributes:
        pages: path of each page by name; ``as_admin`` names those an administrator opens.
    """

    pages: dict[str, str]
    as_admin: dict[str, str]


def main() -> None:
    """Start a demo clinic, let the worker finish, and take the pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots")
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="every page, into this folder")
    folder: Path | None = parser.parse_args().all
    with tempfile.TemporaryDirectory(prefix="skinapp-tour-") as temporary:
        Path(temporary).chmod(0o711)
        with running_installation(Path(temporary) / "var") as site, system_browser() as browser:
            tour = prepare(site, browser)
            for name, width, colours, picture in take(site, browser, tour, everything=bool(folder)):
                target = (folder or ROOT / "docs" / "screenshots") / f"{name}-{width}-{colours}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                _small(picture).save(target, optimize=True)
                print(target.name)  # noqa: T201 - the command's own words


def prepare(site: Installation, browser: Browser) -> Tour:
    """Read and review some analyses, so that the pages have something to show."""
    with visitor(browser, site) as window:
        window.sign_in(_CLINICIAN)
        site.manage("seed_demo", "--past")
        _await_answers(window)
        waiting = [one for one in _analyses(window, "/") if _is_unread(window, one)]
        revealed = waiting[0]
        for number, address in enumerate(waiting[:4]):
            window.go(address)
            choice = window.page.get_by_label("Your diagnosis")
            choice.select_option(index=1 + number % 4)
            window.page.get_by_role("button", name="Save and show the answer").click()
            if number:
                window.page.get_by_label("Defer" if number == 1 else "Agree").check()
                if window.page.get_by_label("Final diagnosis").is_visible():
                    window.page.get_by_label("Final diagnosis").select_option(index=1)
                window.page.get_by_role("button", name="Save review").click()
        window.go(revealed)
        patient = window.page.locator("a[href^='/patients/']").evaluate_all(
            "links => links.map(a => a.getAttribute('href')).find(h => h.length > 20)"
        )
        model = window.page.locator("a[href^='/models/']").first.get_attribute("href") or "/"
        lesion = _lesion_of_two_dates(window)
    pages = {
        "worklist": "/",
        "deferred": "/?tab=deferred",
        "history": "/history/",
        "patients": "/patients/",
        "patient": str(patient),
        "patient-form": "/patients/new/",
        "lesion": lesion,
        "compare": f"{lesion}compare/",
        "overlay": f"{lesion}compare/?view=overlay",
        "upload": f"{patient}images/new/",
        "new": "/analyses/new/",
        "blinded": waiting[-1],
        "result": revealed,
        "reviewed": waiting[3],
        "model": model,
        "missing": "/patients/00000000-0000-0000-0000-000000000000/",
        "password": "/accounts/password/change/",
        "factors": "/accounts/2fa/",
        "changes": f"{patient}changes/",
        "consent": f"{patient}consents/new/",
        "export": f"{patient}export/",
        "emergencies": "/emergency/",
        "emergency-new": "/emergency/new/",
    }
    as_admin = {
        "audit": "/audit/",
        "erase": f"{patient}erase/",
        "admin": "/admin/",
        "admin-analyses": "/admin/classifier/analysis/",
        "admin-versions": "/admin/classifier/modelversion/",
    }
    return Tour(pages, as_admin)


def take(
    site: Installation, browser: Browser, tour: Tour, *, everything: bool
) -> Iterator[tuple[str, int, Colours, bytes]]:
    """Yield name, width, colours and PNG bytes of every picture that is asked for."""
    both: tuple[Colours, Colours] = ("light", "dark")
    wanted = (
        [(name, w, c) for w in (1280, 360) for c in both for name in ("sign-in", *tour.pages)]
        if everything
        else list(_README)
    )
    for width, colours in sorted({(w, c) for _name, w, c in wanted}):
        names = [name for name, w, c in wanted if (w, c) == (width, colours)]
        with visitor(browser, site, width=width, height=800, colours=colours) as window:
            if "sign-in" in names:
                window.go("/accounts/login/")
                yield "sign-in", width, colours, _shot(window)
            window.sign_in(_CLINICIAN)
            for name in names:
                if name != "sign-in":
                    yield name, width, colours, _page(window, tour.pages[name], name)
        if everything:
            with visitor(browser, site, width=width, height=800, colours=colours) as window:
                window.sign_in(_ADMIN)
                for name, path in tour.as_admin.items():
                    yield name, width, colours, _page(window, path, name)


def _page(window: Visitor, path: str, name: str) -> bytes:
    window.go(path)
    if name == "upload":
        window.page.get_by_text("Dermoscopy", exact=True).click()
        files = [drawn_file("nevus", seed=n, modality="dermoscopy") for n in (31, 32)]
        window.page.locator("input[type=file]").first.set_input_files(files)
    return _shot(window)


def _shot(window: Visitor) -> bytes:
    # Pictures further down load when they are scrolled to.
    window.page.evaluate("for (const i of document.images) i.loading = 'eager'")
    window.page.wait_for_load_state("networkidle")
    # A phone shows a screenful: a whole page would have the bar of its foot across the middle.
    size = window.page.viewport_size
    return window.page.screenshot(full_page=size is None or size["width"] > _PHONE)


def _lesion_of_two_dates(window: Visitor) -> str:
    """Return the address of the demo clinic's lesion that can be compared."""
    window.go("/patients/?q=DEMO-001")
    window.page.get_by_role("link", name=re.compile("Sommer")).first.click()
    both = window.page.get_by_role("link", name=re.compile("Compare images of")).first
    return str(both.get_attribute("href")).removesuffix("compare/")


def _await_answers(window: Visitor) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        window.go("/?tab=waiting")
        if not _analyses(window, ""):
            return
        time.sleep(1)
    msg = "The worker does not answer."
    raise RuntimeError(msg)


def _analyses(window: Visitor, path: str) -> list[str]:
    """Return the addresses of the analyses a list shows, in its order."""
    if path:
        window.go(path)
    found = window.page.locator("main a[href*='/analyses/']").evaluate_all(
        "links => links.map(a => a.getAttribute('href'))"
    )
    return list(dict.fromkeys(h for h in found if re.search(r"/analyses/[0-9a-f-]{36}/$", h)))


def _is_unread(window: Visitor, address: str) -> bool:
    """Say whether the person has yet to read what waits for a decision."""
    window.go(address)
    return window.page.get_by_label("Your diagnosis").count() > 0


def _small(picture: bytes) -> Image.Image:
    """Return the picture with 256 colours, a third of the size and to the eye the same."""
    whole = Image.open(io.BytesIO(picture)).convert("RGB")
    return whole.quantize(256, dither=Image.Dither.FLOYDSTEINBERG)


if __name__ == "__main__":
    main()
