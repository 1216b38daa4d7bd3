"""Keeping who saw what the network said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.models import AuditEvent
from classifier.selectors.results import ANSWER_VIEWED
from classifier.services import audit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from classifier.models import Analysis, User


def record_answer_viewed(*, analysis: Analysis, by: User) -> None:
    """Record that the person was shown the network's answer, and which one.

    Args:
        analysis: with its prediction, which is revealed to ``by``.
        by: who looks.
    """
    record_answers_viewed(analyses=[analysis], by=by)


def record_answers_viewed(*, analyses: Iterable[Analysis], by: User) -> None:
    """Record that the person was shown several answers on one page.

    Args:
        analyses: see :func:`record_answer_viewed`.
        by: who looks.
    """
    audit.record_each(
        action=ANSWER_VIEWED,
        actor=by,
        subjects=[(row, {"prediction": str(row.prediction_id)}) for row in analyses],
    )


def record_map_viewed(*, analysis: Analysis, by: User, label: str) -> None:
    """Record that the person looked at the map of one label."""
    audit.record(
        action="map.viewed",
        actor=by,
        clinic_id=analysis.clinic_id,
        subject=analysis,
        label=label,
    )


def has_seen_an_answer(*, analysis: Analysis, by: User) -> bool:
    """Tell whether the person was ever shown an answer to the analysis, whatever is hidden now."""
    return AuditEvent.objects.filter(
        subject_type="analysis", subject_id=str(analysis.pk), action=ANSWER_VIEWED, actor=by
    ).exists()
