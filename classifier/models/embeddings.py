"""Where a network places an image: near to what looks alike to that network."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from classifier.models.analyses import Prediction
from classifier.models.append_only import append_only
from classifier.models.patients import Patient
from classifier.models.people import Clinic
from classifier.models.registry import ModelVersion
from classifier.models.vectors import HalfVectorField, HnswIndex
from classifier.querysets.records import ClinicOwnedQuerySet

# Of the networks we train; the numbers of a smaller one are followed by zeros, which change no
# distance.
DIMENSIONS = 1280


class Embedding(models.Model):
    """The last features of one network for one image. Two networks' places cannot be compared."""

    prediction = models.OneToOneField(
        Prediction,
        on_delete=models.PROTECT,
        related_name="embedding",
        primary_key=True,
        verbose_name=_("prediction"),
    )
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT, related_name="+")
    patient = models.ForeignKey(
        Patient, on_delete=models.PROTECT, related_name="+", verbose_name=_("patient")
    )
    model_version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="+", verbose_name=_("model version")
    )
    vector = HalfVectorField(_("features"), dimensions=DIMENSIONS)

    objects = ClinicOwnedQuerySet["Embedding"].as_manager()

    class Meta:
        verbose_name = _("place of an image")
        verbose_name_plural = _("places of images")
        triggers = append_only("embedding_append_only", patient="OLD.patient_id")
        indexes: ClassVar[list[models.Index]] = [
            # A worker waits for it with every result: half of pgvector's usual numbers cost a third
            # (2.5 instead of 7.3 ms a row on a busy machine) and find 99.4 % instead of 99.7 %.
            HnswIndex(
                fields=("vector",),
                opclasses=("halfvec_cosine_ops",),
                m=8,
                ef_construction=32,
                name="embedding_nearest",
            ),
            # Where a clinic has few, all of them are looked at.
            models.Index(fields=("clinic", "model_version"), name="embedding_of_clinic"),
        ]

    def __str__(self) -> str:
        return str(self.prediction_id)
