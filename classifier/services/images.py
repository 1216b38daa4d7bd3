"""Taking images in."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.core.files.base import ContentFile
from django.db import Error, IntegrityError, InterfaceError, OperationalError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier import intake
from classifier.exchange.identity import check_identity
from classifier.models import Analysis, Image, Lesion, Patient
from classifier.services import audit
from classifier.services.analyses import request_analysis, standing_analysis
from classifier.services.errors import RuleError
from classifier.services.outages import is_outage
from classifier.services.patients import (
    FieldRuleError,
    NewLesion,
    NewPatient,
    broken_constraint,
    check_open,
    lesion_once,
    register_once,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.core.files.uploadedfile import UploadedFile

    from classifier.models import User

logger = logging.getLogger(__name__)

# Before it no skin was photographed in colour. A camera whose clock was never set may say the year
# 1, which falls out of the calendar in time zones east of Greenwich: no page could show the row.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
# The code of a file that was fit but could not be stored.
NOT_STORED = "not_stored"


@dataclass(frozen=True)
class AddedImage:
    """An image in the record and the analysis of it.

    Attributes:
        known: the same bytes were in this patient's record already; no image was added. An
            analysis is, where the last one had been cancelled.
        other_lesion: it was sent for another lesion, or for none, than the one it is filed under;
            it stays where it is.
    """

    image: Image
    analysis: Analysis
    known: bool
    other_lesion: bool = False


@dataclass(frozen=True)
class FileOutcome:
    """What became of one uploaded file.

    Attributes:
        name: the file's name as the browser sent it; for the person only, never stored.
        added: the image, or None where the file was refused.
        refusal: the sentence that says why and what to do; empty where the file was taken.
        code: the refusal's code; empty where the file was taken.
    """

    name: str
    added: AddedImage | None = None
    refusal: str = ""
    code: str = ""


@dataclass(frozen=True)
class UploadOutcome:
    """What became of one form full of files.

    Attributes:
        patient: whose images they are; None where every file was refused and the patient,
            being new, was therefore not registered.
        files: one for each file, in the order sent.
    """

    patient: Patient | None
    files: list[FileOutcome]

    @property
    def added(self) -> list[AddedImage]:
        """The files that are in the record now."""
        return [outcome.added for outcome in self.files if outcome.added is not None]

    @property
    def refused(self) -> list[FileOutcome]:
        """The files that were refused."""
        return [outcome for outcome in self.files if outcome.added is None]


def add_images(
    *,
    patient: Patient | NewPatient,
    by: User,
    uploads: Sequence[UploadedFile[bytes]],
    modality: str,
    lesion: Lesion | NewLesion | None = None,
    taken_at: datetime | None = None,
) -> UploadOutcome:
    """Take several files in; each is taken or refused on its own.

    A new patient or lesion is recorded in the transaction of the first file that is stored, so that
    an upload that is refused or fails leaves nothing behind. Where the database or the disk fails
    after some files were stored, the others are told apart (``NOT_STORED``); before that, the
    failure is raised.

    Raises:
        RuleError: the patient is archived, the person may not write, or a fact is impossible
            (then a ``FieldRuleError``).
    """
    if isinstance(patient, Patient):
        check_open(patient, by)
    checked = [_checked(upload, patient, modality) for upload in uploads]
    if not any(isinstance(result, intake.Accepted) for result in checked):
        refused = [result for result in checked if isinstance(result, FileOutcome)]
        return UploadOutcome(patient if isinstance(patient, Patient) else None, refused)
    owner = patient
    outcomes: list[FileOutcome] = []
    stored, away = 0, False
    for upload, result in zip(uploads, checked, strict=True):
        if isinstance(result, FileOutcome):
            outcomes.append(result)
            continue
        if away:
            # Each would wait as long as the one before, and nobody waits for an answer for ever.
            outcomes.append(_not_stored(upload))
            continue
        try:
            added = _add_accepted(
                patient=owner,
                by=by,
                accepted=result,
                modality=modality,
                lesion=lesion,
                taken_at=taken_at,
            )
        except Exception as error:
            # "Nothing was saved" would not be true any more of the whole form.
            if not stored or not is_outage(error):
                raise
            logger.exception("one of several images could not be stored")
            away = True
            outcomes.append(_not_stored(upload))
            continue
        stored += 1
        owner = added.image.patient
        outcomes.append(FileOutcome(name=upload.name or "", added=added))
    return UploadOutcome(added.image.patient, outcomes)


def add_image(
    *,
    patient: Patient,
    by: User,
    upload: UploadedFile[bytes],
    modality: str,
    lesion: Lesion | None = None,
    taken_at: datetime | None = None,
) -> AddedImage:
    """Take one file in: re-encoded copies, a queued analysis and an audit event, or nothing.

    The same bytes for the same patient give the existing image and its analysis, also when two
    people send them at the same moment. Only a cancelled analysis is followed by a new one.

    Args:
        patient: whose image it is.
        by: who sends it.
        upload: the file; its name and declared kind are not looked at.
        modality: a value of ``Modality``; it decides which network looks at the image.
        lesion: one of the patient's, if the image shows one.
        taken_at: when the picture was taken; the camera's own clock unless given.

    Raises:
        classifier.intake.Refused: the file is not a fit picture.
        FieldRuleError: the picture cannot have been taken at that moment.
        RuleError: the patient is archived, the person may not write in the clinic, or the lesion
            is another patient's.
    """
    check_open(patient, by)
    _check_moment(taken_at)
    return _add_accepted(
        patient=patient,
        by=by,
        accepted=_accepted(upload, patient, modality),
        modality=modality,
        lesion=lesion,
        taken_at=taken_at,
    )


def _accepted(
    upload: UploadedFile[bytes], patient: Patient | NewPatient, modality: str
) -> intake.Accepted:
    """Return what the intake makes of a file that does not say it is somebody else's.

    Raises:
        classifier.intake.Refused: the file is not a fit picture, or not this patient's.
    """
    accepted = intake.accept(upload)
    check_identity(
        accepted,
        number=patient.record_number,
        name=patient.name,
        born=patient.date_of_birth,
        modality=modality,
    )
    return accepted


def _checked(
    upload: UploadedFile[bytes], patient: Patient | NewPatient, modality: str
) -> intake.Accepted | FileOutcome:
    try:
        return _accepted(upload, patient, modality)
    except intake.Refused as refused:
        return FileOutcome(name=upload.name or "", refusal=str(refused), code=refused.code)


def _not_stored(upload: UploadedFile[bytes]) -> FileOutcome:
    sentence = _("It could not be stored right now. Send it again in a minute.")
    return FileOutcome(name=upload.name or "", refusal=sentence, code=NOT_STORED)


def _add_accepted(
    *,
    patient: Patient | NewPatient,
    by: User,
    accepted: intake.Accepted,
    modality: str,
    lesion: Lesion | NewLesion | None,
    taken_at: datetime | None,
) -> AddedImage:
    """Store one image, and with it the patient and the lesion where they are new; or nothing."""
    image: Image | None = None
    stored = False
    try:
        with transaction.atomic():
            owner = (
                register_once(new=patient, by=by) if isinstance(patient, NewPatient) else patient
            )
            # First of all: a picture that is there already records no new lesion.
            known = _known(owner, accepted.original_sha256, by, lesion)
            if known is not None:
                return known
            shown = (
                lesion_once(patient=owner, by=by, new=lesion)
                if isinstance(lesion, NewLesion)
                else lesion
            )
            if shown is not None and shown.patient_id != owner.pk:
                raise RuleError(
                    _("This lesion is another patient's. Choose one of this patient's.")
                )
            image = _new_image(owner, by, accepted)
            image.lesion, image.modality = shown, modality
            image.taken_at = taken_at or _camera_clock(accepted.taken_at)
            analysis = _store(image, accepted, by)
            stored = True
    except BaseException as error:
        # A commit whose answer was lost may still succeed, even after its row was looked for.
        uncertain = stored and isinstance(error, OperationalError | InterfaceError)
        if image is not None and not uncertain:
            _remove_unless_stored(image)
        if (
            isinstance(error, IntegrityError)
            and broken_constraint(error) == "image_unique_per_patient"
        ):
            known = _known(owner, accepted.original_sha256, by, lesion)
            if known is not None:
                return known
        raise
    return AddedImage(image=image, analysis=analysis, known=False)


def _new_image(patient: Patient, by: User, accepted: intake.Accepted) -> Image:
    return Image(
        clinic_id=patient.clinic_id,
        patient=patient,
        uploaded_by=by,
        original_sha256=accepted.original_sha256,
        original_format=accepted.format,
        byte_size=accepted.byte_size,
        width=accepted.width,
        height=accepted.height,
        display_sha256=hashlib.sha256(accepted.display).hexdigest(),
        thumbnail_sha256=hashlib.sha256(accepted.thumbnail).hexdigest(),
        network_source_sha256=accepted.network_source_sha256,
    )


def _store(image: Image, accepted: intake.Accepted, by: User) -> Analysis:
    """Write the files, the row, the queued analysis and the event, in the caller's transaction."""
    # The files come first: a row never points at a file that is still to be written.
    for stored, data in (
        (image.display, accepted.display),
        (image.thumbnail, accepted.thumbnail),
        (image.network_source, accepted.network_source),
    ):
        stored.save("", ContentFile(data), save=False)
    image.save(force_insert=True)
    analysis = request_analysis(image=image, by=by)
    audit.record(
        action="image.added",
        actor=by,
        clinic_id=image.clinic_id,
        subject=image,
        modality=image.modality,
        format=image.original_format,
    )
    return analysis


def _known(
    patient: Patient, sha256: str, by: User, lesion: Lesion | NewLesion | None
) -> AddedImage | None:
    there = Image.objects.select_related("lesion")
    image = there.filter(patient=patient, original_sha256=sha256).first()
    if image is None:
        return None
    image.patient = patient
    return AddedImage(
        image=image,
        analysis=standing_analysis(image=image, by=by),
        known=True,
        other_lesion=not _is_meant(image.lesion, lesion),
    )


def _is_meant(filed: Lesion | None, wanted: Lesion | NewLesion | None) -> bool:
    """Tell whether an image is filed under the lesion it is sent for now, or likewise none."""
    if isinstance(wanted, NewLesion):
        # Two files of one form name a new lesion each; the first one recorded it.
        return filed is not None and filed.label == wanted.label
    return filed == wanted


def _check_moment(moment: datetime | None) -> None:
    if moment is not None and moment > timezone.now():
        raise FieldRuleError("taken_at", _("This moment lies in the future. Check the date."))
    if moment is not None and moment < EARLIEST:
        raise FieldRuleError("taken_at", _("This moment lies before 1900. Check the year."))


def _camera_clock(moment: datetime | None) -> datetime | None:
    """Return the camera's clock in the clinic's time zone, unless it runs ahead or never ran."""
    if moment is None:
        return None
    aware = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
    return aware if EARLIEST <= aware <= timezone.now() else None


def _remove_unless_stored(image: Image) -> None:
    """Delete the copies of an image that got no row, a half-written one included.

    What is raised after the commit (a process told to stop while it wakes the worker) leaves a row
    that needs its files. Where nobody can tell, an orphan is better than a row without a picture.
    """
    try:
        if Image.objects.filter(pk=image.pk).exists():
            return
    except Error:
        logger.exception("the files of image %s stay: its row cannot be looked for", image.pk)
        return
    for stored in (image.display, image.thumbnail, image.network_source):
        name = stored.field.generate_filename(image, "")
        try:
            stored.storage.delete(name)
        except OSError:
            logger.exception("an orphan file could not be removed: %s", name)
