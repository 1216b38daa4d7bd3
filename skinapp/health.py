"""Health pages: ``/healthz`` says the process lives, ``/readyz`` that the installation can work.

Neither needs a signed-in person, so neither tells a stranger more than which part fails: why it
fails is in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable
from health_check.views import HealthCheckView
from kombu.exceptions import OperationalError

from classifier.models import LabelSet, ModelVersion
from classifier.selectors.workplace import oldest_wait
from skinapp.celery import app

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

# A check that hangs keeps its thread; these bound how many can.
_POOL = ThreadPoolExecutor(max_workers=8, thread_name_prefix="readyz")
_BROKER_SECONDS = 2


@login_not_required
@never_cache
@require_safe
def alive(_request: HttpRequest) -> HttpResponse:
    """Answer as long as the process can answer at all."""
    return HttpResponse("ok\n", content_type="text/plain")


class DatabaseCheck(HealthCheck):  # type: ignore[misc]  # the library ships no types
    """A check that reads the database, from a thread of its own."""

    def run(self) -> None:
        """Look, and close the thread's connection afterwards."""
        try:
            self.look()
        finally:
            connection.close()

    def look(self) -> None:
        """Ask the database for anything."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")


@dataclasses.dataclass
class Database(DatabaseCheck):
    """PostgreSQL answers."""


@dataclasses.dataclass
class Broker(HealthCheck):  # type: ignore[misc]  # as above
    """The broker takes messages."""

    def run(self) -> None:
        """Open one connection and close it again."""
        options = {
            "socket_connect_timeout": _BROKER_SECONDS,
            "socket_timeout": _BROKER_SECONDS,
        }
        try:
            with app.connection_for_write(
                connect_timeout=_BROKER_SECONDS, transport_options=options
            ) as broker:
                broker.ensure_connection(max_retries=1, interval_start=0, timeout=_BROKER_SECONDS)
        except OperationalError as error:
            msg = "the broker does not answer; uploads are kept and wait"
            raise ServiceUnavailable(msg) from error


@dataclasses.dataclass
class ActiveModels(DatabaseCheck):
    """Every label set has an active model version."""

    def look(self) -> None:
        """Compare the active versions with the label sets."""
        active = set(ModelVersion.objects.filter(active=True).values_list("label_set", flat=True))
        missing = sorted(set(LabelSet.values) - active)
        if missing:
            msg = f"no active model version for {', '.join(missing)}; run register_models"
            raise ServiceUnavailable(msg)


@dataclasses.dataclass
class QueueAge(DatabaseCheck):
    """No analysis has waited longer than the alarm allows."""

    def look(self) -> None:
        """Measure the longest wait."""
        waited = oldest_wait()
        limit = timedelta(seconds=settings.ANALYSIS_QUEUE_ALARM_SECONDS)
        if waited is not None and waited > limit:
            msg = f"an analysis has waited {int(waited.total_seconds())} s; is a worker running?"
            raise ServiceUnavailable(msg)


@dataclasses.dataclass
class DiskSpace(HealthCheck):  # type: ignore[misc]  # as above
    """There is room for more images; an object store has its own alarm."""

    def run(self) -> None:
        """Ask the file system on which images lie."""
        if settings.MEDIA_S3_BUCKET:
            return
        place = Path(settings.MEDIA_ROOT).absolute()
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        if free < settings.DISK_ALARM_BYTES:
            msg = f"{free // 1024**2} MB are free where images are stored"
            raise ServiceUnavailable(msg)


class ReadyView(HealthCheckView):  # type: ignore[misc]  # as above
    """Runs the checks and answers in JSON: 200 when all are well, 503 otherwise."""

    checks = (Database, Broker, ActiveModels, QueueAge, DiskSpace)

    async def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ARG002 - the library's signature
        """Run every check and say of each by name whether it is well.

        The library's own answers (pages, feeds) are not used: they tell what went wrong.
        """
        with self.get_executor() as executor:
            results = await asyncio.gather(
                *(check.get_result(executor) for check in self.get_checks())
            )
        failing = any(result.error for result in results)
        body = {
            type(result.check).__name__: "failing" if result.error else "ok" for result in results
        }
        return JsonResponse(body, status=503 if failing else 200)

    def get_executor(self) -> AbstractContextManager[Executor]:
        """Return this module's threads; nothing waits for one that hangs."""
        return contextlib.nullcontext(_POOL)


ready = login_not_required(never_cache(ReadyView.as_view()))
