"""Idempotency keys: the same request is done once, whatever happens around it."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone

from classifier.models import Analysis, AuditEvent, Image, Patient, SentOnce
from classifier.services import sent_once
from classifier.services.sent_once import Answer, ClaimLostError, answer_once
from classifier.tasks import forget_requests_task
from tests.api.programs import Program, program_of, told
from tests.api.test_api_visit import a_file
from tests.records.test_erasure import everywhere

if TYPE_CHECKING:
    from tests.conftest import Cast

NEW = {"record_number": "MRN-77", "name": "Grace Other"}


def test_the_same_request_gets_the_same_answer(cast: Cast) -> None:
    program = program_of(cast.owner, cast.clinic)
    key = str(uuid.uuid4())
    first = program.post("/patients", NEW, key=key)
    again = program.post("/patients", {"name": "Grace Other", "record_number": "MRN-77"}, key=key)
    assert told(first, 201) == told(again, 201)
    assert first.content == again.content
    assert ("Idempotent-Replayed" in first, again["Idempotent-Replayed"]) == (False, "true")
    assert Patient.objects.filter(name="Grace Other").count() == 1
    assert AuditEvent.objects.filter(action="patient.registered").count() == 1
    # Another body, another address, another scope of keys.
    other = told(program.post("/patients", NEW | {"name": "Grace"}, key=key), 422)
    assert "used for another request" in other["detail"]
    lesions = f"/patients/{cast.patient.pk}/lesions"
    told(program.post(lesions, {"label": "mole"}, key=key), 422)
    assert Patient.objects.count() == 2
    elsewhere = program_of(cast.colleague, cast.clinic)
    told(elsewhere.post("/patients", NEW | {"record_number": "MRN-78"}, key=key), 201)


def test_a_refusal_is_the_same_again_and_a_fault_is_tried_again(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = program_of(cast.owner, cast.clinic)
    key = str(uuid.uuid4())
    taken = NEW | {"record_number": cast.patient.record_number}
    first = told(program.post("/patients", taken, key=key), 422)
    cast.patient.record_number = "moved"
    cast.patient.save()
    again = told(program.post("/patients", taken, key=key), 422)
    assert first.pop("reference") != again.pop("reference")
    assert first == again
    told(program.post("/patients", taken, key=str(uuid.uuid4())), 201)

    program.client.raise_request_exception = False
    key = str(uuid.uuid4())
    with monkeypatch.context() as broken:
        broken.setattr("classifier.services.patients.audit.record", lambda **_facts: 1 / 0)
        told(program.post("/patients", NEW, key=key), 500)
    assert not Patient.objects.filter(name="Grace Other", record_number="MRN-77").exists()
    told(program.post("/patients", NEW, key=key), 201)


def test_an_image_sent_twice(cast: Cast) -> None:
    program = program_of(cast.owner, cast.clinic)
    address, key = f"/patients/{cast.patient.pk}/images", str(uuid.uuid4())
    first = program.send(address, key=key, image=a_file(), modality="dermoscopy")
    # The boundary and the file's name differ, the content does not.
    again = program.send(address, key=key, image=a_file(name="b.png"), modality="dermoscopy")
    assert told(first, 201) == told(again, 201)
    told(program.send(address, key=key, image=a_file(2), modality="dermoscopy"), 422)
    told(program.send(address, key=key, image=a_file(), modality="clinical"), 422)
    assert Image.objects.count() == Analysis.objects.count() == 1


@pytest.mark.parametrize("key", ["", "a b", "\u00e9", "x" * 256])
def test_what_is_no_key(cast: Cast, key: str) -> None:
    program = program_of(cast.owner, cast.clinic)
    headers = {"Authorization": f"Bearer {program.text}", "Idempotency-Key": key}
    answer = program.client.post(
        "/api/v1/patients", NEW, content_type="application/json", headers=headers
    )
    assert told(answer, 422)["errors"][0]["field"] == "header.Idempotency-Key"
    assert not SentOnce.objects.exists()


def test_a_crash_is_no_lock_for_ever(cast: Cast) -> None:
    program = program_of(cast.owner, cast.clinic)
    key = str(uuid.uuid4())
    told(program.post("/patients", NEW, key=key), 201)
    done = SentOnce.objects.get()
    # As a process leaves it that dies between the claim and the deed.
    Patient.objects.filter(name="Grace Other").update(record_number="gone")
    ahead = timezone.now() + timedelta(minutes=1)
    SentOnce.objects.update(status=None, answer="", patient=None, claimed_until=ahead)
    waiting = program.post("/patients", NEW, key=key)
    assert "being worked on" in told(waiting, 409)["detail"]
    assert waiting["Retry-After"] == "2"
    SentOnce.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert told(program.post("/patients", NEW, key=key), 201)["record_number"] == "MRN-77"
    assert SentOnce.objects.get().pk == done.pk


def test_who_took_too_long_leaves_nothing(cast: Cast) -> None:
    token = program_of(cast.owner, cast.clinic).token
    assert token is not None

    def slow() -> Answer:
        Patient.objects.filter(pk=cast.patient.pk).update(name="Changed")
        later = timezone.now() + timedelta(minutes=9)
        SentOnce.objects.update(claimed_until=later)
        return Answer(200, "{}")

    with pytest.raises(ClaimLostError):
        answer_once(token=token, key="k", fingerprint="f", work=slow)
    cast.patient.refresh_from_db()
    assert cast.patient.name == "Ada Example"


def test_keys_are_forgotten_after_a_day(cast: Cast) -> None:
    program = program_of(cast.owner, cast.clinic)
    told(program.post("/patients", NEW, key="old"), 201)
    told(program.post("/patients", NEW | {"record_number": "2"}, key="new"), 201)
    past = timezone.now() - sent_once.KEPT - timedelta(seconds=1)
    SentOnce.objects.filter(key="old").update(created_at=past)
    # It means nothing any more, before it is deleted.
    told(program.post("/patients", NEW | {"record_number": "3"}, key="old"), 201)
    SentOnce.objects.filter(key="old").update(created_at=past)
    forget_requests_task.run()
    assert list(SentOnce.objects.values_list("key", flat=True)) == ["new"]


def test_an_answer_goes_with_its_patient(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    from classifier.services.erasure import erase_patient

    program = program_of(cast.owner, cast.clinic)
    patient = told(program.post("/patients", NEW, key="k"), 201)
    assert "classifier_sentonce" in everywhere("Grace Other")
    with django_capture_on_commit_callbacks(execute=True):
        erase_patient(
            patient_key=uuid.UUID(patient["id"]),
            by=cast.administrator,
            reason="asked for it",
            confirmation="MRN-77",
        )
    assert everywhere("Grace Other") == []


@pytest.mark.django_db(transaction=True)
def test_two_at_once_are_one(transactional_db: None) -> None:
    from classifier.models import Clinic
    from tests import factories

    clinic = factories.make_clinic()
    owner = factories.make_member(clinic)
    text = program_of(owner, clinic).text
    ready = threading.Barrier(4)
    answers: list[Any] = []

    def send() -> None:
        try:
            ready.wait()
            answers.append(Program(text).post("/patients", NEW, key="k"))
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert Patient.objects.filter(clinic=Clinic.objects.get()).count() == 1
    assert told(Program(text).post("/patients", NEW, key="k"), 201)["record_number"] == "MRN-77"
