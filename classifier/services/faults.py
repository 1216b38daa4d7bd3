"""What becomes of a row that a worker holds and cannot complete."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from classifier.choices import ActorKind, State
from classifier.services import audit
from classifier.services.claims import attempts_left, back_off, new_reference
from classifier.services.moves import move
from classifier.services.moves import worker as worker_actor

if TYPE_CHECKING:
    from classifier.models import Analysis

logger = logging.getLogger(__name__)


def try_later(analysis: Analysis, worker: str, code: str) -> None:
    """Put a row back after a fault that may pass, or fail it when no attempt is left.

    Call it where the fault is handled: it goes to the log with a reference number.
    """
    reference = new_reference()
    logger.exception(  # noqa: LOG004 - called while the fault is handled
        "%s: %s, reference %s", analysis.pk, code, reference
    )
    if not attempts_left(analysis):
        fail(analysis, worker, code, reference)
        return
    move(
        analysis_id=analysis.pk,
        origin=State.RUNNING,
        target=State.QUEUED,
        attempt=analysis.attempt,
        actor=worker_actor(worker),
        reason=f"{code}, reference {reference}",
        not_before=timezone.now() + back_off(analysis),
    )


def fail(analysis: Analysis, worker: str, code: str, reference: str | None = None) -> None:
    """Fail a row that the worker holds: trying it again would not help.

    Args:
        analysis: the row, with the attempt the worker holds it for.
        worker: this worker's name.
        code: the failure code shown with the analysis.
        reference: what the log is searched for; a new one unless given.
    """
    reference = reference or new_reference()
    logger.error("%s failed: %s, reference %s", analysis.pk, code, reference)
    with transaction.atomic():
        failed = move(
            analysis_id=analysis.pk,
            origin=State.RUNNING,
            target=State.FAILED,
            attempt=analysis.attempt,
            actor=worker_actor(worker),
            reason=code,
            failure_code=code,
            failure_reference=reference,
        )
        if failed:
            audit.record(
                action="analysis.failed",
                actor_kind=ActorKind.WORKER,
                clinic_id=analysis.clinic_id,
                subject=analysis,
                worker=worker,
                attempt=analysis.attempt,
                code=code,
            )
