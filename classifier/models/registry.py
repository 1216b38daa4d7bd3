"""Registered releases of the networks."""

import uuid
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from classifier.choices import Modality


class LabelSet(models.TextChoices):
    """The label sets, one network each."""

    ISIC9 = "isic9", _("Nine dermoscopic lesion types")
    CLINICAL5 = "clinical5", _("Five clinical conditions")


# Never one softmax over both kinds of picture: it would learn the camera.
LABEL_SET_OF = {Modality.DERMOSCOPY: LabelSet.ISIC9, Modality.CLINICAL: LabelSet.CLINICAL5}


class ModelVersion(models.Model):
    """One release folder, known by the hash of its manifest."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    label_set = models.CharField(_("label set"), max_length=20, choices=LabelSet.choices)
    version = models.CharField(_("version"), max_length=40)
    artefact_sha256 = models.CharField(_("SHA-256 of the release"), max_length=64, unique=True)
    manifest = models.JSONField(_("manifest"))
    metrics = models.JSONField(_("measured figures"), default=dict, blank=True)
    active = models.BooleanField(_("active"), default=False)
    registered_at = models.DateTimeField(_("registered at"), auto_now_add=True)
    activated_at = models.DateTimeField(_("last activated at"), null=True, blank=True)

    class Meta:
        verbose_name = _("model version")
        verbose_name_plural = _("model versions")
        ordering = ("label_set", "-registered_at")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("label_set", "version"), name="model_version_unique"),
            models.UniqueConstraint(
                fields=("label_set",),
                condition=models.Q(active=True),
                name="model_version_one_active",
            ),
            models.CheckConstraint(
                condition=models.Q(label_set__in=LabelSet.values), name="model_label_set_valid"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label_set} {self.version}"
