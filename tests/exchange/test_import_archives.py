"""An archive of old images is kept only while its import needs it, and no longer than a patient."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.urls import reverse

from classifier.choices import ImportEnd, ImportState, RowState
from classifier.exchange import import_work
from classifier.exchange.import_work import go_on
from classifier.exchange.importing import counts_of, start
from classifier.models import AuditEvent, Erasure, Image, ImportRow, ImportRun, Patient
from classifier.services import erasure
from classifier.services.erasure import erase_patient
from classifier.services.errors import RuleError
from classifier.services.patients import update_patient
from classifier.tasks import imports
from tests.exchange.imported import HEAD, packed, sent, through
from tests.web.uploaded import picture_bytes

if TYPE_CHECKING:
    import io
    from pathlib import Path

    from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks
    from pytest_django.fixtures import Settings as SettingsWrapper

    from classifier.exchange.sources import Source
    from tests.conftest import Cast


def archives(settings: SettingsWrapper) -> list[str]:
    """Return the archives that lie on the disk."""
    folder: Path = settings.MEDIA_ROOT / "imports"
    return sorted(path.name for path in folder.glob("*"))


def two_patients() -> io.BytesIO:
    """Return an archive of two pictures each of Ada, who is erased, and of Grace."""
    rows = [f"{who},{name},,,,,clinical,{n}.jpg\n" for n, (who, name) in enumerate(WHO)]
    return packed(HEAD + "".join(rows), {f"{n}.jpg": picture_bytes(n + 1) for n in range(4)})


WHO = [("N-1", "Ada Erased"), ("N-2", "Grace Stays")] * 2


def erase(cast: Cast, number: str) -> None:
    erase_patient(
        patient_key=Patient.objects.get(record_number=number).pk,
        by=cast.administrator,
        reason="asked for",
        confirmation=number,
    )


def test_an_archive_goes_when_its_import_is_over_or_given_up(
    cast: Cast,
    settings: SettingsWrapper,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    client = cast.client_of(cast.administrator)
    rows = "N-1,Ada,,,,,clinical,a.jpg\nN-1,Ada,,,,,xray,a.jpg\n"
    archive = packed(HEAD + rows, {"a.jpg": picture_bytes(1)})
    run = sent(cast, archive)
    again = reverse("import_again", args=[run.pk])
    with django_capture_on_commit_callbacks(execute=True):
        through(run)
    assert len(archives(settings)) == 1
    assert again in client.get(run.get_absolute_url()).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("import_start", args=[run.pk]))
        run.refresh_from_db()
        through(run)
    assert archives(settings) == []
    assert (run.state, run.archive.name) == (ImportState.FINISHED, "")
    page = client.get(run.get_absolute_url()).content.decode()
    assert reverse("import_refused", args=[run.pk]) in page
    assert again not in page
    client.post(again)
    run.refresh_from_db()
    assert run.state == ImportState.FINISHED
    # Sent again, its refused line is looked through again; then it is given up.
    assert sent(cast, archive).pk == run.pk
    assert len(archives(settings)) == 1
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("import_discard", args=[run.pk]))
    assert not ImportRun.objects.exists()
    assert archives(settings) == []
    assert Image.objects.count() == 1


@pytest.mark.parametrize("stage", ["checking", "checked", "running"])
def test_an_erasure_takes_the_archive_of_an_import_that_is_not_over(
    cast: Cast,
    settings: SettingsWrapper,
    stage: str,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    Patient.objects.filter(pk=cast.patient.pk).update(record_number="N-1", name="Ada Erased")
    archive = two_patients()
    run = sent(cast, archive)
    if stage != "checking":
        through(run)
    if stage == "running":
        start(run=run, by=cast.administrator)
    other = sent(cast, packed(HEAD + "N-3,Mary,,,,,clinical,a.jpg\n", {"a.jpg": picture_bytes(9)}))
    assert len(archives(settings)) == 2
    with django_capture_on_commit_callbacks(execute=True):
        erase(cast, "N-1")
    # Nobody else's import is touched.
    other.refresh_from_db()
    assert archives(settings) == [(other.archive.name or "").removeprefix("imports/")]
    assert other.is_busy
    tombstone = Erasure.objects.get()
    assert (tombstone.files, tombstone.files_removed_at is None) == ([], False)

    run.refresh_from_db()
    assert (run.state, run.ended_for) == (ImportState.ENDED, ImportEnd.ERASURE)
    assert AuditEvent.objects.get(action="import.ended").actor == cast.administrator
    # What is left is among the refused lines, to be sent again without the patient.
    client = cast.client_of(cast.administrator)
    page = client.get(run.get_absolute_url()).content.decode()
    assert "A patient of this archive was erased" in page
    assert reverse("import_again", args=[run.pk]) not in page
    refused = client.get(reverse("import_refused", args=[run.pk])).content.decode()
    assert refused.count("Grace Stays") == 2
    assert "Ada Erased" not in refused
    archive.seek(0)
    with pytest.raises(RuleError, match="was erased"):
        sent(cast, archive)
    assert len(archives(settings)) == 1
    assert not Image.objects.exists()
    assert not ImportRun.objects.busy().filter(pk=run.pk).exists()


def test_an_erasure_knows_the_numbers_that_a_patient_had_before(
    cast: Cast,
    settings: SettingsWrapper,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    update_patient(patient=cast.patient, by=cast.owner, record_number="OLD-1", name="Ada Erased")
    table = HEAD + "OLD-1,Ada Erased,,,,,xray,a.jpg\n"
    sent(cast, packed(table, {"a.jpg": picture_bytes(1)}))
    patient = Patient.objects.get(pk=cast.patient.pk)
    update_patient(patient=patient, by=cast.owner, record_number="NEW-1")
    with django_capture_on_commit_callbacks(execute=True):
        erase(cast, "NEW-1")
    assert archives(settings) == []
    assert not ImportRow.objects.exists()


def test_an_archive_that_a_crash_left_is_on_the_tombstones_list(
    cast: Cast, settings: SettingsWrapper
) -> None:
    Patient.objects.filter(pk=cast.patient.pk).update(record_number="N-1", name="Ada Erased")
    sent(cast, two_patients())
    # Nothing that is to be done after the commit is done.
    erase(cast, "N-1")
    assert len(archives(settings)) == 1
    assert erasure.finish_erasures() == 1
    assert archives(settings) == []


def test_an_import_of_known_pictures_lets_go_of_its_archive_at_once(
    cast: Cast,
    settings: SettingsWrapper,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        run = sent(cast, two_patients())
        through(run)
        start(run=run, by=cast.administrator)
        run.refresh_from_db()
        through(run)
        known = packed(HEAD + "N-1,,,,,,clinical,a.jpg\n", {"a.jpg": picture_bytes(1)})
        other = sent(cast, known)
        through(other)
    assert counts_of(other)[RowState.KNOWN] == 1
    assert (run.state, other.state) == (ImportState.FINISHED, ImportState.FINISHED)
    assert archives(settings) == []
    # Sent once more, there is nothing to look at.
    assert sent(cast, known).state == ImportState.FINISHED
    assert archives(settings) == []


@pytest.mark.django_db(transaction=True)
def test_an_erasure_and_a_worker_at_a_line_wait_for_each_other(
    cast: Cast, settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker holds a line of the patient when the erasure begins: neither is refused."""
    Patient.objects.filter(pk=cast.patient.pk).update(record_number="N-1", name="Ada Erased")
    run = sent(cast, two_patients())
    through(run)
    start(run=run, by=cast.administrator)
    run.refresh_from_db()
    at_it, take, faults = threading.Event(), import_work._take, []

    def slowly(run: ImportRun, row: ImportRow, source: Source) -> None:
        at_it.set()
        waiting.join(1)
        take(run, row, source)

    def work() -> None:
        try:
            go_on(
                ImportRun.objects.select_related("clinic", "created_by").get(pk=run.pk), seconds=9
            )
        except BaseException as error:  # noqa: BLE001 - told below
            faults.append(error)
        finally:
            connection.close()

    def erasing() -> None:
        try:
            at_it.wait(30)
            erase(cast, "N-1")
        except BaseException as error:  # noqa: BLE001 - told below
            faults.append(error)
        finally:
            connection.close()

    monkeypatch.setattr(import_work, "_take", slowly)
    waiting = threading.Thread(target=erasing)
    worker = threading.Thread(target=work)
    for each in (waiting, worker):
        each.start()
    for each in (waiting, worker):
        each.join()
    assert faults == []
    assert not Patient.objects.filter(record_number="N-1").exists()
    assert archives(settings) == []
    assert not ImportRow.objects.filter(patient__record_number="N-1").exists()
    run.refresh_from_db()
    assert run.state == ImportState.ENDED


def test_a_decoder_is_ended_before_the_task_that_asked_it(settings: SettingsWrapper) -> None:
    limit = imports.run_imports_task.soft_time_limit
    assert limit is not None
    assert limit > settings.INTAKE_DECODE_WALL_SECONDS + imports._SLICE_SECONDS
