"""Who may see and change patients, lesions, images and analyses.

All of them belong to a clinic, so one pair of filters serves them all. Emergency access (a row of
``BreakGlass``) opens a single patient for reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.apps import apps
from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import FieldDoesNotExist
from django.db import models

if TYPE_CHECKING:
    from classifier.querysets.break_glass import BreakGlassQuerySet
    from classifier.querysets.people import ClinicQuerySet, Person

M = TypeVar("M", bound=models.Model)


class IsAnyOf(models.Func):
    """``column = ANY(ARRAY(SELECT …))``: the keys are read once, before the table is.

    Unlike two ``IN (SELECT …)`` joined by OR, which PostgreSQL can only test row by row, this
    leaves it free to look the keys up in the indexes of both columns.
    """

    arg_joiner = " = ANY("
    template = "(%(expressions)s))"
    output_field = models.BooleanField()

    def __init__(self, column: str, keys: models.QuerySet[Any, Any]) -> None:
        super().__init__(models.F(column), ArraySubquery(keys))


class ClinicOwnedQuerySet(models.QuerySet[M]):
    """Rows that carry their clinic in the column ``clinic``.

    A row without a clinic cannot exist, and a person without a clinic sees nothing but what an
    emergency access opens.
    """

    def visible_to(self, user: Person) -> Self:
        """Return the rows of the person's clinics, and of patients under emergency access.

        The emergency access reaches rows that are a patient or name one in the column
        ``patient``; other rows are looked up through those.
        """
        if not (user.is_authenticated and user.is_active):
            return self.none()
        allowed: Any = IsAnyOf("clinic_id", _clinics().visible_to(user).values("pk"))
        patient = self._patient_column()
        if patient:
            mine = _emergencies().active().filter(user_id=user.pk)
            allowed = models.Q(allowed) | models.Q(IsAnyOf(patient, mine.values("patient_id")))
        return self.filter(allowed)

    def writable_by(self, user: Person) -> Self:
        """Return the rows the person may change or add to; emergency access changes nothing."""
        return self.filter(clinic__in=_clinics().writable_by(user).values("pk"))

    def _patient_column(self) -> str:
        if self.model._meta.label == "classifier.Patient":
            return "pk"
        try:
            self.model._meta.get_field("patient")
        except FieldDoesNotExist:
            return ""
        return "patient_id"


def _clinics() -> ClinicQuerySet:
    manager: ClinicQuerySet = apps.get_model("classifier", "Clinic")._default_manager.all()
    return manager


def _emergencies() -> BreakGlassQuerySet:
    manager: BreakGlassQuerySet = apps.get_model("classifier", "BreakGlass")._default_manager.all()
    return manager
