"""Asking a colleague to read an image, and taking the question back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.choices import State
from classifier.models import Analysis, Reading, ReadingRequest
from classifier.selectors.second_readings import asks, may_withdraw, possible_readers
from classifier.services import audit
from classifier.services.errors import ConflictError, RuleError

if TYPE_CHECKING:
    from classifier.models import User


def request_second_reading(*, analysis: Analysis, by: User, asked: User | None) -> ReadingRequest:
    """Ask for a blinded reading: one colleague, or anybody of the clinic.

    From now on the network's answer and all opinions are hidden from whoever is asked, until their
    own reading is saved or the request is withdrawn.

    Args:
        analysis: finished, and revealed to ``by``.
        by: a clinician of the analysis's clinic.
        asked: the colleague; None for anybody.

    Raises:
        RuleError: there is nothing to read, ``by`` has not read it themself, or the colleague
            cannot read it blinded any more.
        ConflictError: somebody asked for a second reading already.
    """
    if analysis.state not in {State.SUCCEEDED, State.REJECTED}:
        raise RuleError(_("The analysis is not finished yet."))
    if analysis.modality != analysis.image.modality:
        raise RuleError(
            _("The modality of this image was corrected since. Use the analysis for the right one.")
        )
    if not Analysis.objects.revealed_to(by).filter(pk=analysis.pk).exists():
        raise RuleError(_("Save your own reading first."))
    if asked is not None and not possible_readers(analysis, by).filter(pk=asked.pk).exists():
        raise RuleError(
            _(
                "This colleague cannot read the image blinded: they have read it, reviewed it or "
                "seen the answer already, or do not work as a clinician here. Ask somebody else."
            )
        )
    try:
        with transaction.atomic():
            request = ReadingRequest.objects.create(
                clinic_id=analysis.clinic_id,
                patient_id=analysis.patient_id,
                analysis=analysis,
                requested_by=by,
                asked=asked,
            )
            audit.record(
                action="second_reading.requested",
                actor=by,
                clinic_id=analysis.clinic_id,
                subject=analysis,
                request=str(request.pk),
                asked=str(asked.pk) if asked is not None else "",
            )
    except IntegrityError as error:
        raise ConflictError(
            _("Somebody has asked for a second reading of this image already.")
        ) from error
    return request


def withdraw_request(*, request: ReadingRequest, by: User) -> None:
    """Take a request back; the answer is shown again to whom it was hidden from by it.

    Raises:
        RuleError: somebody else asked, and ``by`` does not administer the clinic or is the one who
            is asked.
        ConflictError: it was answered or withdrawn meanwhile.
    """
    if not may_withdraw(request, by):
        if asks(request, by):
            raise RuleError(
                _("This request asks you. Read the image, or let whoever asked withdraw it.")
            )
        raise RuleError(_("Only whoever asked, or the clinic's administrator, can withdraw this."))
    with transaction.atomic():
        withdrawn = (
            ReadingRequest.objects.open()
            .filter(pk=request.pk)
            .update(withdrawn_at=timezone.now(), withdrawn_by=by)
        )
        if not withdrawn:
            raise ConflictError(_("The request is closed already: it was answered or withdrawn."))
        audit.record(
            action="second_reading.withdrawn",
            actor=by,
            clinic_id=request.clinic_id,
            subject=request.analysis,
            request=str(request.pk),
        )


def ask_again(*, request: ReadingRequest, by: User) -> ReadingRequest:
    """Ask once more what ``by`` asked and then withdrew: the same colleague, or anybody.

    The withdrawn request stays as it is; this is another one. A colleague who has seen the answer
    while nobody asked them cannot be asked any more.

    Raises:
        RuleError: ``by`` did not ask or withdraw it, or it cannot be asked any more (see
            :func:`request_second_reading`).
        ConflictError: somebody asked for a second reading since.
    """
    if not (request.withdrawn_by_id == request.requested_by_id == by.pk):
        raise RuleError(_("Only whoever asked can ask again."))
    since = ReadingRequest.objects.filter(
        analysis=request.analysis_id, created_at__gt=request.created_at
    )
    if since.exists():
        raise ConflictError(
            _("Somebody has asked for a second reading of this image since. Look again.")
        )
    return request_second_reading(analysis=request.analysis, by=by, asked=request.asked)


def answer_request(*, reading: Reading, request: ReadingRequest | None) -> bool:
    """Close the request that a reading answers; call it in the transaction that saves the reading.

    Args:
        reading: just saved. One that is not blinded answers only a request that asks its reader by
            name, who cannot do better any more; one that asks anybody stays open.
        request: the request that asked its reader at that moment, or None.

    Returns:
        Whether the request is answered by it.
    """
    if request is None:
        return False
    if not reading.blinded and request.asked_id != reading.reader_id:
        return False
    answered = ReadingRequest.objects.open().filter(pk=request.pk).update(reading=reading)
    if answered:
        audit.record(
            action="second_reading.answered",
            actor=reading.reader,
            clinic_id=reading.clinic_id,
            subject=reading.analysis,
            request=str(request.pk),
        )
    return bool(answered)
