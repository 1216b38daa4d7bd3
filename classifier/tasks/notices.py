"""Telling people by letter that results wait."""

from __future__ import annotations

from celery import shared_task

from classifier.services.analyses import nudge
from classifier.services.notices import letters_wait, send_notices


@shared_task(name="classifier.tasks.notices.send_notices_task", time_limit=100, soft_time_limit=80)
def send_notices_task() -> None:
    """Send what is due for some seconds; what is left gets a message of its own.

    Where nothing could be sent it waits for the next time: the mail server may be away.
    """
    if send_notices() and letters_wait():
        nudge(send_notices_task)
