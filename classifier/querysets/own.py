"""Rows that belong to one person and concern nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from classifier.models import SavedFilter  # noqa: F401 - types the queryset
    from classifier.querysets.people import Person


class SavedFilterQuerySet(models.QuerySet["SavedFilter"]):
    """Saved filters, seen from a person."""

    def visible_to(self, user: Person) -> SavedFilterQuerySet:
        """Return the person's own; no role opens anybody else's."""
        if not (user.is_authenticated and user.is_active):
            return self.none()
        return self.filter(user_id=user.pk)
