"""The list of patients and its search."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from classifier.choices import Role
from classifier.models import Membership
from tests import factories
from tests.web.answered import answered as make_answered
from tests.web.answered import bare_image
from tests.web.answers import queries_of

if TYPE_CHECKING:
    from tests.conftest import Cast


# --- The list and the search -------------------------------------------------------------------


@pytest.mark.parametrize("text", ["ada", "EXAMPLE ada", "Ada Example"])
def test_search_finds_by_words_of_the_name(cast: Cast, text: str) -> None:
    factories.make_patient(cast.clinic, cast.owner, name="Somebody Else")
    page = cast.client_of(cast.owner).get(reverse("patient_list"), {"q": text})
    assert [patient.pk for patient in page.context["page"]] == [cast.patient.pk]


def test_search_finds_by_part_of_the_record_number(cast: Cast) -> None:
    found = factories.make_patient(cast.clinic, cast.owner, record_number="KX-99-31")
    page = cast.client_of(cast.owner).get(reverse("patient_list"), {"q": "x-99"})
    assert [patient.pk for patient in page.context["page"]] == [found.pk]


@pytest.mark.parametrize("text", ["%", "_", "\x00", "\\", "'; drop table", "x" * 5000])
def test_search_takes_any_text_for_what_it_is(cast: Cast, text: str) -> None:
    for name in ("patient_list", "patient_search", "analysis_new"):
        page = cast.client_of(cast.owner).get(reverse(name), {"q": text})
        assert page.status_code == 200
        if text.strip("\x00"):
            assert "Ada Example" not in page.content.decode()


def test_nobody_finds_a_strangers_patient(cast: Cast) -> None:
    for who in (cast.stranger, cast.superuser):
        for name in ("patient_list", "patient_search"):
            page = cast.client_of(who).get(reverse(name), {"q": "Ada"})
            assert "Ada Example" not in page.content.decode()


def test_the_quick_search_offers_only_patients_that_can_take_an_image(cast: Cast) -> None:
    factories.make_patient(cast.clinic, cast.owner, name="Ada Archived", archived=True)
    Membership.objects.create(user=cast.owner, clinic=cast.other_clinic, role=Role.READ_ONLY)
    factories.make_patient(cast.other_clinic, cast.stranger, name="Ada Elsewhere")
    page = cast.client_of(cast.owner).get(reverse("patient_search"), {"q": "ada"})
    assert page.context["found"] == [cast.patient]
    assert reverse("image_upload", args=[cast.patient.pk]) in page.content.decode()
    nobody = cast.client_of(cast.read_only).get(reverse("patient_search"), {"q": "ada"})
    assert nobody.context["found"] == []


def test_the_quick_search_says_when_there_is_nobody(cast: Cast) -> None:
    page = cast.client_of(cast.owner).get(reverse("patient_search"), {"q": "zzz"})
    assert page.context["found"] == []
    assert "zzz" in page.content.decode()


@pytest.mark.parametrize("few", [0, 200])
def test_few_and_many_are_found_alike(
    cast: Cast, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.models.patients._FEW", few)
    make = factories.make_patient
    found = [make(cast.clinic, cast.owner, name=f"Zoe {letter}") for letter in "BA"]
    make(cast.clinic, cast.owner, name="Zoe C", archived=True)
    make(cast.other_clinic, cast.stranger, name="Zoe D")
    client = cast.client_of(cast.owner)
    page = client.get(reverse("patient_list"), {"q": "zoe"}).context["page"]
    assert [patient.pk for patient in page] == [found[1].pk, found[0].pk]
    assert list(client.get(reverse("patient_list"), {"q": "zoe xyz"}).context["page"]) == []
    for text, names in (("zoe", {"Zoe A", "Zoe B"}), ("zoe xyz", set())):
        for patient in found:
            make_answered(bare_image(patient, cast.owner), cast.owner)
        listed = client.get(reverse("history"), {"q": text}).context["listed"].rows
        assert {row.analysis.patient.name for row in listed} == names


def test_pages_of_the_list_hold_25_and_keep_the_search(cast: Cast) -> None:
    for number in range(30):
        factories.make_patient(cast.clinic, cast.owner, name=f"Bea {number:02}")
    client = cast.client_of(cast.owner)
    first = client.get(reverse("patient_list"), {"q": "bea"})
    assert len(first.context["page"]) == 25
    cursor = first.context["page"].next
    assert f"cursor={cursor}" in html.unescape(first.content.decode())
    assert "q=bea" in html.unescape(first.content.decode())
    second = client.get(reverse("patient_list"), {"q": "bea", "cursor": cursor})
    assert [patient.name for patient in second.context["page"]] == [
        f"Bea {number}" for number in range(25, 30)
    ]
    assert client.get(reverse("patient_list"), {"cursor": "rubbish"}).status_code == 200


def test_no_address_on_the_list_names_a_patient(cast: Cast) -> None:
    for number in range(30):
        factories.make_patient(cast.clinic, cast.owner, name=f"Secretname {number:02}")
    page = cast.client_of(cast.owner).get(reverse("patient_list")).content.decode()
    links = [part.split('"')[0] for part in page.split('href="')[1:]]
    assert any("cursor=" in link for link in links)
    assert not any("ecretname" in link for link in links)


def test_the_lists_cost_the_same_however_many_patients_there_are(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    addresses = [reverse("patient_list"), reverse("patient_search"), reverse("analysis_new")]
    few = [queries_of(client, address, {"q": "a"}) for address in addresses]
    for _number in range(40):
        factories.make_patient(cast.clinic, cast.owner)
    many = [queries_of(client, address, {"q": "a"}) for address in addresses]
    assert few == many
    assert max(many) <= 12


def test_a_name_that_grows_when_folded_can_be_kept_and_found(cast: Cast) -> None:
    """A letter may stand for eighteen; an index holds no row of more than 2,700 bytes."""
    # Letters of three and of four bytes, none like another: nothing that could be packed.
    long = "".join(chr(0xFDFA) + chr(0x20000 + 97 * n) for n in range(98))
    patient = factories.make_patient(cast.clinic, cast.owner, name=f"Zyx {long}")
    page = cast.client_of(cast.owner).get(reverse("patient_list"), {"q": "zyx"})
    (found,) = page.context["page"]
    assert found == patient
    assert len(found.search_text) == 450
