"""Correcting how an image was taken, which is what chooses the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pghistory
from django.db import transaction
from django.utils.translation import gettext as _

from classifier.choices import Modality, State
from classifier.models import Image
from classifier.services import audit
from classifier.services.analyses import standing_analysis
from classifier.services.errors import ConflictError, RuleError
from classifier.services.moves import move, person
from classifier.services.patients import check_open

if TYPE_CHECKING:
    from classifier.models import Analysis, User


def correct_modality(*, image: Image, by: User, seen: str, modality: str, reason: str) -> Analysis:
    """Say that an image was taken otherwise than recorded, and have the other network look at it.

    What the first network said stays on record as it is, for the modality it was asked about. What
    still waits for the first network in the queue is called off; what a worker holds is let finish.

    Args:
        image: an image that ``by`` may see.
        by: who corrects it.
        seen: the modality that the person saw recorded.
        modality: the right one, a value of ``Modality``.
        reason: kept with the image's new version and in the audit trail.

    Returns:
        The analysis for the right modality: a new one, or the one that was made before an earlier
        correction.

    Raises:
        ConflictError: somebody corrected it meanwhile; nothing was changed.
        RuleError: no reason, no other modality, the patient is archived, or the person may not
            write in the clinic.
    """
    check_open(image.patient, by)
    reason = reason.strip()
    if not reason:
        raise RuleError(_("Please give a reason."))
    if modality not in Modality.values or modality == seen:
        raise RuleError(_("Choose the other modality."))
    with pghistory.context(reason=reason), transaction.atomic():
        # The condition and the row's lock let one of two people win.
        changed = Image.objects.filter(pk=image.pk, modality=seen).update(modality=modality)
        if not changed:
            raise ConflictError(
                _("Somebody corrected the modality of this image meanwhile. Look again.")
            )
        image.modality = modality
        audit.record(
            action="image.modality_corrected",
            actor=by,
            clinic_id=image.clinic_id,
            subject=image,
            reason=reason,
            modality=modality,
            before=seen,
        )
        _call_off(image, by, reason)
        return standing_analysis(image=image, by=by)


def _call_off(image: Image, by: User, reason: str) -> None:
    """Cancel what waits in the queue for a network that is not asked any more."""
    queued = image.analyses.filter(state=State.QUEUED)
    for waiting in queued.exclude(modality=image.modality):
        cancelled = move(
            analysis_id=waiting.pk,
            origin=State.QUEUED,
            target=State.CANCELLED,
            attempt=waiting.attempt,
            actor=person(by),
            reason=reason,
        )
        # A worker may have taken it at this moment; then it finishes like any other.
        if cancelled:
            audit.record(
                action="analysis.cancelled",
                actor=by,
                clinic_id=image.clinic_id,
                subject=waiting,
                reason=reason,
            )
