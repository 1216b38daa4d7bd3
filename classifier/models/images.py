"""Photographs and dermoscopic images."""

import uuid
from typing import ClassVar

from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from classifier.choices import Modality
from classifier.models.history import versioned
from classifier.models.patients import Lesion, Patient
from classifier.models.people import Clinic, User
from classifier.querysets.records import ClinicOwnedQuerySet
from classifier.storage import display_path, network_source_path, thumbnail_path


class ImageQuerySet(ClinicOwnedQuerySet["Image"]):
    """Images, seen from a person."""


@versioned(
    "ImageEvent",
    patient="OLD.patient_id",
    exclude=("display", "thumbnail", "network_source", "display_sha256", "thumbnail_sha256"),
)
class Image(models.Model):
    """One accepted upload, as re-encoded copies without metadata.

    The original bytes are not kept: ``original_sha256`` recognises them when they come again.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT, related_name="+")
    patient = models.ForeignKey(
        Patient, on_delete=models.PROTECT, related_name="images", verbose_name=_("patient")
    )
    lesion = models.ForeignKey(
        Lesion,
        on_delete=models.PROTECT,
        related_name="images",
        null=True,
        blank=True,
        verbose_name=_("lesion"),
    )
    modality = models.CharField(_("modality"), max_length=20, choices=Modality.choices)
    taken_at = models.DateTimeField(_("taken at"), null=True, blank=True)
    uploaded_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", verbose_name=_("uploaded by")
    )
    created_at = models.DateTimeField(_("uploaded at"), auto_now_add=True)

    original_sha256 = models.CharField(_("SHA-256 of the upload"), max_length=64)
    original_format = models.CharField(_("format"), max_length=10)
    byte_size = models.PositiveBigIntegerField(_("size in bytes"))
    width = models.PositiveIntegerField(_("width in pixels"))
    height = models.PositiveIntegerField(_("height in pixels"))

    display = models.FileField(upload_to=display_path, editable=False)
    thumbnail = models.FileField(upload_to=thumbnail_path, editable=False)
    network_source = models.FileField(upload_to=network_source_path, editable=False)
    # Empty in rows older than these columns, until the integrity check has looked at the files.
    display_sha256 = models.CharField(
        _("SHA-256 of the display copy"), max_length=64, blank=True, default="", db_default=""
    )
    thumbnail_sha256 = models.CharField(
        _("SHA-256 of the thumbnail"), max_length=64, blank=True, default="", db_default=""
    )
    network_source_sha256 = models.CharField(_("SHA-256 of the network's input"), max_length=64)

    objects = ImageQuerySet.as_manager()

    class Meta:
        verbose_name = _("image")
        verbose_name_plural = _("images")
        ordering = ("-created_at", "-id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=("patient", "original_sha256"), name="image_unique_per_patient"
            ),
            models.CheckConstraint(
                condition=models.Q(modality__in=Modality.values), name="image_modality_valid"
            ),
            models.CheckConstraint(
                condition=models.Q(width__gt=0, height__gt=0, byte_size__gt=0),
                name="image_has_size",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("-created_at", "-id"), name="image_newest"),
            models.Index(fields=("original_sha256",), name="image_by_digest"),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    def get_absolute_url(self) -> str:
        """Return the address of the display copy."""
        return reverse("image_bytes", args=[self.pk, "display"])
