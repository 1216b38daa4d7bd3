"""Comparisons: what another network would have said of past cases; nobody's answer."""

import uuid
from typing import ClassVar

from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from classifier.choices import Decision, RerunRowState, RerunState, TriageChange
from classifier.models.analyses import Analysis
from classifier.models.patients import Patient
from classifier.models.people import Clinic, User
from classifier.models.registry import ModelVersion
from classifier.querysets.reruns import RerunRowQuerySet, RerunRunQuerySet

_WAITING = (RerunRowState.WAITING, RerunRowState.RUNNING)


class RerunRun(models.Model):
    """One comparison: a version, a period, and one clinic or all of them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="reruns", verbose_name=_("version")
    )
    # None: the cases of all clinics.
    clinic = models.ForeignKey(
        Clinic,
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("clinic"),
    )
    since = models.DateField(_("from"))
    until = models.DateField(_("to"))
    # None: a command.
    created_by = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("started by"),
    )
    created_at = models.DateTimeField(_("started at"), auto_now_add=True)
    state = models.CharField(
        _("state"), max_length=10, choices=RerunState.choices, default=RerunState.RUNNING
    )
    # Why it ended before its time, as a sentence.
    told = models.CharField(_("why it ended"), max_length=500, blank=True)
    ended_by = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("cancelled by"),
    )
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    objects = RerunRunQuerySet.as_manager()

    class Meta:
        verbose_name = _("comparison")
        verbose_name_plural = _("comparisons")
        ordering = ("-created_at", "-id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(state__in=RerunState.values), name="rerun_state_valid"
            ),
            models.CheckConstraint(
                condition=models.Q(since__lte=models.F("until")), name="rerun_period_valid"
            ),
            models.CheckConstraint(
                condition=models.Q(state=RerunState.RUNNING, ended_at__isnull=True)
                | (~models.Q(state=RerunState.RUNNING) & models.Q(ended_at__isnull=False)),
                name="rerun_ended_is_dated",
            ),
            # The same form sent twice is one comparison.
            models.UniqueConstraint(
                fields=("version", "clinic", "since", "until"),
                condition=models.Q(state=RerunState.RUNNING),
                nulls_distinct=False,
                name="rerun_once_under_way",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.since} – {self.until}"

    def get_absolute_url(self) -> str:
        """Return the address of the comparison's page."""
        return reverse("rerun_detail", args=[self.pk])

    @property
    def is_busy(self) -> bool:
        """Whether cases are being judged."""
        return self.state == RerunState.RUNNING


class RerunRow(models.Model):
    """One case of a comparison: the answer on record, and what the version says of the image.

    It is a job like an analysis: claimed with a lease, completed only at the same attempt.
    """

    run = models.ForeignKey(RerunRun, on_delete=models.CASCADE, related_name="rows")
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT, related_name="+")
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="+")
    analysis = models.ForeignKey(Analysis, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(
        _("state"), max_length=10, choices=RerunRowState.choices, default=RerunRowState.WAITING
    )
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=0)
    lease_until = models.DateTimeField(_("leased until"), null=True, blank=True)
    failure_code = models.CharField(_("failure"), max_length=40, blank=True)

    # As it was on record when the comparison began; ranks are places in TRIAGE_ORDER.
    before_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    before_decision = models.CharField(max_length=12, choices=Decision.choices)
    before_label = models.CharField(max_length=40)
    before_rank = models.PositiveSmallIntegerField()
    # What the version says.
    decision = models.CharField(max_length=12, choices=Decision.choices, blank=True)
    label = models.CharField(max_length=40, blank=True)
    rank = models.PositiveSmallIntegerField(null=True, blank=True)
    change = models.CharField(
        _("change"), max_length=14, choices=TriageChange.choices, default=TriageChange.UNKNOWN
    )

    objects = RerunRowQuerySet.as_manager()

    class Meta:
        verbose_name = _("case of a comparison")
        verbose_name_plural = _("cases of comparisons")
        ordering = ("before_rank", "id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("run", "analysis"), name="rerun_row_once"),
            models.CheckConstraint(
                condition=models.Q(state__in=RerunRowState.values), name="rerun_row_state_valid"
            ),
            models.CheckConstraint(
                condition=models.Q(state=RerunRowState.RUNNING, lease_until__isnull=False)
                | (~models.Q(state=RerunRowState.RUNNING) & models.Q(lease_until__isnull=True)),
                name="rerun_row_lease_is_running",
            ),
            models.CheckConstraint(
                condition=~models.Q(state=RerunRowState.DONE)
                | (
                    ~models.Q(change=TriageChange.UNKNOWN)
                    & ~models.Q(decision="")
                    & models.Q(rank__isnull=False)
                ),
                name="rerun_row_result_is_stored",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=("run", "attempt", "id"),
                condition=models.Q(state__in=_WAITING),
                name="rerun_rows_due",
            ),
            models.Index(
                fields=("run", "change", "before_rank", "id"), name="rerun_rows_by_change"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.analysis_id} ({self.state})"
