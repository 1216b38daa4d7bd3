"""Claiming due analyses for a worker, and taking back what a lost worker held."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from classifier.choices import ActorKind, State
from classifier.models import Analysis, ModelVersion, Transition
from classifier.services import audit
from classifier.services.moves import SYSTEM, move

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

logger = logging.getLogger(__name__)

# One statement finds, locks and leases: rows another worker is claiming at this moment are
# skipped, not waited for. A row that was attempted before is claimed alone when its turn comes, so
# that an image that kills the worker takes no neighbour with it.
_CLAIM = """
WITH due AS (
    SELECT id, attempt, not_before
    FROM classifier_analysis
    WHERE state = 'queued' AND not_before <= %(now)s AND label_set = %(label_set)s
    ORDER BY not_before, id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), ranked AS (
    SELECT id, attempt,
           row_number() OVER (ORDER BY not_before, id) AS place,
           first_value(attempt) OVER (ORDER BY not_before, id) AS head
    FROM due
), chosen AS (
    SELECT id FROM ranked WHERE (head = 0 AND attempt = 0) OR (head > 0 AND place = 1)
)
UPDATE classifier_analysis AS a
SET state = 'running', attempt = a.attempt + 1, lease_until = %(lease_until)s,
    worker = %(worker)s, started_at = %(now)s, model_version_id = %(model_version)s
FROM chosen
WHERE a.id = chosen.id
RETURNING a.id, a.attempt
"""


@dataclass(frozen=True)
class Claimed:
    """Rows one worker holds.

    Attributes:
        model_version: the version pinned to them.
        attempts: attempt by row.
    """

    model_version: ModelVersion
    attempts: dict[UUID, int]


def claim_batch(*, worker: str, limit: int | None = None) -> Claimed | None:
    """Lease up to ``limit`` due rows of one label set to a worker.

    The label set whose oldest due row has waited longest goes first. A label set without an active
    model version keeps waiting.

    Args:
        worker: the worker's name.
        limit: at most so many; by default ``ANALYSIS_BATCH_SIZE``.

    Returns:
        What was claimed, or None when nothing is due.
    """
    now = timezone.now()
    for version in _active_versions_by_wait(now):
        claimed = _claim(version, worker, limit or settings.ANALYSIS_BATCH_SIZE, now)
        if claimed.attempts:
            return claimed
    return None


def _active_versions_by_wait(now: datetime) -> list[ModelVersion]:
    waits: list[tuple[datetime, ModelVersion]] = []
    for version in ModelVersion.objects.filter(active=True).defer("manifest", "metrics"):
        oldest = (
            Analysis.objects.due(now)
            .filter(label_set=version.label_set)
            .order_by("not_before")
            .values_list("not_before", flat=True)
            .first()
        )
        if oldest is not None:
            waits.append((oldest, version))
    return [version for _wait, version in sorted(waits, key=lambda pair: pair[0])]


@transaction.atomic
def _claim(version: ModelVersion, worker: str, limit: int, now: datetime) -> Claimed:
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIM,
            {
                "now": now,
                "label_set": version.label_set,
                "limit": limit,
                "lease_until": now + timedelta(seconds=settings.ANALYSIS_LEASE_SECONDS),
                "worker": worker,
                "model_version": version.pk,
            },
        )
        attempts: dict[UUID, int] = dict(cursor.fetchall())
    Transition.objects.bulk_create(
        Transition(
            analysis_id=pk,
            from_state=State.QUEUED,
            to_state=State.RUNNING,
            attempt=attempt,
            actor_kind=ActorKind.WORKER,
            worker=worker,
        )
        for pk, attempt in attempts.items()
    )
    return Claimed(version, attempts)


def attempts_left(analysis: Analysis) -> bool:
    """Tell whether another attempt may be made by itself."""
    most: int = settings.ANALYSIS_MAX_ATTEMPTS
    return analysis.attempt - analysis.attempts_forgiven < most


def back_off(analysis: Analysis) -> timedelta:
    """Return how long to wait before the next attempt."""
    waits: list[int] = settings.ANALYSIS_BACKOFF_SECONDS
    made = max(1, analysis.attempt - analysis.attempts_forgiven)
    return timedelta(seconds=waits[min(made, len(waits)) - 1])


def new_reference() -> str:
    """Return a short random reference: a person reads it out, the log is searched for it."""
    return secrets.token_hex(4)


@dataclass(frozen=True)
class Swept:
    """What a sweep found: rows put back, and rows failed for good."""

    requeued: int
    failed: int


def sweep_lost_leases() -> Swept:
    """Take back every row whose worker has not answered in time; safe to run twice at once.

    A row that somebody holds at this moment is left for the next sweep: a worker that froze while
    it stored its result must not keep the rows of others waiting.
    """
    now = timezone.now()
    requeued = failed = 0
    lost = Analysis.objects.lease_lost(now)
    for pk in lost.order_by("lease_until").values_list("pk", flat=True)[:1000]:
        with transaction.atomic():
            analysis = lost.select_for_update(skip_locked=True).filter(pk=pk).first()
            if analysis is None:
                continue
            if not attempts_left(analysis):
                failed += _give_up(analysis)
                continue
            requeued += move(
                analysis_id=analysis.pk,
                origin=State.RUNNING,
                target=State.QUEUED,
                attempt=analysis.attempt,
                actor=SYSTEM,
                reason="The worker did not answer in time.",
                not_before=now + back_off(analysis),
            )
    return Swept(requeued, failed)


def _give_up(analysis: Analysis) -> bool:
    code, reference = "worker_lost", new_reference()
    given_up = move(
        analysis_id=analysis.pk,
        origin=State.RUNNING,
        target=State.FAILED,
        attempt=analysis.attempt,
        actor=SYSTEM,
        reason="The worker did not answer in time; no attempt is left.",
        failure_code=code,
        failure_reference=reference,
    )
    if given_up:
        audit.record(
            action="analysis.failed",
            clinic_id=analysis.clinic_id,
            subject=analysis,
            worker=analysis.worker,
            attempt=analysis.attempt,
            code=code,
        )
        logger.error("%s failed: %s, reference %s", analysis.pk, code, reference)
    return given_up
