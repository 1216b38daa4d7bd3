"""Who did what: appended in the same transaction as the deed."""

from typing import ClassVar

import pgtrigger
from django.db import models
from django.utils.translation import gettext_lazy as _

from classifier.choices import ActorKind
from classifier.models.people import Clinic, User


class AuditEvent(models.Model):
    """One deed. It names things by identifier and never repeats a patient's name."""

    at = models.DateTimeField(_("at"), auto_now_add=True)
    actor_kind = models.CharField(_("actor"), max_length=10, choices=ActorKind.choices)
    actor = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    clinic = models.ForeignKey(
        Clinic, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    action = models.CharField(_("action"), max_length=60)
    subject_type = models.CharField(_("kind of subject"), max_length=40, blank=True)
    subject_id = models.CharField(_("subject"), max_length=40, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    details = models.JSONField(_("details"), default=dict, blank=True)

    class Meta:
        verbose_name = _("audit event")
        verbose_name_plural = _("audit events")
        ordering = ("-at", "-id")
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            pgtrigger.Protect(
                name="audit_append_only", operation=pgtrigger.Update | pgtrigger.Delete
            )
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(actor_kind=ActorKind.USER, actor__isnull=False)
                | (~models.Q(actor_kind=ActorKind.USER) & models.Q(actor__isnull=True)),
                name="audit_person_is_named",
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("clinic", "-at", "-id"), name="audit_of_clinic"),
            models.Index(fields=("subject_type", "subject_id", "-at"), name="audit_of_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.action}"
