"""Patients: who sees, registers, edits and archives them, and what the pages cost."""

from __future__ import annotations

import html
import uuid
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from classifier.choices import Role, SkinType
from classifier.models import AuditEvent, Lesion, Membership, Patient
from tests import factories
from tests.web.answers import text_of

if TYPE_CHECKING:
    from django.conf import LazySettings

    from classifier.models import User
    from tests.conftest import Cast

HOSTILE_NAME = """<img src=x onerror=alert(1)>"'&{{ 7*7 }}{% now %}\u202e naïve 😀"""
FACTS = {
    "record_number": "MRN-7001",
    "name": "Grace Example",
    "date_of_birth": "1961-05-04",
    "sex": "female",
    "skin_type": "unknown",
    "notes": "Seen by the GP.",
}


def register(cast: Cast, user: User, **facts: Any) -> Any:
    """Send the short form."""
    return cast.client_of(user).post(reverse("patient_create"), FACTS | facts)


# --- Registering -------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["owner", "colleague", "administrator"])
def test_members_who_write_register_a_patient(cast: Cast, who: str) -> None:
    user: User = getattr(cast, who)
    response = register(cast, user)
    patient = Patient.objects.get(record_number="MRN-7001")
    assert response["Location"] == patient.get_absolute_url()
    assert patient.clinic == cast.clinic
    assert patient.created_by == user
    assert patient.date_of_birth == date(1961, 5, 4)
    assert patient.notes == "Seen by the GP."
    event = AuditEvent.objects.get(action="patient.registered")
    assert (event.actor, event.subject_id) == (user, str(patient.pk))
    assert "Grace" not in str(event.details)


def test_the_skin_type_is_unknown_until_somebody_says_otherwise(cast: Cast) -> None:
    page = cast.client_of(cast.owner).get(reverse("patient_create"))
    form = page.context["form"]
    assert form.fields["skin_type"].initial == SkinType.UNKNOWN
    assert form.fields["skin_type"].choices[0][0] == SkinType.UNKNOWN


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("record_number", "   "),
        ("record_number", "x" * 65),
        ("record_number", "nul\x00"),
        ("name", ""),
        ("name", "x" * 201),
        ("date_of_birth", "yesterday"),
        ("date_of_birth", (timezone.localdate() + timedelta(days=2)).isoformat()),
        ("date_of_birth", "1850-01-01"),
        ("sex", "banana"),
        ("skin_type", "VII"),
        ("notes", "x" * 10_001),
    ],
)
def test_an_impossible_fact_is_an_error_at_its_field(cast: Cast, field: str, value: str) -> None:
    response = register(cast, cast.owner, **{field: value})
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]
    assert not Patient.objects.filter(name="Grace Example").exists()
    assert not AuditEvent.objects.exists()


def test_a_record_number_is_unique_in_its_clinic_only(cast: Cast) -> None:
    register(cast, cast.stranger, record_number=cast.patient.record_number)
    assert Patient.objects.filter(record_number=cast.patient.record_number).count() == 2
    response = register(cast, cast.owner, record_number=f" {cast.patient.record_number} ")
    assert response.status_code == 422
    assert response.context["form"].errors["record_number"] == [
        "This clinic already has a patient with this number."
    ]


def test_a_member_of_two_clinics_chooses_one_of_those_they_write_in(cast: Cast) -> None:
    third = factories.make_clinic("Eastern Skin Clinic")
    Membership.objects.create(user=cast.owner, clinic=third, role=Role.CLINICIAN)
    Membership.objects.create(user=cast.owner, clinic=cast.other_clinic, role=Role.READ_ONLY)
    offered = cast.client_of(cast.owner).get(reverse("patient_create")).context["form"]
    assert set(offered.fields["clinic"].queryset) == {cast.clinic, third}
    assert register(cast, cast.owner).status_code == 422
    assert register(cast, cast.owner, clinic=cast.other_clinic.pk).status_code == 422
    assert register(cast, cast.owner, clinic=third.pk).status_code == 302
    assert Patient.objects.get(record_number="MRN-7001").clinic == third


def test_a_member_of_one_clinic_is_not_asked_and_cannot_choose_another(cast: Cast) -> None:
    register(cast, cast.owner, clinic=cast.other_clinic.pk)
    assert Patient.objects.get(record_number="MRN-7001").clinic == cast.clinic


@pytest.mark.parametrize("who", ["read_only", "superuser"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_who_may_not_write_is_told_so(cast: Cast, who: str, method: str) -> None:
    client = cast.client_of(getattr(cast, who))
    response = getattr(client, method)(reverse("patient_create"), FACTS)
    assert response.status_code == 403
    assert not Patient.objects.filter(record_number="MRN-7001").exists()


def test_the_refusal_is_a_plain_sentence(cast: Cast) -> None:
    page = cast.client_of(cast.read_only).post(reverse("patient_create"), FACTS)
    assert "Your role in this clinic lets you look" in page.content.decode()


def test_forms_need_the_browsers_token(cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.owner, backend="django.contrib.auth.backends.ModelBackend")
    for address in (
        reverse("patient_create"),
        reverse("patient_update", args=[cast.patient.pk]),
        reverse("lesion_create", args=[cast.patient.pk]),
    ):
        assert client.post(address, FACTS).status_code == 403
    assert Patient.objects.count() == 1


# --- Editing and archiving ---------------------------------------------------------------------


def test_a_colleague_corrects_facts_and_the_audit_names_the_fields_only(cast: Cast) -> None:
    address = reverse("patient_update", args=[cast.patient.pk])
    client = cast.client_of(cast.colleague)
    offered = client.get(address).context["form"].initial
    assert offered["name"] == "Ada Example"
    client.post(address, offered | {"name": "Ada Corrected", "date_of_birth": ""})
    cast.patient.refresh_from_db()
    assert cast.patient.name == "Ada Corrected"
    event = AuditEvent.objects.get(action="patient.updated")
    assert event.details == {"fields": ["name"]}


def test_a_correction_is_not_undone_by_an_older_form(cast: Cast) -> None:
    address = reverse("patient_update", args=[cast.patient.pk])
    first, second = cast.client_of(cast.owner), cast.client_of(cast.colleague)
    page = second.get(address)
    older = page.context["form"].initial | {"date_of_birth": ""}
    assert f'name="seen" value="{older["seen"]}"' in page.content.decode()
    newer = older | {"date_of_birth": "1950-01-01"}
    for _time in range(2):
        # Sending the same form twice is no conflict with oneself.
        assert first.post(address, newer).status_code == 302
    answer = second.post(address, older | {"notes": "Anticoagulated"})
    assert answer.status_code == 409
    assert "Somebody changed this patient" in answer.content.decode()
    assert "Anticoagulated" in answer.content.decode()
    cast.patient.refresh_from_db()
    assert str(cast.patient.date_of_birth) == "1950-01-01"
    assert cast.patient.notes == ""
    assert AuditEvent.objects.filter(action="patient.updated").count() == 1


def test_saving_without_a_change_leaves_no_trace(cast: Cast) -> None:
    address = reverse("patient_update", args=[cast.patient.pk])
    client = cast.client_of(cast.owner)
    offered = client.get(address).context["form"].initial | {"date_of_birth": ""}
    assert client.post(address, offered).status_code == 302
    # That the form was looked at is written down; that something was changed is not.
    actions = AuditEvent.objects.values_list("action", flat=True)
    assert set(actions) == {"patient.viewed"}


def test_archiving_and_bringing_back(cast: Cast) -> None:
    address = reverse("patient_update", args=[cast.patient.pk])
    client = cast.client_of(cast.owner)
    facts = {"record_number": "A1", "name": "Ada", "sex": "female", "skin_type": "II"}
    client.post(address, facts | {"archived": "on"})
    cast.patient.refresh_from_db()
    assert cast.patient.archived
    listed = reverse("patient_list")
    assert "Ada" not in client.get(listed).content.decode()
    assert "Ada" in client.get(listed, {"archived": "1"}).content.decode()
    assert client.get(cast.patient.get_absolute_url()).status_code == 200
    client.post(address, facts)
    assert "Ada" in client.get(listed).content.decode()
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"patient.archived", "patient.restored"} <= actions


def test_the_clinic_of_a_patient_cannot_be_changed(cast: Cast) -> None:
    Membership.objects.create(user=cast.owner, clinic=cast.other_clinic, role=Role.CLINICIAN)
    cast.client_of(cast.owner).post(
        reverse("patient_update", args=[cast.patient.pk]), FACTS | {"clinic": cast.other_clinic.pk}
    )
    cast.patient.refresh_from_db()
    assert (cast.patient.name, cast.patient.clinic) == ("Grace Example", cast.clinic)


def test_a_taken_number_is_refused_when_editing_too(cast: Cast) -> None:
    other = factories.make_patient(cast.clinic, cast.owner)
    response = cast.client_of(cast.owner).post(
        reverse("patient_update", args=[other.pk]),
        FACTS | {"record_number": cast.patient.record_number},
    )
    assert response.status_code == 422
    assert list(response.context["form"].errors) == ["record_number"]


# --- Strangers ---------------------------------------------------------------------------------

PATIENT_PAGES = ["patient_detail", "patient_update", "lesion_create", "image_upload"]


@pytest.mark.parametrize("name", PATIENT_PAGES)
@pytest.mark.parametrize("who", ["stranger", "superuser"])
def test_a_strangers_patient_looks_like_no_patient(cast: Cast, name: str, who: str) -> None:
    client = cast.client_of(getattr(cast, who))
    for method in (client.get, client.post):
        there = method(reverse(name, args=[cast.patient.pk]))
        absent = method(reverse(name, args=[uuid.uuid4()]))
        if there.status_code == 405:
            assert absent.status_code == 405
            continue
        assert there.status_code == absent.status_code == 404
        assert text_of(there) == text_of(absent)


@pytest.mark.parametrize("name", PATIENT_PAGES)
def test_nobody_signed_in_goes_to_the_sign_in(cast: Cast, name: str) -> None:
    response = cast.client_of(None).get(reverse(name, args=[cast.patient.pk]))
    assert response["Location"].startswith(reverse("account_login"))


@pytest.mark.parametrize("name", PATIENT_PAGES[1:])
def test_a_reader_sees_the_patient_but_no_form(cast: Cast, name: str) -> None:
    client = cast.client_of(cast.read_only)
    page = client.get(cast.patient.get_absolute_url())
    assert "Ada Example" in page.content.decode()
    address = reverse(name, args=[cast.patient.pk])
    assert address not in page.content.decode()
    assert client.get(address).status_code == 403
    assert client.post(address, FACTS).status_code == 403


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


def queries_of(client: Client, address: str, data: dict[str, str] | None = None) -> int:
    """Return how many queries an address costs, warmed up."""
    client.get(address, data)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(address, data).status_code == 200
    return len(captured)


def test_the_lists_cost_the_same_however_many_patients_there_are(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    addresses = [reverse("patient_list"), reverse("patient_search"), reverse("analysis_new")]
    few = [queries_of(client, address, {"q": "a"}) for address in addresses]
    for _number in range(40):
        factories.make_patient(cast.clinic, cast.owner)
    many = [queries_of(client, address, {"q": "a"}) for address in addresses]
    assert few == many
    assert max(many) <= 12


# --- The patient's page ------------------------------------------------------------------------


def test_the_page_costs_the_same_however_many_images_there_are(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    address = cast.patient.get_absolute_url()

    def grow(count: int) -> None:
        for _number in range(count):
            lesion = Lesion.objects.create(
                clinic=cast.clinic,
                patient=cast.patient,
                label=str(uuid.uuid4()),
                created_by=cast.owner,
            )
            image = factories.make_image(cast.patient, cast.colleague, lesion=lesion)
            factories.make_analysis(image, cast.colleague)

    grow(2)
    few = queries_of(client, address)
    grow(6)
    many = queries_of(client, address)
    assert few == many
    assert many <= 16


def test_the_page_shows_images_in_the_order_they_were_taken(
    cast: Cast, settings: LazySettings
) -> None:
    settings.PAGE_SIZE = 2
    now = timezone.now()
    ages = [3, 1, 2]
    images = {
        age: factories.make_image(cast.patient, cast.owner, taken_at=now - timedelta(days=age))
        for age in ages
    }
    newest = factories.make_image(cast.patient, cast.owner)
    client = cast.client_of(cast.read_only)
    first = client.get(cast.patient.get_absolute_url())
    assert [entry.image.pk for entry in first.context["entries"]] == [newest.pk, images[1].pk]
    second = client.get(cast.patient.get_absolute_url(), {"cursor": first.context["page"].next})
    assert [entry.image.pk for entry in second.context["entries"]] == [
        images[2].pk,
        images[3].pk,
    ]
    body = first.content.decode()
    assert reverse("image_bytes", args=[newest.pk, "thumbnail"]) in body
    assert reverse("image_bytes", args=[images[3].pk, "thumbnail"]) not in body


def test_the_page_can_be_narrowed_to_one_lesion(cast: Cast) -> None:
    lesion = Lesion.objects.create(
        clinic=cast.clinic, patient=cast.patient, label="Left cheek", created_by=cast.owner
    )
    shown = factories.make_image(cast.patient, cast.owner, lesion=lesion)
    factories.make_image(cast.patient, cast.owner)
    client = cast.client_of(cast.owner)
    page = client.get(cast.patient.get_absolute_url(), {"lesion": str(lesion.pk)})
    assert [entry.image for entry in page.context["entries"]] == [shown]
    everything = client.get(cast.patient.get_absolute_url(), {"lesion": "rubbish"})
    assert len(everything.context["entries"]) == 2


def test_hostile_names_are_shown_as_text(cast: Cast) -> None:
    patient = factories.make_patient(
        cast.clinic,
        cast.owner,
        name=HOSTILE_NAME,
        record_number=HOSTILE_NAME[:30],
        notes=HOSTILE_NAME,
    )
    Lesion.objects.create(
        clinic=cast.clinic, patient=patient, label=HOSTILE_NAME, created_by=cast.owner
    )
    client = cast.client_of(cast.owner)
    for address, data in (
        (patient.get_absolute_url(), {}),
        (reverse("patient_list"), {"q": "onerror"}),
        (reverse("patient_search"), {"q": "onerror"}),
        (reverse("analysis_new"), {"q": "onerror"}),
        (reverse("patient_update", args=[patient.pk]), {}),
        (reverse("image_upload", args=[patient.pk]), {}),
    ):
        body = client.get(address, data).content.decode()
        assert "<img src=x" not in body
        assert html.escape(HOSTILE_NAME) in body
    search = client.get(reverse("patient_list"), {"q": '"><script>alert(1)</script>'})
    assert "<script>alert(1)" not in search.content.decode()


def test_the_longest_names_fit(cast: Cast) -> None:
    response = register(cast, cast.owner, name="Wolfeschlegelstein" * 11, record_number="9" * 64)
    page = cast.client_of(cast.owner).get(response["Location"])
    assert page.status_code == 200
    assert "Wolfeschlegelstein" * 11 in page.content.decode()


# --- Lesions -----------------------------------------------------------------------------------


def test_a_lesion_is_recorded_on_the_patients_page(cast: Cast) -> None:
    response = cast.client_of(cast.colleague).post(
        reverse("lesion_create", args=[cast.patient.pk]),
        {"label": " Mole left of the spine ", "body_site": "back", "first_seen": "2024-01-31"},
    )
    assert response["Location"].startswith(cast.patient.get_absolute_url())
    lesion = Lesion.objects.get()
    assert (lesion.label, lesion.body_site) == ("Mole left of the spine", "back")
    assert lesion.clinic == cast.clinic
    assert AuditEvent.objects.get(action="lesion.added").subject_id == str(lesion.pk)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("label", " "),
        ("label", "x" * 101),
        ("body_site", "moon"),
        ("first_seen", (timezone.localdate() + timedelta(days=2)).isoformat()),
    ],
)
def test_an_impossible_lesion_is_an_error_at_its_field(cast: Cast, field: str, value: str) -> None:
    facts = {"label": "Mole", "body_site": "back"} | {field: value}
    response = cast.client_of(cast.owner).post(
        reverse("lesion_create", args=[cast.patient.pk]), facts
    )
    assert response.status_code == 422
    assert list(response.context["lesion_form"].errors) == [field]
    assert not Lesion.objects.exists()


def test_a_label_is_used_once_for_each_patient(cast: Cast) -> None:
    address = reverse("lesion_create", args=[cast.patient.pk])
    client = cast.client_of(cast.owner)
    client.post(address, {"label": "Mole", "body_site": "back"})
    response = client.post(address, {"label": "Mole", "body_site": "face"})
    assert response.status_code == 422
    assert Lesion.objects.count() == 1


def test_an_archived_patient_gets_no_lesion(cast: Cast) -> None:
    Patient.objects.update(archived=True)
    response = cast.client_of(cast.owner).post(
        reverse("lesion_create", args=[cast.patient.pk]), {"label": "Mole", "body_site": "back"}
    )
    assert response.status_code == 422
    assert "archived" in str(response.context["lesion_form"].non_field_errors())
    assert not Lesion.objects.exists()
