"""Archives of old images name patients: each is kept for only as long as its import needs it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.apps import apps
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.choices import ImportEnd, ImportState, RowState
from classifier.models import ImportRow, ImportRun
from classifier.services import audit

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from classifier.models import Patient, User


def release(run: ImportRun) -> None:
    """Let go of an import's archive, which it does not need any more.

    The file goes after the commit. What a crash leaves, the nightly check removes.
    """
    name, storage = run.archive.name, run.archive.storage
    if name:
        ImportRun.objects.filter(pk=run.pk).update(archive="")
        run.archive = ""
        transaction.on_commit(partial(storage.delete, name), robust=True)


def end(run: ImportRun, *, because: ImportEnd, by: User | None) -> None:
    """End an import before its time: its archive goes, and what is left of it is refused.

    So whoever sent it finds the rest among the refused lines, to be sent again.

    Args:
        run: locked; one that is finished is left as it is, without its archive.
        because: what whoever sent it is told.
        by: whose doing it is; None for the application's own.
    """
    if run.state not in {ImportState.FINISHED, ImportState.ENDED}:
        run.rows.filter(state__in=(RowState.NEW, RowState.READY)).update(
            state=RowState.REFUSED,
            told=_("The import ended before this line was taken in. Send it again."),
            patient=None,
        )
        run.state, run.ended_for, run.finished_at = ImportState.ENDED, because, timezone.now()
        run.save(update_fields=["state", "ended_for", "finished_at"])
        audit.record(action="import.ended", actor=by, clinic_id=run.clinic_id, subject=run)
    release(run)


def rows_naming(patient: Patient) -> QuerySet[ImportRow]:
    """Return the lines about a patient, under any number that they ever had.

    Lines that wait or were refused name a patient by number only.
    """
    version = apps.get_model("classifier", "PatientEvent")
    known = version._default_manager.filter(pgh_obj=patient)
    numbers = {patient.record_number, *known.values_list("record_number", flat=True)}
    return ImportRow.objects.filter(
        Q(patient=patient)
        | Q(run__clinic=patient.clinic_id, facts__patient_number__in=sorted(numbers))
    )


def lock_imports(patient: Patient) -> list[ImportRun]:
    """Lock the imports that name a patient, and their lines; return those that have an archive.

    To be done before the patient is locked: a worker that takes a line in locks it first, and then
    the patient.
    """
    found = rows_naming(patient).order_by()
    named = ImportRun.objects.filter(pk__in=found.values("run")).order_by("pk")
    runs = list(named.select_for_update())
    lines = ImportRow.objects.filter(
        Q(run__in=[run.pk for run in runs if run.archive]) | Q(pk__in=found.values("pk"))
    )
    list(lines.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))
    return [run for run in runs if run.archive]
