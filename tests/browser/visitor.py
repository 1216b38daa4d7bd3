"""A person at the browser, and everything the browser complains of meanwhile."""

from __future__ import annotations

import io
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.sync_api import expect, sync_playwright

from mlcore.drawing import draw_clinical, draw_dermoscopy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from playwright.sync_api import Browser, ConsoleMessage, FilePayload, Page, Request, Response

    from tests.browser.installation import Installation

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
)
expect.set_options(timeout=15_000)
# What the page's security policy refused, said where the visitor listens. The browser tells of most
# refusals on the console by itself, but not of each.
_TELL_REFUSALS = """document.addEventListener("securitypolicyviolation", (refused) => {
  console.error(`policy: ${refused.effectiveDirective} ${refused.blockedURI} ` +
    `${refused.sourceFile}:${refused.lineNumber} ${refused.sample}`);
});"""


@contextmanager
def system_browser() -> Iterator[Browser]:
    """Start the system's Chromium; ``.ci/test`` says how to install it.

    Raises:
        RuntimeError: there is none.
    """
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        msg = "Chromium is missing. Debian and Ubuntu: sudo apt install chromium."
        raise RuntimeError(msg)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def drawn_file(kind: str, *, seed: int, modality: str) -> FilePayload:
    """Return a drawn picture as a file to choose, JPEG, with a name that tells nothing."""
    draw = draw_dermoscopy if modality == "dermoscopy" else draw_clinical
    buffer = io.BytesIO()
    draw(kind, seed=seed).save(buffer, "JPEG", quality=92)
    return {"name": f"{seed}.jpg", "mimeType": "image/jpeg", "buffer": buffer.getvalue()}


@dataclass
class Visitor:
    """One browser window of its own.

    Attributes:
        page: the window.
        site: the installation it visits.
        clicks: since the sign-in.
        problems: errors of scripts, refusals of the security policy, failed or foreign requests.
    """

    page: Page
    site: Installation
    clicks: int = 0
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Listen."""
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("request", self._on_request)
        self.page.on("response", self._on_response)

    def _on_console(self, message: ConsoleMessage) -> None:
        # What a refused upload answers is told by _on_response, which knows what was expected.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.problems.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https"} and not request.url.startswith(self.site.address):
            self.problems.append(f"foreign request: {request.url}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 500:
            self.problems.append(f"{response.status}: {response.url}")

    def go(self, path: str) -> None:
        """Open an address of the site."""
        self.page.goto(self.site.address + path)

    def click(self, role: Literal["link", "button", "tab"], name: str) -> None:
        """Click what a person would find by its role and name, and count the click."""
        self.page.get_by_role(role, name=name, exact=True).first.click()
        self.clicks += 1

    def sign_in(self, email: str) -> None:
        """Sign in from the first page."""
        self.go("/")
        self.page.get_by_label(re.compile("e-?mail", re.IGNORECASE)).fill(email)
        self.page.get_by_label("Password", exact=True).fill(self.site.password)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("heading", level=1, name="Worklist")).to_be_visible()
        self.clicks = 0

    def confirm(self) -> None:
        """Give the password again where a dangerous page asks for it."""
        heading = self.page.get_by_role("heading", name="Confirm that it is you")
        expect(heading).to_be_visible()
        self.page.get_by_label("Password", exact=True).fill(self.site.password)
        self.page.get_by_role("button", name="Confirm").click()
        expect(heading).to_be_hidden()

    def scrolls_sideways(self) -> bool:
        """Tell whether the page is wider than its window."""
        return bool(
            # By its element, so that a page that has only begun is waited for.
            self.page.locator("html").evaluate("page => page.scrollWidth > page.clientWidth")
        )


@contextmanager
def visitor(
    browser: Browser,
    site: Installation,
    *,
    width: int = 1280,
    height: int = 900,
    colours: Literal["light", "dark"] = "light",
) -> Iterator[Visitor]:
    """Open a window that shares nothing with others, and close it."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=colours,
        reduced_motion="reduce",
        accept_downloads=True,
    )
    context.set_default_timeout(15_000)
    context.add_init_script(_TELL_REFUSALS)
    try:
        yield Visitor(context.new_page(), site)
    finally:
        context.close()
