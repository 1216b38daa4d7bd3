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
        """Return what waits, is due at ``now`` and is held by no living sender."""
        return self.filter(
            models.Q(lease_until__isnull=True) | models.Q(lease_until__lt=now),
            state=DeliveryState.WAITING,
            next_attempt_at__lte=now,
            webhook__ended_at__isnull=True,
        )


def _clinics() -> ClinicQuerySet:
    manager: ClinicQuerySet = apps.get_model("classifier", "Clinic")._default_manager.all()
    return manager
