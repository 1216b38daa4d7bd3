"""Who may see imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps
from django.db import models

from classifier.choices import ImportState

if TYPE_CHECKING:
    from classifier.models import ImportRun  # noqa: F401 - types the queryset
    from classifier.querysets.people import Person


class ImportRunQuerySet(models.QuerySet["ImportRun"]):
    """Imports, seen from a person or from the task."""

    def visible_to(self, user: Person) -> ImportRunQuerySet:
        """Return the imports of the clinics that the person administers."""
        if not (user.is_authenticated and user.is_active):
            return self.none()
        clinics = apps.get_model("classifier", "Clinic")._default_manager.all()
        return self.filter(clinic__in=clinics.administered_by(user).values("pk"))

    def busy(self) -> ImportRunQuerySet:
        """Return those whose rows are to be worked through, the oldest first."""
        states = (ImportState.CHECKING, ImportState.RUNNING)
        return self.filter(state__in=states).order_by("created_at")
