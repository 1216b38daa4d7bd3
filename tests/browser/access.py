"""What axe finds on a page: rules of WCAG 2.2, levels A and AA, that a program can judge."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.browser.visitor import Visitor

_LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
# What depends on colours and on the width; the rest of a page is the same in any of them.
_LOOKS = ["color-contrast", "target-size", "scrollable-region-focusable", "link-in-text-block"]
_RUN = """async ([how]) => {
  const found = await axe.run(document, {
    resultTypes: ["violations"], runOnly: how, preload: false });
  return found.violations.flatMap((rule) => rule.nodes.map((node) =>
    `${rule.id}: ${node.target.join(" ")}`));
}"""


@cache
def _script() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def weaknesses(window: Visitor) -> list[str]:
    """Return what axe finds on an open page, wide and light and then narrow and dark.

    The window must be light, and is left as it was. A rule and the element it was broken by make
    one entry. What the security policy refuses to axe itself is not counted as the page's problem.
    """
    page, heard = window.page, len(window.problems)
    before = page.viewport_size
    # By the debugger, which the page's security policy does not bind.
    page.evaluate(_script())
    levels = {"type": "tag", "values": _LEVELS}
    found = list(page.evaluate(_RUN, [levels]))
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme="dark")
    # A colour on its way to another is judged as it is then.
    page.evaluate("Promise.allSettled(document.getAnimations().map((one) => one.finished))")
    looks = {"type": "rule", "values": _LOOKS}
    found += [f"{one} (360 px, dark)" for one in page.evaluate(_RUN, [looks])]
    page.emulate_media(color_scheme="light")
    if before is not None:
        page.set_viewport_size(before)
    del window.problems[heard:]
    return found
