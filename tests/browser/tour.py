"""``python -m tests.browser.tour``: writes ``docs/tour.md``, a picture of every page.

One demo clinic is started, some of its images are read and reviewed, links are followed until no
new kind of page turns up, and each kind is opened at 1280 and 360 pixels, light and dark. On each
axe looks for what breaks WCAG 2.2, levels A and AA; the table at the end tells what it found.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from playwright.sync_api import Browser

    from tests.browser.installation import Installation
    from tests.browser.visitor import Visitor

    Colours = Literal["light", "dark"]

_LOOKS: tuple[tuple[int, Colours], ...] = (
    (1280, "light"),
    (1280, "dark"),
    (360, "light"),
    (360, "dark"),
)
# A page of many rows says nothing more further down.
_TALLEST = {1280: 1800, 360: 1600}
_QUALITY = 55
_HEAD = """# A tour of every page

<!-- Made by `make tour`; a change by hand is lost. -->

Pictures of the demo clinic, whose patients and images are drawn: what a person with every right
sees, at 1280 and at 360 pixels, light and dark. `make tour` takes them again.
"""
# Groups of pages by the beginning of their address, in the order of the document.
_GROUPS = (
    ("Signing in and one's account", r"/accounts/|/preferences/|/tokens/|/webhooks/"),
    ("Work", r"/$|/\?|/history/|/filters/|/analyses/|/readings/"),
    ("Patients and lesions", r"/patients/|/lesions/|/emergency/|/imports?/"),
    ("Networks and figures", r"/models/|/comparisons/|/figures/|/outcomes/"),
    ("Records", r"/audit/|/api/"),
    ("Admin panel", r"/admin/"),
    ("Everything else", r""),
)


@dataclass
class _Shown:
    """A kind of page.

    Attributes:
        name: of its view.
        address: of the one that is shown.
        title: what the browser calls it.
        broken: rules of WCAG that axe saw broken.
    """

    name: str
    address: str
    title: str = ""
    broken: list[str] = field(default_factory=list)

    @property
    def file(self) -> str:
        """The beginning of its pictures' names."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


def main() -> None:
    """Write the document and its pictures."""
    # The addresses are Django's.
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.test")
    import django

    django.setup()
    from skinapp.runtime.supervisor import ROOT
    from tests.browser.installation import running_installation
    from tests.browser.visitor import system_browser

    pictures = ROOT / "docs" / "tour"
    pictures.mkdir(exist_ok=True)
    for old in pictures.glob("*.webp"):
        old.unlink()
    with tempfile.TemporaryDirectory(prefix="skinapp-tour-") as temporary:
        Path(temporary).chmod(0o711)
        with running_installation(Path(temporary) / "var") as site, system_browser() as browser:
            pages = list(_shown(site, browser, pictures))
    (ROOT / "docs" / "tour.md").write_text(_document(pages), encoding="utf-8")
    print(f"{len(pages)} pages, {sum(len(page.broken) for page in pages)} weaknesses")  # noqa: T201 - the command's own words


def _shown(site: Installation, browser: Browser, pictures: Path) -> Iterator[_Shown]:
    from django.urls import reverse

    from tests.browser import test_closed_pages as closed
    from tests.browser.screenshots import prepare
    from tests.browser.visitor import visitor

    prepared = prepare(site, browser)
    with visitor(browser, site) as window:
        window.sign_in(closed.ADMIN)
        window.go("/admin/classifier/clinic/add/")
        window.confirm()
        starts = [*prepared.pages.values(), *prepared.as_admin.values()]
        starts += [closed.send_old_images(window), *closed.compare_networks(window)]
        starts += closed.save_a_filter(window)
        found = closed.tour(window, [*starts, *closed.plain_addresses()])
    entrance = [_Shown(name, reverse(name)) for name in closed.ENTRANCE]
    pages = [_Shown(name, address) for name, address in found.items() if name]
    for width, colours in _LOOKS:
        with visitor(browser, site, width=width, height=800, colours=colours) as window:
            for page in entrance:
                _take(window, page, pictures, width, colours)
            window.sign_in(closed.ADMIN)
            window.go("/admin/classifier/clinic/add/")
            window.confirm()
            for page in pages:
                _take(window, page, pictures, width, colours)
    yield from [*entrance, *pages]


def _take(window: Visitor, page: _Shown, pictures: Path, width: int, colours: Colours) -> None:
    from tests.browser.access import weaknesses

    window.go(page.address)
    # The stock admin panel parts its titles by what parts the cells of the table below.
    page.title = window.page.title().replace(" | ", " · ")
    target = pictures / f"{page.file}-{width}-{colours}.webp"
    _cut(_shot(window), width).save(target, quality=_QUALITY, method=6)
    if (width, colours) == _LOOKS[0]:
        page.broken = weaknesses(window)


def _shot(window: Visitor) -> bytes:
    # Pictures further down load when they are scrolled to.
    window.page.evaluate("for (const i of document.images) i.loading = 'eager'")
    window.page.wait_for_load_state("networkidle")
    return window.page.screenshot(full_page=True)


def _cut(picture: bytes, width: int) -> Image.Image:
    whole = Image.open(io.BytesIO(picture)).convert("RGB")
    return whole.crop((0, 0, whole.width, min(whole.height, _TALLEST[width])))


def _document(pages: list[_Shown]) -> str:
    lines = [_HEAD]
    left = list(pages)
    for words, pattern in _GROUPS:
        here = [page for page in left if re.match(pattern, page.address)]
        left = [page for page in left if page not in here]
        if here:
            lines.append(f"## {words}\n")
        for page in here:
            lines += [f"### {page.title}\n", *(_line(page, colours) for colours in _COLOURS)]
    lines += [
        "## What axe finds\n",
        "Rules of WCAG 2.2, levels A and AA, at 1280 pixels, light, and those about colours and",
        "sizes once more at 360 pixels, dark. The same is a test (`tests/browser/`).\n",
        "| page | weaknesses |",
        "|---|---|",
        *(f"| {page.title} | {', '.join(page.broken) or '0'} |" for page in pages),
    ]
    return "\n".join(lines) + "\n"


_COLOURS: tuple[Colours, Colours] = ("light", "dark")


def _line(page: _Shown, colours: Colours) -> str:
    wide, narrow = (f"tour/{page.file}-{width}-{colours}.webp" for width in (1280, 360))
    return (
        f'<img src="{wide}" width="620" alt="{page.title}, 1280 px, {colours}"> '
        f'<img src="{narrow}" width="180" alt="{page.title}, 360 px, {colours}">\n'
    )


if __name__ == "__main__":
    main()
