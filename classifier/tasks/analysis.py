"""Waking a worker, and sweeping up after a lost one."""

from __future__ import annotations

import os
import socket
import time

from celery import shared_task
from django.utils import timezone

from classifier.models import Analysis
from classifier.services.analyses import wake_worker
from classifier.services.claims import sweep_lost_leases
from classifier.services.worker import run_batch

# A nudge works for so long before it makes way for other messages; below the soft limit.
_WORK_SECONDS = 45


def worker_name() -> str:
    """Return a name for this process that an operator recognises."""
    return f"{socket.gethostname()}:{os.getpid()}"


@shared_task(name="classifier.tasks.analysis.run_analyses_task", time_limit=120, soft_time_limit=90)
def run_analyses_task() -> None:
    """Run due analyses until none is left. Safe to run twice: a row is claimed by one worker."""
    deadline = time.monotonic() + _WORK_SECONDS
    while run_batch(worker=worker_name()):
        if time.monotonic() > deadline:
            wake_worker()
            return


@shared_task(
    name="classifier.tasks.analysis.sweep_analyses_task", time_limit=60, soft_time_limit=45
)
def sweep_analyses_task() -> None:
    """Take back rows of lost workers and wake a worker for whatever is due."""
    sweep_lost_leases()
    if Analysis.objects.due(timezone.now()).exists():
        wake_worker()
