"""Recording what a patient allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.choices import ConsentUse
from classifier.models import Clinic, Consent
from classifier.services import audit
from classifier.services.errors import RuleError
from classifier.services.patients import FieldRuleError

if TYPE_CHECKING:
    from datetime import date

    from classifier.models import Patient, User


def record_consent(
    *, patient: Patient, by: User, use: str, given: bool, decided_on: date, note: str = ""
) -> Consent:
    """Append the patient's word about one use; what they said before stays on record.

    Args:
        patient: whose word it is.
        by: who writes it down.
        use: a value of ``ConsentUse``.
        given: False takes an earlier consent back, or says no.
        decided_on: when the patient said so.
        note: where the signed paper lies, and the like.

    Raises:
        FieldRuleError: the day lies ahead or before the patient's birth.
        RuleError: the person may not write in the clinic.
    """
    if not Clinic.objects.writable_by(by).filter(pk=patient.clinic_id).exists():
        raise RuleError(_("Your role in this clinic lets you look, not change anything."))
    if decided_on > timezone.localdate():
        raise FieldRuleError("decided_on", _("This date lies in the future. Check the year."))
    if patient.date_of_birth is not None and decided_on < patient.date_of_birth:
        raise FieldRuleError("decided_on", _("This is before the patient was born."))
    with transaction.atomic():
        consent = Consent.objects.create(
            clinic_id=patient.clinic_id,
            patient=patient,
            use=ConsentUse(use),
            given=given,
            decided_on=decided_on,
            note=note.strip(),
            recorded_by=by,
        )
        audit.record(
            action="consent.given" if given else "consent.withdrawn",
            actor=by,
            clinic_id=patient.clinic_id,
            subject=consent,
            use=consent.use,
        )
    return consent
