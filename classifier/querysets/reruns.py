"""Who may see comparisons of networks, and which of them wait for a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps
from django.db import models

from classifier.choices import RerunRowState, RerunState
from classifier.querysets.people import may_switch
from classifier.querysets.records import ClinicOwnedQuerySet

if TYPE_CHECKING:
    from datetime import datetime

    from classifier.models import (  # noqa: F401 - they type the querysets
        RerunRow,
        RerunRun,
        User,
    )
    from classifier.querysets.people import ClinicQuerySet, Person


def comparing_clinics(user: Person) -> ClinicQuerySet:
    """Return the clinics whose cases the person may have judged again.

    A clinic's administrator: the clinic's. Whoever decides which network answers: every clinic's;
    they see totals, and the cases of the clinics that they belong to.
    """
    clinics: ClinicQuerySet = apps.get_model("classifier", "Clinic")._default_manager.all()
    return clinics if may_switch(user) else clinics.administered_by(user)


class RerunRunQuerySet(models.QuerySet["RerunRun"]):
    """Comparisons, seen from a person or from the task."""

    def visible_to(self, user: Person) -> RerunRunQuerySet:
        """Return the comparisons of clinics whose cases the person may have judged again.

        One over all clinics is for whoever decides for all of them.
        """
        if may_switch(user):
            return self.all()
        return self.filter(clinic__in=comparing_clinics(user).values("pk"))

    def busy(self) -> RerunRunQuerySet:
        """Return those whose cases are to be judged, the oldest first."""
        return self.filter(state=RerunState.RUNNING).order_by("created_at", "id")


class RerunRowQuerySet(ClinicOwnedQuerySet["RerunRow"]):
    """Cases of comparisons; a person sees those of patients whom they see."""

    def due(self, now: datetime) -> RerunRowQuerySet:
        """Return what no living worker holds."""
        return self.filter(
            models.Q(state=RerunRowState.WAITING)
            | models.Q(state=RerunRowState.RUNNING, lease_until__lt=now)
        )

    def unfinished(self) -> RerunRowQuerySet:
        """Return what was not judged yet."""
        return self.filter(state__in=(RerunRowState.WAITING, RerunRowState.RUNNING))

    def revealed_to(self, user: Person) -> RerunRowQuerySet:
        """Return those whose answer the person may see: who must read first, reads first."""
        analyses = apps.get_model("classifier", "Analysis")._default_manager.all()
        return self.visible_to(user).filter(analysis__in=analyses.revealed_to(user).values("pk"))
