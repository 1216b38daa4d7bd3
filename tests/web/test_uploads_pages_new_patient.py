"""One form registers a patient and sends their first images."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from classifier.choices import Role
from classifier.models import Analysis, Image, Lesion, Membership, Patient
from tests.web.sending import JSON, PDF, assert_nothing_stored, photo, send_new

if TYPE_CHECKING:
    from django.conf import LazySettings

    from tests.conftest import Cast


# --- A new patient with their first images -------------------------------------------------------


def test_one_form_registers_the_patient_and_sends_the_images(cast: Cast) -> None:
    response = send_new(
        cast.client_of(cast.owner), photo(), lesion_label="Nose", lesion_site="face"
    )
    patient = Patient.objects.get(name="Nora New")
    analysis = Analysis.objects.get()
    assert response["Location"] == analysis.get_absolute_url()
    assert (analysis.patient, analysis.image.lesion) == (patient, Lesion.objects.get())
    assert analysis.modality == "clinical"
    assert patient.clinic == cast.clinic


def test_each_file_of_the_script_finds_the_same_new_patient(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    key = uuid.uuid4()
    for seed in (1, 2, 3):
        answer = send_new(client, photo(seed), how=JSON, key=key)
        assert answer.status_code == 200
    patient = Patient.objects.get(name="Nora New")
    assert Analysis.objects.filter(patient=patient).count() == 3


def test_a_taken_number_is_refused_and_nothing_is_stored(
    cast: Cast, settings: LazySettings
) -> None:
    client = cast.client_of(cast.owner)
    number = cast.patient.record_number
    page = send_new(client, photo(), record_number=number)
    assert page.status_code == 422
    assert "already has a patient with this number" in page.content.decode()
    answer = send_new(client, photo(), record_number=number, how=JSON)
    assert list(json.loads(answer.content)["errors"]) == ["record_number"]
    assert Patient.objects.count() == 1
    assert_nothing_stored(settings)


def test_errors_of_both_halves_come_together(cast: Cast, settings: LazySettings) -> None:
    answer = send_new(cast.client_of(cast.owner), name="", modality="", how=JSON)
    assert answer.status_code == 422
    assert set(json.loads(answer.content)["errors"]) == {"name", "modality", "images"}
    assert_nothing_stored(settings)


def test_a_refused_first_image_registers_nobody(cast: Cast, settings: LazySettings) -> None:
    page = send_new(
        cast.client_of(cast.owner), SimpleUploadedFile("scan.pdf", PDF), lesion_label="Nose"
    )
    assert page.status_code == 415
    assert 'value="Nora New"' in page.content.decode()
    assert Patient.objects.count() == 1
    assert_nothing_stored(settings)


def test_a_form_left_open_does_not_file_another_spot_under_its_first_lesion(cast: Cast) -> None:
    client, key = cast.client_of(cast.owner), uuid.uuid4()
    send_new(client, photo(1), key=key, lesion_label="Nose", lesion_site="face")
    answer = send_new(client, photo(2), key=key, lesion_label="Nose", lesion_site="back", how=JSON)
    assert answer.status_code == 422
    assert list(json.loads(answer.content)["errors"]) == ["lesion_label"]
    assert Image.objects.count() == 1


def test_a_half_refused_form_goes_on_with_the_registered_patient(cast: Cast) -> None:
    page = send_new(cast.client_of(cast.owner), photo(), SimpleUploadedFile("scan.pdf", PDF))
    patient = Patient.objects.get(name="Nora New")
    assert page.status_code == 415
    assert reverse("image_upload", args=[patient.pk]) in page.content.decode()
    assert "scan.pdf" in page.content.decode()
    assert Image.objects.get().patient == patient


def test_a_member_of_two_clinics_says_which(cast: Cast, settings: LazySettings) -> None:
    Membership.objects.create(user=cast.owner, clinic=cast.other_clinic, role=Role.CLINICIAN)
    client = cast.client_of(cast.owner)
    assert list(json.loads(send_new(client, photo(), how=JSON).content)["errors"]) == ["clinic"]
    assert_nothing_stored(settings)
    send_new(client, photo(), clinic=cast.other_clinic.pk)
    assert Image.objects.get().clinic == cast.other_clinic
    # A member of the other clinic sees it, the first clinic's colleague does not.
    address = Analysis.objects.get().patient.get_absolute_url()
    assert cast.client_of(cast.stranger).get(address).status_code == 200
    assert cast.client_of(cast.colleague).get(address).status_code == 404
