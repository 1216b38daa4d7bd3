"""Working an import through, line by line: looked through first, then taken in.

The rows are the work, as everywhere: a line is done in one transaction with what it adds, so that a
killed task, a second one beside it, or the same archive sent again add nothing twice.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier import intake
from classifier.choices import BodySite, ImportEnd, ImportState, RowState
from classifier.exchange.identity import check_identity
from classifier.exchange.importing import counts_of
from classifier.exchange.rows import as_upload, site_of, wanted
from classifier.exchange.sources import ZipSource
from classifier.intake.decoders import DecoderError
from classifier.models import Image, ImportRow, ImportRun, Patient
from classifier.services import audit
from classifier.services.errors import RuleError
from classifier.services.images import add_images
from classifier.services.import_archives import end, release
from classifier.services.patients import lesion_meant

if TYPE_CHECKING:
    from classifier.exchange.sources import Source
    from classifier.services.patients import NewLesion, NewPatient

logger = logging.getLogger(__name__)

# Of an image's line that broke its worker so often, no further try is made.
_MOST_TRIES = 3
# The database away or wanting it done again, a full disk, no object store, no decoding process.
_NO_FAULT_OF_THE_LINE = (OperationalError, InterfaceError, OSError, DecoderError)
_BEFORE = {ImportState.CHECKING: RowState.NEW, ImportState.RUNNING: RowState.READY}
_AFTER = {
    ImportState.CHECKING: ImportState.CHECKED,
    ImportState.RUNNING: ImportState.FINISHED,
}


def go_on(run: ImportRun, *, seconds: float, source: Source | None = None) -> bool:
    """Work through lines until none is left in this stage, or the time is over.

    Args:
        run: one that is busy.
        seconds: no line is begun after so long.
        source: where the pictures are, if not in the run's archive.

    Returns:
        Whether nothing is left to do in this stage. An import whose archive is missing or damaged
        has ended.

    Raises:
        RuleError: the pictures are on a machine that only the command knows.
        OSError: the archive cannot be read now.
    """
    deadline = time.monotonic() + seconds
    if source is not None:
        return _work(run, source, deadline)
    if not run.archive:
        raise RuleError(_("The pictures of this import lie in a folder: run the command again."))
    try:
        opened = run.archive.storage.open(run.archive.name or "", "rb")
    except FileNotFoundError:
        _lose(run)
        return True
    with opened:
        try:
            source = ZipSource(opened)
        except RuleError as error:
            if isinstance(error.__cause__, OSError):
                # The disk's fault, or the object store's: it may be read another time.
                raise error.__cause__ from None
            _lose(run)
            return True
        return _work(run, source, deadline)


def _lose(run: ImportRun) -> None:
    """End an import whose archive is missing or damaged, unless it was let go of meanwhile."""
    with transaction.atomic():
        same = ImportRun.objects.select_for_update().busy()
        locked = same.filter(pk=run.pk, archive=run.archive.name).first()
        if locked is not None:
            logger.error("import %s: its archive is missing or damaged, so it ended", run.pk)
            end(locked, because=ImportEnd.LOST, by=None)


def _work(run: ImportRun, source: Source, deadline: float) -> bool:
    while time.monotonic() < deadline:
        key = _next_row(run)
        if key is None:
            return _end_stage(run)
        try:
            done = _work_through(run, key, source)
        except _NO_FAULT_OF_THE_LINE:
            _give_back(key)
            raise
        if not done:
            _give_back(key)
    return False


def _work_through(run: ImportRun, key: int, source: Source) -> bool:
    """Work one line through; return whether it was not another worker's by now."""
    with transaction.atomic():
        row = (
            ImportRow.objects.select_for_update(skip_locked=True)
            .filter(pk=key, state=_BEFORE[ImportState(run.state)])
            .first()
        )
        if row is None:
            return False
        _do(run, row, source)
        row.save()
        return True


def _give_back(key: int) -> None:
    """Take a try back that was none: only what kills its worker is to be given up."""
    ImportRow.objects.filter(pk=key, tries__gt=0).update(tries=F("tries") - 1)


def _next_row(run: ImportRun) -> int | None:
    with transaction.atomic():
        waiting = run.rows.select_for_update(skip_locked=True).filter(
            state=_BEFORE[ImportState(run.state)]
        )
        key = waiting.order_by("line").values_list("pk", flat=True).first()
        # Counted outside the transaction of the work: what kills the worker is counted too.
        if key is not None:
            ImportRow.objects.filter(pk=key).update(tries=F("tries") + 1)
        return key


def _do(run: ImportRun, row: ImportRow, source: Source) -> None:
    """Look one line through, or take it in."""
    work = _look if run.state == ImportState.CHECKING else _take
    try:
        if row.tries > _MOST_TRIES:
            raise RuleError(_("This picture could not be worked through. Export it anew."))
        with transaction.atomic():
            work(run, row, source)
    except (RuleError, intake.Refused) as refused:
        row.state, row.told = RowState.REFUSED, str(refused)[:500]
        row.patient = None


def _look(run: ImportRun, row: ImportRow, source: Source) -> None:
    asked = wanted(row.facts, run.clinic)
    named = run.rows.filter(facts__file=asked.file, line__lt=row.line)
    other = named.exclude(facts__patient_number=row.facts.get("patient_number", "")).first()
    if other is not None:
        raise RuleError(
            _("Line %(line)d names the same file for another patient.") % {"line": other.line}
        )
    accepted = intake.accept(as_upload(source.read(asked.file)))
    who = asked.patient
    check_identity(
        accepted,
        number=who.record_number,
        name=who.name,
        born=who.date_of_birth,
        modality=asked.modality,
    )
    row.state, row.told = RowState.READY, asked.words()
    if isinstance(who, Patient):
        if who.archived:
            raise RuleError(_("The patient of this number is archived."))
        row.patient = who
        same = Image.objects.filter(patient=who, original_sha256=accepted.original_sha256)
        if same.exists():
            # Nothing is recorded of it any more, its lesion neither.
            row.state, row.told = RowState.KNOWN, ""
            row.facts = {"file": asked.file}
            return
    if asked.lesion is not None:
        _check_lesion(run, row, asked.lesion, of=who)


def _check_lesion(
    run: ImportRun, row: ImportRow, new: NewLesion, *, of: Patient | NewPatient
) -> None:
    """Check that the record and the other lines say the same site of a lesion.

    Raises:
        RuleError: they do not.
    """
    if isinstance(of, Patient):
        lesion_meant(patient=of, new=new)
    others = run.rows.filter(
        state=RowState.READY,
        facts__patient_number=row.facts.get("patient_number", ""),
        facts__lesion=new.label,
    )
    other = others.exclude(pk=row.pk).order_by("line").first()
    if other is None:
        return
    # The first of them will record it; those that follow say the same site or none. One that was
    # refused before may stand above those that were found fit.
    first, second = sorted((row, other), key=lambda each: each.line)
    if site_of(second.facts) not in {BodySite.UNKNOWN, site_of(first.facts)}:
        raise RuleError(
            _("Line %(line)d says another site of this lesion, or none.") % {"line": other.line}
        )


def _take(run: ImportRun, row: ImportRow, source: Source) -> None:
    asked = wanted(row.facts, run.clinic)
    outcome = add_images(
        patient=asked.patient,
        by=run.created_by,
        uploads=[as_upload(source.read(asked.file))],
        modality=asked.modality,
        lesion=asked.lesion,
        taken_at=asked.taken_at,
    )
    (file,) = outcome.files
    if file.added is None:
        raise RuleError(file.refusal)
    row.image, row.patient, row.told = file.added.image, file.added.image.patient, ""
    row.state = RowState.KNOWN if file.added.known else RowState.DONE
    # What stands in the record now need not be kept here as well.
    row.facts = {"file": asked.file}


def _end_stage(run: ImportRun) -> bool:
    """Say that a stage is over, unless lines of it are in another worker's hands.

    The last one lets go of the archive; so does the first, if every picture is known already.
    """
    if run.rows.filter(state=_BEFORE[ImportState(run.state)]).exists():
        return False
    with transaction.atomic():
        after = _AFTER[ImportState(run.state)]
        if not run.rows.filter(state__in=(RowState.READY, RowState.REFUSED)).exists():
            after = ImportState.FINISHED
        ended = timezone.now() if after is ImportState.FINISHED else None
        moved = ImportRun.objects.filter(pk=run.pk, state=run.state).update(
            state=after, finished_at=ended
        )
        if moved and after is ImportState.FINISHED:
            counts = {name: count for name, count in counts_of(run).items() if count}
            audit.record(
                action="import.finished",
                actor=run.created_by,
                clinic_id=run.clinic_id,
                subject=run,
                counts=counts,
            )
            release(run)
    run.refresh_from_db()
    return True
