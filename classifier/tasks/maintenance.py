"""Housekeeping."""

from celery import shared_task
from django.core.management import call_command


@shared_task(
    name="classifier.tasks.maintenance.clear_sessions_task", time_limit=300, soft_time_limit=240
)
def clear_sessions_task() -> None:
    """Delete expired sessions."""
    call_command("clearsessions")
