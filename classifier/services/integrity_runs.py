"""The nightly check: one run in slices, so that no message works for longer than it may."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from classifier.models import Image, IntegrityRun
from classifier.services import audit
from classifier.services.integrity import (
    SLICES,
    Finding,
    Report,
    check_installation,
    check_slices,
)
from classifier.services.turns import Turn

logger = logging.getLogger(__name__)

# So many findings are kept one by one; all are counted and logged.
KEPT = 500
# A second of reading from a disk, some seconds from an object store.
_IMAGES_AT_ONCE = 100


def run_of_the_night() -> IntegrityRun | None:
    """Return the run to work on: an unfinished one, or a new one once a day; None without any."""
    now = timezone.localtime()
    begin = now.replace(hour=settings.INTEGRITY_HOUR, minute=0, second=0, microsecond=0)
    if begin > now:
        begin -= timedelta(days=1)
    runs = IntegrityRun.objects.all()
    if runs.filter(finished_at=None).exists() or not runs.filter(started_at__gte=begin).exists():
        return open_run()
    return None


def open_run() -> IntegrityRun:
    """Return the run that is not finished, a new one where there is none."""
    return IntegrityRun.objects.get_or_create(finished_at=None)[0]


def go_on(run: IntegrityRun, *, seconds: float) -> bool:
    """Check slice after slice, removing orphan files, until the run or its turn is over.

    Two that work on one run at once do the same slice twice, but it is counted once.

    Args:
        run: an unfinished run.
        seconds: no slice is begun after so long, nor a second one while an image waits.

    Returns:
        Whether the run is finished.
    """
    turn = Turn(seconds)
    while run.slices_done < SLICES:
        last = min(SLICES, run.slices_done + _width()) - 1
        report = check_slices(run.slices_done, last, sweep=True)
        if run.slices_done == 0:
            report.merge(check_installation(sweep=True))
        if not _add(run, report, last + 1):
            run.refresh_from_db()
        if turn.is_over():
            break
    return run.slices_done >= SLICES


def _width() -> int:
    """Return how many slices hold about as many images as are checked in one go."""
    return max(1, SLICES * _IMAGES_AT_ONCE // max(1, Image.objects.count()))


def _add(run: IntegrityRun, report: Report, slices_done: int) -> bool:
    """Write slices down, unless somebody else did; the last one ends the run."""
    with transaction.atomic():
        row = IntegrityRun.objects.select_for_update().get(pk=run.pk)
        if row.slices_done != run.slices_done:
            return False
        for finding in report.findings:
            tell(finding)
        row.slices_done = slices_done
        row.looked_at = _sum(row.looked_at, dict(report.looked_at))
        row.counts = _sum(row.counts, report.counts)
        row.findings = [*row.findings, *map(asdict, report.findings)][:KEPT]
        row.swept += report.swept
        if row.slices_done == SLICES:
            row.finished_at = timezone.now()
            record(looked_at=row.looked_at, counts=row.counts, swept=row.swept)
        row.save()
    run.refresh_from_db()
    return True


def tell(finding: Finding) -> None:
    """Write one finding to the log."""
    logger.error("integrity: %s: %s %s", finding.code, finding.subject, finding.detail)


def record(*, looked_at: dict[str, int], counts: dict[str, int], swept: int) -> None:
    """Note in the audit trail that all was checked, and what came out."""
    audit.record(action="integrity.checked", looked_at=looked_at, findings=counts, swept=swept)


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in sorted({*one, *other})}
