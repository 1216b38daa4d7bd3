"""The same bytes again, over HTTP: recognised for the same patient, and only there."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.urls import reverse

from classifier.models import Analysis, AuditEvent, Image, Transition
from tests import factories
from tests.intake.samples import drawn, encoded, sound

if TYPE_CHECKING:
    from django.conf import LazySettings
    from django.test import Client

    from classifier.models import Patient
    from tests.conftest import Cast


def send(client: Client, patient: Patient, *files: bytes, **fields: Any) -> Any:
    """Send files as the page's script does; return the answer's lines."""
    uploads = [SimpleUploadedFile(f"{number}.jpg", data) for number, data in enumerate(files)]
    answer = client.post(
        reverse("image_upload", args=[patient.pk]),
        {"images": uploads, "modality": "dermoscopy"} | fields,
        headers={"accept": "application/json"},
    )
    assert answer.status_code == 200, answer.content
    return json.loads(answer.content)["files"]


def stored_files(settings: LazySettings) -> list[Path]:
    """Return every file below the media folder."""
    return [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]


def assert_one_record(settings: LazySettings, count: int = 1) -> None:
    """Check that there are ``count`` images, each with one job, one event and three files."""
    assert Image.objects.count() == Analysis.objects.count() == count
    assert Transition.objects.filter(to_state="queued").count() == count
    assert AuditEvent.objects.filter(action="image.added").count() == count
    assert len(stored_files(settings)) == 3 * count


def test_sent_again_the_record_is_shown_and_no_second_job_made(
    cast: Cast, settings: LazySettings
) -> None:
    (first,) = send(cast.client_of(cast.owner), cast.patient, sound("JPEG"))
    (again,) = send(
        cast.client_of(cast.colleague), cast.patient, sound("JPEG"), modality="clinical"
    )
    assert (first["status"], again["status"]) == ("queued", "known")
    assert first["analysis_url"] == again["analysis_url"]
    assert "already" in again["message"]
    assert_one_record(settings)


def test_the_same_file_twice_in_one_form_is_one_image(cast: Cast, settings: LazySettings) -> None:
    files = send(cast.client_of(cast.owner), cast.patient, sound("JPEG"), sound("JPEG"))
    assert [file["status"] for file in files] == ["queued", "known"]
    assert files[0]["analysis_url"] == files[1]["analysis_url"]
    assert_one_record(settings)


def test_for_another_patient_of_the_clinic_it_is_another_image(
    cast: Cast, settings: LazySettings
) -> None:
    other = factories.make_patient(cast.clinic, cast.owner)
    client = cast.client_of(cast.owner)
    statuses = [
        send(client, patient, sound("JPEG"))[0]["status"] for patient in (cast.patient, other)
    ]
    assert statuses == ["queued", "queued"]
    assert_one_record(settings, 2)


def test_for_another_clinic_it_is_new_and_says_nothing_of_the_first(
    cast: Cast, settings: LazySettings
) -> None:
    theirs = factories.make_patient(cast.other_clinic, cast.stranger)
    (ours,) = send(cast.client_of(cast.owner), cast.patient, sound("JPEG"))
    (foreign,) = send(cast.client_of(cast.stranger), theirs, sound("JPEG"))
    (fresh,) = send(cast.client_of(cast.stranger), theirs, sound("PNG"))
    # A first upload reads the same whether or not another clinic has the bytes.
    assert (foreign["status"], foreign["message"]) == (fresh["status"], fresh["message"])
    assert foreign["analysis_url"] != ours["analysis_url"]
    assert cast.client_of(cast.owner).get(foreign["analysis_url"]).status_code == 404
    assert_one_record(settings, 3)


def test_the_same_picture_in_other_bytes_is_another_image(
    cast: Cast, settings: LazySettings
) -> None:
    files = send(
        cast.client_of(cast.owner),
        cast.patient,
        encoded(drawn(), "PNG", compress_level=1),
        encoded(drawn(), "PNG", compress_level=9),
    )
    assert [file["status"] for file in files] == ["queued", "queued"]
    first, second = Image.objects.all()
    assert first.original_sha256 != second.original_sha256
    assert first.network_source_sha256 == second.network_source_sha256
    assert_one_record(settings, 2)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("people", [2, 5])
def test_sent_at_the_same_moment_by_several_it_is_one_image(
    cast: Cast, settings: LazySettings, people: int
) -> None:
    senders = [cast.owner, cast.colleague, cast.administrator]
    clients = [cast.client_of(senders[number % 3]) for number in range(people)]
    together = threading.Barrier(people, timeout=60)
    answers: list[Any] = []

    def one(client: Client) -> None:
        try:
            together.wait()
            answers.extend(send(client, cast.patient, sound("JPEG")))
        except BaseException as error:  # noqa: BLE001 - the test reports it
            answers.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=90)
    assert all(isinstance(answer, dict) for answer in answers), answers
    statuses = sorted(answer["status"] for answer in answers)
    assert statuses == ["known"] * (people - 1) + ["queued"]
    assert len({answer["analysis_url"] for answer in answers}) == 1
    assert_one_record(settings)


@pytest.mark.django_db(transaction=True)
def test_different_pictures_at_the_same_moment_are_all_taken(
    cast: Cast, settings: LazySettings
) -> None:
    """Decoders keep no state between threads: each record holds its own picture."""
    kinds = ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "BMP"]
    together = threading.Barrier(len(kinds), timeout=60)
    answers: dict[str, Any] = {}

    def one(kind: str, client: Client) -> None:
        try:
            together.wait()
            answers[kind] = send(client, cast.patient, sound(kind))[0]["status"]
        except BaseException as error:  # noqa: BLE001 - the test reports it
            answers[kind] = error
        finally:
            connection.close()

    threads = [
        threading.Thread(target=one, args=(kind, cast.client_of(cast.owner))) for kind in kinds
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=90)
    assert answers == dict.fromkeys(kinds, "queued")
    assert set(Image.objects.values_list("original_format", flat=True)) == set(kinds)
    assert_one_record(settings, len(kinds))
