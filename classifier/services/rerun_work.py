"""Judging past cases by another network, a few at a time, when nothing fresh waits.

Rows are jobs as analyses are: claimed with a lease by one worker, completed only at the same
attempt, tried alone after the first time. A killed worker's rows are taken again when their lease
is over; a task that runs twice finds nothing to do.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.choices import Decision, RerunRowState, RerunState, TriageChange
from classifier.models import ModelVersion, RerunRow, RerunRun
from classifier.selectors.workplace import fresh_waits
from classifier.services.model_versions import verified_release
from classifier.services.network_inputs import InputFaultError, stored_input
from classifier.services.reruns import end_rerun
from mlcore.bundle import ReleaseError
from mlcore.labels import TRIAGE_ORDER
from mlcore.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from PIL import Image as Pillow

    from mlcore.predictor import Result
    from mlcore.quality import Quality

logger = logging.getLogger(__name__)

# A fresh upload waits for so many pictures at most: a tenth of a second.
_AT_ONCE = 4
# How long a worker may hold them; far longer than they take.
_LEASE = timedelta(seconds=60)
# What failed for a passing reason is left alone for so long.
_PAUSE = timedelta(seconds=30)

# The candidate lies beside the networks that answer and never takes the place of one of them.
_loaded: dict[UUID, Predictor] = {}
_loaded_lock = threading.Lock()


@dataclass(frozen=True)
class _Case:
    row: RerunRow
    picture: Pillow.Image
    quality: Quality | None


def go_on(*, seconds: float, run: RerunRun | None = None) -> None:
    """Judge cases until the time is over, nothing is left, or something fresh waits.

    Args:
        seconds: no cases are begun after so long.
        run: this one only; by default the oldest that is under way.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until and not fresh_waits():
        busy = RerunRun.objects.busy().select_related("version")
        present = (busy.filter(pk=run.pk) if run else busy).first()
        if present is None:
            return
        rows = _claim(present)
        if rows:
            _judge(present, rows)
        elif not present.rows.unfinished().exists():
            end_rerun(present, RerunState.FINISHED)
        else:
            # Another worker holds the rest.
            return


def change_between(before: tuple[str, int], after: tuple[str, int]) -> TriageChange:
    """Return what becomes of a case: each side is a decision and the rank of its triage group.

    A case of which neither network can say what it is has a worst plausible group, too; a picture
    that neither can use has none.
    """
    (old, old_rank), (new, new_rank) = before, after
    if old == new:
        if old == Decision.REJECTED or old_rank == new_rank:
            return TriageChange.SAME
        return TriageChange.UP if new_rank < old_rank else TriageChange.DOWN
    return {
        Decision.ANSWER: TriageChange.TO_ANSWER,
        Decision.CANNOT_SAY: TriageChange.TO_CANNOT_SAY,
        Decision.REJECTED: TriageChange.TO_REJECTED,
    }[Decision(new)]


@transaction.atomic
def _claim(run: RerunRun) -> list[RerunRow]:
    """Lease some rows: fresh ones together, one that was tried before by itself."""
    now = timezone.now()
    due = run.rows.due(now)
    due.filter(attempt__gte=settings.ANALYSIS_MAX_ATTEMPTS).update(
        state=RerunRowState.FAILED, lease_until=None, failure_code="worker_lost"
    )
    rows = list(
        due.select_for_update(skip_locked=True, of=("self",))
        .select_related("analysis__image")
        .order_by("attempt", "id")[:_AT_ONCE]
    )
    if rows and rows[0].attempt:
        rows = rows[:1]
    rows = [row for row in rows if row.attempt == rows[0].attempt]
    RerunRow.objects.filter(pk__in=[row.pk for row in rows]).update(
        state=RerunRowState.RUNNING, attempt=F("attempt") + 1, lease_until=now + _LEASE
    )
    for row in rows:
        row.attempt += 1
    return rows


def _judge(run: RerunRun, rows: Sequence[RerunRow]) -> None:
    try:
        predictor = _predictor(run.version)
    except ReleaseError:
        logger.exception("A comparison ends: the files of %s cannot be used.", run.version)
        end_rerun(
            run,
            RerunState.CANCELLED,
            told=_("The files of %s are missing or were changed.") % run.version,
        )
        return
    cases = []
    for row in rows:
        try:
            cases.append(_Case(row, *stored_input(row.analysis.image)))
        except SoftTimeLimitExceeded:
            raise
        except InputFaultError as fault:
            _set(row, state=RerunRowState.FAILED, lease_until=None, failure_code=fault.code)
        except Exception:  # whatever storage or decoder raise, the row must move
            logger.exception("The picture of case %s could not be read now.", row.pk)
            _later(row, "storage_error")
    try:
        results = predictor.predict([c.picture for c in cases], [c.quality for c in cases])
    except SoftTimeLimitExceeded:
        raise
    except Exception:  # whatever an engine raises, the rows must move
        logger.exception("%d cases of a comparison broke.", len(cases))
        for case in cases:
            _later(case.row, "network_error")
        return
    for case, result in zip(cases, results, strict=True):
        _complete(case.row, result)


def _complete(row: RerunRow, result: Result) -> None:
    rank = TRIAGE_ORDER.index(result.triage_group)
    _set(
        row,
        state=RerunRowState.DONE,
        lease_until=None,
        decision=result.decision,
        label=result.top,
        rank=rank,
        change=change_between((row.before_decision, row.before_rank), (result.decision, rank)),
    )


def _later(row: RerunRow, code: str) -> None:
    """Leave a row for a while, or for good where no attempt is left."""
    if row.attempt >= settings.ANALYSIS_MAX_ATTEMPTS:
        _set(row, state=RerunRowState.FAILED, lease_until=None, failure_code=code)
    else:
        _set(row, lease_until=timezone.now() + _PAUSE)


def _set(row: RerunRow, **facts: object) -> None:
    """Change a row that is still held for the same attempt; another worker's stays as it is."""
    held = RerunRow.objects.filter(pk=row.pk, state=RerunRowState.RUNNING, attempt=row.attempt)
    held.update(**facts)


def _predictor(version: ModelVersion) -> Predictor:
    """Return the loaded candidate; the one before is let go.

    Raises:
        ReleaseError: its files are missing or were changed.
    """
    with _loaded_lock:
        predictor = _loaded.get(version.pk)
        if predictor is None:
            predictor = Predictor(
                verified_release(version), engine=settings.MLCORE_ENGINE, threads=1
            )
            _loaded.clear()
            _loaded[version.pk] = predictor
        return predictor
