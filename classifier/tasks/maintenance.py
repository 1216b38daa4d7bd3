"""Housekeeping."""

import logging

from celery import shared_task
from django.core.management import call_command
from django.utils import timezone

from classifier.models import Clinic
from classifier.selectors.drift import drifts_of, watched_versions
from classifier.services.integrity_runs import go_on, run_of_the_night

logger = logging.getLogger(__name__)

# A slice that is begun just before must be done before the soft limit.
_INTEGRITY_SECONDS = 50.0


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
def watch_drift_task() -> None:
    """Write a warning for every network whose recent pictures no longer look like its release's.

    Over all clinics together, and for each: one department's new camera drowns among the others.
    """
    now, versions = timezone.now(), list(watched_versions())
    for clinic in (None, *Clinic.objects.order_by("pk")):
        for drift in drifts_of(versions, until=now, clinic=clinic):
            if drift.alarms:
                logger.warning(
                    "%s: the pictures of %s have shifted against the release: %s. "
                    "Run: manage.py drift_report",
                    drift.version,
                    f"clinic {clinic.pk}" if clinic else "all clinics",
                    ", ".join(row.measure for row in drift.alarms),
                )
