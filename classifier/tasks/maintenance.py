"""Housekeeping."""

import logging
import uuid

from celery import shared_task
from django.core.management import call_command
from django.utils import timezone

from classifier.models import Clinic
from classifier.selectors.drift import drifts_of, watched_versions
from classifier.services.integrity_runs import go_on, run_of_the_night
from classifier.services.turns import Turn

logger = logging.getLogger(__name__)

# A slice that is begun just before must be done before the soft limit.
_INTEGRITY_SECONDS = _DRIFT_SECONDS = 50.0
# No clinic's identifier.
_BEFORE_ALL = str(uuid.UUID(int=0))


# Below the visibility timeout, like every limit: a longer task would be delivered a second time.
@shared_task(
    name="classifier.tasks.maintenance.clear_sessions_task", time_limit=120, soft_time_limit=100
)
def clear_sessions_task() -> None:
    """Delete expired sessions."""
    call_command("clearsessions")


@shared_task(
    name="classifier.tasks.maintenance.check_integrity_task", time_limit=140, soft_time_limit=120
)
def check_integrity_task() -> None:
    """Go on with the check of the night; what is left gets a message of its own."""
    run = run_of_the_night()
    if run is not None and not go_on(run, seconds=_INTEGRITY_SECONDS):
        check_integrity_task.apply_async(expires=1800)


@shared_task(
    name="classifier.tasks.maintenance.watch_drift_task", time_limit=140, soft_time_limit=120
)
def watch_drift_task(after: str = "") -> None:
    """Write a warning for every network whose recent pictures no longer look like its release's.

    Over all clinics together, and for each: one department's new camera drowns among the others.
    What is left after a minute, or when an image waits, gets a message of its own.

    Args:
        after: the clinic that was looked at last; "" begins.
    """
    now, versions, turn = timezone.now(), list(watched_versions()), Turn(_DRIFT_SECONDS)
    clinics = Clinic.objects.filter(pk__gt=after or _BEFORE_ALL).order_by("pk")
    for clinic in clinics if after else (None, *clinics):
        for drift in drifts_of(versions, until=now, clinic=clinic):
            if drift.alarms:
                logger.warning(
                    "%s: the pictures of %s have shifted against the release: %s. "
                    "Run: manage.py drift_report",
                    drift.version,
                    f"clinic {clinic.pk}" if clinic else "all clinics",
                    ", ".join(row.measure for row in drift.alarms),
                )
        if turn.is_over():
            watch_drift_task.delay(str(clinic.pk) if clinic else _BEFORE_ALL)
            return
