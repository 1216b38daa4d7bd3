"""Imports of a clinic's old images, from the archive that is sent to the word that it may begin.

:mod:`classifier.exchange.import_work` works their lines through.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import IO, TYPE_CHECKING

from django.conf import settings
from django.core.files.base import File
from django.db import IntegrityError, transaction
from django.db.models import Count
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.choices import ImportState, RowState
from classifier.exchange.sources import ZipSource, digest_of, rows_of
from classifier.models import Clinic, ImportRow, ImportRun, User
from classifier.services import audit
from classifier.services.errors import RuleError
from classifier.services.import_archives import release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from classifier.exchange.sources import Source


def send_archive(*, clinic: Clinic, by: User, archive: IO[bytes]) -> ImportRun:
    """Keep an archive and its table's lines, to be looked through; nothing is added yet.

    The same archive for the same clinic gives the import that there is. Is that over, then its
    refused lines are looked through again.

    Raises:
        RuleError: it is no fit archive, or the person does not administer the clinic.
    """
    _check_administers(clinic, by)
    digest = digest_of(archive)
    return _kept(clinic, by, digest, rows_of(ZipSource(archive).table()), archive)


def open_source(*, clinic: Clinic, by: User, source: Source, digest: str) -> ImportRun:
    """Keep the lines of a table on this machine; its pictures stay where they are.

    Raises:
        RuleError: see :func:`send_archive`.
    """
    _check_administers(clinic, by)
    return _kept(clinic, by, digest, rows_of(source.table()), None)


def start(*, run: ImportRun, by: User) -> None:
    """Take in what was looked through and found fit.

    Raises:
        RuleError: it is not looked through yet, or the person does not administer the clinic.
    """
    _check_administers(run.clinic, by)
    with transaction.atomic():
        moved = ImportRun.objects.filter(pk=run.pk, state=ImportState.CHECKED).update(
            state=ImportState.RUNNING
        )
        if not moved:
            raise RuleError(_("This import is not waiting for your word. Look at it again."))
        run.rows.filter(state=RowState.READY, tries__gt=0).update(tries=0)
        audit.record(action="import.started", actor=by, clinic_id=run.clinic_id, subject=run)


def check_again(*, run: ImportRun, by: User, at_hand: bool = False) -> None:
    """Look refused lines through again, after what was wrong in the records is put right.

    Args:
        run: the import.
        by: who asks for it.
        at_hand: the pictures are on this machine; otherwise they must be in the run's archive.

    Raises:
        RuleError: rows are being worked through, the archive is gone, or the person does not
            administer the clinic.
    """
    _check_administers(run.clinic, by)
    with transaction.atomic():
        locked = ImportRun.objects.select_for_update().get(pk=run.pk)
        if locked.is_busy:
            raise RuleError(_("This import is not waiting for your word. Look at it again."))
        if not (locked.archive or at_hand):
            raise RuleError(_("The archive of this import is gone. Send it again."))
        _begin_again(locked)


def discard(*, run: ImportRun, by: User | None) -> None:
    """Remove an import's archive and lines; what it has added stays.

    Args:
        run: the import.
        by: who removes it; None for the rule that forgets old ones.

    Raises:
        RuleError: the person does not administer the clinic.
    """
    if by is not None:
        _check_administers(run.clinic, by)
    with transaction.atomic():
        locked = ImportRun.objects.select_for_update().filter(pk=run.pk).first()
        if locked is None:
            return
        audit.record(action="import.discarded", actor=by, clinic_id=run.clinic_id, subject=run)
        release(locked)
        locked.delete()


def forget_old() -> int:
    """Remove imports that are older than ``IMPORT_KEEP_DAYS``; return how many."""
    since = timezone.now() - timedelta(days=settings.IMPORT_KEEP_DAYS)
    old = list(ImportRun.objects.filter(created_at__lt=since))
    for run in old:
        discard(run=run, by=None)
    return len(old)


def counts_of(run: ImportRun) -> dict[str, int]:
    """Return how many lines stand how, by the values of ``RowState``."""
    found = run.rows.order_by().values_list("state").annotate(count=Count("pk"))
    return dict.fromkeys(RowState.values, 0) | dict(found)


def _kept(
    clinic: Clinic, by: User, digest: str, lines: list[dict[str, str]], archive: IO[bytes] | None
) -> ImportRun:
    known = ImportRun.objects.filter(clinic=clinic, source_sha256=digest).first()
    if known is not None:
        return known if archive is None else _sent_again(known, by, len(lines), archive)
    run = ImportRun(clinic=clinic, created_by=by, source_sha256=digest)
    try:
        with _no_file_left(run), transaction.atomic():
            if archive is not None:
                run.archive.save("", File(archive), save=False)
            run.save(force_insert=True)
            ImportRow.objects.bulk_create(
                ImportRow(run=run, line=number, facts=facts)
                for number, facts in enumerate(lines, start=2)
            )
            audit.record(
                action="import.sent",
                actor=by,
                clinic=clinic,
                subject=run,
                counts={"lines": len(lines)},
            )
    except IntegrityError:
        known = ImportRun.objects.filter(clinic=clinic, source_sha256=digest).first()
        if known is None:
            raise
        # The same form was sent twice at the same moment.
        return known
    return run


def _sent_again(known: ImportRun, by: User, lines: int, archive: IO[bytes]) -> ImportRun:
    """Take an archive in again that an import let go of, if lines of it were refused."""
    with _no_file_left(known), transaction.atomic():
        run = ImportRun.objects.select_for_update().filter(pk=known.pk).first()
        if run is None or run.archive or run.is_busy:
            return run or known
        if run.rows.count() < lines:
            raise RuleError(
                _(
                    "A patient of this archive was erased. Send what is left in a new archive"
                    " without that patient."
                )
            )
        if not run.rows.filter(state=RowState.REFUSED).exists():
            return run
        known.archive.save("", File(archive), save=False)
        run.archive, run.created_by, run.created_at = known.archive.name, by, timezone.now()
        run.save(update_fields=["archive", "created_by", "created_at"])
        _begin_again(run)
        audit.record(
            action="import.sent",
            actor=by,
            clinic_id=run.clinic_id,
            subject=run,
            counts={"lines": lines},
        )
    return run


def _begin_again(run: ImportRun) -> None:
    """Have what was not taken in looked through again."""
    run.rows.filter(state__in=(RowState.REFUSED, RowState.READY)).update(
        state=RowState.NEW, told="", tries=0
    )
    run.state, run.ended_for, run.finished_at = ImportState.CHECKING, "", None
    run.save(update_fields=["state", "ended_for", "finished_at"])


@contextmanager
def _no_file_left(run: ImportRun) -> Iterator[None]:
    """Remove the archive that was stored meanwhile, unless its row was stored as well."""
    try:
        yield
    except BaseException:
        name = run.archive.name
        if name and not ImportRun.objects.filter(archive=name).exists():
            run.archive.storage.delete(name)
        raise


def _check_administers(clinic: Clinic, by: User) -> None:
    if not Clinic.objects.administered_by(by).filter(pk=clinic.pk).exists():
        raise RuleError(_("Only a clinic's administrator imports its old images."))
