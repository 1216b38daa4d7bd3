"""Which tokens open the door now, and who may know of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps
from django.db import models
from django.db.models.functions import Now

if TYPE_CHECKING:
    from classifier.models import ApiToken  # noqa: F401 - types the queryset
    from classifier.querysets.people import Person


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    """Tokens, seen from a request or from a person."""

    def valid(self) -> ApiTokenQuerySet:
        """Return those that work now, by the database's clock.

        A token stops when it runs out or is revoked, while its owner is deactivated, and for good
        when its owner leaves the clinic: a membership that began later revives no older token.
        """
        membership = apps.get_model("classifier", "Membership")._default_manager.filter(
            user_id=models.OuterRef("user_id"),
            clinic_id=models.OuterRef("clinic_id"),
            created_at__lte=models.OuterRef("created_at"),
        )
        return self.filter(
            models.Exists(membership),
            revoked_at__isnull=True,
            expires_at__gt=Now(),
            user__is_active=True,
        )

    def visible_to(self, user: Person) -> ApiTokenQuerySet:
        """Return the person's own, and all of the clinics that the person administers."""
        if not (user.is_authenticated and user.is_active):
            return self.none()
        clinics = apps.get_model("classifier", "Clinic")._default_manager.all()
        return self.filter(
            models.Q(user_id=user.pk)
            | models.Q(clinic__in=clinics.administered_by(user).values("pk"))
        )
