"""The design system holds together: every class is styled, no rule is unused, contrast suffices."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from PIL import Image

from classifier.selectors.maps import overlay_png

ROOT = Path(__file__).resolve().parents[2]
SHEETS = sorted((ROOT / "static" / "css").glob("*.css"))
SCRIPTS = sorted((ROOT / "static" / "js").glob("*.js"))
# The admin's templates use the stock admin's classes; so do the rules of admin.css.
TEMPLATES = sorted(
    path for path in (ROOT / "templates").rglob("*.html") if "admin" not in path.parts
)
ADMIN_SHEET = "admin.css"

_TAG = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)
_CLASS_ATTRIBUTE = re.compile(r'\sclass="((?:\{%.*?%\}|\{\{.*?\}\}|[^"])*)"', re.DOTALL)
# Classes that travel through an include: {% include "…" with badge_class="tone-red" only %}.
_PASSED = re.compile(r'\b(?:badge_class|extra|item_class)="([\w -]+)"')
_PAGE_CLASS = re.compile(r"\{% block page_class %\}([\w -]+)\{% endblock")
_ICON_SIZE = re.compile(r'component "icon" [^%]*\bsize="(\w+)"')
_TONE = re.compile(r'components/alert\.html" with [^%]*\btone="(\w+)"')


def classes_of(template: str) -> set[str]:
    """Return the class names a template uses, whatever its conditions."""
    found: set[str] = set()
    for match in _CLASS_ATTRIBUTE.finditer(template):
        # "tone-{{ tone }}" leaves "tone-": such names are collected where they are passed on.
        words = _TAG.sub(" \0", match[1].replace("}}", "}}\0")).replace("\0 ", " ").split()
        found.update(word for word in words if "\0" not in word and not word.endswith("-"))
    for match in [*_PASSED.finditer(template), *_PAGE_CLASS.finditer(template)]:
        found.update(match[1].split())
    found.update(f"icon-{size}" for size in _ICON_SIZE.findall(template))
    found.update(f"tone-{tone}" for tone in _TONE.findall(template))
    return found


def without_comments(css: str) -> str:
    """Return a stylesheet without its comments and quoted strings."""
    return re.sub(r'"[^"]*"', '""', re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL))


def styled_by(css: str) -> set[str]:
    """Return the class names that a stylesheet's selectors mention."""
    selectors = re.findall(r"([^{}]+)\{", without_comments(css))
    chosen = [part for part in selectors if not part.strip().startswith("@")]
    return {name for part in chosen for name in re.findall(r"\.([a-zA-Z][\w-]*)", part)}


USED = {name for path in TEMPLATES for name in classes_of(path.read_text(encoding="utf-8"))}
SET_BY_SCRIPTS = {
    name
    for path in SCRIPTS
    for call in re.findall(
        r'(?:classList\.\w+\(|className = )"([\w -]+)"', path.read_text(encoding="utf-8")
    )
    for name in call.split()
}
# The drawings of a release are put into its page.
SET_BY_PLOTS = {
    name
    for path in (ROOT / "mlcore" / "plots").glob("*.py")
    for name in re.findall(r'"(plot-(?:main|second|soft|grid))"', path.read_text(encoding="utf-8"))
}
STYLED = {
    name
    for path in SHEETS
    if path.name != ADMIN_SHEET
    for name in styled_by(path.read_text(encoding="utf-8"))
}


def test_every_class_of_a_template_is_styled() -> None:
    assert sorted((USED | SET_BY_SCRIPTS | SET_BY_PLOTS) - STYLED) == []


def test_no_rule_is_left_over() -> None:
    assert sorted(STYLED - USED - SET_BY_SCRIPTS - SET_BY_PLOTS) == []


def test_the_page_links_every_sheet_once() -> None:
    head = (ROOT / "templates" / "components" / "head.html").read_text(encoding="utf-8")
    linked = re.findall(r"css/(\w+\.css)", head)
    assert sorted(linked) == sorted(path.name for path in SHEETS if path.name != ADMIN_SHEET)


def test_the_docs_name_every_sheet_in_its_order_and_every_script() -> None:
    told = (ROOT / "docs" / "design-system.md").read_text(encoding="utf-8")
    head = (ROOT / "templates" / "components" / "head.html").read_text(encoding="utf-8")
    linked = re.findall(r"css/([\w-]+\.css)", head)
    assert re.findall(r"^\| `([\w-]+\.css)` \|", told, re.MULTILINE) == [*linked, ADMIN_SHEET]
    named = re.findall(r"^\| `([\w-]+\.js)` \|", told, re.MULTILINE)
    assert sorted(named) == [path.name for path in SCRIPTS]


def test_every_component_is_included_somewhere() -> None:
    text = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "templates").rglob("*.html")
    )
    named = set(re.findall(r'components/([\w-]+)\.html"|component "([\w-]+)"', text))
    components = (ROOT / "templates" / "components").glob("*.html")
    assert {path.stem for path in components} <= {name for names in named for name in names}


def camel(attribute: str) -> str:
    """Return the name under which a script's ``dataset`` knows a data attribute."""
    return re.sub(r"-(\w)", lambda match: match[1].upper(), attribute.removeprefix("data-"))


def test_every_hook_of_a_template_is_used_by_a_script_or_a_sheet() -> None:
    hooks = {
        name
        for path in TEMPLATES
        for name in re.findall(r"\s(data-[a-z][a-z-]*[a-z])", path.read_text(encoding="utf-8"))
    }
    used = "".join(path.read_text(encoding="utf-8") for path in [*SCRIPTS, *SHEETS])
    # upload.js looks its row's parts up by name and its sentences by key: data-upload-<part>,
    # data-word-<key>.
    parts = set(re.findall(r'\bpart\("([\w-]+)"\)', used))
    words = {word.lower() for word in re.findall(r'this\.word\((?:[^"()]*)"(\w+)"', used)}
    words |= {"file", "files", "signedout"}
    left = {
        name
        for name in hooks
        if f"[{name}" not in used
        and f"({name})" not in used
        and not re.search(rf"dataset\??\.{camel(name)}\b|this\.words\.{camel(name)}\b", used)
        and name.removeprefix("data-upload-") not in parts
        and camel(name).removeprefix("word").lower() not in words
    }
    assert sorted(left) == []


def test_every_icon_exists() -> None:
    drawn = set(
        re.findall(r'<symbol id="([\w-]+)"', (ROOT / "static" / "icons.svg").read_text("utf-8"))
    )
    text = "".join(path.read_text(encoding="utf-8") for path in TEMPLATES)
    named = set(re.findall(r'icon\.html" with (?:[^%]*\b)?name="([\w-]+)"', text))
    passed = set(re.findall(r'\bicon="([\w-]+)"', text))
    assert named | passed
    assert sorted((named | passed) - drawn) == []


@pytest.mark.parametrize("path", SHEETS, ids=lambda path: path.name)
def test_every_token_that_is_used_is_defined(path: Path) -> None:
    defined = {
        name
        for sheet in SHEETS
        for name in re.findall(r"(--[\w-]+)\s*:", sheet.read_text(encoding="utf-8"))
    }
    used = set(re.findall(r"var\((--[\w-]+)", path.read_text(encoding="utf-8")))
    assert sorted(used - defined) == []


# --- Contrast ------------------------------------------------------------------------------------

_TOKENS = (ROOT / "static" / "css" / "tokens.css").read_text(encoding="utf-8")
THEMES = ("light", "dark")
TEXT, CONTROL = 4.5, 3.0

_GROUNDS = ("ground", "surface", "sunken", "raised")
TEXT_PAIRS = [
    *(
        (ink, ground)
        for ink in ("ink", "ink-soft", "link", "red", "brand-strong")
        for ground in _GROUNDS
    ),
    *((tone, f"{tone}-soft") for tone in ("red", "amber", "green", "blue", "grey")),
    *(("ink", f"{tone}-soft") for tone in ("red", "amber", "green", "blue", "grey", "brand")),
    ("brand-strong", "brand-soft"),
    ("ink-soft", "brand-soft"),
    ("on-brand", "brand"),
    ("on-brand", "brand-strong"),
    ("on-red", "red"),
]
CONTROL_PAIRS = [
    (mark, ground)
    for mark in ("control-line", "brand", "focus", "red")
    for ground in ("ground", "surface", "sunken")
]


def colour(token: str, theme: str) -> tuple[float, float, float]:
    """Return a token's red, green and blue, 0 to 1 each."""
    found = re.search(rf"--{token}: light-dark\(#(\w{{6}}), #(\w{{6}})\)", _TOKENS)
    assert found, token
    code = found[1 + THEMES.index(theme)]
    red, green, blue = (int(code[start : start + 2], 16) / 255 for start in (0, 2, 4))
    return red, green, blue


def luminance(rgb: tuple[float, float, float]) -> float:
    """Return the relative luminance of WCAG 2.2, 0 to 1."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str, theme: str) -> float:
    """Return the contrast ratio of WCAG 2.2 between two tokens, 1 to 21."""
    lights = sorted((luminance(colour(one, theme)), luminance(colour(other, theme))))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("ink", "ground"), TEXT_PAIRS)
def test_text_stands_out_from_its_ground(ink: str, ground: str, theme: str) -> None:
    assert contrast(ink, ground, theme) >= TEXT


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("mark", "ground"), CONTROL_PAIRS)
def test_controls_stand_out_from_their_ground(mark: str, ground: str, theme: str) -> None:
    assert contrast(mark, ground, theme) >= CONTROL


def test_no_template_carries_a_style_or_a_script_of_its_own() -> None:
    for path in sorted((ROOT / "templates").rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\sstyle=|<style|\son\w+=\"", text), path.name
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), path.name


def test_the_legend_of_the_map_shows_the_colours_it_is_painted_with() -> None:
    legend = (ROOT / "templates" / "components" / "map_scale.html").read_text(encoding="utf-8")
    shown = re.findall(r'stop-color="#(\w{6})"', legend)
    values = bytes([0, 64, 128, 191, 255] * 5)
    facts = {"height": 5, "width": 5, "values": list(values)}
    overlay = Image.open(io.BytesIO(overlay_png(facts))).convert("RGBA")
    ends = [overlay.getpixel((x, overlay.height // 2)) for x in (0, overlay.width - 1)]
    for code, painted in zip((shown[0], shown[-1]), ends, strict=True):
        assert isinstance(painted, tuple)
        assert max(abs(a - b) for a, b in zip(bytes.fromhex(code), painted[:3], strict=True)) <= 8
    assert len(shown) == 5
