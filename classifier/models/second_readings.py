"""Asking a second clinician, and opinions that differ."""

import uuid
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from classifier.choices import Difference
from classifier.models.analyses import Analysis
from classifier.models.append_only import closed_once
from classifier.models.patients import Patient
from classifier.models.people import Clinic, User
from classifier.models.reviews import Reading, Review
from classifier.querysets.readings import DisagreementQuerySet, ReadingRequestQuerySet

_OPEN_REQUEST = models.Q(reading__isnull=True, withdrawn_at__isnull=True)


class ReadingRequest(models.Model):
    """A colleague is asked to read an image without knowing what anybody thinks of it.

    While it is open, ``AnalysisQuerySet.revealed_to`` hides the network's answer and all opinions
    from whoever is asked. Their reading closes it; so does whoever asked, by withdrawing.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT, related_name="+")
    patient = models.ForeignKey(
        Patient, on_delete=models.PROTECT, related_name="+", verbose_name=_("patient")
    )
    analysis = models.ForeignKey(
        Analysis,
        on_delete=models.PROTECT,
        related_name="reading_requests",
        verbose_name=_("analysis"),
    )
    requested_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", verbose_name=_("requested by")
    )
    # Nobody in particular: any clinician of the clinic who did not judge the image yet.
    asked = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("asked"),
    )
    created_at = models.DateTimeField(_("requested at"), auto_now_add=True)
    reading = models.OneToOneField(
        Reading,
        on_delete=models.PROTECT,
        related_name="request",
        null=True,
        blank=True,
        verbose_name=_("reading"),
    )
    withdrawn_at = models.DateTimeField(_("withdrawn at"), null=True, blank=True)
    withdrawn_by = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("withdrawn by"),
    )

    objects = ReadingRequestQuerySet.as_manager()

    class Meta:
        verbose_name = _("request for a second reading")
        verbose_name_plural = _("requests for second readings")
        ordering = ("created_at", "id")
        triggers = closed_once(
            "reading_request_closes_once",
            patient="OLD.patient_id",
            while_open="OLD.reading_id IS NULL AND OLD.withdrawn_at IS NULL",
            kept=("analysis_id", "clinic_id", "patient_id", "requested_by_id", "asked_id"),
        )
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=("analysis",), condition=_OPEN_REQUEST, name="reading_request_one_open"
            ),
            models.CheckConstraint(
                condition=models.Q(withdrawn_at__isnull=True, withdrawn_by__isnull=True)
                | models.Q(
                    withdrawn_at__isnull=False, withdrawn_by__isnull=False, reading__isnull=True
                ),
                name="reading_request_withdrawal_is_signed",
            ),
            models.CheckConstraint(
                condition=models.Q(asked__isnull=True) | ~models.Q(asked=models.F("requested_by")),
                name="reading_request_asks_another",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=("clinic", "created_at", "id"),
                condition=_OPEN_REQUEST,
                name="reading_request_open",
            ),
            models.Index(
                fields=("requested_by", "-created_at", "-id"), name="reading_request_of_person"
            ),
            models.Index(fields=("-created_at", "-id"), name="reading_request_newest"),
        ]

    def __str__(self) -> str:
        asked = self.asked or _("anybody")
        return f"{self.requested_by} → {asked}"

    @property
    def is_open(self) -> bool:
        """Whether somebody may still answer it."""
        return self.reading_id is None and self.withdrawn_at is None


class Disagreement(models.Model):
    """Readers, or readers and the network, differ about an image until a clinician settles it.

    What each of them said stands in ``Reading``, ``Review`` and ``Prediction``, which are only
    appended to; the row says that somebody has to decide, and by which review that was done.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT, related_name="+")
    patient = models.ForeignKey(
        Patient, on_delete=models.PROTECT, related_name="+", verbose_name=_("patient")
    )
    analysis = models.ForeignKey(
        Analysis,
        on_delete=models.PROTECT,
        related_name="disagreements",
        verbose_name=_("analysis"),
    )
    difference = models.CharField(_("differs in"), max_length=10, choices=Difference.choices)
    opened_at = models.DateTimeField(_("since"), auto_now_add=True)
    settled_by = models.OneToOneField(
        Review,
        on_delete=models.PROTECT,
        related_name="settles",
        null=True,
        blank=True,
        verbose_name=_("settled by"),
    )

    objects = DisagreementQuerySet.as_manager()

    class Meta:
        verbose_name = _("disagreement")
        verbose_name_plural = _("disagreements")
        ordering = ("difference", "opened_at", "id")
        triggers = closed_once(
            "disagreement_closes_once",
            patient="OLD.patient_id",
            while_open="OLD.settled_by_id IS NULL",
            kept=("analysis_id", "clinic_id", "patient_id"),
        )
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=("analysis",),
                condition=models.Q(settled_by__isnull=True),
                name="disagreement_one_open",
            ),
            models.CheckConstraint(
                condition=models.Q(difference__in=Difference.values),
                name="disagreement_difference_valid",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # The queue: "group" sorts before "label".
            models.Index(
                fields=("clinic", "difference", "opened_at", "id"),
                condition=models.Q(settled_by__isnull=True),
                name="disagreement_open",
            ),
            models.Index(fields=("-opened_at", "-id"), name="disagreement_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.analysis_id} ({self.difference})"
