"""Sending webhooks' messages, and forgetting what was kept for programs."""

from __future__ import annotations

from celery import shared_task

from classifier.services import sent_once, webhooks


@shared_task(
    name="classifier.tasks.webhooks.send_webhooks_task", time_limit=100, soft_time_limit=80
)
def send_webhooks_task() -> None:
    """Send what is due for some seconds; what is left gets a message of its own."""
    if webhooks.send_due():
        webhooks.wake_sender()


@shared_task(
    name="classifier.tasks.webhooks.forget_requests_task", time_limit=60, soft_time_limit=45
)
def forget_requests_task() -> None:
    """Delete answers to idempotency keys after a day, and old messages after a month."""
    sent_once.forget_old()
    webhooks.forget_old()
