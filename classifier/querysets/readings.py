"""Who is asked for a second reading, and who may see that opinions differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps
from django.db import models

from classifier.querysets.records import ClinicOwnedQuerySet

if TYPE_CHECKING:
    from classifier.models import (  # noqa: F401 - they type the querysets
        Disagreement,
        ReadingRequest,
    )
    from classifier.querysets.people import Person


class ReadingRequestQuerySet(ClinicOwnedQuerySet["ReadingRequest"]):
    """Requests for second readings, seen from a person."""

    def open(self) -> ReadingRequestQuerySet:
        """Return those that somebody may still answer."""
        return self.filter(reading__isnull=True, withdrawn_at__isnull=True)

    def asking(self, user: Person) -> ReadingRequestQuerySet:
        """Return the open requests that ask this person, by name or as one of the clinic.

        One to anybody does not ask who made it, who read the image already or who reviewed the
        answer: what they think is known, and what others think is known to them. One about an
        analysis that was made for the wrong modality rests: it asks nobody, and hides nothing,
        unless the modality is corrected back.
        """
        if not (user.is_authenticated and user.is_active):
            return self.none()
        clinics = apps.get_model("classifier", "Clinic")._default_manager.writable_by(user)
        judged = [
            models.Exists(
                apps.get_model("classifier", name)._default_manager.filter(
                    **{"analysis": models.OuterRef("analysis"), whose: user.pk}
                )
            )
            for name, whose in (("Reading", "reader_id"), ("Review", "reviewer_id"))
        ]
        anybody = models.Q(asked__isnull=True) & ~models.Q(requested_by=user.pk)
        return self.open().filter(
            models.Q(asked=user.pk) | anybody,
            ~judged[0],
            ~judged[1],
            analysis__modality=models.F("analysis__image__modality"),
            clinic__in=clinics.values("pk"),
        )


class DisagreementQuerySet(ClinicOwnedQuerySet["Disagreement"]):
    """Disagreements, seen from a person."""

    def open(self) -> DisagreementQuerySet:
        """Return those that wait for a decision.

        One about an analysis that was made for the wrong modality waits for nothing any more.
        """
        return self.filter(
            settled_by__isnull=True, analysis__modality=models.F("analysis__image__modality")
        )

    def shown_to(self, user: Person) -> DisagreementQuerySet:
        """Return those whose opinions the person may know.

        That opinions differ is a hint; who still has to read the image does not get it.
        """
        analyses = apps.get_model("classifier", "Analysis")._default_manager.revealed_to(user)
        return self.visible_to(user).filter(
            models.Exists(analyses.filter(pk=models.OuterRef("analysis")))
        )
