"""Writing the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classifier.choices import ActorKind
from classifier.models import AuditEvent

if TYPE_CHECKING:
    from django.db.models import Model

    from classifier.models import Clinic, User


def record(  # noqa: PLR0913 - an event has this many sides
    *,
    action: str,
    actor: User | None = None,
    actor_kind: ActorKind | None = None,
    clinic: Clinic | None = None,
    clinic_id: Any = None,
    subject: Model | None = None,
    reason: str = "",
    **details: Any,
) -> AuditEvent:
    """Append one event; call it inside the transaction of the deed it tells of.

    Args:
        action: what was done, as ``noun.verb`` ("patient.registered").
        actor: the person; without one the actor is ``actor_kind`` (system unless said).
        actor_kind: ``ActorKind.WORKER`` or ``ActorKind.SYSTEM`` where no person acts.
        clinic: whose event it is; None for the whole installation.
        clinic_id: its key, where the row is not at hand.
        subject: the row it happened to.
        reason: the person's own words, where a reason is demanded.
        details: JSON facts; never a patient's name or any free text about a patient.
    """
    kind = ActorKind.USER if actor is not None else (actor_kind or ActorKind.SYSTEM)
    return AuditEvent.objects.create(
        action=action,
        actor=actor,
        actor_kind=kind,
        clinic_id=clinic.pk if clinic is not None else clinic_id,
        subject_type=subject._meta.model_name or "" if subject is not None else "",
        subject_id=str(subject.pk) if subject is not None else "",
        reason=reason[:500],
        details=details,
    )
