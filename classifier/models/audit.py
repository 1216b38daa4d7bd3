"""Who did what: appended in the same transaction as the deed, and sealed into a chain after it."""

from typing import ClassVar

import pgtrigger
from django.db import models
from django.utils.translation import gettext_lazy as _

from classifier.choices import ActorKind
from classifier.models.append_only import append_only
from classifier.models.people import Clinic, User


class AuditEvent(models.Model):
    """One deed. It names things by identifier and never repeats a patient's name.

    The database's clock dates it, whatever the writer says, and notes that it is still to be
    sealed: nobody can append an event that lies in the past.
    """

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
    # Whose record it touches. Not a foreign key: the event outlives the patient's erasure.
    patient_key = models.UUIDField(_("patient"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    details = models.JSONField(_("details"), default=dict, blank=True)

    class Meta:
        verbose_name = _("audit event")
        verbose_name_plural = _("audit events")
        ordering = ("-at", "-id")
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            *append_only("audit_append_only"),
            pgtrigger.Trigger(
                name="audit_dated_here",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert,
                func="NEW.at := clock_timestamp(); RETURN NEW;",
            ),
            pgtrigger.Trigger(
                name="audit_to_be_sealed",
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                func=(
                    "INSERT INTO classifier_auditpending (event_key) VALUES (NEW.id); RETURN NULL;"
                ),
            ),
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
            # All clinics' together, for the admin panel.
            models.Index(fields=("-at", "-id"), name="audit_newest"),
            models.Index(
                fields=("-at", "-id"),
                condition=models.Q(actor_kind=ActorKind.SYSTEM),
                name="audit_of_system",
            ),
            models.Index(fields=("clinic", "actor", "-at", "-id"), name="audit_of_person"),
            models.Index(fields=("clinic", "action", "-at", "-id"), name="audit_of_action"),
            models.Index(
                fields=("patient_key", "-at", "-id"),
                condition=models.Q(patient_key__isnull=False),
                name="audit_of_patient",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.action}"


class AuditPending(models.Model):
    """An event that is committed and not yet a link of the chain."""

    event_key = models.BigIntegerField(primary_key=True)

    class Meta:
        verbose_name = _("audit event to be sealed")
        verbose_name_plural = _("audit events to be sealed")

    def __str__(self) -> str:
        return str(self.event_key)


class AuditLink(models.Model):
    """One link of the chain: the digest of one event and of the link before.

    Written by the database's function ``skinapp_audit_seal`` alone, which
    ``classifier.services.audit_chain`` calls.
    """

    # Counts from 1 without a gap, in the order of sealing.
    position = models.BigIntegerField(_("position"), primary_key=True)
    # Not a foreign key: the link must stay when somebody removes the event.
    event_key = models.BigIntegerField(_("event"), unique=True)
    # SHA-256 over the previous digest and the event's facts, 64 hexadecimal digits.
    digest = models.CharField(_("digest"), max_length=64)
    sealed_at = models.DateTimeField(_("sealed at"))

    class Meta:
        verbose_name = _("link of the audit chain")
        verbose_name_plural = _("links of the audit chain")
        ordering = ("position",)
        triggers = append_only("audit_link_append_only")

    def __str__(self) -> str:
        return f"{self.position} {self.digest[:12]}"
