"""Runs of the nightly check of files, rows and releases."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class IntegrityRun(models.Model):
    """One pass over everything stored, made in slices by ``classifier.services.integrity``.

    It names things by identifier only, so nothing of a patient is in it.
    """

    started_at = models.DateTimeField(_("started at"), auto_now_add=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    # How many of ``services.integrity.SLICES`` are done (of 256 in runs of earlier versions).
    slices_done = models.PositiveSmallIntegerField(_("slices done"), default=0)
    # {"images", "files", "analyses", "releases", "archives"}: how many were looked at.
    looked_at = models.JSONField(_("looked at"), default=dict, blank=True)
    # {code: how many}, complete.
    counts = models.JSONField(_("findings by code"), default=dict, blank=True)
    # [{"code", "subject", "detail"}], the first few hundred.
    findings = models.JSONField(_("findings"), default=list, blank=True)
    swept = models.PositiveIntegerField(_("orphan files removed"), default=0)

    class Meta:
        verbose_name = _("integrity check")
        verbose_name_plural = _("integrity checks")
        ordering = ("-started_at", "-id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=("finished_at",),
                condition=models.Q(finished_at__isnull=True),
                nulls_distinct=False,
                name="integrity_one_open_run",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M} ({sum(self.counts.values())})"
