"""Recording what a lesion turned out to be, and correcting it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.choices import Behaviour, OutcomeKind
from classifier.models import OTHER_DIAGNOSIS, Clinic, Lesion, Outcome
from classifier.selectors.outcomes import LABELS
from classifier.services import audit
from classifier.services.errors import ConflictError, RuleError
from classifier.services.patients import FieldRuleError

if TYPE_CHECKING:
    from datetime import date

    from classifier.models import User


def record_outcome(  # noqa: PLR0913 - one form's fields
    *,
    lesion: Lesion,
    by: User,
    kind: str,
    diagnosis: str,
    found_on: date,
    expected_number: int,
    diagnosis_text: str = "",
    behaviour: str = "",
    reference: str = "",
    reason: str = "",
) -> Outcome:
    """Append what a lesion turned out to be; what was recorded before stays as it was.

    Args:
        lesion: with its patient.
        by: a clinician of the lesion's clinic.
        kind: a value of ``OutcomeKind``.
        diagnosis: a label's key of any label set, or "other".
        found_on: when it was found, not later than today and not before the patient was born.
        expected_number: how many rows there were when the form was made.
        diagnosis_text: written out where the diagnosis is "other".
        behaviour: a value of ``Behaviour``, needed where the diagnosis is "other"; of a label it
            is known.
        reference: the number under which the laboratory keeps it; free text.
        reason: why it is changed; needed where something was recorded before.

    Raises:
        FieldRuleError: a field does not fit.
        RuleError: the person may not write in the clinic.
        ConflictError: somebody recorded an outcome meanwhile; nothing was saved.
    """
    text = diagnosis_text.strip()
    if kind not in OutcomeKind.values:
        raise FieldRuleError("kind", _("Choose how it is known."))
    if diagnosis == OTHER_DIAGNOSIS:
        if not text:
            raise FieldRuleError("diagnosis_text", _("Write the diagnosis out."))
        if behaviour not in Behaviour.values:
            raise FieldRuleError(
                "behaviour", _("Say whether it is malignant: the figures cannot know it.")
            )
    elif diagnosis in LABELS:
        text = ""
        behaviour = Behaviour.MALIGNANT if LABELS[diagnosis].malignant else Behaviour.BENIGN
    else:
        raise FieldRuleError("diagnosis", _("Choose a diagnosis from the list."))
    _check_day(lesion, found_on)
    if expected_number and not reason.strip():
        raise FieldRuleError("reason", _("Say why it is changed. What was recorded before stays."))
    return _append(
        Outcome(
            clinic_id=lesion.clinic_id,
            patient_id=lesion.patient_id,
            lesion=lesion,
            number=expected_number + 1,
            kind=kind,
            diagnosis=diagnosis,
            diagnosis_text=text,
            behaviour=behaviour,
            found_on=found_on,
            reference=reference.strip(),
            reason=reason.strip() if expected_number else "",
            recorded_by=by,
        ),
        action="outcome.corrected" if expected_number else "outcome.recorded",
    )


def withdraw_outcome(*, lesion: Lesion, by: User, expected_number: int, reason: str) -> Outcome:
    """Append that the lesion has no outcome after all: it was entered for another one.

    Raises:
        FieldRuleError: no reason.
        RuleError: there is no outcome, or the person may not write in the clinic.
        ConflictError: somebody changed it meanwhile; nothing was saved.
    """
    if not reason.strip():
        raise FieldRuleError("reason", _("Say why it is withdrawn. What was recorded stays."))
    standing = Outcome.objects.standing().filter(lesion=lesion).first()
    if standing is None:
        raise RuleError(_("This lesion has no outcome that could be withdrawn."))
    return _append(
        Outcome(
            clinic_id=lesion.clinic_id,
            patient_id=lesion.patient_id,
            lesion=lesion,
            number=expected_number + 1,
            kind=standing.kind,
            diagnosis=standing.diagnosis,
            diagnosis_text=standing.diagnosis_text,
            behaviour=standing.behaviour,
            found_on=standing.found_on,
            reference=standing.reference,
            withdrawn=True,
            reason=reason.strip(),
            recorded_by=by,
        ),
        action="outcome.withdrawn",
    )


def _append(outcome: Outcome, *, action: str) -> Outcome:
    by = outcome.recorded_by
    if not Clinic.objects.writable_by(by).filter(pk=outcome.clinic_id).exists():
        raise RuleError(_("Your role in this clinic lets you look, not change anything."))
    before = Outcome.objects.filter(lesion=outcome.lesion)
    if before.count() != outcome.number - 1:
        raise ConflictError(_("Somebody recorded an outcome while you were writing. Look again."))
    try:
        with transaction.atomic():
            outcome.save(force_insert=True)
            # What it says stays out: who reads the trail may still have to read an image.
            audit.record(
                action=action,
                actor=by,
                clinic_id=outcome.clinic_id,
                subject=outcome.lesion,
                number=outcome.number,
            )
    except IntegrityError as error:
        raise ConflictError(
            _("Somebody recorded an outcome while you were writing. Look again.")
        ) from error
    return outcome


def _check_day(lesion: Lesion, found_on: date) -> None:
    if found_on > timezone.localdate():
        raise FieldRuleError("found_on", _("This day is yet to come."))
    born = lesion.patient.date_of_birth
    if found_on.year < _EARLIEST_YEAR or (born is not None and found_on < born):
        raise FieldRuleError("found_on", _("The patient was not born yet on this day."))


# Nobody alive was examined before; a mistyped century is caught by it.
_EARLIEST_YEAR = 1900
