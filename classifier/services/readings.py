"""Saving a clinician's own reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from classifier.choices import State
from classifier.models import OTHER_DIAGNOSIS, Analysis, Reading, ReadingRequest
from classifier.services import audit
from classifier.services.disagreements import note_reading
from classifier.services.errors import ConflictError, RuleError
from classifier.services.results import has_seen_an_answer
from classifier.services.second_readings import answer_request
from mlcore.labels import label_set

if TYPE_CHECKING:
    from classifier.models import User


def check_diagnosis(*, analysis: Analysis, diagnosis: str, text: str) -> None:
    """Refuse a diagnosis that is neither a label of the set nor written out.

    Raises:
        RuleError: with the sentence for the form.
    """
    if diagnosis == OTHER_DIAGNOSIS:
        if not text.strip():
            raise RuleError(_("Write the diagnosis out."))
    elif diagnosis not in label_set(analysis.label_set).keys:
        raise RuleError(_("Choose a diagnosis from the list."))


def save_reading(
    *, analysis: Analysis, by: User, diagnosis: str, diagnosis_text: str = ""
) -> Reading:
    """Save what the clinician thinks, once; it is locked from then on.

    A blinded reading answers the request for a second reading that asks this person. Where it
    differs from what is on record, the case is put to a clinician to decide.

    Raises:
        RuleError: there is nothing to read yet, or the diagnosis is unknown.
        ConflictError: this person's reading is saved already.
    """
    if analysis.state not in {State.SUCCEEDED, State.REJECTED}:
        raise RuleError(_("The analysis is not finished yet."))
    check_diagnosis(analysis=analysis, diagnosis=diagnosis, text=diagnosis_text)
    # An answer that was open for a while, until a colleague deferred or the clinic changed its
    # mind, is hidden again but not unseen.
    hidden = not Analysis.objects.revealed_to(by).filter(pk=analysis.pk).exists()
    blinded = hidden and not has_seen_an_answer(analysis=analysis, by=by)
    request = ReadingRequest.objects.asking(by).filter(analysis=analysis).first()
    try:
        with transaction.atomic():
            reading = Reading.objects.create(
                clinic_id=analysis.clinic_id,
                analysis=analysis,
                reader=by,
                diagnosis=diagnosis,
                diagnosis_text=diagnosis_text.strip() if diagnosis == OTHER_DIAGNOSIS else "",
                blinded=blinded,
            )
            audit.record(
                action="reading.saved",
                actor=by,
                clinic_id=analysis.clinic_id,
                subject=analysis,
                blinded=blinded,
            )
            answer_request(reading=reading, request=request)
            note_reading(reading=reading)
    except IntegrityError as error:
        raise ConflictError(_("Your reading was saved before and is locked.")) from error
    return reading
