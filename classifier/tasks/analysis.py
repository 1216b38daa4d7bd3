"""Waking a worker, and sweeping up after a lost one."""

from __future__ import annotations

import os
import socket

from celery import shared_task
from django.utils import timezone

from classifier.models import Analysis
from classifier.services.analyses import wake_worker
from classifier.services.claims import sweep_lost_leases
from classifier.services.worker import run_batch

# At the end of a turn both cores wait for the last results to be stored; told to stop, a worker
# goes on for so long.
_TURN_SECONDS = 3.0


def worker_name() -> str:
    """Return a name for this process that an operator recognises."""
    return f"{socket.gethostname()}:{os.getpid()}"


@shared_task(name="classifier.tasks.analysis.run_analyses_task", time_limit=120, soft_time_limit=90)
def run_analyses_task() -> None:
    """Run due analyses for a while. Safe to run twice: a row is claimed by one worker.

    What else is due gets a message of its own: a worker that is told to stop finishes its message,
    and so stops within seconds, however long the queue is.
    """
    if (
        run_batch(worker=worker_name(), go_on_seconds=_TURN_SECONDS)
        and Analysis.objects.due(timezone.now()).exists()
    ):
        wake_worker()


@shared_task(
    name="classifier.tasks.analysis.sweep_analyses_task", time_limit=60, soft_time_limit=45
)
def sweep_analyses_task() -> None:
    """Take back rows of lost workers and wake a worker for whatever is due."""
    sweep_lost_leases()
    if Analysis.objects.due(timezone.now()).exists():
        wake_worker()
