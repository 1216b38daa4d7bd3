"""Which outcome of a lesion counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from classifier.querysets.records import ClinicOwnedQuerySet

if TYPE_CHECKING:
    from classifier.models import Outcome  # noqa: F401 - it types the queryset


class OutcomeQuerySet(ClinicOwnedQuerySet["Outcome"]):
    """Outcomes, seen from a person."""

    def newest(self) -> OutcomeQuerySet:
        """Return the last row of each lesion, withdrawn or not."""
        later = self.model._default_manager.filter(
            lesion=models.OuterRef("lesion"), number__gt=models.OuterRef("number")
        )
        return self.filter(~models.Exists(later))

    def standing(self) -> OutcomeQuerySet:
        """Return what counts: the last row of each lesion, unless it was withdrawn."""
        return self.newest().filter(withdrawn=False)
