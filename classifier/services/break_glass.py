"""Emergency access: demanding it, and ending it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.models import BreakGlass, Clinic, Patient
from classifier.services import audit
from classifier.services.errors import RuleError
from classifier.services.patients import FieldRuleError

if TYPE_CHECKING:
    from classifier.models import User

# A reason that a clinic administrator can judge has some words.
SHORTEST_REASON = 10


def may_demand(user: User) -> bool:
    """Tell whether the person may demand emergency access: clinicians and superusers."""
    return user.is_superuser or Clinic.objects.writable_by(user).exists()


def demand_access(*, by: User, clinic: Clinic, record_number: str, reason: str) -> BreakGlass:
    """Open one patient's record to the person for ``BREAK_GLASS_MINUTES``, for reading.

    A demand that names nobody is recorded as well: the clinic's administrator sees who tries
    numbers.

    Args:
        by: who demands it, confirmed a moment ago.
        clinic: whose patient it is; the person need not belong to it.
        record_number: exactly as the clinic wrote it.
        reason: the person's own words.

    Raises:
        FieldRuleError: no patient has the number, or the reason is too short.
        RuleError: the person may not demand it, or needs none.
    """
    if not may_demand(by):
        raise RuleError(_("Emergency access is for clinicians."))
    words = " ".join(reason.split())
    if len(words) < SHORTEST_REASON:
        raise FieldRuleError("reason", _("Say in a few words what the emergency is."))
    patient = Patient.objects.filter(clinic=clinic, record_number=record_number.strip()).first()
    if patient is None:
        audit.record(action="break_glass.missed", actor=by, clinic=clinic, reason=words)
        raise FieldRuleError(
            "record_number",
            _("No patient of this clinic has this number. Your attempt was recorded."),
        )
    if Patient.objects.visible_to(by).filter(pk=patient.pk).exists():
        raise RuleError(_("You may see this patient already; no emergency access is needed."))
    with transaction.atomic():
        access = BreakGlass.objects.create(
            user=by,
            clinic=clinic,
            patient=patient,
            reason=words[:500],
            expires_at=timezone.now() + timedelta(minutes=settings.BREAK_GLASS_MINUTES),
        )
        audit.record(
            action="break_glass.opened",
            actor=by,
            clinic=clinic,
            subject=patient,
            reason=words,
            access=str(access.pk),
            minutes=settings.BREAK_GLASS_MINUTES,
        )
    return access


def end_access(*, access: BreakGlass, by: User) -> None:
    """End an emergency access now.

    Args:
        access: one that ``by`` may see: their own, or one of a clinic they administer.
        by: who ends it.

    Raises:
        RuleError: it is over already.
    """
    with transaction.atomic():
        ended = (
            BreakGlass.objects.active()
            .filter(pk=access.pk)
            .update(ended_at=timezone.now(), ended_by=by)
        )
        if not ended:
            raise RuleError(_("This emergency access is over already."))
        audit.record(
            action="break_glass.ended",
            actor=by,
            clinic_id=access.clinic_id,
            subject=access.patient,
            access=str(access.pk),
        )
