"""Sealing the audit trail, examining it, and finishing erasures that a crash cut short."""

import logging
import time

from celery import shared_task

from classifier.services.audit_chain import Place, examine, head, holds, seal
from classifier.services.erasure import finish_erasures

logger = logging.getLogger(__name__)

# A stretch that is begun just before must be done before the soft limit.
_VERIFY_SECONDS = 50.0


@shared_task(name="classifier.tasks.records.seal_audit_task", time_limit=60, soft_time_limit=45)
def seal_audit_task() -> None:
    """Make links of the chain of what was committed since the last time."""
    seal()


@shared_task(name="classifier.tasks.records.verify_audit_task", time_limit=120, soft_time_limit=100)
def verify_audit_task(
    stage: str = "", after: int = 0, faults: int = 0, noted: tuple[int, str] | None = None
) -> None:
    """Examine the whole trail; the log keeps the head where the database's owner cannot reach.

    What is left after a minute gets a message of its own, however long the trail is.

    Args:
        stage: where to go on, see :class:`classifier.services.audit_chain.Place`; "" begins.
        after: likewise.
        faults: how many have been found so far.
        noted: the head when it began.
    """
    if not stage or noted is None:
        seal()
        noted = head()
    place: Place | None = Place(stage, after) if stage else Place()
    until = time.monotonic() + _VERIFY_SECONDS
    while place is not None:
        found, place = examine(place)
        faults += len(found)
        if place is not None and time.monotonic() >= until:
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
