"""Reading the trail, the changes, consent, export and erasure in the application's own pages."""

from __future__ import annotations

import html
import io
import json
import re
import zipfile
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from classifier.choices import Role
from classifier.models import AuditEvent, Clinic, Consent, Erasure, Membership, Patient
from classifier.services import audit
from classifier.services.erasure import erase_patient
from classifier.services.integrity_runs import record as record_check
from classifier.services.readings import save_reading
from classifier.services.retention import apply_retention, overdue
from classifier.services.reviews import save_review
from tests import factories
from tests.factories import PASSWORD
from tests.web import answered as make

if TYPE_CHECKING:
    import uuid

    import pytest
    from django.test import Client
    from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks

    from tests.conftest import Cast

TRAIL = "/audit/"
MOST_QUERIES = 12


def text_of(response: Any) -> str:
    """Return the words of a page as a person reads them."""
    bare = re.sub(r"<[^>]*>", " ", response.content.decode())
    return re.sub(r"\s+", " ", html.unescape(bare))


def cost(client: Client, address: str) -> int:
    """Return the number of queries of a page."""
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    assert len(queries) <= MOST_QUERIES, "\n".join(query["sql"][:160] for query in queries)
    return len(queries)


def sign_in(client: Client, email: str, password: str) -> str:
    """Sign in through the page and return its text."""
    facts = {"login": email, "password": password}
    return text_of(client.post(reverse("account_login"), facts))


def test_sign_ins_are_kept_and_a_failed_one_tells_a_stranger_nothing(cast: Cast) -> None:
    client = cast.client_of(None)
    unknown = sign_in(client, "nobody@north.example", "wrong password")
    known = sign_in(client, cast.owner.email, "wrong password")
    assert "nobody@north.example" not in unknown
    assert known == unknown
    failures = AuditEvent.objects.filter(action="sign_in.failed").order_by("id")
    assert [(event.clinic, event.subject_id, event.actor) for event in failures] == [
        (None, "", None),
        (cast.clinic, str(cast.owner.pk), None),
    ]
    assert "nobody@north" not in str(failures.values_list())
    sign_in(client, cast.owner.email, PASSWORD)
    client.post(
        reverse("account_change_password"),
        {"oldpassword": PASSWORD, "password1": f"{PASSWORD} 2", "password2": f"{PASSWORD} 2"},
    )
    sign_in(client, cast.owner.email, f"{PASSWORD} 2")
    client.post(reverse("account_logout"))
    deeds = AuditEvent.objects.filter(actor=cast.owner, clinic=cast.clinic).order_by("id")
    assert [event.action for event in deeds if event.action != "password.changed"] == [
        "sign_in.done",
        "sign_in.ended",
        "sign_in.done",
        "sign_in.ended",
    ]
    assert deeds.filter(action="password.changed").count() == 1
    # Whoever works in two clinics is seen by both administrators.
    Membership.objects.create(user=cast.owner, clinic=cast.other_clinic, role=Role.CLINICIAN)
    sign_in(client, cast.owner.email, f"{PASSWORD} 2")
    latest = AuditEvent.objects.order_by("-id")[:2]
    assert {event.clinic for event in latest} == {cast.clinic, cast.other_clinic}


def test_the_trail_shows_a_clinics_own_events_filtered_and_paged(cast: Cast) -> None:
    head = cast.client_of(cast.administrator)
    for number in range(3):
        audit.record(action="lesion.added", actor=cast.owner, clinic=cast.clinic, number=number)
    few = cost(head, TRAIL)
    for number in range(40):
        subject = factories.make_patient(cast.clinic, cast.owner) if number % 2 else None
        audit.record(
            action="patient.archived", actor=cast.colleague, clinic=cast.clinic, subject=subject
        )
    theirs = factories.make_patient(cast.other_clinic, cast.stranger, name="Theirs Only")
    audit.record(
        action="patient.registered", actor=cast.stranger, clinic=cast.other_clinic, subject=theirs
    )
    audit.record(action="model_version.activated", actor=cast.superuser, version="isic9 1.0.0")
    assert cost(head, TRAIL) <= few + 1
    page = text_of(head.get(TRAIL))
    assert "Patient archived" in page
    assert "Older" in page
    for foreign in ("Theirs Only", str(theirs.pk), cast.stranger.email, "isic9 1.0.0"):
        assert foreign not in page
    # Another clinic is no choice, whatever the address says.
    for query in (f"scope={cast.other_clinic.pk}", f"person={cast.stranger.pk}"):
        refused = head.get(f"{TRAIL}?{query}")
        assert refused.status_code == 400
        assert "Theirs Only" not in text_of(refused)
    assert "Theirs Only" not in text_of(head.get(f"{TRAIL}?patient={theirs.pk}"))
    assert "Patient archived" not in table_of(head, "action=lesion.added")
    assert "Lesion recorded" in table_of(head, f"person={cast.owner.pk}")
    assert "Patient archived" not in table_of(head, f"person={cast.owner.pk}")
    today = timezone.localdate()
    assert "Lesion recorded" in table_of(head, f"since={today}&until={today}&action=lesion.added")
    assert table_of(head, f"until={today - timedelta(days=1)}") == ""
    assert head.get(f"{TRAIL}?since={today}&until={today - timedelta(days=1)}").status_code == 400
    assert "isic9 1.0.0" in table_of(head, "scope=installation")
    # The page that follows has the rest and leads back.
    listed = head.get(TRAIL).context["page"]
    second = head.get(f"{TRAIL}?cursor={listed.next}")
    assert {event.pk for event in second.context["page"]}.isdisjoint(e.pk for e in listed)
    # A patient looked at five times in a row is one event, and it is about that patient.
    address = cast.patient.get_absolute_url()
    for _look in range(5):
        assert head.get(address).status_code == 200
    seen = AuditEvent.objects.get(action="patient.viewed")
    assert (seen.actor, seen.clinic, seen.patient_key) == (
        cast.administrator,
        cast.clinic,
        cast.patient.pk,
    )
    assert cast.patient.name in table_of(head, f"patient={cast.patient.pk}")
    mrn = cast.patient.record_number
    assert table_of(head, f"patient={mrn}") == table_of(head, f"patient={cast.patient.pk}")
    unknown = head.get(f"{TRAIL}?patient=MRN-of-nobody")
    assert unknown.status_code == 400
    assert "No patient of this clinic has this record number." in text_of(unknown)
    # Nor is a number of another clinic known here.
    elsewhere = factories.make_patient(cast.other_clinic, cast.stranger, record_number="S-1")
    assert head.get(f"{TRAIL}?patient={elsewhere.record_number}").status_code == 400
    cast.client_of(cast.colleague).get(address)
    assert AuditEvent.objects.filter(action="patient.viewed").count() == 2


def table_of(client: Client, query: str) -> str:
    """Return what the trail lists, without the words of its filters."""
    body = client.get(f"{TRAIL}?{query}").content.decode()
    return body.partition("<tbody>")[2].partition("</tbody>")[0]


def test_the_trail_speaks_of_details_in_words_and_leads_to_results(cast: Cast) -> None:
    head = cast.client_of(cast.administrator)
    image = make.bare_image(cast.patient, cast.owner)
    alone = make.bare_image(cast.patient, cast.owner)
    analysis = make.answered(image, cast.owner)
    facts: list[dict[str, Any]] = [
        {"action": "image.added", "subject": image, "modality": "dermoscopy", "format": "PNG"},
        {"action": "image.added", "subject": alone},
        {"action": "analysis.requested", "subject": analysis},
        {"action": "patient.updated", "subject": cast.patient, "fields": ["skin_type", "gone"]},
        {"action": "import.finished", "counts": {"done": 3, "refused": 1}},
        {"action": "history.exported", "filters": ["q", "since"]},
        {"action": "notices.changed", "subject": cast.owner, "pace": "daily", "before": "off"},
    ]
    few = cost(head, TRAIL)
    for fact in facts:
        audit.record(actor=cast.owner, clinic=cast.clinic, **fact)
    assert cost(head, TRAIL) <= few + 3
    told = text_of(head.get(TRAIL))
    for words in (
        "Format PNG Modality Dermoscopy",
        "Fields skin type (Fitzpatrick), gone",
        "Added 3 Refused 1",
        "Filters Patient, From",
        "Before Never How often Once a day at most",
        cast.patient.record_number,
    ):
        assert words in told, words
    assert "{" not in table_of(head, "")
    # An image that was never analysed has no page of its own.
    table = table_of(head, "")
    assert table.count(f'href="{analysis.get_absolute_url()}"') == 2
    german = text_of(head.get(TRAIL, headers={"accept-language": "de"}))
    for words in ("Zuvor Nie Wie oft", "Hinzugefügt 3 Abgelehnt 1", "Zum Ergebnis"):
        assert words in german, words


def test_the_trail_says_what_the_nightly_check_found_also_where_that_is_nothing(
    cast: Cast,
) -> None:
    looked_at = {"files": 12, "images": 3}
    record_check(looked_at=looked_at, counts={}, swept=0)
    record_check(looked_at=looked_at, counts={"file_changed": 1, "file_missing": 2}, swept=4)
    told = text_of(cast.client_of(cast.administrator).get(f"{TRAIL}?scope=installation"))
    assert "Images 3 Files 12 Findings 0 Orphan files removed 0" in told
    assert "Findings 3 file_changed 1 file_missing 2 Orphan files removed 4" in told


def test_every_change_of_a_record_is_told_with_who_and_where(cast: Cast) -> None:
    owner = cast.client_of(cast.owner)
    facts = {
        "record_number": cast.patient.record_number,
        "name": "Ada Renamed",
        "sex": "female",
        "skin_type": "II",
        "seen": cast.patient.updated_at.isoformat(),
        "reason": "The passport says so.",
    }
    form = reverse("patient_update", args=[cast.patient.pk])
    assert owner.post(form, facts).status_code == 302
    owner.post(
        reverse("lesion_create", args=[cast.patient.pk]),
        {"label": "left heel", "body_site": "foot"},
    )
    image = make.bare_image(cast.patient, cast.owner)
    image.taken_at = timezone.now() - timedelta(days=3)
    image.save()
    analysis = make.answered(image, cast.owner)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    save_review(
        analysis=analysis,
        by=cast.owner,
        verdict="defer",
        expected_number=0,
        notes="Regular network",
    )
    address = reverse("patient_changes", args=[cast.patient.pk])
    page = text_of(owner.get(address))
    for words in (
        "Patient changed",
        "Ada Example",
        "Ada Renamed",
        "on the patient's form",
        "The passport says so.",
        "Lesion added",
        "left heel",
        "Image added",
        "Regular network",
        str(cast.owner),
        timezone.localtime(image.taken_at).strftime("%Y-%m-%d %H:%M"),
    ):
        assert words in page, words
    assert "+00:00" not in page
    # Raw SQL leaves a version too; nobody signed for it.
    Patient.objects.filter(pk=cast.patient.pk).update(notes="typed into the database")
    page = text_of(owner.get(address))
    assert "typed into the database" in page
    assert "The system" in page
    # A colleague who must read first learns of the review, not what it says.
    colleague = text_of(cast.client_of(cast.colleague).get(address))
    assert "Hidden until your own reading is saved." in colleague
    assert "Regular network" not in colleague
    few = cost(owner, address)
    for number in range(30):
        Patient.objects.filter(pk=cast.patient.pk).update(notes=f"note {number}")
    assert cost(owner, address) <= few
    assert "note 29" in text_of(owner.get(address))
    assert "Ada Example" in text_of(owner.get(f"{address}?cursor=2"))
    assert cost(owner, f"{address}?cursor=99999999999999999999") <= few


def test_consent_export_and_erasure_in_the_pages(
    cast: Cast, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    owner, head = cast.client_of(cast.owner), cast.client_of(cast.administrator)
    add = reverse("consent_create", args=[cast.patient.pk])
    today = timezone.localdate()
    said = {"use": "research", "given": "yes", "decided_on": f"{today}", "note": "folder 7"}
    assert owner.post(add, said).status_code == 302
    assert owner.post(add, said | {"given": "no", "note": ""}).status_code == 302
    late = owner.post(add, said | {"decided_on": f"{today + timedelta(days=1)}"})
    assert late.status_code == 422
    assert "lies in the future" in text_of(late)
    assert [consent.given for consent in Consent.objects.order_by("recorded_at")] == [True, False]
    page = text_of(owner.get(cast.patient.get_absolute_url()))
    assert "Research not given" in page
    assert "before: given" in page
    assert "not asked" in page

    image = factories.make_image(cast.patient, cast.owner)
    analysis = make.answered(image, cast.owner)
    export = reverse("patient_export", args=[cast.patient.pk])
    assert head.post(export, {"reason": ""}).status_code == 422
    response = head.post(export, {"reason": "The patient asked for it."})
    assert response["Content-Type"] == "application/zip"
    assert cast.patient.name not in response["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(b"".join(response))) as pack:
        assert pack.testzip() is None
        names = set(pack.namelist())
        record = json.loads(pack.read("record.json"))
        with image.display.open() as stored:
            assert pack.read(f"images/{image.pk}/display.jpg") == stored.read()
    assert len(names) == 4
    assert record["patient"][0]["name"] == "Ada Example"
    assert record["predictions"][0]["top_label"] == "melanoma"
    assert {row["given"] for row in record["consents"]} == {True, False}
    assert {row["action"] for row in record["audit"]} >= {"consent.given", "patient.exported"}
    assert record["people"][str(cast.owner.pk)] == str(cast.owner)
    event = AuditEvent.objects.get(action="patient.exported")
    assert event.reason == "The patient asked for it."
    # Whoever has the export has seen the answer: their reading is not blinded any more.
    reading = save_reading(analysis=analysis, by=cast.administrator, diagnosis="nevus")
    assert not reading.blinded
    image.display.storage.delete(image.display.name or "")
    missing = head.post(export, {"reason": "again"})
    assert (missing.status_code, "is missing" in text_of(missing)) == (422, True)

    erase = reverse("patient_erase", args=[cast.patient.pk])
    wrong = head.post(erase, {"reason": "asked", "confirmation": "MRN-1"})
    assert wrong.status_code == 422
    assert Patient.objects.filter(pk=cast.patient.pk).exists()
    with django_capture_on_commit_callbacks(execute=True):
        done = head.post(
            erase, {"reason": "asked", "confirmation": cast.patient.record_number}, follow=True
        )
    assert "The patient is erased." in text_of(done)
    assert head.get(cast.patient.get_absolute_url()).status_code == 404
    assert Erasure.objects.get().files == []
    assert str(cast.patient.pk) in table_of(head, "action=patient.erased")


def test_the_retention_rule_erases_what_is_older_and_a_dry_run_nothing(
    cast: Cast,
    capsys: pytest.CaptureFixture[str],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    call_command("retention")
    assert "No clinic has a retention rule" in capsys.readouterr().out
    long_ago = timezone.now() - timedelta(days=366 * 11)
    old, seen, other = (
        factories.make_patient(clinic, cast.owner, name=f"Old {number}")
        for number, clinic in enumerate((cast.clinic, cast.clinic, cast.other_clinic))
    )
    Patient.objects.filter(pk__in=[old.pk, seen.pk, other.pk]).update(created_at=long_ago)
    make.bare_image(seen, cast.owner)
    Clinic.objects.filter(pk=cast.clinic.pk).update(retention_years=10)
    assert [found.patient.pk for found in overdue()] == [old.pk]
    call_command("retention", "--dry-run")
    said = capsys.readouterr().out
    assert str(old.pk) in said
    assert "1 patients would be erased. Nothing was." in said
    assert "Old 0" not in said
    assert Patient.objects.filter(pk=old.pk).exists()
    with django_capture_on_commit_callbacks(execute=True):
        call_command("retention")
    assert set(Patient.objects.values_list("pk", flat=True)) == {
        cast.patient.pk,
        seen.pk,
        other.pk,
    }
    event = AuditEvent.objects.get(action="patient.erased")
    assert (event.actor_kind, event.actor) == ("system", None)
    assert "10 years" in event.reason


def test_who_comes_back_while_the_rule_is_applied_is_kept(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (
        factories.make_patient(cast.clinic, cast.owner, name=f"Old {number}") for number in range(2)
    )
    for days, patient in enumerate((second, first)):
        long_ago = timezone.now() - timedelta(days=366 * 11 + days)
        Patient.objects.filter(pk=patient.pk).update(created_at=long_ago)
    Clinic.objects.filter(pk=cast.clinic.pk).update(retention_years=10)

    def erase_while_the_second_comes_back(*, patient_key: uuid.UUID, **rest: Any) -> Erasure:
        assert patient_key == first.pk
        make.bare_image(second, cast.owner)
        return erase_patient(patient_key=patient_key, **rest)

    monkeypatch.setattr(
        "classifier.services.retention.erase_patient", erase_while_the_second_comes_back
    )
    assert apply_retention() == 1
    assert Patient.objects.filter(pk=second.pk).exists()
