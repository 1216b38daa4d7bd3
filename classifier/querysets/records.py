"""Who may see and change patients, lesions, images and analyses.

All of them belong to a clinic, so one pair of filters serves them all. Emergency access (a row of
``BreakGlass``) opens a single patient for reading.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.apps import apps
from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import FieldDoesNotExist
from django.db import models

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from classifier.querysets.break_glass import BreakGlassQuerySet
    from classifier.querysets.people import ClinicQuerySet, Person

M = TypeVar("M", bound=models.Model)


class IsAnyOf(models.Func):
    """``column = ANY(ARRAY(SELECT …))``: the keys are read once, before the table is.

    Unlike two ``IN (SELECT …)`` joined by OR, which PostgreSQL can only test row by row, this
    leaves it free to look the keys up in the indexes of both columns. Of several lists of keys a
    row may be in any.
    """

    arg_joiner = " = ANY("
    template = "(%(expressions)s))"
    output_field = models.BooleanField()

    def __init__(self, column: str, *lists: models.QuerySet[Any, Any]) -> None:
        arrays = [ArraySubquery(keys) for keys in lists]
        together = models.Func(*arrays, arg_joiner=" || ", template="%(expressions)s")
        super().__init__(models.F(column), together)


class Unnested(models.Func):
    """``unnest(ARRAY(SELECT …))``: a row for each key of a subquery that gives several."""

    function = "unnest"
    arity = 1
    set_returning = True


@dataclass(frozen=True)
class Ranking:
    """What an order needs that is no column.

    Attributes:
        anywhere: annotations that hold for every row.
        by_clinic: (which clinics, the same annotations as they can be said of these): where the
            clinic is known they are a column or a constant, and an index has them in order. All
            clinics must be in one of them.
    """

    anywhere: Mapping[str, Any] = field(default_factory=dict)
    by_clinic: Sequence[tuple[models.Q, Mapping[str, Any]]] = ((models.Q(), {}),)


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

    def first_visible_to(
        self,
        user: Person,
        *,
        order: Sequence[str],
        size: int,
        beyond: models.Q | None = None,
        ranking: Ranking | None = None,
    ) -> Self:
        """Return what ``visible_to`` does, in order, of which only the first rows are asked for.

        The first rows are looked up clinic by clinic, and those of all clinics are then merged.
        Within one clinic an index has them in the list's order. Over several PostgreSQL 18 has no
        such order: it would sort everything they hold, or walk through everybody's rows.

        Args:
            user: who asks.
            order: names of columns or annotations; the last one is the key.
            size: how many rows are asked for; take no more of what is returned.
            beyond: where a page begins, told in the order's names.
            ranking: annotations of the order, where it has any.
        """
        if not (user.is_authenticated and user.is_active) or self.query.is_empty():
            return self.none()
        ranking = ranking or Ranking()
        found = self._first_of(
            _clinics().visible_to(user), order, size, beyond or models.Q(), ranking
        )
        patient = self._patient_column()
        if patient:
            opened = self._ranked(ranking.anywhere, order, beyond or models.Q()).filter(
                **{patient: models.OuterRef("patient_id")}
            )
            mine = _emergencies().active().filter(user_id=user.pk)
            found.append(self._keys(mine, opened, size))
        rows = self._bare().annotate(**ranking.anywhere).filter(IsAnyOf("pk", *found))
        # What is asked for clinic by clinic is asked again in one: nothing rests on the merging.
        return rows.visible_to(user).order_by(*order)

    def first_writable_by(self, user: Person, *, order: Sequence[str], size: int) -> Self:
        """Return the first rows of ``writable_by``, as :meth:`first_visible_to` does."""
        clinics = _clinics().writable_by(user)
        found = self._first_of(clinics, order, size, models.Q(), Ranking())
        return self._bare().filter(IsAnyOf("pk", *found)).writable_by(user).order_by(*order)

    def _first_of(
        self,
        clinics: ClinicQuerySet,
        order: Sequence[str],
        size: int,
        beyond: models.Q,
        ranking: Ranking,
    ) -> list[models.QuerySet[Any, Any]]:
        """Return the keys of each clinic's first rows, in one list for each kind of clinic."""
        return [
            self._keys(
                clinics.filter(which),
                self._ranked(columns, order, beyond).filter(clinic_id=models.OuterRef("pk")),
                size,
            )
            for which, columns in ranking.by_clinic
        ]

    def _bare(self) -> Self:
        return type(self)(model=self.model, using=self.db)

    def _ranked(self, columns: Mapping[str, Any], order: Sequence[str], beyond: models.Q) -> Self:
        return self.annotate(**columns).filter(beyond).order_by(*order)

    def _keys(
        self, owners: models.QuerySet[Any, Any], rows: Self, size: int
    ) -> models.QuerySet[Any, Any]:
        key = self.model._meta.pk
        first = Unnested(ArraySubquery(rows.values("pk")[:size]), output_field=type(key)())
        return owners.order_by().values_list(first)

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
