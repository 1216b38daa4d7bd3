"""Which analyses a person may see, and which wait for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps
from django.db import models

from classifier.choices import ReviewState, State
from classifier.querysets.records import ClinicOwnedQuerySet

if TYPE_CHECKING:
    from datetime import datetime

    from classifier.models import Analysis  # noqa: F401 - it types the queryset
    from classifier.querysets.people import Person


class AnalysisQuerySet(ClinicOwnedQuerySet["Analysis"]):
    """Analyses, seen from a person or a worker."""

    def needing_review(self) -> AnalysisQuerySet:
        """Return what a person must look at, worst triage group first, then oldest."""
        return self.filter(
            state__in=(State.SUCCEEDED, State.REJECTED), review_state=ReviewState.PENDING
        ).order_by("triage_rank", "created_at", "id")

    def unreviewed_from(self, user: Person) -> AnalysisQuerySet:
        """Return what the person sent, has a result and was reviewed by nobody."""
        return self.needing_review().filter(requested_by_id=user.pk).order_by()

    def failed_from(self, user: Person) -> AnalysisQuerySet:
        """Return what the person sent and no network could judge, until somebody tries again.

        What failed before the modality was corrected is nobody's to try again.
        """
        return self.filter(
            state=State.FAILED, requested_by_id=user.pk, modality=models.F("image__modality")
        ).order_by()

    def revealed_to(self, user: Person) -> AnalysisQuerySet:
        """Return the analyses whose answer the person may see.

        That is: the clinic does not ask for an own reading first, or this person has saved one,
        or a review is on record already. Whoever is asked for a second reading sees nothing before
        it is saved, in any clinic and whatever is on record. The answer hides label,
        probabilities, decision, triage group and map; every list, page, file and filter asks this
        queryset.
        """
        return self.visible_to(user).filter(self.open_to(user))

    @staticmethod
    def open_to(user: Person) -> models.Q:
        """Return the condition of :meth:`revealed_to` without who sees the row at all.

        Only for rows that the person sees: a clinic without own readings opens its own.
        """
        readings = apps.get_model("classifier", "Reading")._default_manager.filter(
            analysis=models.OuterRef("pk"), reader_id=user.pk
        )
        requests = apps.get_model("classifier", "ReadingRequest")._default_manager.all()
        asked = requests.asking(user).filter(analysis=models.OuterRef("pk"))
        opened = models.Q(clinic__blinded_first=False) | models.Q(review_state=ReviewState.REVIEWED)
        return models.Q(models.Exists(readings)) | (opened & ~models.Q(models.Exists(asked)))

    @staticmethod
    def open_to_everybody() -> models.Q:
        """Return the condition under which the answer is hidden from nobody who sees the row.

        Whoever they are, :meth:`open_to` holds for them: what is counted of these rows may be told
        to one person as it was counted for another.
        """
        requests = apps.get_model("classifier", "ReadingRequest")._default_manager.all()
        asked = requests.open().filter(analysis=models.OuterRef("pk"))
        opened = models.Q(clinic__blinded_first=False) | models.Q(review_state=ReviewState.REVIEWED)
        return opened & ~models.Q(models.Exists(asked))

    def due(self, now: datetime) -> AnalysisQuerySet:
        """Return the queued rows a worker may claim at ``now``."""
        return self.filter(state=State.QUEUED, not_before__lte=now)

    def lease_lost(self, now: datetime) -> AnalysisQuerySet:
        """Return the running rows whose worker has not answered in time."""
        return self.filter(state=State.RUNNING, lease_until__lt=now)

    def for_lists(self, user: Person) -> AnalysisQuerySet:
        """Return rows with what a list shows, and none of the heavy columns.

        ``is_revealed`` tells whether the person may see the answer, of rows that they see; see
        :meth:`open_to`.
        """
        revealed = models.ExpressionWrapper(self.open_to(user), output_field=models.BooleanField())
        return (
            self.select_related("patient", "clinic", "image__lesion")
            .defer("patient__notes")
            .annotate(is_revealed=revealed)
        )
