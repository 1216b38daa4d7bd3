"""Taking an image in: everything or nothing, once, and only the copies we made."""

from __future__ import annotations

import hashlib
import io
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.utils import timezone
from PIL import ExifTags
from PIL import Image as Pillow

from classifier import intake
from classifier.choices import Modality, State
from classifier.models import Analysis, AuditEvent, Image, Lesion, Patient, Transition
from classifier.services import audit
from classifier.services import images as service
from classifier.services.analyses import cancel_analysis
from classifier.services.errors import RuleError
from classifier.services.images import add_image, add_images
from classifier.services.patients import NewLesion, NewPatient
from mlcore.drawing import draw_dermoscopy
from tests import factories

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.conf import LazySettings

    from tests.conftest import Cast

LATITUDE = (51.0, 28.0, 38.123)


def picture_bytes(seed: int = 1, *, exif: bool = False, kind: str = "JPEG") -> bytes:
    """Return a drawn picture; with ``exif`` it tells where and when it was taken, and by what."""
    picture = draw_dermoscopy("nevus", seed=seed, size=(400, 300))
    details = Pillow.Exif()
    if exif:
        details[ExifTags.Base.Make] = "TELLTALE CAMERA"
        details[ExifTags.Base.ImageDescription] = "PATIENT NAME HERE"
        details.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:02:29 13:45:10"
        details.get_ifd(ExifTags.IFD.GPSInfo).update(
            {
                ExifTags.GPS.GPSLatitudeRef: "N",
                ExifTags.GPS.GPSLatitude: LATITUDE,
                ExifTags.GPS.GPSMapDatum: "TELLTALE DATUM",
            }
        )
    buffer = io.BytesIO()
    picture.save(buffer, kind, exif=details)
    return buffer.getvalue()


def upload(data: bytes | None = None, name: str = "photo.jpg") -> SimpleUploadedFile:
    """Return an upload as Django hands it to a view."""
    return SimpleUploadedFile(name, picture_bytes() if data is None else data)


def stored_files(settings: LazySettings) -> list[Path]:
    """Return every file below the media folder."""
    return [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]


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


# --- Nothing is left behind --------------------------------------------------------------------


def _break_storage(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the disk fill up while the file after ``after`` whole ones is being written."""
    from classifier.storage import PrivateFileSystemStorage

    real: Callable[..., str] = vars(FileSystemStorage)["_save"]
    written = 0

    def full(self: PrivateFileSystemStorage, name: str, content: Any) -> str:
        nonlocal written
        if written == after:
            path = Path(self.path(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"half")
            msg = "No space left on device"
            raise OSError(28, msg)
        written += 1
        return real(self, name, content)

    monkeypatch.setattr(PrivateFileSystemStorage, "_save", full, raising=False)


def _break_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
        msg = "the database went away"
        raise RuntimeError(msg)

    monkeypatch.setattr(Image, "save", refuse)


def _break_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_kwargs: Any) -> NoReturn:
        msg = "no queue"
        raise RuntimeError(msg)

    monkeypatch.setattr(service, "request_analysis", refuse)


def _break_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    real = audit.record

    def refuse(**kwargs: Any) -> Any:
        if kwargs["action"] == "image.added":
            msg = "no audit"
            raise RuntimeError(msg)
        return real(**kwargs)

    monkeypatch.setattr(audit, "record", refuse)


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(lambda patch: _break_storage(patch, 0), id="first file"),
        pytest.param(lambda patch: _break_storage(patch, 1), id="second file"),
        pytest.param(lambda patch: _break_storage(patch, 2), id="third file"),
        pytest.param(_break_row, id="row"),
        pytest.param(_break_job, id="job"),
        pytest.param(_break_audit, id="audit"),
    ],
)
def test_a_failure_at_any_step_leaves_no_row_and_no_file(
    cast: Cast,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    break_it: Callable[[pytest.MonkeyPatch], None],
) -> None:
    with monkeypatch.context() as patch:
        break_it(patch)
        with pytest.raises((OSError, RuntimeError)):
            add_image(
                patient=cast.patient, by=cast.owner, upload=upload(), modality=Modality.CLINICAL
            )
    assert stored_files(settings) == []
    assert not Image.objects.exists()
    assert not Analysis.objects.exists()
    assert not AuditEvent.objects.exists()
    # And the very same upload works once the fault is gone.
    add_image(patient=cast.patient, by=cast.owner, upload=upload(), modality=Modality.CLINICAL)
    assert len(stored_files(settings)) == 3


@pytest.mark.django_db(transaction=True)
def test_a_process_stopped_after_the_commit_keeps_the_files(
    cast: Cast, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("classifier.services.analyses.wake_worker", stop)
        with pytest.raises(KeyboardInterrupt):
            add_image(
                patient=cast.patient, by=cast.owner, upload=upload(), modality=Modality.CLINICAL
            )
    image = Image.objects.get()
    assert len(stored_files(settings)) == 3
    assert image.display.storage.exists(image.display.name or "")


@pytest.mark.django_db(transaction=True)
def test_a_commit_that_fails_leaves_no_file(
    cast: Cast, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> NoReturn:
        msg = "connection lost at commit"
        raise OperationalError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(connection, "_commit", refuse)
        with pytest.raises(OperationalError):
            add_image(
                patient=cast.patient, by=cast.owner, upload=upload(), modality=Modality.CLINICAL
            )
    assert stored_files(settings) == []
    assert not Image.objects.exists()


def test_the_picture_is_looked_at_outside_the_transaction(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = len(connection.savepoint_ids)
    depths: list[int] = []
    real = intake.accept

    def watched(sent: Any) -> intake.Accepted:
        depths.append(len(connection.savepoint_ids))
        return real(sent)

    monkeypatch.setattr(intake, "accept", watched)
    add_image(patient=cast.patient, by=cast.owner, upload=upload(), modality=Modality.CLINICAL)
    assert depths == [outside]


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
