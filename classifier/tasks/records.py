"""Sealing the audit trail, examining it, and finishing erasures that a crash cut short."""

import logging

from celery import shared_task

from classifier.services.audit_chain import seal, verify
from classifier.services.erasure import finish_erasures

logger = logging.getLogger(__name__)


@shared_task(name="classifier.tasks.records.seal_audit_task", time_limit=60, soft_time_limit=45)
def seal_audit_task() -> None:
    """Make links of the chain of what was committed since the last time."""
    seal()


@shared_task(name="classifier.tasks.records.verify_audit_task", time_limit=120, soft_time_limit=100)
def verify_audit_task() -> None:
    """Examine the whole trail; the log keeps the head where the database's owner cannot reach."""
    verdict = verify()
    if verdict.faults:
        logger.error(
            "The audit trail does not fit its chain: %d faults. Run: manage.py audit verify",
            len(verdict.faults),
        )
    else:
        logger.info("The audit trail fits its chain. Head %d:%s", verdict.position, verdict.head)


@shared_task(
    name="classifier.tasks.records.finish_erasures_task", time_limit=120, soft_time_limit=100
)
def finish_erasures_task() -> None:
    """Remove files of erased patients that a crash left behind."""
    finish_erasures()
