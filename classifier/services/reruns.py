"""Comparing a network with the answers on record, before it answers for anybody."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.choices import RerunState, State
from classifier.days import start_of
from classifier.models import Analysis, RerunRow, RerunRun
from classifier.querysets.people import may_switch
from classifier.querysets.reruns import comparing_clinics
from classifier.services import audit
from classifier.services.errors import RuleError
from classifier.services.model_versions import check_files
from classifier.services.patients import broken_constraint
from mlcore.labels import TRIAGE_ORDER

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from classifier.models import Clinic, ModelVersion, User

_BULK = 1000
_FIRST_DAY = date(1970, 1, 1)


def may_compare(user: User) -> bool:
    """Tell whether the person may have any cases judged again."""
    return comparing_clinics(user).exists()


def past_cases(
    *, version: ModelVersion, clinic: Clinic | None, since: date, until: date
) -> QuerySet[Analysis]:
    """Return the cases that a comparison is about, the newest answer of each image.

    Images whose modality was corrected since belong to another network, and what the version
    itself has answered needs no comparison.

    Args:
        version: what they would be judged by.
        clinic: whose; None for all.
        since: the first day on which they were requested, in local time.
        until: the last day, included.
    """
    # A form takes any day; there is nothing before the first, and the last has a day after it.
    since, until = max(since, _FIRST_DAY), min(until, timezone.localdate())
    found = Analysis.objects.filter(
        label_set=version.label_set,
        state__in=(State.SUCCEEDED, State.REJECTED),
        prediction__isnull=False,
        created_at__gte=start_of(since),
        created_at__lt=start_of(until + timedelta(days=1)),
        modality=F("image__modality"),
    ).exclude(prediction__model_version=version)
    if clinic is not None:
        found = found.filter(clinic=clinic)
    return found.order_by("image_id", "-created_at", "-id").distinct("image_id")


def count_cases(*, version: ModelVersion, clinic: Clinic | None, since: date, until: date) -> int:
    """Return how many cases a comparison would judge; not further than one above the most."""
    found = past_cases(version=version, clinic=clinic, since=since, until=until)
    return found.values("pk")[: settings.RERUN_MOST_CASES + 1].count()


def start_rerun(
    *, version: ModelVersion, clinic: Clinic | None, since: date, until: date, by: User | None
) -> RerunRun:
    """Begin to judge past cases by a version; the answers on record stay what they are.

    The same one that is under way already is returned, not begun again.

    Args:
        version: which network.
        clinic: whose cases; None for all clinics'.
        since: see :func:`past_cases`.
        until: likewise.
        by: who wants to know; None for a command.

    Raises:
        RuleError: no right to these cases, no case, too many, or the version's files are missing
            or were changed.
    """
    if by is not None and not _may_start(by, clinic):
        raise RuleError(_("Only a clinic's administrator has its cases judged again."))
    check_files(version)
    facts = {"version": version, "clinic": clinic, "since": since, "until": until}
    try:
        with transaction.atomic():
            run = RerunRun.objects.create(created_by=by, **facts)
            cases = past_cases(version=version, clinic=clinic, since=since, until=until)
            count = _add_rows(run, cases)
            audit.record(
                action="rerun.started",
                actor=by,
                clinic=clinic,
                subject=run,
                label_set=version.label_set,
                version=version.version,
                counts={"cases": count},
            )
    except IntegrityError as error:
        if broken_constraint(error) != "rerun_once_under_way":
            # A patient was erased at this moment.
            raise RuleError(_("The records changed meanwhile. Please try again.")) from error
        running = RerunRun.objects.filter(state=RerunState.RUNNING, **facts).first()
        # Where it ended at this moment, nothing is in the way any more.
        return running or start_rerun(
            version=version, clinic=clinic, since=since, until=until, by=by
        )
    return run


def cancel_rerun(*, run: RerunRun, by: User) -> None:
    """End a comparison before its time; what was judged until then stays to be seen.

    Raises:
        RuleError: it is over already, or the person has no right to it.
    """
    if not RerunRun.objects.visible_to(by).filter(pk=run.pk).exists():
        raise RuleError(_("Only a clinic's administrator has its cases judged again."))
    if not end_rerun(run, RerunState.CANCELLED, by=by):
        raise RuleError(_("This comparison is over already."))


def end_rerun(run: RerunRun, state: RerunState, *, by: User | None = None, told: str = "") -> bool:
    """End a comparison that is under way; return whether it was."""
    with transaction.atomic():
        moved = RerunRun.objects.filter(pk=run.pk, state=RerunState.RUNNING).update(
            state=state, ended_at=timezone.now(), ended_by=by, told=told[:500]
        )
        if moved:
            audit.record(
                action=f"rerun.{state}",
                actor=by,
                clinic_id=run.clinic_id,
                subject=run,
                label_set=run.version.label_set,
                version=run.version.version,
            )
    return bool(moved)


def _may_start(by: User, clinic: Clinic | None) -> bool:
    if clinic is None:
        return may_switch(by)
    return comparing_clinics(by).filter(pk=clinic.pk).exists()


def _add_rows(run: RerunRun, cases: QuerySet[Analysis]) -> int:
    most: int = settings.RERUN_MOST_CASES
    found = list(
        cases.select_related("prediction").only(
            "clinic_id",
            "patient_id",
            "decision",
            "top_label",
            "prediction__model_version_id",
            "prediction__triage_group",
        )[: most + 1]
    )
    if not found:
        raise RuleError(_("There is no case in this period that another version has answered."))
    if len(found) > most:
        raise RuleError(
            _("These are more than %(most)d cases. Choose a shorter period.") % {"most": most}
        )
    RerunRow.objects.bulk_create(
        (
            RerunRow(
                run=run,
                clinic_id=case.clinic_id,
                patient_id=case.patient_id,
                analysis=case,
                before_version_id=case.prediction.model_version_id,
                before_decision=case.decision,
                before_label=case.top_label,
                before_rank=TRIAGE_ORDER.index(case.prediction.triage_group),
            )
            for case in found
            if case.prediction is not None
        ),
        batch_size=_BULK,
    )
    return len(found)
