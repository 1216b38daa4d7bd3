"""What a patient allows, and what is left when a patient is erased."""

import uuid
from typing import ClassVar

import pgtrigger
from django.db import models
from django.utils.translation import gettext_lazy as _

from classifier.choices import ConsentUse
from classifier.models.append_only import append_only
from classifier.models.patients import Patient
from classifier.models.people import Clinic, User
from classifier.querysets.records import ClinicOwnedQuerySet


class ConsentQuerySet(ClinicOwnedQuerySet["Consent"]):
    """Consents, seen from a person."""


class Consent(models.Model):
    """A patient's word about one use of their images. The newest of a use counts."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT, related_name="+")
    patient = models.ForeignKey(
        Patient, on_delete=models.PROTECT, related_name="consents", verbose_name=_("patient")
    )
    use = models.CharField(_("use"), max_length=20, choices=ConsentUse.choices)
    given = models.BooleanField(_("given"))
    decided_on = models.DateField(_("decided on"))
    note = models.CharField(_("note"), max_length=500, blank=True)
    recorded_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", verbose_name=_("recorded by")
    )
    recorded_at = models.DateTimeField(_("recorded at"), auto_now_add=True)

    objects = ConsentQuerySet.as_manager()

    class Meta:
        verbose_name = _("consent")
        verbose_name_plural = _("consents")
        ordering = ("-recorded_at", "-id")
        triggers = append_only("consent_append_only", patient="OLD.patient_id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(use__in=ConsentUse.values), name="consent_use_valid"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=("patient", "use", "-recorded_at", "-id"), name="consent_of_patient"
            ),
            # Whose images may be used for what.
            models.Index(fields=("clinic", "use", "given"), name="consent_of_clinic"),
            models.Index(fields=("-recorded_at", "-id"), name="consent_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.get_use_display()}: {_('given') if self.given else _('not given')}"


class Erasure(models.Model):
    """The tombstone of an erased patient: identifiers and dates, nothing about the person.

    Why it was done stands in the audit trail.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    patient_key = models.UUIDField(_("patient"), unique=True)
    clinic = models.ForeignKey(
        Clinic, on_delete=models.PROTECT, related_name="+", verbose_name=_("clinic")
    )
    # Nobody where the clinic's retention rule did it.
    erased_by = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("erased by"),
    )
    registered_at = models.DateTimeField(_("registered at"))
    erased_at = models.DateTimeField(_("erased at"), auto_now_add=True)
    # Names of stored files (random identifiers) that are still to be removed.
    files = models.JSONField(_("files to remove"), default=list, blank=True)
    files_removed_at = models.DateTimeField(_("files removed at"), null=True, blank=True)

    class Meta:
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures")
        ordering = ("-erased_at", "-id")
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            pgtrigger.Protect(name="erasure_append_only", operation=pgtrigger.Delete),
            pgtrigger.Protect(
                name="erasure_not_rewritten",
                operation=pgtrigger.Update,
                condition=pgtrigger.AnyChange(exclude=["files", "files_removed_at"]),
            ),
            append_only("erasure_append_only")[1],
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("clinic", "-erased_at", "-id"), name="erasure_of_clinic"),
            models.Index(
                fields=("erased_at",),
                condition=models.Q(files_removed_at__isnull=True),
                name="erasure_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return str(self.patient_key)
