"""Writing the audit trail."""

from __future__ import annotations

import json
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection

from classifier.choices import ActorKind
from classifier.models import AuditEvent, Membership, Patient, User

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Iterator, Mapping

    from django.db.models import Model

    from classifier.models import ApiToken, Clinic

# One statement, so that a page costs one more whether it is the first look or the tenth.
_VIEW = """
INSERT INTO classifier_auditevent
  (at, actor_kind, actor_id, clinic_id, action, subject_type, subject_id, patient_key, reason,
   details)
SELECT now(), 'user', %(actor)s, %(clinic)s, %(action)s, %(type)s, %(subject)s, %(patient)s, '',
  %(details)s::jsonb
WHERE NOT EXISTS (
  SELECT 1 FROM classifier_auditevent
  WHERE subject_type = %(type)s AND subject_id = %(subject)s AND actor_id = %(actor)s
    AND action = %(action)s AND details = %(details)s::jsonb
    AND at > clock_timestamp() - make_interval(secs => %(fold)s)
)
"""
# Known and unknown addresses cost one statement each: the time tells no stranger which it was.
_FAILED = """
INSERT INTO classifier_auditevent
  (at, actor_kind, clinic_id, action, subject_type, subject_id, reason, details)
SELECT now(), 'system', m.clinic_id, %(action)s, CASE WHEN u.id IS NULL THEN '' ELSE 'user' END,
  COALESCE(u.id::text, ''), '', %(details)s
FROM (SELECT 1) AS one
LEFT JOIN classifier_user u ON lower(u.email) = lower(%(email)s)
LEFT JOIN classifier_membership m ON m.user_id = u.id
"""
# What is added to the details of every event while a program acts for a person.
_through: ContextVar[Mapping[str, str]] = ContextVar("audit_through", default=MappingProxyType({}))


@contextmanager
def through(token: ApiToken) -> Iterator[None]:
    """Note with every event that is recorded meanwhile which token the person's program used."""
    before = _through.set({"token": str(token.pk)})
    try:
        yield
    finally:
        _through.reset(before)


def record(  # noqa: PLR0913 - an event has this many sides
    *,
    action: str,
    actor: User | None = None,
    actor_kind: ActorKind | None = None,
    clinic: Clinic | None = None,
    clinic_id: Any = None,
    subject: Model | None = None,
    patient_key: uuid.UUID | None = None,
    reason: str = "",
    **details: Any,
) -> AuditEvent:
    """Append one event; call it inside the transaction of the deed it tells of.

    What happens to a person, and to no clinic in particular, is written once for each clinic they
    work in, so that each of their administrators reads it.

    Args:
        action: what was done, as ``noun.verb`` ("patient.registered").
        actor: the person; without one the actor is ``actor_kind`` (system unless said).
        actor_kind: ``ActorKind.WORKER`` or ``ActorKind.SYSTEM`` where no person acts.
        clinic: whose event it is; None for the whole installation.
        clinic_id: its key, where the row is not at hand.
        subject: the row it happened to.
        patient_key: whose record it touches, where the subject does not tell.
        reason: the person's own words, where a reason is demanded.
        details: JSON facts; never a patient's name or any free text about a patient.

    Returns:
        The event; the first of several.
    """
    kind = ActorKind.USER if actor is not None else (actor_kind or ActorKind.SYSTEM)
    owner = clinic.pk if clinic is not None else clinic_id
    owners = clinics_of(subject) if owner is None and isinstance(subject, User) else [owner]
    events = [
        AuditEvent(
            action=action,
            actor=actor,
            actor_kind=kind,
            clinic_id=one,
            subject_type=subject._meta.model_name or "" if subject is not None else "",
            subject_id=str(subject.pk) if subject is not None else "",
            patient_key=patient_key or _patient_of(subject),
            reason=reason[:500],
            details={**_through.get(), **details},
        )
        for one in owners
    ]
    for event in events:
        event.save(force_insert=True)
    return events[0]


def record_each(
    *, action: str, actor: User, subjects: Iterable[tuple[Model, dict[str, Any]]]
) -> None:
    """Append one event for each of several rows of patients, in one statement.

    Args:
        action: what was done.
        actor: the person.
        subjects: the rows, each with its clinic and its details (see :func:`record`).
    """
    AuditEvent.objects.bulk_create(
        AuditEvent(
            action=action,
            actor=actor,
            actor_kind=ActorKind.USER,
            clinic_id=getattr(subject, "clinic_id", None),
            subject_type=subject._meta.model_name or "",
            subject_id=str(subject.pk),
            patient_key=_patient_of(subject),
            details={**_through.get(), **details},
        )
        for subject, details in subjects
    )


def record_in_their_clinics(*, action: str, actor: User, **details: Any) -> None:
    """Append one event for each clinic the person works in, for what reaches into all of them."""
    for clinic_id in clinics_of(actor):
        record(action=action, actor=actor, clinic_id=clinic_id, **details)


def record_view(*, action: str, actor: User, clinic_id: Any, subject: Model) -> None:
    """Append that the person looked at the row, unless they did a moment ago.

    Looks of one person at one thing within ``AUDIT_FOLD_SECONDS`` are one event: a page that is
    reloaded or paged through is one look. A person's programs look for themselves.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _VIEW,
            {
                "actor": actor.pk,
                "clinic": clinic_id,
                "action": action,
                "type": subject._meta.model_name,
                "subject": str(subject.pk),
                "patient": _patient_of(subject),
                "details": json.dumps(dict(_through.get())),
                "fold": settings.AUDIT_FOLD_SECONDS,
            },
        )


def record_failed_sign_in(*, email: str, address: str, action: str = "sign_in.failed") -> None:
    """Append that somebody could not prove who they are.

    The address that was typed is not kept: it may be a password in the wrong field. Where it is
    an account's, the event is about that account.
    """
    with connection.cursor() as cursor:
        details = json.dumps({"address": address})
        cursor.execute(_FAILED, {"action": action, "email": email, "details": details})


def clinics_of(user: User) -> list[Any]:
    """Return the keys of the clinics the person works in; ``[None]`` where there is none."""
    keys = Membership.objects.filter(user=user).order_by("pk").values_list("clinic_id", flat=True)
    return list(keys) or [None]


def _patient_of(subject: Model | None) -> uuid.UUID | None:
    if isinstance(subject, Patient):
        return subject.pk
    key: uuid.UUID | None = getattr(subject, "patient_id", None)
    return key
