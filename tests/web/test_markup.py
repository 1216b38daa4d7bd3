"""Every page's markup: what a screen reader and a keyboard rely on holds on all of them."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.urls import reverse

from classifier.choices import Decision
from classifier.services.patients import add_lesion
from classifier.services.readings import save_reading
from tests import factories
from tests.web.answered import answered, bare_image, failed, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Cast

REFERENCES = ("for", "aria-labelledby", "aria-describedby", "aria-controls")
HEADINGS = ("h1", "h2", "h3", "h4")
LABELLED = ("input", "select", "textarea")


@dataclass
class Page(HTMLParser):
    """What was found while a page was read."""

    ids: Counter[str] = field(default_factory=Counter)
    references: list[tuple[str, str, str]] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    controls: list[dict[str, str | None]] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    _inside_label: int = 0
    _template: int = 0

    def __post_init__(self) -> None:
        """Start the parser; entities become characters."""
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element; what lies in a ``template`` is no part of the page yet."""
        if tag == "template":
            self._template += 1
        if self._template:
            return
        given = dict(attrs)
        self._note_faults(tag, attrs, given)
        if given.get("id"):
            self.ids[str(given["id"])] += 1
        for name in REFERENCES:
            self.references += [(tag, name, part) for part in (given.get(name) or "").split()]
        if tag in HEADINGS:
            self.headings.append(tag)
        if tag == "label":
            self._inside_label += 1
            self.labels.add(str(given.get("for") or ""))
        if tag in LABELLED and given.get("type") != "hidden" and not self._inside_label:
            self.controls.append(given)

    def _note_faults(
        self, tag: str, attrs: list[tuple[str, str | None]], given: dict[str, str | None]
    ) -> None:
        if len(given) != len(attrs):
            self.faults.append(f"<{tag}> says an attribute twice: {attrs}")
        if tag == "img" and "alt" not in given:
            self.faults.append(f"<img> without alt: {given.get('src')}")
        if tag == "button" and "type" not in given:
            self.faults.append(f"<button> without type: {given}")

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        if tag == "template":
            self._template -= 1
        if tag == "label" and not self._template:
            self._inside_label -= 1


def faults_of(html: str) -> list[str]:
    """Return what is wrong with a page's markup, in words."""
    page = Page()
    page.feed(html)
    faults = list(page.faults)
    faults += [f"id {name} stands {n} times" for name, n in page.ids.items() if n > 1]
    faults += [
        f'<{tag} {name}="{target}"> leads nowhere'
        for tag, name, target in page.references
        if target not in page.ids
    ]
    if page.headings.count("h1") != 1:
        faults.append(f"{page.headings.count('h1')} headings of the first level")
    levels = [int(name[1]) for name in page.headings]
    steps = itertools.pairwise(levels)
    faults += [f"h{one} is followed by h{two}" for one, two in steps if two > one + 1]
    faults += [
        f"no label: {control}"
        for control in page.controls
        if control.get("id") not in page.labels and not control.get("aria-label")
    ]
    return faults


def test_the_check_itself_finds_faults() -> None:
    broken = (
        '<h1 id="a">x</h1><h3 id="a">y</h3><img src="z"><button>b</button>'
        '<label for="none">l</label><input id="bare">'
    )
    assert len(faults_of(broken)) == 6


@pytest.mark.parametrize(
    "name", ["account_login", "account_reset_password", "account_reset_password_done"]
)
def test_the_pages_before_the_sign_in(db: None, name: str) -> None:
    assert faults_of(Client().get(reverse(name)).content.decode()) == []


@pytest.mark.parametrize(
    "name",
    [
        "worklist",
        "history",
        "patient_list",
        "patient_create",
        "analysis_new",
        "mfa_index",
        "account_change_password",
        "account_logout",
    ],
)
def test_the_pages_without_a_row(cast: Cast, name: str) -> None:
    answered(bare_image(cast.patient, cast.owner), cast.owner)
    page = cast.client_of(cast.owner).get(reverse(name))
    assert page.status_code == 200
    assert faults_of(page.content.decode()) == []


@pytest.mark.parametrize("name", ["patient_detail", "patient_update", "image_upload"])
def test_the_pages_of_a_patient(cast: Cast, name: str) -> None:
    lesion = add_lesion(patient=cast.patient, by=cast.owner, label="Mole", body_site="back")
    image = bare_image(cast.patient, cast.owner)
    image.lesion = lesion
    image.save()
    answered(image, cast.owner)
    page = cast.client_of(cast.owner).get(reverse(name, args=[cast.patient.pk]))
    assert faults_of(page.content.decode()) == []


@pytest.mark.parametrize("name", ["patient_create", "analysis_new"])
def test_a_refused_form(cast: Cast, name: str) -> None:
    page = cast.client_of(cast.owner).post(reverse(name), {"record_number": "", "name": ""})
    assert page.status_code == 422
    text = page.content.decode()
    assert 'aria-invalid="true"' in text
    assert faults_of(text) == []


@pytest.mark.parametrize("make", [running, failed, factories.make_analysis])
def test_an_analysis_without_an_answer(cast: Cast, make: Callable[..., object]) -> None:
    analysis = make(bare_image(cast.patient, cast.owner), cast.owner)
    page = cast.client_of(cast.owner).get(analysis.get_absolute_url())  # type: ignore[attr-defined] # the makers differ in their extras only
    assert faults_of(page.content.decode()) == []


@pytest.mark.parametrize("decision", list(Decision))
@pytest.mark.parametrize("read", [False, True])
def test_an_answer_before_and_after_the_own_reading(
    cast: Cast, decision: Decision, *, read: bool
) -> None:
    analysis = answered(bare_image(cast.patient, cast.owner), cast.owner, decision=decision)
    if read:
        save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    page = cast.client_of(cast.owner).get(analysis.get_absolute_url())
    assert faults_of(page.content.decode()) == []


def test_the_page_of_a_model(cast: Cast) -> None:
    version = factories.make_model_version()
    page = cast.client_of(cast.owner).get(reverse("model_version_detail", args=[version.pk]))
    assert faults_of(page.content.decode()) == []
