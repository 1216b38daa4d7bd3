"""Keeping every version of a row, with who wrote it and from where (django-pghistory)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pghistory
from django.db import models

from classifier.models.append_only import append_only

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

M = TypeVar("M", bound=models.Model)


def versioned(
    name: str, *, patient: str, exclude: Sequence[str] = ()
) -> Callable[[type[M]], type[M]]:
    """Return the decorator that lets PostgreSQL keep each version of a model's rows.

    A trigger copies the row whoever writes it: a service, the admin panel, raw SQL. The copy holds
    what ``pghistory.context`` knows at that moment (``skinapp.records``), so that nothing of it is
    left elsewhere when a patient is erased.

    Args:
        name: the model that holds the versions, "PatientEvent" and the like.
        patient: SQL that gives the patient of ``OLD``, whose erasure alone deletes versions.
        exclude: columns that are not kept.
    """

    def decorate(model: type[M]) -> type[M]:
        tracked: type[M] = pghistory.track(
            pghistory.InsertEvent(),
            pghistory.UpdateEvent(),
            exclude=list(exclude),
            obj_field=pghistory.ObjForeignKey(related_name="+"),
            context_field=pghistory.ContextJSONField(),
            append_only=False,
            model_name=name,
            meta={"triggers": append_only(f"{name.lower()}_append_only", patient=patient)},
        )(model)
        return tracked

    return decorate
