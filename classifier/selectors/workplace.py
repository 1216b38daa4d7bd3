"""Facts about the person's workplace that every page shows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _

from classifier.choices import State
from classifier.models import Analysis, Clinic

if TYPE_CHECKING:
    from classifier.querysets.people import Person


def workplace_of(user: Person | None) -> dict[str, Any]:
    """Return ``clinics``, ``can_write`` and ``queue_banner``, each computed when first used."""
    if user is None or not user.is_authenticated:
        return {"clinics": [], "can_write": False, "queue_banner": "", "research_build": True}
    return {
        "clinics": SimpleLazyObject(lambda: list(Clinic.objects.visible_to(user))),
        "can_write": SimpleLazyObject(lambda: Clinic.objects.writable_by(user).exists()),
        "queue_banner": SimpleLazyObject(queue_banner),
        # The shipped networks are trained on images with non-commercial licences.
        "research_build": True,
    }


def oldest_wait() -> timedelta | None:
    """Return how long the longest-waiting due analysis has waited, or None when none waits."""
    now = timezone.now()
    oldest = (
        Analysis.objects.filter(state=State.QUEUED)
        .order_by("not_before")
        .values_list("not_before", flat=True)
        .first()
    )
    if oldest is None or oldest > now:
        return None
    return now - oldest


def queue_banner() -> str:
    """Return the sentence that warns clinicians of a stuck queue, or nothing."""
    waited = oldest_wait()
    if waited is None or waited < timedelta(seconds=settings.ANALYSIS_QUEUE_ALARM_SECONDS):
        return ""
    minutes = int(waited.total_seconds() // 60)
    return _(
        "Answers are late: an image has waited for %(minutes)d minutes. "
        "Nothing is lost; the administrator has been alerted."
    ) % {"minutes": minutes}
