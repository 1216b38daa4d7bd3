"""A clinician's own reading, and the review that follows the network's answer."""

import uuid
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from classifier.choices import Verdict
from classifier.models.analyses import Analysis, Prediction
from classifier.models.append_only import append_only
from classifier.models.history import versioned
from classifier.models.people import Clinic, User
from classifier.querysets.records import ClinicOwnedQuerySet

# A reading that is none of the network's labels; the clinician writes it out.
OTHER_DIAGNOSIS = "other"
_PATIENT = "SELECT patient_id FROM classifier_analysis WHERE id = OLD.analysis_id"


class Reading(models.Model):
    """What a clinician thought before seeing the network's answer; saved once, then locked."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT, related_name="+")
    analysis = models.ForeignKey(
        Analysis, on_delete=models.PROTECT, related_name="readings", verbose_name=_("analysis")
    )
    reader = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", verbose_name=_("reader")
    )
    diagnosis = models.CharField(_("diagnosis"), max_length=40)
    diagnosis_text = models.CharField(_("diagnosis in words"), max_length=200, blank=True)
    # Whether the network's answer was hidden from this reader when the reading was saved.
    blinded = models.BooleanField(_("blinded"))
    created_at = models.DateTimeField(_("at"), auto_now_add=True)

    objects = ClinicOwnedQuerySet["Reading"].as_manager()

    class Meta:
        verbose_name = _("reading")
        verbose_name_plural = _("readings")
        ordering = ("created_at", "id")
        triggers = append_only("reading_append_only", patient=_PATIENT)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("analysis", "reader"), name="reading_once_per_reader"),
            models.CheckConstraint(
                condition=~models.Q(diagnosis=OTHER_DIAGNOSIS) | ~models.Q(diagnosis_text=""),
                name="reading_other_is_written_out",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("created_at", "id"), name="reading_oldest"),
            # Few or none: whoever reads before the answer reads blinded.
            models.Index(
                fields=("created_at", "id"),
                condition=models.Q(blinded=False),
                name="reading_not_blinded",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reader} · {self.diagnosis}"


@versioned("ReviewEvent", patient=_PATIENT)
class Review(models.Model):
    """A clinician's verdict on the network's answer. Appended, never edited."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT, related_name="+")
    analysis = models.ForeignKey(
        Analysis, on_delete=models.PROTECT, related_name="reviews", verbose_name=_("analysis")
    )
    prediction = models.ForeignKey(
        Prediction, on_delete=models.PROTECT, related_name="reviews", verbose_name=_("prediction")
    )
    # 1 for the first review of an analysis; two people cannot write the same number.
    number = models.PositiveIntegerField(_("number"))
    reviewer = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", verbose_name=_("reviewer")
    )
    verdict = models.CharField(_("verdict"), max_length=10, choices=Verdict.choices)
    diagnosis = models.CharField(_("final diagnosis"), max_length=40, blank=True)
    diagnosis_text = models.CharField(_("diagnosis in words"), max_length=200, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    notes = models.TextField(_("notes"), max_length=10_000, blank=True)
    created_at = models.DateTimeField(_("at"), auto_now_add=True)

    objects = ClinicOwnedQuerySet["Review"].as_manager()

    class Meta:
        verbose_name = _("review")
        verbose_name_plural = _("reviews")
        ordering = ("number",)
        triggers = append_only("review_append_only", patient=_PATIENT)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("analysis", "number"), name="review_number_unique"),
            models.CheckConstraint(
                condition=~models.Q(verdict=Verdict.OVERRULE)
                | (~models.Q(reason="") & ~models.Q(diagnosis="")),
                name="review_overrule_has_reason",
            ),
            models.CheckConstraint(
                condition=~models.Q(diagnosis=OTHER_DIAGNOSIS) | ~models.Q(diagnosis_text=""),
                name="review_other_is_written_out",
            ),
            models.CheckConstraint(
                condition=models.Q(verdict__in=Verdict.values), name="review_verdict_valid"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("-created_at", "-id"), name="review_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.reviewer} · {self.verdict}"
