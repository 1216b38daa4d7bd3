"""Whose emergency access is open, and who may know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps
from django.db import models
from django.db.models.functions import Now

if TYPE_CHECKING:
    from classifier.models import BreakGlass  # noqa: F401 - types the queryset
    from classifier.querysets.people import Person


class BreakGlassQuerySet(models.QuerySet["BreakGlass"]):
    """Emergency accesses, seen from a person or from a permission check."""

    def active(self) -> BreakGlassQuerySet:
        """Return those that are neither ended nor over, by the database's clock."""
        return self.filter(ended_at__isnull=True, expires_at__gt=Now())

    def visible_to(self, user: Person) -> BreakGlassQuerySet:
        """Return the person's own, and all of the clinics that the person administers."""
        if not (user.is_authenticated and user.is_active):
            return self.none()
        clinics = apps.get_model("classifier", "Clinic")._default_manager.all()
        return self.filter(
            models.Q(user_id=user.pk)
            | models.Q(clinic__in=clinics.administered_by(user).values("pk"))
        )
