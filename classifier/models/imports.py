"""Imports of old images: one run for each archive, one row for each line of its table."""

import uuid
from typing import ClassVar

from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from classifier.choices import BodySite, ImportEnd, ImportState, RowState, label_of
from classifier.models.images import Image
from classifier.models.patients import Patient
from classifier.models.people import Clinic, User
from classifier.querysets.imports import ImportRunQuerySet
from classifier.storage import archive_path


class ImportRun(models.Model):
    """One archive of old images: looked through first, then, when a person says so, taken in.

    The same archive for the same clinic is the same run, however often it is sent.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(
        Clinic, on_delete=models.PROTECT, related_name="+", verbose_name=_("clinic")
    )
    created_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", verbose_name=_("sent by")
    )
    created_at = models.DateTimeField(_("sent at"), auto_now_add=True)
    state = models.CharField(
        _("state"), max_length=12, choices=ImportState.choices, default=ImportState.CHECKING
    )
    # Of the archive, or of the table where a folder of this machine is imported.
    source_sha256 = models.CharField(_("SHA-256 of the source"), max_length=64)
    # It names patients: empty once it is not needed any more, and where a folder is imported.
    archive = models.FileField(_("archive"), upload_to=archive_path, blank=True, editable=False)
    ended_for = models.CharField(
        _("why it ended"),
        max_length=10,
        choices=ImportEnd.choices,
        blank=True,
        default="",
        db_default="",
    )
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    objects = ImportRunQuerySet.as_manager()

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        ordering = ("-created_at", "-id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=("clinic", "source_sha256"), name="import_once_per_clinic"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=ImportState.values), name="import_state_valid"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} ({self.state})"

    def get_absolute_url(self) -> str:
        """Return the address of the import's page."""
        return reverse("import_detail", args=[self.pk])

    @property
    def is_busy(self) -> bool:
        """Whether rows are being worked through."""
        return self.state in {ImportState.CHECKING, ImportState.RUNNING}


class ImportRow(models.Model):
    """One line of an import's table, and what became of it."""

    run = models.ForeignKey(ImportRun, on_delete=models.CASCADE, related_name="rows")
    line = models.PositiveIntegerField(_("line"))
    state = models.CharField(
        _("state"), max_length=10, choices=RowState.choices, default=RowState.NEW
    )
    # {column: text} as it stands in the table; emptied once the row needs no correction.
    facts = models.JSONField(_("as sent"), default=dict)
    # Why it is refused, or what it will do: a sentence without anything about the patient.
    told = models.CharField(_("what becomes of it"), max_length=500, blank=True)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    patient = models.ForeignKey(
        Patient, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    image = models.ForeignKey(
        Image, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )

    class Meta:
        verbose_name = _("row of an import")
        verbose_name_plural = _("rows of imports")
        ordering = ("line",)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("run", "line"), name="import_row_once"),
            models.CheckConstraint(
                condition=models.Q(state__in=RowState.values), name="import_row_state_valid"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("run", "state", "line"), name="import_rows_by_state"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}:{self.line} ({self.state})"

    @property
    def record_number(self) -> str:
        """Whose image it is: as sent, or of the patient that it became; empty where neither is."""
        number = self.patient.record_number if self.patient is not None else ""
        return str(self.facts.get("patient_number") or number)

    @property
    def body_site(self) -> str:
        """Where on the body, likewise; a code that nobody knows is shown as it was sent."""
        lesion = self.image.lesion if self.image is not None else None
        site = self.facts.get("lesion_site") or (lesion.body_site if lesion is not None else "")
        return label_of(BodySite, site) if site else ""
