"""The register of a clinic for programs: the history's rows as facts instead of words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.models import Analysis
from classifier.selectors.lists import history_rows
from classifier.selectors.outcomes import standing_outcomes
from classifier.selectors.paging import page_after
from classifier.selectors.results import final_diagnoses, veil

if TYPE_CHECKING:
    import uuid

    from classifier.models import Clinic, Outcome, User

_ORDER = ("-created_at", "-id")


@dataclass(frozen=True)
class Registered:
    """One analysis of the register.

    Attributes:
        analysis: the job; veiled where the answer is hidden from the person.
        revealed: whether the person may see what the network said.
        final: the diagnosis of the last review, as shown; empty where hidden or none.
        outcome: what the lesion turned out to be; None likewise.
    """

    analysis: Analysis
    revealed: bool
    final: str
    outcome: Outcome | None = None


def register_page(
    user: User, clinic: Clinic, filters: dict[str, Any], *, after: uuid.UUID | None, size: int
) -> tuple[list[Registered], uuid.UUID | None]:
    """Return a page of the clinic's register, newest first, and the key to ask on with.

    Args:
        user: who asks; answers that are hidden from them stay hidden.
        clinic: whose register it is.
        filters: ``since`` and ``until`` (days, both included); each may be None.
        after: see :func:`classifier.selectors.paging.page_after`.
        size: likewise.

    Raises:
        UnknownRowError: see there.
    """
    rows, following = page_after(
        history_rows(user, filters | {"clinic": clinic})
        .select_related("patient", "image__lesion", "model_version", "last_reviewer", "prediction")
        .defer(
            "patient__notes",
            "model_version__manifest",
            "model_version__metrics",
            "prediction__evidence_maps",
            "prediction__probabilities",
        ),
        order=_ORDER,
        after=after,
        size=size,
        anchors=Analysis.objects.visible_to(user).filter(clinic=clinic),
    )
    keys = [row.pk for row in rows]
    revealed = set(
        Analysis.objects.revealed_to(user).filter(pk__in=keys).values_list("pk", flat=True)
    )
    finals = final_diagnoses(row for row in rows if row.pk in revealed)
    for row in rows:
        if row.pk not in revealed:
            veil(row)
    outcomes = standing_outcomes(
        row.image.lesion for row in rows if row.image.lesion and row.pk in revealed
    )
    return [
        Registered(
            row,
            row.pk in revealed,
            finals.get(row.pk, ""),
            outcomes.get(row.image.lesion_id) if row.pk in revealed else None,
        )
        for row in rows
    ], following
