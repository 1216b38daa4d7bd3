"""The body map: every site is on it, it narrows a patient's page, and it sets a lesion's site."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from django.template.loader import get_template
from django.urls import reverse

from classifier.body_map import HEIGHT, REGIONS, WIDTH, moved
from classifier.choices import BodySite
from classifier.models import Image, Lesion
from classifier.selectors.patients import patients_with_sites, sites_of
from tests import factories
from tests.web import answered as make

if TYPE_CHECKING:
    from django.conf import LazySettings

    from tests.conftest import Cast

_POINT = re.compile(r"(-?[\d.]+) (-?[\d.]+)")


def pictured(cast: Cast, site: str) -> Lesion:
    """Record a lesion with one picture."""
    lesion = factories.make_lesion(cast.patient, cast.owner, body_site=site)
    image = make.bare_image(cast.patient, cast.owner)
    Image.objects.filter(pk=image.pk).update(lesion=lesion)
    return lesion


def test_every_site_but_the_unknown_is_drawn() -> None:
    assert set(REGIONS) == set(BodySite) - {BodySite.UNKNOWN}


@pytest.mark.parametrize("site", list(REGIONS))
def test_a_site_lies_within_the_drawing(site: BodySite) -> None:
    region = REGIONS[site]
    for path in region.paths:
        # Nothing but these commands keeps its shape when it is moved.
        assert re.fullmatch(r"M[-\d. MLCZ]+Z", path), path
        points = [(float(x), float(y)) for x, y in _POINT.findall(path)]
        assert len(points) > 3
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points), path
    assert 0 < region.x < WIDTH
    assert 0 < region.y < HEIGHT


def test_a_mirrored_path_is_the_other_half() -> None:
    path = "M1 2 L3 4 Z"
    assert moved(path, 10) == "M11 2 L13 4 Z"
    assert moved(path, 10, mirrored=True) == "M9 2 L7 4 Z"


def test_the_drawing_is_as_large_as_template_and_sheet_say(settings: LazySettings) -> None:
    for name in ("body_region", "body_figures"):
        source = get_template(f"components/{name}.html").template.source  # type: ignore[attr-defined] # Django's own engine has it
        assert f'viewBox="0 0 {WIDTH} {HEIGHT}"' in source
    sheet = (settings.BASE_DIR / "static" / "css" / "bodymap.css").read_text(encoding="utf-8")
    assert f"calc(100% * {HEIGHT} / {WIDTH})" in sheet


def test_the_sites_are_counted_where_there_is_something_to_find(cast: Cast) -> None:
    assert sites_of(patients_with_sites().get(pk=cast.patient.pk)) == []
    for site in ("back", "back", "unknown"):
        factories.make_lesion(cast.patient, cast.owner, body_site=site)
    elsewhere = factories.make_patient(cast.clinic, cast.owner)
    factories.make_lesion(elsewhere, cast.owner, body_site="ear")
    sites = sites_of(patients_with_sites().get(pk=cast.patient.pk), "ear")
    assert len(sites) == len(BodySite)
    assert {site.value: site.count for site in sites if site.count} == {"back": 2, "unknown": 1}
    assert [site.value for site in sites if site.chosen] == ["ear"]


def test_a_site_narrows_lesions_and_images(cast: Cast) -> None:
    on_back, on_face = pictured(cast, "back"), pictured(cast, "face")
    client = cast.client_of(cast.owner)
    page = client.get(cast.patient.get_absolute_url(), {"site": "back"})
    assert page.context["lesions"].rows == [on_back]
    assert [entry.image.lesion for entry in page.context["entries"]] == [on_back]
    text = page.content.decode()
    assert re.search(r'href="[^"]*\?site=back#lesions-head"\s+aria-current="true"', text)
    assert page.context["lesion_form"].initial["body_site"] == "back"
    for site in ("", "rubbish"):
        everything = client.get(cast.patient.get_absolute_url(), {"site": site})
        assert everything.context["lesions"].rows == [on_back, on_face]
    empty = client.get(cast.patient.get_absolute_url(), {"site": "ear"})
    assert "No lesion is recorded here yet." in empty.content.decode()
    # One tap, and what is left to do is to give the lesion its label.
    assert empty.context["lesion_form_open"]
    looking = cast.client_of(cast.read_only).get(cast.patient.get_absolute_url(), {"site": "ear"})
    assert reverse("lesion_create", args=[cast.patient.pk]) not in looking.content.decode()


def test_each_site_is_a_link_with_its_name_and_number(cast: Cast) -> None:
    pictured(cast, "back")
    text = cast.client_of(cast.owner).get(cast.patient.get_absolute_url()).content.decode()
    links = re.findall(r'<a class="site[^>]*>(.*?)</a>', text, re.DOTALL)
    bare = [re.sub(r"<svg.*?</svg>|<[^>]+>", "", link, flags=re.DOTALL) for link in links]
    names = [re.sub(r"\s+", " ", name) for name in bare]
    assert len(names) == len(REGIONS)
    assert " Back 1lesion " in names
    assert " Ear 0lesions " in names
    # The number stands upon the drawing too.
    assert re.search(r'<text x="\d+" y="\d+">1</text>', text)


def test_each_site_can_be_chosen_for_a_new_lesion(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    text = client.get(cast.patient.get_absolute_url()).content.decode()
    radios = re.findall(r'<input type="radio" name="body_site" value="(\w+)"', text)
    assert sorted(radios) == sorted(BodySite.values)
    refused = client.post(
        reverse("lesion_create", args=[cast.patient.pk]), {"label": "", "body_site": "sole"}
    )
    assert refused.status_code == 422
    assert re.search(r'value="sole"[^>]*checked', refused.content.decode())


def test_each_site_can_be_chosen_along_with_the_pictures(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    for address in (reverse("image_upload", args=[cast.patient.pk]), reverse("analysis_new")):
        text = client.get(address).content.decode()
        radios = re.findall(r'<input type="radio" name="lesion_site" value="(\w+)"', text)
        assert sorted(radios) == sorted(BodySite.values)
        map_of_site = re.search(r"<details([^>]*)>\s*<summary>Body site of the new lesion", text)
        assert map_of_site is not None
        assert "open" not in map_of_site[1]
        refused = client.post(address, {"lesion_site": "sole"})
        assert refused.status_code == 422
        text = refused.content.decode()
        assert re.search(r'value="sole"[^>]*checked', text)
        # What is chosen is not folded away when the form comes back.
        assert re.search(r"<details[^>]* open>\s*<summary>Body site of the new lesion", text)


def test_the_lesions_are_paged(cast: Cast, settings: LazySettings) -> None:
    settings.PAGE_SIZE = 2
    lesions = [factories.make_lesion(cast.patient, cast.owner) for _ in range(3)]
    client = cast.client_of(cast.owner)
    first = client.get(cast.patient.get_absolute_url())
    assert first.context["lesions"].rows == lesions[:2]
    cursor = first.context["lesions"].next
    second = client.get(cast.patient.get_absolute_url(), {"lesions": cursor})
    assert second.context["lesions"].rows == lesions[2:]
