"""Where a clinic is told that an analysis is finished, and what became of each message."""

import uuid
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from classifier.choices import DeliveryState
from classifier.models.analyses import Analysis
from classifier.models.people import Clinic, User
from classifier.querysets.webhooks import WebhookDeliveryQuerySet, WebhookQuerySet


class Webhook(models.Model):
    """One address that a clinic's administrator entered. It is ended, never deleted or moved."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(
        Clinic, on_delete=models.PROTECT, related_name="+", verbose_name=_("clinic")
    )
    url = models.CharField(_("address"), max_length=500)
    # Sealed by ``classifier.services.sealing``.
    secret = models.TextField(_("secret"))
    created_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", verbose_name=_("created by")
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    ended_by = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("ended by"),
    )

    objects = WebhookQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering = ("-created_at", "-id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(url__startswith="https://"), name="webhook_is_https"
            ),
            models.CheckConstraint(
                condition=models.Q(ended_at__isnull=True, ended_by__isnull=True)
                | models.Q(ended_at__isnull=False, ended_by__isnull=False),
                name="webhook_end_is_signed",
            ),
            models.UniqueConstraint(
                fields=("clinic", "url"),
                condition=models.Q(ended_at__isnull=True),
                name="webhook_once_per_address",
                violation_error_message=_("This clinic has a webhook with this address already."),
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class WebhookDelivery(models.Model):
    """One message to one webhook: written with the move that it tells of, then sent until taken.

    It says which analysis is finished and nothing else, so that the row needs no body.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    analysis = models.ForeignKey(Analysis, on_delete=models.CASCADE, related_name="+")
    # Of the analysis: one that is tried again finishes again.
    analysis_attempt = models.PositiveSmallIntegerField(_("attempt of the analysis"))
    state = models.CharField(
        _("state"), max_length=10, choices=DeliveryState.choices, default=DeliveryState.WAITING
    )
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt at"))
    lease_until = models.DateTimeField(_("leased until"), null=True, blank=True)
    # [{"at", "status", "fault", "ms"}], one for each attempt that ended; status may be null.
    tries = models.JSONField(_("attempts so far"), default=list, blank=True)
    delivered_at = models.DateTimeField(_("delivered at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"))

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        ordering = ("-created_at", "-id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=("webhook", "analysis", "analysis_attempt"), name="webhook_told_once"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=DeliveryState.values),
                name="webhook_delivery_state_valid",
            ),
            models.CheckConstraint(
                condition=models.Q(state=DeliveryState.DELIVERED, delivered_at__isnull=False)
                | (~models.Q(state=DeliveryState.DELIVERED) & models.Q(delivered_at__isnull=True)),
                name="webhook_delivery_is_dated",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=("next_attempt_at", "id"),
                condition=models.Q(state=DeliveryState.WAITING),
                name="webhook_delivery_due",
            ),
            models.Index(fields=("webhook", "-created_at", "-id"), name="webhook_delivery_latest"),
            models.Index(fields=("created_at",), name="webhook_delivery_age"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} ({self.state})"
