"""Erasing a patient: every row and every file, for ever; a tombstone stays."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from celery.exceptions import SoftTimeLimitExceeded
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.choices import ImportEnd
from classifier.models import (
    Analysis,
    BreakGlass,
    Clinic,
    Consent,
    Disagreement,
    Embedding,
    Erasure,
    Image,
    Lesion,
    Outcome,
    Patient,
    Prediction,
    Reading,
    ReadingRequest,
    RerunRow,
    Review,
    SentOnce,
    Transition,
    WebhookDelivery,
)
from classifier.models.append_only import ERASING
from classifier.services import audit
from classifier.services.errors import RuleError
from classifier.services.import_archives import end, lock_imports, rows_naming
from classifier.services.turns import Turn

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable

    from django.db.models import QuerySet

    from classifier.models import User

logger = logging.getLogger(__name__)

# For the files of one patient in one go: some hundred in a slow object store.
_SECONDS_OF_ONE = 5.0
# Erasures that one task looks at.
_AT_ONCE = 100
_VERSIONED = ("Patient", "Lesion", "Image", "Review")


def may_erase(*, patient: Patient, by: User) -> bool:
    """Tell whether the person may erase the patient: the clinic's administrator or a superuser."""
    administered = Clinic.objects.administered_by(by).filter(pk=patient.clinic_id)
    return (by.is_active and by.is_superuser) or administered.exists()


def erase_patient(
    *, patient_key: uuid.UUID, by: User | None, reason: str, confirmation: str
) -> Erasure:
    """Erase a patient: rows, versions, pictures, thumbnails, network inputs and predictions.

    An import under way whose archive names the patient ends: the archive holds their pictures.

    Safe to run twice: the second time finds the tombstone and removes files that are still there.
    The files go after the commit, so that a failed erasure loses none; what a crash leaves behind
    is on the tombstone's list, which :func:`finish_erasures` works off.

    Args:
        patient_key: the patient's identifier.
        by: who erases; None for the clinic's retention rule.
        reason: kept in the audit trail; it must not name the patient.
        confirmation: the patient's record number, typed anew.

    Raises:
        RuleError: no reason, another record number, or no right to erase.
        Patient.DoesNotExist: there never was such a patient.
    """
    before = _erased_before(patient_key)
    if before is not None:
        return before
    try:
        return _erase(patient_key, by, reason, confirmation)
    except Patient.DoesNotExist:
        # Somebody else erased them while this one waited for the row.
        before = _erased_before(patient_key)
        if before is None:
            raise
        return before


def _erased_before(patient_key: uuid.UUID) -> Erasure | None:
    """Return the tombstone, after removing files that are still there; None where there is none."""
    tombstone = Erasure.objects.filter(patient_key=patient_key).first()
    if tombstone is not None:
        finish_erasure(tombstone)
    return tombstone


def _erase(patient_key: uuid.UUID, by: User | None, reason: str, confirmation: str) -> Erasure:
    with transaction.atomic():
        imports = lock_imports(Patient.objects.get(pk=patient_key))
        # Whoever adds an image or a result waits here, and then finds no patient.
        patient = Patient.objects.select_for_update().get(pk=patient_key)
        _check(patient, by, reason, confirmation)
        images = Image.objects.filter(patient=patient)
        tombstone = Erasure.objects.create(
            patient_key=patient.pk,
            clinic_id=patient.clinic_id,
            erased_by=by,
            registered_at=patient.created_at,
            files=[
                name
                for names in images.values_list("display", "thumbnail", "network_source")
                for name in names
                if name
            ]
            + [run.archive.name for run in imports],
        )
        for run in imports:
            end(run, because=ImportEnd.ERASURE, by=by)
        audit.record(
            action="patient.erased",
            actor=by,
            clinic_id=patient.clinic_id,
            subject=patient,
            reason=reason.strip(),
            images=images.count(),
        )
        _delete_rows(patient)
        # What fails here is done again by finish_erasures_task; the erasure stands.
        transaction.on_commit(lambda: finish_erasure(tombstone), robust=True)
    return tombstone


def finish_erasure(tombstone: Erasure, *, is_over: Callable[[], bool] | None = None) -> bool:
    """Remove the files on the tombstone's list; return whether none is left.

    How far it came is written down however it ends, so that the next time goes on from there.

    Args:
        tombstone: of the patient.
        is_over: asked after each file; by default it is for a person who waits, and takes
            ``_SECONDS_OF_ONE`` at most.

    Raises:
        SoftTimeLimitExceeded: the task's time is over.
    """
    if tombstone.files_removed_at is not None:
        return True
    if is_over is None:
        until = time.monotonic() + _SECONDS_OF_ONE

        def is_over() -> bool:
            return time.monotonic() >= until

    storage = Image._meta.get_field("display").storage
    waiting, kept = list(reversed(tombstone.files)), []
    try:
        while waiting:
            name = waiting[-1]
            try:
                storage.delete(name)
            except SoftTimeLimitExceeded:
                raise
            except Exception:  # whatever a storage raises, the next file must still go
                logger.exception("A file of an erased patient is still there: %s", name)
                kept.append(name)
            waiting.pop()
            if is_over():
                break
    finally:
        # What could not be removed comes last the next time.
        _write_down(tombstone, left=waiting[::-1] + kept)
    return not tombstone.files


def _write_down(tombstone: Erasure, *, left: list[str]) -> None:
    tombstone.files = left
    tombstone.files_removed_at = None if left else timezone.now()
    # Another worker may have finished it meanwhile.
    Erasure.objects.filter(pk=tombstone.pk, files_removed_at=None).update(
        files=left, files_removed_at=tombstone.files_removed_at
    )


def finish_erasures(*, seconds: float = 20.0) -> int:
    """Finish erasures whose files are still there; return how many are finished now.

    Each has its share of the time, in an order that chance decides: neither one of many files nor
    ones that cannot be removed keep the others waiting for ever.

    Args:
        seconds: no file is removed after so long, nor after the first second while an image waits.
    """
    turn = Turn(seconds, at_least=1.0)
    finished = 0
    for tombstone in Erasure.objects.filter(files_removed_at=None).order_by("?")[:_AT_ONCE]:
        share = time.monotonic() + _SECONDS_OF_ONE

        def is_over(until: float = share) -> bool:
            return time.monotonic() >= until or turn.is_over()

        finished += finish_erasure(tombstone, is_over=is_over)
        if turn.is_over():
            break
    return finished


def rows_of(patient: Patient) -> list[QuerySet[Any]]:
    """Return everything about a patient, in an order in which it can be deleted."""
    analyses = Analysis.objects.filter(patient=patient)
    lesions = Lesion.objects.filter(patient=patient)
    images = Image.objects.filter(patient=patient)
    version = {name: apps.get_model("classifier", f"{name}Event") for name in _VERSIONED}
    return [
        version["Review"].objects.filter(analysis__in=analyses),
        Transition.objects.filter(analysis__in=analyses),
        Outcome.objects.filter(patient=patient),
        ReadingRequest.objects.filter(analysis__in=analyses),
        Disagreement.objects.filter(analysis__in=analyses),
        Reading.objects.filter(analysis__in=analyses),
        WebhookDelivery.objects.filter(analysis__in=analyses),
        SentOnce.objects.filter(patient=patient),
        rows_naming(patient),
        Review.objects.filter(analysis__in=analyses),
        RerunRow.objects.filter(patient=patient),
        analyses,
        Embedding.objects.filter(patient=patient),
        Prediction.objects.filter(image__in=images),
        Consent.objects.filter(patient=patient),
        BreakGlass.objects.filter(patient=patient),
        # The admin panel's own log repeats names.
        *(
            LogEntry.objects.filter(
                content_type=ContentType.objects.get_for_model(rows.model),
                object_id__in=[str(key) for key in rows.values_list("pk", flat=True)],
            )
            for rows in (analyses, images, lesions, Patient.objects.filter(pk=patient.pk))
        ),
        version["Image"].objects.filter(patient=patient),
        version["Lesion"].objects.filter(patient=patient),
        version["Patient"].objects.filter(pgh_obj=patient),
        images,
        lesions,
        Patient.objects.filter(pk=patient.pk),
    ]


def _delete_rows(patient: Patient) -> None:
    rows = rows_of(patient)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config(%s, %s, true)", [ERASING, str(patient.pk)])
        for found in rows:
            found.delete()
        cursor.execute("SELECT set_config(%s, '', true)", [ERASING])


def _check(patient: Patient, by: User | None, reason: str, confirmation: str) -> None:
    if by is not None and not may_erase(patient=patient, by=by):
        raise RuleError(_("Only the clinic's administrator erases a patient."))
    if not reason.strip():
        raise RuleError(_("Say why the patient is erased."))
    if confirmation.strip() != patient.record_number:
        raise RuleError(_("This is not the patient's record number. Nothing was erased."))
