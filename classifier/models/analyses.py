"""The analysis job and what came out of it."""

import uuid
from typing import ClassVar

from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from classifier.choices import (
    FINAL_STATES,
    WAITING_STATES,
    ActorKind,
    Decision,
    Modality,
    ReviewState,
    State,
    label_of,
)
from classifier.models.append_only import append_only
from classifier.models.images import Image
from classifier.models.patients import Patient
from classifier.models.people import Clinic, User
from classifier.models.registry import LabelSet, ModelVersion
from classifier.querysets.analyses import AnalysisQuerySet
from classifier.querysets.records import ClinicOwnedQuerySet
from mlcore.decision import OUTSIDE_LABELS

# What the history filters by.
_FILTERED = (
    "top_label",
    "decision",
    "modality",
    "state",
    "review_state",
    "model_version",
    "last_reviewer",
    "patient",
)


class Analysis(models.Model):
    """One image waiting for, or having got, one network's answer.

    The row is the job. Its state is moved by ``classifier.services.moves`` alone; the columns
    below ``# For lists`` repeat facts of the result and the last review so that the worklist and
    the history need one index and no join.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT, related_name="+")
    patient = models.ForeignKey(
        Patient, on_delete=models.PROTECT, related_name="analyses", verbose_name=_("patient")
    )
    image = models.ForeignKey(
        Image, on_delete=models.PROTECT, related_name="analyses", verbose_name=_("image")
    )
    label_set = models.CharField(_("label set"), max_length=20, choices=LabelSet.choices)
    requested_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", verbose_name=_("requested by")
    )
    created_at = models.DateTimeField(_("requested at"), auto_now_add=True)

    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.QUEUED)
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=0)
    # Attempts made before a named person asked for another try; the cap counts from here.
    attempts_forgiven = models.PositiveSmallIntegerField(_("attempts forgiven"), default=0)
    not_before = models.DateTimeField(_("not before"), auto_now_add=True)
    lease_until = models.DateTimeField(_("leased until"), null=True, blank=True)
    worker = models.CharField(_("worker"), max_length=120, blank=True)
    model_version = models.ForeignKey(
        ModelVersion,
        on_delete=models.PROTECT,
        related_name="analyses",
        null=True,
        blank=True,
        verbose_name=_("model version"),
    )
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    failure_code = models.CharField(_("failure"), max_length=40, blank=True)
    failure_reference = models.CharField(_("reference"), max_length=32, blank=True)
    prediction = models.ForeignKey(
        "Prediction",
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("prediction"),
    )

    # For lists
    modality = models.CharField(_("modality"), max_length=20, choices=Modality.choices)
    decision = models.CharField(_("decision"), max_length=12, choices=Decision.choices, blank=True)
    top_label = models.CharField(_("first label"), max_length=40, blank=True)
    triage_rank = models.PositiveSmallIntegerField(
        _("triage rank"), default=99, help_text=_("0 is the worst group.")
    )
    review_state = models.CharField(
        _("review"), max_length=10, choices=ReviewState.choices, default=ReviewState.PENDING
    )
    review_count = models.PositiveIntegerField(_("number of reviews"), default=0)
    last_reviewer = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("last reviewer"),
    )

    objects = AnalysisQuerySet.as_manager()

    class Meta:
        verbose_name = _("analysis")
        verbose_name_plural = _("analyses")
        ordering = ("-created_at", "-id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=("image", "label_set"),
                condition=models.Q(state__in=WAITING_STATES),
                name="analysis_one_waiting",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=State.values), name="analysis_state_valid"
            ),
            models.CheckConstraint(
                condition=~models.Q(state=State.RUNNING)
                | models.Q(
                    lease_until__isnull=False,
                    started_at__isnull=False,
                    model_version__isnull=False,
                    attempt__gt=0,
                ),
                name="analysis_running_is_leased",
            ),
            models.CheckConstraint(
                condition=models.Q(state=State.RUNNING) | models.Q(lease_until__isnull=True),
                name="analysis_lease_is_running",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=FINAL_STATES, finished_at__isnull=False)
                | models.Q(state__in=WAITING_STATES, finished_at__isnull=True),
                name="analysis_final_is_finished",
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=(State.SUCCEEDED, State.REJECTED))
                | (models.Q(prediction__isnull=False) & ~models.Q(decision="")),
                name="analysis_result_is_stored",
            ),
            models.CheckConstraint(
                condition=~models.Q(state=State.FAILED)
                | (~models.Q(failure_code="") & ~models.Q(failure_reference="")),
                name="analysis_failure_is_named",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # The claim: what is due, oldest first.
            models.Index(
                fields=("not_before", "id"),
                condition=models.Q(state=State.QUEUED),
                name="analysis_due",
            ),
            models.Index(
                fields=("lease_until",),
                condition=models.Q(state=State.RUNNING),
                name="analysis_leases",
            ),
            # The worklist: what a person must look at, worst group first, then oldest.
            models.Index(
                fields=("clinic", "triage_rank", "created_at", "id"),
                condition=models.Q(
                    state__in=(State.SUCCEEDED, State.REJECTED), review_state=ReviewState.PENDING
                ),
                name="analysis_worklist",
            ),
            # The same where a clinic lets age alone order it.
            models.Index(
                fields=("clinic", "created_at", "id"),
                condition=models.Q(
                    state__in=(State.SUCCEEDED, State.REJECTED), review_state=ReviewState.PENDING
                ),
                name="analysis_worklist_by_age",
            ),
            # What somebody sent and nobody has reviewed: every page counts it.
            models.Index(
                fields=("requested_by", "clinic", "finished_at"),
                condition=models.Q(
                    state__in=(State.SUCCEEDED, State.REJECTED), review_state=ReviewState.PENDING
                ),
                name="analysis_own_results",
            ),
            models.Index(
                fields=("clinic", "triage_rank", "created_at", "id"),
                condition=models.Q(review_state=ReviewState.DEFERRED),
                name="analysis_deferred",
            ),
            models.Index(
                fields=("clinic", "created_at", "id"),
                condition=models.Q(state__in=WAITING_STATES),
                name="analysis_waiting",
            ),
            # The history, whole and by each of its filters: a filter without its own index would
            # walk through a clinic's whole past for what is not there.
            models.Index(fields=("clinic", "-created_at", "-id"), name="analysis_history"),
            models.Index(
                fields=("clinic", "state", "-created_at", "-id"), name="analysis_by_state"
            ),
            models.Index(
                fields=("clinic", "decision", "-created_at", "-id"), name="analysis_by_decision"
            ),
            models.Index(
                fields=("clinic", "last_reviewer", "-created_at", "-id"),
                name="analysis_by_reviewer",
            ),
            # These four hold many rows of one value: what else is asked of those is answered by
            # the index alone.
            models.Index(
                fields=("clinic", "top_label", "-created_at", "-id"),
                include=[name for name in _FILTERED if name != "top_label"],
                name="analysis_of_label",
            ),
            models.Index(
                fields=("clinic", "modality", "-created_at", "-id"),
                include=[name for name in _FILTERED if name != "modality"],
                name="analysis_by_modality",
            ),
            models.Index(
                fields=("clinic", "review_state", "-created_at", "-id"),
                include=[name for name in _FILTERED if name != "review_state"],
                name="analysis_by_review",
            ),
            models.Index(
                fields=("clinic", "model_version", "-created_at", "-id"),
                include=[name for name in _FILTERED if name != "model_version"],
                name="analysis_by_version",
            ),
            models.Index(fields=("patient", "-created_at", "-id"), name="analysis_of_patient"),
            # All clinics' together, for the admin panel.
            models.Index(fields=("-created_at", "-id"), name="analysis_newest"),
            models.Index(
                fields=("failure_reference",),
                condition=~models.Q(failure_reference=""),
                name="analysis_by_reference",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} ({self.state})"

    def get_modality_display(self) -> str:  # type: ignore[no-redef]  # Django makes none then
        """Return how the modality is shown; a list asks it of every row."""
        return label_of(Modality, self.modality)

    def get_absolute_url(self) -> str:
        """Return the address of the result page."""
        return reverse("analysis_detail", args=[self.pk])

    @property
    def is_waiting(self) -> bool:
        """Whether an answer may still come by itself."""
        return self.state in WAITING_STATES


class Transition(models.Model):
    """One move of one analysis: written with the move, never changed."""

    analysis = models.ForeignKey(Analysis, on_delete=models.PROTECT, related_name="transitions")
    from_state = models.CharField(_("from"), max_length=12, choices=State.choices, blank=True)
    to_state = models.CharField(_("to"), max_length=12, choices=State.choices)
    attempt = models.PositiveSmallIntegerField(_("attempt"))
    actor_kind = models.CharField(_("actor"), max_length=10, choices=ActorKind.choices)
    actor = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    worker = models.CharField(_("worker"), max_length=120, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("at"), auto_now_add=True)

    class Meta:
        verbose_name = _("transition")
        verbose_name_plural = _("transitions")
        ordering = ("created_at", "id")
        triggers = append_only(
            "transition_append_only",
            patient="SELECT patient_id FROM classifier_analysis WHERE id = OLD.analysis_id",
        )
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(actor_kind=ActorKind.USER, actor__isnull=False)
                | (~models.Q(actor_kind=ActorKind.USER) & models.Q(actor__isnull=True)),
                name="transition_person_is_named",
            )
        ]

    def __str__(self) -> str:
        return f"{self.from_state or '–'} → {self.to_state}"


class Prediction(models.Model):
    """What one model version said of one image, with everything needed to say it again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT, related_name="+")
    image = models.ForeignKey(
        Image, on_delete=models.PROTECT, related_name="predictions", verbose_name=_("image")
    )
    model_version = models.ForeignKey(
        ModelVersion,
        on_delete=models.PROTECT,
        related_name="predictions",
        verbose_name=_("model version"),
    )
    decision = models.CharField(_("decision"), max_length=12, choices=Decision.choices)
    reason_code = models.CharField(_("reason code"), max_length=40, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    # {label key: calibrated probability}, every label of the set, summing to 1.
    probabilities = models.JSONField(_("probabilities"))
    top_label = models.CharField(_("first label"), max_length=40)
    confidence = models.FloatField(_("confidence"))
    triage_group = models.CharField(_("triage group"), max_length=40)
    # {label key: {"height": h, "width": w, "values": [h·w integers 0..255]}}
    evidence_maps = models.JSONField(_("class activation maps"))
    engine = models.CharField(_("engine"), max_length=20)
    artefact_sha256 = models.CharField(_("SHA-256 of the release"), max_length=64)
    input_sha256 = models.CharField(_("SHA-256 of the input"), max_length=64)
    attempt = models.PositiveSmallIntegerField(_("attempt"))
    # {measure: number}, see mlcore.drift: what the picture is like and what the network said of it,
    # to be compared with the release's reference. Nothing in rows older than this column.
    measures = models.JSONField(_("measures"), null=True, blank=True)
    # {"queue", "read", "network"}: milliseconds.
    timings_ms = models.JSONField(_("timings in ms"))
    created_at = models.DateTimeField(_("at"), auto_now_add=True)

    objects = ClinicOwnedQuerySet["Prediction"].as_manager()

    class Meta:
        verbose_name = _("prediction")
        verbose_name_plural = _("predictions")
        ordering = ("-created_at", "-id")
        triggers = append_only(
            "prediction_append_only",
            patient="SELECT patient_id FROM classifier_image WHERE id = OLD.image_id",
        )
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=("image", "model_version"), name="prediction_unique_result"
            ),
            models.CheckConstraint(
                condition=models.Q(confidence__gte=0, confidence__lte=1),
                name="prediction_confidence_range",
            ),
            models.CheckConstraint(
                condition=models.Q(decision__in=Decision.values), name="prediction_decision_valid"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("-created_at", "-id"), name="prediction_newest"),
            # A version that answers no more has all its rows far down that list.
            models.Index(
                fields=("model_version", "-created_at", "-id"), name="prediction_of_version"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} ({self.decision})"

    @property
    def plausible_group(self) -> str:
        """The worst plausible triage group as it may be told; "" where nothing can be said.

        Of a picture that is not usable, or unlike everything the network knows, the probabilities
        rest on nothing, and "benign" would be as empty a word as any. Lists are ordered by
        ``triage_group`` all the same.
        """
        baseless = self.decision == Decision.REJECTED or self.reason_code == OUTSIDE_LABELS
        return "" if baseless else self.triage_group
