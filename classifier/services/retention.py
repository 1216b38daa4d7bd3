"""The retention rule: which records are older than their clinic keeps them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Greatest
from django.utils import timezone

from classifier.models import Analysis, Clinic, Consent, Image, Patient, Reading, Review
from classifier.services.erasure import erase_patient
from classifier.services.import_archives import lock_imports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.db.models import QuerySet
    from django_stubs_ext import WithAnnotations

logger = logging.getLogger(__name__)


class _Seen(TypedDict):
    """What is annotated onto a patient."""

    last_visit: datetime


@dataclass(frozen=True)
class Overdue:
    """A patient whose record is older than the clinic keeps records.

    Attributes:
        patient: the row.
        last_visit: when anything clinical last happened: registration, image, analysis, reading,
            review or consent. Correcting a name is no visit.
        years: the clinic's rule.
    """

    patient: Patient
    last_visit: datetime
    years: int


def overdue(now: datetime | None = None) -> Iterator[Overdue]:
    """Yield the patients that the rules of their clinics would erase, longest away first."""
    moment = now or timezone.now()
    for clinic in Clinic.objects.filter(retention_years__isnull=False).order_by("name"):
        years = clinic.retention_years or 0
        away = _unseen_since(Patient.objects.filter(clinic=clinic), _years_before(moment, years))
        for patient in away.order_by("last_visit", "id"):
            yield Overdue(patient, patient.last_visit, years)


def apply_retention(now: datetime | None = None) -> int:
    """Erase what is overdue; return how many patients that were.

    Erasing many takes long: whoever came back meanwhile is kept.
    """
    moment = now or timezone.now()
    erased = 0
    for found in list(overdue(moment)):
        with transaction.atomic():
            lock_imports(found.patient)
            # Whoever adds an image waits here; who has added one is seen by the next question.
            locked = Patient.objects.select_for_update().filter(pk=found.patient.pk).first()
            own = Patient.objects.filter(pk=found.patient.pk)
            limit = _years_before(moment, found.years)
            if locked is None or not _unseen_since(own, limit).exists():
                continue
            erase_patient(
                patient_key=locked.pk,
                by=None,
                reason=f"Retention rule of the clinic: {found.years} years after the last visit.",
                confirmation=locked.record_number,
            )
        erased += 1
    return erased


def _unseen_since(
    patients: QuerySet[Patient], limit: datetime
) -> QuerySet[WithAnnotations[Patient, _Seen]]:
    """Return those whose ``last_visit``, which is annotated, was before ``limit``."""
    return patients.annotate(
        last_visit=Greatest(
            "created_at",
            _latest(Image.objects.filter(patient=OuterRef("pk")), "created_at"),
            _latest(Analysis.objects.filter(patient=OuterRef("pk")), "created_at"),
            _latest(Reading.objects.filter(analysis__patient=OuterRef("pk")), "created_at"),
            _latest(Review.objects.filter(analysis__patient=OuterRef("pk")), "created_at"),
            _latest(Consent.objects.filter(patient=OuterRef("pk")), "recorded_at"),
        )
    ).filter(last_visit__lt=limit)


def _latest(rows: QuerySet[Any], column: str) -> Subquery:
    """Return the newest value of a column, as part of the patient's row."""
    return Subquery(rows.order_by(f"-{column}").values(column)[:1])


def _years_before(moment: datetime, years: int) -> datetime:
    try:
        return moment.replace(year=moment.year - years)
    except ValueError:
        # 29 February.
        return moment.replace(year=moment.year - years, day=28)
