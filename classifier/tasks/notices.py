"""Telling people by letter that results wait."""

from __future__ import annotations

from celery import shared_task

from classifier.services.notices import send_notices


@shared_task(name="classifier.tasks.notices.send_notices_task", time_limit=100, soft_time_limit=80)
def send_notices_task() -> None:
    """Send what is due for some seconds; what is left waits for the next time."""
    send_notices()
