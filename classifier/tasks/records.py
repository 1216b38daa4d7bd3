"""Sealing the audit trail, examining it, and finishing erasures that a crash cut short."""

import logging

from celery import shared_task

from classifier.services.audit_chain import Place, examine, head, holds, seal
from classifier.services.erasure import finish_erasures
from classifier.services.turns import Turn

logger = logging.getLogger(__name__)

# A stretch that is begun just before must be done before the soft limit.
_VERIFY_SECONDS = 50.0
# The schedule sends the next message before this is over twice.
_SEAL_SECONDS = 20.0


@shared_task(name="classifier.tasks.records.seal_audit_task", time_limit=60, soft_time_limit=45)
def seal_audit_task() -> None:
    """Make links of the chain of what was committed since the last time."""
    seal(is_over=Turn(_SEAL_SECONDS).is_over)


@shared_task(name="classifier.tasks.records.verify_audit_task", time_limit=120, soft_time_limit=100)
def verify_audit_task(
    stage: str = "", after: int = 0, faults: int = 0, noted: tuple[int, str] | None = None
) -> None:
    """Examine the whole trail; the log keeps the head where the database's owner cannot reach.

    What is left after a minute, or when an image waits, gets a message of its own, however long
    the trail is.

    Args:
        stage: where to go on, see :class:`classifier.services.audit_chain.Place`; "" begins.
        after: likewise.
        faults: how many have been found so far.
        noted: the head when it began.
    """
    turn = Turn(_VERIFY_SECONDS)
    if not stage or noted is None:
        seal(is_over=turn.is_over)
        noted = head()
    place: Place | None = Place(stage, after) if stage else Place()
    while place is not None:
        found, place = examine(place)
        faults += len(found)
        if place is not None and turn.is_over():
            verify_audit_task.delay(place.stage, place.after, faults, noted)
            return
    if noted[0] and not holds(*noted):
        faults += 1
    if faults:
        logger.error(
            "The audit trail does not fit its chain: %d faults. Run: manage.py audit verify",
            faults,
        )
    else:
        logger.info("The audit trail fits its chain. Head %d:%s", *noted)


@shared_task(
    name="classifier.tasks.records.finish_erasures_task", time_limit=120, soft_time_limit=100
)
def finish_erasures_task() -> None:
    """Remove files of erased patients that a crash left behind."""
    finish_erasures()
