"""Requests that may arrive twice and shall be done once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.models import SentOnce
from classifier.services.errors import RuleError
from classifier.services.patients import broken_constraint

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from classifier.models import ApiToken, Patient

# How long an answer is given again, and a key means the same request.
KEPT = timedelta(hours=24)
# Longer than any request takes. A process that died holds its key for so long and no longer.
CLAIMED = timedelta(minutes=5)


class OtherRequestError(RuleError):
    """The key came with another request before."""


class StillRunningError(RuleError):
    """The same request is being worked on; it may be asked again in a moment."""


class ClaimLostError(RuleError):
    """The work took longer than the claim held, and somebody else took it over."""


@dataclass(frozen=True)
class Answer:
    """What is answered, now and again.

    Attributes:
        status: of HTTP.
        body: JSON.
        patient: whose facts the body holds.
    """

    status: int
    body: str
    patient: Patient | None = None


def answer_once(
    *, token: ApiToken, key: str, fingerprint: str, work: Callable[[], Answer]
) -> tuple[Answer, bool]:
    """Do ``work`` unless the same request was answered before.

    The deed and its answer are one transaction: either both are there or neither. What ``work``
    raises undoes the deed and gives the key back.

    Args:
        token: whose keys are meant.
        key: as the program drew it.
        fingerprint: of the request; see ``SentOnce``.
        work: does the deed; called outside of any transaction but its own.

    Returns:
        The answer, and whether it is one from before.

    Raises:
        OtherRequestError: the key belongs to another request.
        StillRunningError: the same request is being worked on.
        ClaimLostError: this one took too long; nothing of it stays.
    """
    row, until = _claim(token, key, fingerprint)
    if row.status is not None:
        return Answer(row.status, row.answer), True
    mine = SentOnce.objects.filter(pk=row.pk, claimed_until=until, status__isnull=True)
    try:
        with transaction.atomic():
            answer = work()
            kept = mine.update(
                status=answer.status, answer=answer.body, patient_id=_key_of(answer.patient)
            )
            if not kept:
                raise ClaimLostError(_("This took too long, and nothing was saved. Send it again."))
    except BaseException:
        mine.delete()
        raise
    return answer, False


def forget_old() -> int:
    """Delete what was kept for long enough; return how many rows."""
    return SentOnce.objects.filter(created_at__lt=timezone.now() - KEPT).delete()[0]


def _claim(token: ApiToken, key: str, fingerprint: str) -> tuple[SentOnce, datetime]:
    """Return the key's row, and until when it is held here; an answered row is held by nobody."""
    now = timezone.now()
    until = now + CLAIMED
    same = SentOnce.objects.filter(token=token, key=key)
    same.filter(created_at__lt=now - KEPT).delete()
    row = SentOnce(token=token, key=key, fingerprint=fingerprint, claimed_until=until)
    try:
        # One of two that come together inserts; the other one finds the row.
        with transaction.atomic():
            row.save(force_insert=True)
        return row, until
    except IntegrityError as error:
        if broken_constraint(error) != "sent_once_key_unique":
            raise
    found = same.first()
    if found is None:
        # Given back at this very moment by a request that failed.
        raise StillRunningError(_running())
    if found.fingerprint != fingerprint:
        raise OtherRequestError(
            _(
                "This idempotency key was used for another request. Draw a new key for each "
                "request, and keep it only when you send the same one again."
            )
        )
    if found.status is None:
        _take_over(found, until, now)
    return found, until


def _take_over(row: SentOnce, until: datetime, now: datetime) -> None:
    """Take the claim of a process that died; two cannot both."""
    ran_out = SentOnce.objects.filter(
        pk=row.pk, claimed_until=row.claimed_until, claimed_until__lt=now, status__isnull=True
    )
    if not ran_out.update(claimed_until=until):
        raise StillRunningError(_running())


def _running() -> str:
    return _("The same request is being worked on. Ask again in a few seconds.")


def _key_of(patient: Patient | None) -> object:
    return patient.pk if patient is not None else None
