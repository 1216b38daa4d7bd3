"""What a lesion turned out to be."""

import uuid
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from classifier.choices import Behaviour, OutcomeKind
from classifier.models.append_only import append_only
from classifier.models.patients import Lesion, Patient
from classifier.models.people import Clinic, User
from classifier.models.reviews import OTHER_DIAGNOSIS
from classifier.querysets.outcomes import OutcomeQuerySet


class Outcome(models.Model):
    """Histopathology, or what became of a lesion in time. Each correction is another row.

    The row with the highest number counts; one that is withdrawn says that the lesion has no
    outcome (it was entered for another lesion). Nothing that was predicted is changed by it: how
    right a prediction was is computed when it is shown.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT, related_name="+")
    patient = models.ForeignKey(
        Patient, on_delete=models.PROTECT, related_name="+", verbose_name=_("patient")
    )
    lesion = models.ForeignKey(
        Lesion, on_delete=models.PROTECT, related_name="outcomes", verbose_name=_("lesion")
    )
    # 1 for the first; two people cannot write the same number.
    number = models.PositiveIntegerField(_("number"))
    kind = models.CharField(_("kind"), max_length=20, choices=OutcomeKind.choices)
    # A label's key of any label set, or "other" with words.
    diagnosis = models.CharField(_("diagnosis"), max_length=40)
    diagnosis_text = models.CharField(_("diagnosis in words"), max_length=200, blank=True)
    behaviour = models.CharField(_("behaviour"), max_length=10, choices=Behaviour.choices)
    found_on = models.DateField(_("found on"))
    reference = models.CharField(_("reference number"), max_length=64, blank=True)
    withdrawn = models.BooleanField(_("withdrawn"), default=False)
    reason = models.CharField(_("reason of the change"), max_length=500, blank=True)
    recorded_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", verbose_name=_("recorded by")
    )
    recorded_at = models.DateTimeField(_("recorded at"), auto_now_add=True)

    objects = OutcomeQuerySet.as_manager()

    class Meta:
        verbose_name = _("outcome")
        verbose_name_plural = _("outcomes")
        ordering = ("lesion", "number")
        triggers = append_only("outcome_append_only", patient="OLD.patient_id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("lesion", "number"), name="outcome_number_unique"),
            models.CheckConstraint(
                condition=models.Q(kind__in=OutcomeKind.values), name="outcome_kind_valid"
            ),
            models.CheckConstraint(
                condition=models.Q(behaviour__in=Behaviour.values), name="outcome_behaviour_valid"
            ),
            models.CheckConstraint(
                condition=~models.Q(diagnosis="") & models.Q(number__gt=0),
                name="outcome_says_something",
            ),
            models.CheckConstraint(
                condition=~models.Q(diagnosis=OTHER_DIAGNOSIS) | ~models.Q(diagnosis_text=""),
                name="outcome_other_is_written_out",
            ),
            models.CheckConstraint(
                condition=models.Q(number=1, withdrawn=False) | ~models.Q(reason=""),
                name="outcome_change_has_reason",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("clinic", "lesion", "-number"), name="outcome_of_clinic"),
            models.Index(fields=("-recorded_at", "-id"), name="outcome_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.diagnosis_text or self.diagnosis}"

    @property
    def malignant(self) -> bool | None:
        """Whether it is malignant or pre-malignant; None where that is uncertain."""
        return {Behaviour.MALIGNANT: True, Behaviour.BENIGN: False}.get(Behaviour(self.behaviour))
