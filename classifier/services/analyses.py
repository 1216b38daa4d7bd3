"""Asking for an analysis, asking again, and calling one off."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import KombuError, OperationalError
from kombu.pools import producers
from redis.exceptions import RedisError

from classifier.choices import ActorKind, Modality, ReviewState, State
from classifier.models import LABEL_SET_OF, Analysis, Transition
from classifier.selectors.results import latest_analysis
from classifier.services import audit
from classifier.services.errors import ConflictError, RuleError
from classifier.services.moves import move, person
from classifier.services.patients import broken_constraint

if TYPE_CHECKING:
    from celery import Task

    from classifier.models import Image, User

logger = logging.getLogger(__name__)

# A nudge is sent while a person waits for the page: so many seconds for a broker that hangs ...
_NUDGE_SECONDS = 2
# ... and then none is sent for so long, about one sweep, so that twelve images wait once.
_SILENCE_SECONDS = 10.0
_NUDGE_OPTIONS = {
    "socket_connect_timeout": _NUDGE_SECONDS,
    "socket_timeout": _NUDGE_SECONDS,
    "max_retries": 1,
    "interval_start": 0,
    "interval_max": 0,
    "connect_retries_timeout": _NUDGE_SECONDS,
}


@dataclass
class Broker:
    """What this process knows of the broker.

    Attributes:
        silent_until: no nudge is sent before this moment of the monotonic clock.
    """

    silent_until: float = 0.0


BROKER = Broker()


def request_analysis(*, image: Image, by: User) -> Analysis:
    """Queue the analysis of an image; call it in the transaction that stores the image.

    A worker is woken when the transaction commits; should that message be lost, the sweep finds
    the row.

    Raises:
        ConflictError: the image is waiting for an analysis already.
    """
    with transaction.atomic():
        analysis = _queue(image, by)
        Transition.objects.create(
            analysis=analysis,
            to_state=State.QUEUED,
            attempt=0,
            actor_kind=ActorKind.USER,
            actor=by,
        )
        audit.record(
            action="analysis.requested", actor=by, clinic_id=image.clinic_id, subject=analysis
        )
        transaction.on_commit(wake_worker, robust=True)
    return analysis


def standing_analysis(*, image: Image, by: User) -> Analysis:
    """Return the newest analysis for the image's modality; a new one if it never ran.

    A cancelled analysis never runs again, so asking once more queues another.
    """
    analysis = latest_analysis(image)
    if analysis is not None and analysis.state != State.CANCELLED:
        return analysis
    try:
        return request_analysis(image=image, by=by)
    except ConflictError:
        # Somebody else asked at the same moment.
        analysis = latest_analysis(image)
        if analysis is None:
            raise
        return analysis


def _queue(image: Image, by: User) -> Analysis:
    try:
        with transaction.atomic():
            return Analysis.objects.create(
                clinic_id=image.clinic_id,
                patient_id=image.patient_id,
                image=image,
                label_set=LABEL_SET_OF[Modality(image.modality)],
                modality=image.modality,
                requested_by=by,
            )
    except IntegrityError as error:
        if _waits_already(error):
            raise ConflictError(_("This image is already waiting for an analysis.")) from error
        raise


def _waits_already(error: IntegrityError) -> bool:
    return broken_constraint(error) == "analysis_one_waiting"


def retry_analysis(*, analysis: Analysis, by: User, reason: str) -> None:
    """Queue a failed or rejected analysis again; the attempts are counted afresh.

    A rejected one lets go of its result, which stays on record with the image and its reviews: what
    the next attempt says must be read and reviewed anew.

    Raises:
        RuleError: no reason, the analysis is in no state to be tried again, or the image's
            modality was corrected since.
        ConflictError: somebody moved it at the same moment.
    """
    origin = State(analysis.state)
    if origin not in {State.FAILED, State.REJECTED}:
        raise RuleError(_("Only a failed or rejected analysis can be tried again."))
    if analysis.modality != analysis.image.modality:
        raise RuleError(
            _("The modality of this image was corrected since. Use the analysis for the right one.")
        )
    _personal_move(
        analysis,
        by,
        reason,
        State.QUEUED,
        "analysis.retried",
        not_before=timezone.now(),
        attempts_forgiven=analysis.attempt,
        failure_code="",
        failure_reference="",
        prediction=None,
        decision="",
        top_label="",
        triage_rank=Analysis._meta.get_field("triage_rank").get_default(),
        review_state=ReviewState.PENDING,
    )
    transaction.on_commit(wake_worker, robust=True)


def cancel_analysis(*, analysis: Analysis, by: User, reason: str) -> None:
    """Call off an analysis that no worker has taken yet.

    Raises:
        RuleError: no reason, or it is not waiting in the queue.
        ConflictError: a worker took it at the same moment.
    """
    if analysis.state != State.QUEUED:
        raise RuleError(_("Only an analysis that waits in the queue can be cancelled."))
    _personal_move(analysis, by, reason, State.CANCELLED, "analysis.cancelled")


def _personal_move(
    analysis: Analysis, by: User, reason: str, target: State, action: str, **facts: object
) -> None:
    reason = reason.strip()
    if not reason:
        raise RuleError(_("Please give a reason."))
    try:
        with transaction.atomic():
            moved = move(
                analysis_id=analysis.pk,
                origin=State(analysis.state),
                target=target,
                attempt=analysis.attempt,
                actor=person(by),
                reason=reason,
                **facts,
            )
            if moved:
                audit.record(
                    action=action,
                    actor=by,
                    clinic_id=analysis.clinic_id,
                    subject=analysis,
                    reason=reason,
                )
    except IntegrityError as error:
        if _waits_already(error):
            raise RuleError(_("This image is already waiting for an analysis.")) from error
        raise
    if not moved:
        raise ConflictError(_("The analysis has moved on meanwhile. Look again."))


def wake_worker() -> None:
    """Tell a worker that something is due.

    A broker that is away or hangs costs a log line and two seconds at most, no more: after one
    failure this process sends nothing for a while, and the sweep finds what waits.
    """
    from classifier.tasks.analysis import run_analyses_task  # noqa: PLC0415 - tasks call services

    nudge(run_analyses_task)


def nudge(task: Task[[], None]) -> None:
    """Send a task's message, or none while the broker is away: a sweep finds what waits."""
    if time.monotonic() < BROKER.silent_until:
        return
    try:
        # A connection of its own for each message would take longer than all else it does.
        kept = producers[
            task.app.connection_for_write(
                connect_timeout=_NUDGE_SECONDS, transport_options=_NUDGE_OPTIONS
            )
        ]
        with kept.acquire(block=True, timeout=_NUDGE_SECONDS) as producer:
            task.apply_async(producer=producer, retry=False, expires=60)
    except (OperationalError, KombuError, RedisError, OSError):
        BROKER.silent_until = time.monotonic() + _SILENCE_SECONDS
        logger.warning("The broker does not answer; the sweep will find the queued analysis.")
