"""Housekeeping."""

from celery import shared_task
from django.core.management import call_command


# Below the visibility timeout, like every limit: a longer task would be delivered a second time.
@shared_task(
    name="classifier.tasks.maintenance.clear_sessions_task", time_limit=120, soft_time_limit=100
)
def clear_sessions_task() -> None:
    """Delete expired sessions."""
    call_command("clearsessions")
