"""Housekeeping."""

from celery import shared_task
from django.core.management import call_command

from classifier.services.integrity_runs import go_on, run_of_the_night

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
