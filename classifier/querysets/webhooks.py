"""Whose webhooks somebody may see, and which messages are due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps
from django.db import models

from classifier.choices import DeliveryState

if TYPE_CHECKING:
    from datetime import datetime

    from classifier.models import Webhook, WebhookDelivery  # noqa: F401 - they type the querysets
    from classifier.querysets.people import ClinicQuerySet, Person


class WebhookQuerySet(models.QuerySet["Webhook"]):
    """Webhooks, seen from a person."""

    def visible_to(self, user: Person) -> WebhookQuerySet:
        """Return those of the clinics that the person administers."""
        return self.filter(clinic__in=_clinics().administered_by(user).values("pk"))

    def active(self) -> WebhookQuerySet:
        """Return those that have not been ended."""
        return self.filter(ended_at__isnull=True)


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    """Messages, seen from a person or from the sender."""

    def visible_to(self, user: Person) -> WebhookDeliveryQuerySet:
        """Return those to webhooks of the clinics that the person administers."""
        return self.filter(webhook__clinic__in=_clinics().administered_by(user).values("pk"))

    def due(self, now: datetime) -> WebhookDeliveryQuerySet:
        """Return what waits and is due at ``now``.

        Nothing is due to an address while one of its messages is held: it is being sent at this
        moment, or failed a moment ago.
        """
        waiting = self.model._default_manager.filter(state=DeliveryState.WAITING)
        held = waiting.filter(lease_until__gte=now)
        return self.filter(
            state=DeliveryState.WAITING,
            next_attempt_at__lte=now,
            webhook__ended_at__isnull=True,
        ).exclude(webhook__in=held.values("webhook"))


def _clinics() -> ClinicQuerySet:
    manager: ClinicQuerySet = apps.get_model("classifier", "Clinic")._default_manager.all()
    return manager
