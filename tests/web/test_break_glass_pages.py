"""Emergency access on the pages: demanded with a reason, seen at once, ended by hand or by time."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from classifier.models import AuditEvent, BreakGlass, Patient
from tests import factories
from tests.web import answered as make
from tests.web.answers import signed
from tests.web.test_markup import faults_of

if TYPE_CHECKING:
    from django.conf import LazySettings
    from django.test import Client

    from tests.conftest import Cast

LIST, NEW = "/emergency/", "/emergency/new/"
REASON = "Unconscious in the emergency room"


@pytest.fixture(autouse=True)
def _forget(settings: LazySettings) -> None:
    # A fresh prefix hides what other tests counted for the throttle.
    default = settings.CACHES["default"] | {"KEY_PREFIX": uuid.uuid4().hex}
    settings.CACHES = settings.CACHES | {"default": default}


def facts(cast: Cast, **other: str) -> dict[str, str]:
    """Return a demand for the first clinic's patient."""
    return {
        "clinic": str(cast.clinic.pk),
        "record_number": cast.patient.record_number,
        "reason": REASON,
    } | other


def demand(client: Client, cast: Cast, **other: str) -> str:
    """Send the demand and return where it leads."""
    return client.post(NEW, facts(cast, **other))["Location"]


def test_a_clinician_of_elsewhere_reads_one_record_until_the_administrator_ends_it(
    cast: Cast,
) -> None:
    analysis = make.answered(factories.make_image(cast.patient, cast.owner), cast.owner)
    other = factories.make_patient(cast.clinic, cast.owner)
    client = cast.client_of(cast.stranger)
    page = cast.patient.get_absolute_url()
    assert client.get(page).status_code == 404
    form = client.get(NEW).content.decode()
    assert faults_of(form) == []
    assert str(cast.clinic.pk) in form
    assert str(cast.other_clinic.pk) not in form
    assert demand(client, cast) == page

    shown = client.get(page)
    assert shown.status_code == 200
    assert "You have emergency access" in shown.content.decode()
    assert client.get(analysis.get_absolute_url()).status_code == 200
    picture = signed(reverse("image_bytes", args=[analysis.image_id, "display"]), cast.stranger)
    assert b"".join(client.get(picture))
    # Reading is all, and that one record is all.
    for name, row in (
        ("patient_update", cast.patient),
        ("image_upload", cast.patient),
        ("reading_create", analysis),
        ("review_create", analysis),
        ("analysis_cancel", analysis),
    ):
        assert client.post(reverse(name, args=[row.pk]), {"reason": REASON}).status_code == 403
    assert client.get(other.get_absolute_url()).status_code == 404

    head = cast.client_of(cast.administrator)
    assert "has emergency access to a record of Northern" in head.get("/").content.decode()
    assert "has emergency access" not in cast.client_of(cast.owner).get("/").content.decode()
    listed = head.get(LIST).content.decode()
    assert faults_of(listed) == []
    assert REASON in listed
    access = BreakGlass.objects.get()
    end = reverse("break_glass_end", args=[access.pk])
    assert cast.client_of(cast.owner).post(end).status_code == 404
    assert head.post(end).status_code == 302
    assert "over already" in head.post(end, follow=True).content.decode()
    assert client.get(page).status_code == 404
    assert client.get(picture).status_code == 404
    own = client.get(LIST).content.decode()
    assert "ended by" in own
    assert cast.patient.name not in own
    assert "ended by" in head.get(LIST).content.decode()

    told = AuditEvent.objects.filter(action__startswith="break_glass").order_by("id")
    assert [(event.action, event.actor, event.clinic, event.subject_id) for event in told] == [
        ("break_glass.opened", cast.stranger, cast.clinic, str(cast.patient.pk)),
        ("break_glass.ended", cast.administrator, cast.clinic, str(cast.patient.pk)),
    ]
    assert told[0].reason == REASON
    assert AuditEvent.objects.filter(action="image.viewed", actor=cast.stranger).exists()


def test_time_ends_it_and_the_holder_may(cast: Cast, settings: LazySettings) -> None:
    client = cast.client_of(cast.superuser)
    page = demand(client, cast)
    assert client.get(page).status_code == 200
    access = BreakGlass.objects.get()
    assert (access.expires_at - access.created_at).total_seconds() == pytest.approx(3600, abs=5)
    client.post(reverse("break_glass_end", args=[access.pk]))
    assert client.get(page).status_code == 404
    settings.BREAK_GLASS_MINUTES = 0.001
    demand(client, cast)
    time.sleep(0.1)
    assert "ran out" in client.get(LIST).content.decode()


def test_a_demand_that_is_wrong_opens_nothing(cast: Cast, settings: LazySettings) -> None:
    client = cast.client_of(cast.stranger)
    cases: list[tuple[dict[str, str], str]] = [
        ({"record_number": "MRN-99999"}, "No patient of this clinic has this number"),
        ({"reason": "please"}, "Say in a few words"),
        ({"reason": ""}, "required"),
        ({"clinic": str(uuid.uuid4())}, "valid choice"),
    ]
    for wrong, sentence in cases:
        response = client.post(NEW, facts(cast, **wrong))
        assert response.status_code == 422
        assert sentence in response.content.decode()
    assert not BreakGlass.objects.exists()
    missed = AuditEvent.objects.get(action="break_glass.missed")
    assert (missed.clinic, missed.actor, missed.reason) == (cast.clinic, cast.stranger, REASON)
    demand(client, cast)
    again = client.post(NEW, facts(cast))
    assert "no emergency access is needed" in again.content.decode()
    assert BreakGlass.objects.count() == 1


def test_it_is_for_clinicians_who_were_there_a_moment_ago(cast: Cast) -> None:
    reader = factories.make_member(cast.other_clinic, "read_only")
    nobody = factories.make_user()
    for user in (reader, nobody):
        client = cast.client_of(user)
        assert client.get(NEW).status_code == client.post(NEW, facts(cast)).status_code == 403
        assert NEW not in client.get(LIST).content.decode()
    unconfirmed = cast.client_of(cast.stranger, confirmed=False)
    for response in (unconfirmed.get(NEW), unconfirmed.post(NEW, facts(cast))):
        assert response["Location"].startswith(reverse("account_reauthenticate"))
    assert not BreakGlass.objects.exists()


def test_numbers_cannot_be_tried_out(cast: Cast) -> None:
    client = cast.client_of(cast.stranger)
    answers = [
        client.post(NEW, facts(cast, record_number=f"MRN-{number}")).status_code
        for number in range(6)
    ]
    assert answers == [422] * 5 + [429]
    assert client.post(NEW, facts(cast)).status_code == 429
    assert not Patient.objects.visible_to(cast.stranger).exists()
