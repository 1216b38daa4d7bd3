"""The retention rule: which records are older than their clinic keeps them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import OuterRef, Subquery
from django.db.models.functions import Greatest
from django.utils import timezone

from classifier.models import Analysis, Clinic, Consent, Image, Patient, Reading, Review
from classifier.services.erasure import erase_patient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.db.models import QuerySet

logger = logging.getLogger(__name__)


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
        seen = (
            Patient.objects.filter(clinic=clinic)
            .annotate(
                last_visit=Greatest(
                    "created_at",
                    _latest(Image.objects.filter(patient=OuterRef("pk")), "created_at"),
                    _latest(Analysis.objects.filter(patient=OuterRef("pk")), "created_at"),
                    _latest(Reading.objects.filter(analysis__patient=OuterRef("pk")), "created_at"),
                    _latest(Review.objects.filter(analysis__patient=OuterRef("pk")), "created_at"),
                    _latest(Consent.objects.filter(patient=OuterRef("pk")), "recorded_at"),
                )
            )
            .filter(last_visit__lt=_years_before(moment, years))
            .order_by("last_visit", "id")
        )
        for patient in seen:
            last_visit: datetime = getattr(patient, "last_visit")  # noqa: B009 - an annotation, not a column
            yield Overdue(patient, last_visit, years)


def apply_retention(now: datetime | None = None) -> int:
    """Erase what is overdue; return how many patients that were."""
    erased = 0
    for found in list(overdue(now)):
        erase_patient(
            patient_key=found.patient.pk,
            by=None,
            reason=f"Retention rule of the clinic: {found.years} years after the last visit.",
            confirmation=found.patient.record_number,
        )
        erased += 1
    return erased


def _latest(rows: QuerySet[Any], column: str) -> Subquery:
    """Return the newest value of a column, as part of the patient's row."""
    return Subquery(rows.order_by(f"-{column}").values(column)[:1])


def _years_before(moment: datetime, years: int) -> datetime:
    try:
        return moment.replace(year=moment.year - years)
    except ValueError:
        # 29 February.
        return moment.replace(year=moment.year - years, day=28)
