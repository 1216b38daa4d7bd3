"""Taking an image in: everything or nothing, once, and only the copies we made."""

from __future__ import annotations

import hashlib
import io
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone
from PIL import ExifTags
from PIL import Image as Pillow

from classifier import intake
from classifier.choices import Modality, State
from classifier.models import Analysis, AuditEvent, Image, Lesion, Transition
from classifier.services import images as service
from classifier.services.analyses import cancel_analysis
from classifier.services.errors import RuleError
from classifier.services.images import add_image
from tests import factories
from tests.web.uploaded import picture_bytes, stored_files, upload

if TYPE_CHECKING:
    from django.conf import LazySettings

    from tests.conftest import Cast


def test_an_image_is_stored_queued_and_recorded(cast: Cast, settings: LazySettings) -> None:
    data = picture_bytes()
    added = add_image(
        patient=cast.patient, by=cast.owner, upload=upload(data), modality=Modality.DERMOSCOPY
    )
    image = added.image
    image.refresh_from_db()
    assert not added.known
    assert image.original_sha256 == hashlib.sha256(data).hexdigest()
    assert (image.width, image.height, image.byte_size) == (400, 300, len(data))
    assert (image.clinic, image.uploaded_by) == (cast.clinic, cast.owner)
    assert image.original_format == "JPEG"
    with image.network_source.open("rb") as opened:
        source = opened.read()
    assert image.network_source_sha256 == hashlib.sha256(source).hexdigest()
    assert added.analysis.state == State.QUEUED
    assert Transition.objects.filter(analysis=added.analysis, to_state=State.QUEUED).count() == 1
    actions = list(AuditEvent.objects.order_by("id").values_list("action", flat=True))
    assert actions == ["analysis.requested", "image.added"]
    assert len(stored_files(settings)) == 3


def test_stored_names_say_nothing_about_the_patient(cast: Cast, settings: LazySettings) -> None:
    added = add_image(
        patient=cast.patient,
        by=cast.owner,
        upload=upload(name="Ada Example melanoma.jpg"),
        modality=Modality.CLINICAL,
    )
    for path in stored_files(settings):
        assert path.name.startswith(str(added.image.pk))
        place = str(path.relative_to(settings.MEDIA_ROOT)).lower()
        # Not "ada", which the random identifier may hold by chance.
        assert "example" not in place
        assert "melanoma" not in place


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_no_stored_byte_tells_where_or_by_what_it_was_taken(
    cast: Cast, settings: LazySettings, kind: str
) -> None:
    data = picture_bytes(exif=True, kind=kind)
    assert b"TELLTALE" in data
    add_image(patient=cast.patient, by=cast.owner, upload=upload(data), modality=Modality.CLINICAL)
    files = stored_files(settings)
    assert len(files) == 3
    for path in files:
        stored = path.read_bytes()
        for telltale in (b"TELLTALE", b"PATIENT NAME", b"Exif", b"eXIf"):
            assert telltale not in stored
        with Pillow.open(path) as opened:
            assert not dict(opened.getexif())


def test_the_cameras_clock_is_read_in_the_clinics_zone(cast: Cast, settings: LazySettings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    added = add_image(
        patient=cast.patient,
        by=cast.owner,
        upload=upload(picture_bytes(exif=True)),
        modality=Modality.CLINICAL,
    )
    assert added.image.taken_at == datetime(2024, 2, 29, 12, 45, 10, tzinfo=UTC)


def test_what_the_person_says_goes_before_the_cameras_clock(cast: Cast) -> None:
    said = timezone.now() - timedelta(days=3)
    added = add_image(
        patient=cast.patient,
        by=cast.owner,
        upload=upload(picture_bytes(exif=True)),
        modality=Modality.CLINICAL,
        taken_at=said,
    )
    assert added.image.taken_at == said


def test_a_camera_clock_that_runs_ahead_is_not_believed(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timezone, "now", lambda: datetime(2020, 1, 1, tzinfo=UTC))
    added = add_image(
        patient=cast.patient,
        by=cast.owner,
        upload=upload(picture_bytes(exif=True)),
        modality=Modality.CLINICAL,
    )
    assert added.image.taken_at is None


@pytest.mark.parametrize("zone", ["Europe/Zurich", "UTC", "America/New_York"])
def test_a_camera_clock_that_was_never_set_spoils_no_page(
    cast: Cast, settings: LazySettings, zone: str
) -> None:
    settings.TIME_ZONE = zone
    drawn = Pillow.open(io.BytesIO(picture_bytes()))
    exif = Pillow.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "0001:01:01 00:00:00"
    data = io.BytesIO()
    drawn.save(data, "JPEG", exif=exif)
    added = add_image(
        patient=cast.patient,
        by=cast.owner,
        upload=upload(data.getvalue()),
        modality=Modality.CLINICAL,
    )
    assert added.image.taken_at is None
    client = cast.client_of(cast.owner)
    for address in ("/?tab=waiting", "/history/", cast.patient.get_absolute_url()):
        assert client.get(address).status_code == 200


# --- The same bytes again ----------------------------------------------------------------------


def test_the_same_bytes_give_the_existing_record(cast: Cast, settings: LazySettings) -> None:
    first = add_image(
        patient=cast.patient, by=cast.owner, upload=upload(), modality=Modality.DERMOSCOPY
    )
    again = add_image(
        patient=cast.patient,
        by=cast.colleague,
        upload=upload(name="renamed.png"),
        modality=Modality.CLINICAL,
    )
    assert again.known
    assert (again.image, again.analysis) == (first.image, first.analysis)
    assert Image.objects.count() == Analysis.objects.count() == 1
    assert len(stored_files(settings)) == 3
    assert AuditEvent.objects.filter(action="image.added").count() == 1


def test_the_same_bytes_after_a_cancelled_analysis_are_analysed(cast: Cast) -> None:
    first = add_image(
        patient=cast.patient, by=cast.owner, upload=upload(), modality=Modality.DERMOSCOPY
    )
    cancel_analysis(analysis=first.analysis, by=cast.owner, reason="the wrong patient's form")
    again, third = (
        add_image(
            patient=cast.patient, by=cast.colleague, upload=upload(), modality=Modality.DERMOSCOPY
        )
        for _time in range(2)
    )
    assert again.known
    assert again.image == first.image
    assert again.analysis != first.analysis
    assert again.analysis.state == State.QUEUED
    assert third.analysis == again.analysis
    assert AuditEvent.objects.filter(action="analysis.requested").count() == 2


def test_the_same_bytes_of_another_patient_are_another_image(cast: Cast) -> None:
    other = factories.make_patient(cast.clinic, cast.owner)
    for patient in (cast.patient, other):
        added = add_image(
            patient=patient, by=cast.owner, upload=upload(), modality=Modality.DERMOSCOPY
        )
        assert not added.known
    assert Image.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_two_people_sending_the_same_bytes_at_once_make_one_record(
    cast: Cast, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both look for a known image before either has written one: the constraint decides."""
    looked = threading.Barrier(2, timeout=20)
    real = service._known
    waited = threading.local()

    def known_after_both_looked(*args: Any) -> Any:
        found = real(*args)
        if not getattr(waited, "once", False):
            waited.once = True
            looked.wait()
        return found

    monkeypatch.setattr(service, "_known", known_after_both_looked)
    results: list[Any] = []

    def send(user: Any) -> None:
        try:
            results.append(
                add_image(
                    patient=cast.patient, by=user, upload=upload(), modality=Modality.DERMOSCOPY
                )
            )
        except BaseException as error:  # noqa: BLE001 - the test reports it
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(u,)) for u in (cast.owner, cast.colleague)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(result.known for result in results) == [False, True]
    assert len({result.image.pk for result in results}) == 1
    assert len({result.analysis.pk for result in results}) == 1
    assert Image.objects.count() == Analysis.objects.count() == 1
    assert len(stored_files(settings)) == 3


# --- Rules -------------------------------------------------------------------------------------


def test_refusals_come_out_with_a_sentence(cast: Cast, settings: LazySettings) -> None:
    with pytest.raises(intake.Refused) as refused:
        add_image(
            patient=cast.patient,
            by=cast.owner,
            upload=upload(b"%PDF-1.7 not a picture"),
            modality=Modality.CLINICAL,
        )
    assert refused.value.code == "pdf"
    assert "PDF" in str(refused.value)
    assert stored_files(settings) == []


def test_an_archived_patient_takes_no_image(cast: Cast) -> None:
    cast.patient.archived = True
    cast.patient.save()
    with pytest.raises(RuleError, match="archived"):
        add_image(patient=cast.patient, by=cast.owner, upload=upload(), modality="clinical")


@pytest.mark.parametrize("who", ["read_only", "stranger", "superuser"])
def test_who_may_not_write_adds_nothing(cast: Cast, who: str) -> None:
    with pytest.raises(RuleError):
        add_image(patient=cast.patient, by=getattr(cast, who), upload=upload(), modality="clinical")
    assert not Image.objects.exists()


def test_a_lesion_of_another_patient_is_refused(cast: Cast, settings: LazySettings) -> None:
    other = factories.make_patient(cast.clinic, cast.owner)
    lesion = Lesion.objects.create(
        clinic=cast.clinic, patient=other, label="Theirs", created_by=cast.owner
    )
    with pytest.raises(RuleError):
        add_image(
            patient=cast.patient,
            by=cast.owner,
            upload=upload(),
            modality="clinical",
            lesion=lesion,
        )
    assert stored_files(settings) == []
