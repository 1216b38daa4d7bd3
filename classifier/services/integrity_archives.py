"""Whether archives of old images lie where an import needs them, and nowhere else.

They hold patients' names and pictures as they were sent, so one that is left over must not stay.
Their bytes are not compared: a ZIP archive has sums of its own, which are looked at line by line.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from django.core.files.storage import default_storage
from django.db import transaction

from classifier.choices import ImportEnd, ImportState
from classifier.models import ImportRun
from classifier.services.import_archives import end, release

if TYPE_CHECKING:
    from datetime import datetime

    from classifier.services.integrity import Report

logger = logging.getLogger(__name__)

_FOLDER = "imports"
_NAME = re.compile(r"[0-9a-f-]{36}(?:\.[0-9a-f]{8})?\.zip")
_OVER = (ImportState.FINISHED, ImportState.ENDED)


def check_archives(report: Report, *, sweep: bool, before: datetime) -> None:
    """Check that each import has the archive it needs, and that no other lies there.

    Args:
        report: what was found is added to it.
        sweep: remove archives that nothing needs and end imports whose archive is lost.
        before: younger files may belong to an archive that is just being sent.
    """
    for run in ImportRun.objects.exclude(archive="").order_by("pk"):
        report.looked_at["archives"] += 1
        if run.state in _OVER:
            _judge_kept(report, run, sweep=sweep, before=before)
        else:
            _judge_needed(report, run, sweep=sweep)
    try:
        folders, files = default_storage.listdir(_FOLDER)
    except FileNotFoundError:
        return
    for folder in sorted(folders):
        report.add("file_unknown", f"{_FOLDER}/{folder}/")
    # Read after the files: whatever has a row by now is no orphan.
    known = set(ImportRun.objects.exclude(archive="").values_list("archive", flat=True))
    for file in sorted(files):
        if (name := f"{_FOLDER}/{file}") not in known:
            _judge_orphan(report, name, sweep=sweep, before=before)


def _judge_kept(report: Report, run: ImportRun, *, sweep: bool, before: datetime) -> None:
    """Judge an archive whose import is over: earlier versions kept it for a month."""
    if run.finished_at is not None and run.finished_at >= before:
        return
    if not sweep:
        report.add("file_orphan", run.archive.name, f"import {run.pk} is over")
        return
    with transaction.atomic():
        locked = ImportRun.objects.select_for_update().filter(pk=run.pk).first()
        if locked is None or locked.state not in _OVER:
            return
        release(locked)
    report.swept += 1


def _judge_needed(report: Report, run: ImportRun, *, sweep: bool) -> None:
    name = run.archive.name or ""
    try:
        if run.archive.storage.exists(name):
            return
    except OSError as error:
        report.add("file_unreadable", name, type(error).__name__)
        return
    with transaction.atomic():
        # It may have been let go of since the row was read.
        locked = ImportRun.objects.select_for_update().filter(pk=run.pk, archive=name).first()
        if locked is None:
            return
        report.add("file_missing", name, f"import {run.pk}")
        if sweep:
            # Whoever sent it is told to send it again; until then no backup would be whole.
            end(locked, because=ImportEnd.LOST, by=None)


def _judge_orphan(report: Report, name: str, *, sweep: bool, before: datetime) -> None:
    ours = _NAME.fullmatch(name.rpartition("/")[2]) is not None
    try:
        if default_storage.get_modified_time(name) >= before:
            return
        if not (sweep and ours):
            report.add("file_orphan" if ours else "file_unknown", name)
            return
        default_storage.delete(name)
    except FileNotFoundError:
        return
    except OSError as error:
        report.add("file_unreadable", name, type(error).__name__)
        return
    report.swept += 1
    logger.warning("an orphan archive was removed: %s", name)
