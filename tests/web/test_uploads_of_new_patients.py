"""A new patient or lesion comes with its first images, once, or not at all."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection

from classifier.models import Image, Lesion, Patient
from classifier.services import images as service
from classifier.services.errors import RuleError
from classifier.services.images import add_images
from classifier.services.patients import NewLesion, NewPatient
from tests.web.uploaded import picture_bytes, upload

if TYPE_CHECKING:
    from tests.conftest import Cast


def _new(cast: Cast, **extra: Any) -> NewPatient:
    facts: dict[str, Any] = {
        "key": uuid.uuid4(),
        "clinic": cast.clinic,
        "record_number": "N1",
        "name": "New",
    }
    return NewPatient(**(facts | extra))


def test_a_new_patient_is_registered_only_with_a_fit_image(cast: Cast) -> None:
    new = _new(cast)
    outcome = add_images(
        patient=new,
        by=cast.owner,
        uploads=[upload(b"no picture"), upload(b"")],
        modality="clinical",
        lesion=NewLesion(label="Mole"),
    )
    assert outcome.patient is None
    assert len(outcome.refused) == 2
    assert not Patient.objects.filter(name="New").exists()
    assert not Lesion.objects.exists()
    outcome = add_images(
        patient=new,
        by=cast.owner,
        uploads=[upload(b"no picture"), upload()],
        modality="clinical",
        lesion=NewLesion(label="Mole", body_site="back"),
    )
    assert outcome.patient == Patient.objects.get(name="New")
    assert [bool(file.refusal) for file in outcome.files] == [True, False]
    assert outcome.added[0].image.lesion == Lesion.objects.get(label="Mole", body_site="back")


def test_a_form_sent_twice_registers_one_patient_and_one_lesion(cast: Cast) -> None:
    new = _new(cast)
    for seed in (1, 2, 1):
        add_images(
            patient=new,
            by=cast.owner,
            uploads=[upload(picture_bytes(seed))],
            modality="clinical",
            lesion=NewLesion(label="Mole"),
        )
    patient = Patient.objects.get(name="New")
    assert patient.pk == new.key
    assert Image.objects.filter(patient=patient, lesion__label="Mole").count() == 2
    assert Lesion.objects.count() == 1


def test_a_known_picture_records_no_new_lesion(cast: Cast) -> None:
    sent = {"patient": cast.patient, "by": cast.owner, "modality": "clinical"}
    add_images(**sent, uploads=[upload()])  # type: ignore[arg-type] # one dictionary for both
    again = add_images(**sent, uploads=[upload()], lesion=NewLesion(label="Never shown"))  # type: ignore[arg-type] # likewise
    assert again.added[0].known
    assert not Lesion.objects.filter(label="Never shown").exists()


def test_after_an_outage_the_other_files_are_not_tried(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def store(image: Image, *rest: Any) -> Any:
        tried.append(image)
        if len(tried) > 1:
            msg = "canceling statement due to lock timeout"
            raise OperationalError(msg)
        return inner(image, *rest)

    inner = service._store
    monkeypatch.setattr(service, "_store", store)
    outcome = add_images(
        patient=cast.patient,
        by=cast.owner,
        uploads=[upload(picture_bytes(seed)) for seed in range(1, 6)],
        modality="clinical",
    )
    assert len(tried) == 2
    assert [file.code for file in outcome.files] == ["", *[service.NOT_STORED] * 4]
    assert Image.objects.filter(patient=cast.patient).count() == 1


def test_somebody_elses_key_opens_nothing(cast: Cast) -> None:
    for who, clinic in ((cast.stranger, cast.other_clinic), (cast.colleague, cast.clinic)):
        new = _new(cast, key=cast.patient.pk, clinic=clinic)
        with pytest.raises(RuleError, match="out of date"):
            add_images(patient=new, by=who, uploads=[upload()], modality="clinical")
    assert not Image.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_files_of_one_form_arriving_at_once_register_one_patient(cast: Cast) -> None:
    new = _new(cast)
    start = threading.Barrier(2, timeout=20)
    results: list[Any] = []

    def send(seed: int) -> None:
        try:
            data = picture_bytes(seed)
            start.wait()
            results.append(
                add_images(
                    patient=new,
                    by=cast.owner,
                    uploads=[upload(data)],
                    modality="clinical",
                    lesion=NewLesion(label="Mole"),
                )
            )
        except BaseException as error:  # noqa: BLE001 - the test reports it
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert [len(result.added) for result in results] == [1, 1]
    assert Patient.objects.filter(name="New").count() == 1
    assert Lesion.objects.count() == 1
    assert Image.objects.count() == 2
