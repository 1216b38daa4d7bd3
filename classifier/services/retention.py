"""The retention rule: which records are older than their clinic keeps them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Greatest
from django.utils import timezone

from classifier.models import (
    Analysis,
    BreakGlass,
    Clinic,
    Consent,
    Image,
    Lesion,
    Outcome,
    Patient,
    Reading,
    ReadingRequest,
    Review,
)
from classifier.services.erasure import erase_patient
from classifier.services.import_archives import lock_imports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.db.models import Model, QuerySet
    from django_stubs_ext import WithAnnotations

logger = logging.getLogger(__name__)

# Rows that only come about when somebody attends to the patient: (model, its way to the patient,
# when). A new table about patients belongs here, or among those that the test says are no visit.
VISITS: tuple[tuple[type[Model], str, str], ...] = (
    (Lesion, "patient", "created_at"),
    (Image, "patient", "created_at"),
    (Analysis, "patient", "created_at"),
    (Reading, "analysis__patient", "created_at"),
    (ReadingRequest, "patient", "created_at"),
    (Review, "analysis__patient", "created_at"),
    (Outcome, "patient", "recorded_at"),
    (Consent, "patient", "recorded_at"),
    (BreakGlass, "patient", "created_at"),
)


class _Seen(TypedDict):
    """What is annotated onto a patient."""

    last_visit: datetime


@dataclass(frozen=True)
class Overdue:
    """A patient whose record is older than the clinic keeps records.

    Attributes:
        patient: the row.
        last_visit: when anything clinical last happened: registration, lesion, image, analysis,
            reading, request for one, review, outcome, consent or emergency access. Correcting a
            name is no visit.
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
            *(
                _latest(model._default_manager.filter(**{way: OuterRef("pk")}), column)
                for model, way, column in VISITS
            ),
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
