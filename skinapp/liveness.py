"""Signs of life of the processes that serve no page: a file that the worker and beat keep touching.

``skinapp.probe`` looks at its age. The file is named by ``HEARTBEAT_FILE``; without that setting
nothing is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from celery import bootsteps
from celery.beat import Scheduler
from django.conf import settings

EVERY_SECONDS = 5.0


def beat_once() -> None:
    """Touch the heartbeat file, if there is to be one."""
    if settings.HEARTBEAT_FILE:
        Path(settings.HEARTBEAT_FILE).touch()


class BeatScheduler(Scheduler):
    """Keeps the schedule in memory and shows that it lives.

    Celery's own default keeps a file that a kill can leave broken; nothing here needs it, because
    what is due every six hours is given by the clock and not by the last run.
    """

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Touch the heartbeat file at every look at the schedule."""
        beat_once()
        seconds: float = super().tick(*args, **kwargs)
        return seconds


class WorkerHeartbeat(bootsteps.StartStopStep):
    """Touches the heartbeat file from the worker's own loop, which stands still when it hangs."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        """Start without a timer."""
        super().__init__(parent, **kwargs)
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        """Touch the file now and then every few seconds."""
        beat_once()
        self._timer = parent.timer.call_repeatedly(EVERY_SECONDS, beat_once)

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Stop touching it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
