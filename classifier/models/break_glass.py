"""Emergency access: reading one patient's record without a right to it, for a while."""

import uuid
from typing import ClassVar

import pgtrigger
from django.db import models
from django.utils.translation import gettext_lazy as _

from classifier.models.patients import Patient
from classifier.models.people import Clinic, User
from classifier.querysets.break_glass import BreakGlassQuerySet


class BreakGlass(models.Model):
    """One person's emergency access to one patient.

    It opens the patient's record for reading and nothing else. It is over at ``expires_at`` or when
    somebody ends it; what it was is never rewritten. It goes with the patient when the patient is
    erased: the audit trail keeps that it happened.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", verbose_name=_("person")
    )
    clinic = models.ForeignKey(
        Clinic, on_delete=models.PROTECT, related_name="+", verbose_name=_("clinic")
    )
    patient = models.ForeignKey(
        Patient, on_delete=models.CASCADE, related_name="+", verbose_name=_("patient")
    )
    reason = models.CharField(_("reason"), max_length=500)
    created_at = models.DateTimeField(_("from"), auto_now_add=True)
    expires_at = models.DateTimeField(_("until"))
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    ended_by = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("ended by"),
    )

    objects = BreakGlassQuerySet.as_manager()

    class Meta:
        verbose_name = _("emergency access")
        verbose_name_plural = _("emergency accesses")
        ordering = ("-created_at", "-id")
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            pgtrigger.Protect(
                name="break_glass_is_not_rewritten",
                operation=pgtrigger.Update,
                condition=pgtrigger.AnyChange(exclude=["ended_at", "ended_by"]),
            ),
            pgtrigger.Protect(
                name="break_glass_ends_once",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__ended_at__isnull=False),
            ),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=~models.Q(reason=""), name="break_glass_has_reason"),
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("created_at")),
                name="break_glass_ends_later",
            ),
            models.CheckConstraint(
                condition=models.Q(ended_at__isnull=True, ended_by__isnull=True)
                | models.Q(ended_at__isnull=False, ended_by__isnull=False),
                name="break_glass_end_is_signed",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # What every permission check asks: this person's accesses that nobody has ended.
            models.Index(
                fields=("user", "expires_at"),
                include=("patient",),
                condition=models.Q(ended_at__isnull=True),
                name="break_glass_of_person",
            ),
            models.Index(fields=("clinic", "-created_at", "-id"), name="break_glass_of_clinic"),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.created_at:%Y-%m-%d %H:%M}"
