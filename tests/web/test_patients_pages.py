"""Patients: who sees, registers, edits and archives them, and what the pages cost."""

from __future__ import annotations

import html
import uuid
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from classifier.choices import Role, SkinType
from classifier.models import Analysis, AuditEvent, Clinic, Lesion, Membership, Patient
from mlcore.labels import TRIAGE_ORDER
from tests import factories
from tests.web import answered as make
from tests.web.answers import queries_of, text_of

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


def test_the_timeline_tells_the_worst_group_that_is_plausible(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner, top="nevus")
    worst = TRIAGE_ORDER.index("skin cancer")
    Analysis.objects.filter(pk=analysis.pk).update(triage_rank=worst)
    Clinic.objects.filter(pk=cast.clinic.pk).update(blinded_first=False)
    page = text_of(cast.client_of(cast.owner).get(cast.patient.get_absolute_url()))
    assert "Nevus" in page
    # As the result says it, not the group of the first label.
    assert "Skin cancer" in page
    assert "Benign lesion" not in page
