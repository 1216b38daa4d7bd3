"""Who may see and change patients, lesions, images and analyses.

All of them belong to a clinic, so one pair of filters serves them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from django.apps import apps
from django.db import models

if TYPE_CHECKING:
    from classifier.querysets.people import ClinicQuerySet, Person

M = TypeVar("M", bound=models.Model)


class ClinicOwnedQuerySet(models.QuerySet[M]):
    """Rows that carry their clinic in the column ``clinic``.

    A row without a clinic cannot exist, and a person without a clinic sees nothing.
    """

    def visible_to(self, user: Person) -> Self:
        """Return the rows of the clinics the person works in."""
        return self.filter(clinic__in=_clinics().visible_to(user).values("pk"))

    def writable_by(self, user: Person) -> Self:
        """Return the rows the person may change or add to."""
        return self.filter(clinic__in=_clinics().writable_by(user).values("pk"))


def _clinics() -> ClinicQuerySet:
    manager: ClinicQuerySet = apps.get_model("classifier", "Clinic")._default_manager.all()
    return manager
