"""What a row of the worklist and of the history tells, as far as the person may see it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from classifier.choices import Decision, ReviewState
from classifier.selectors.patients import last_reviews
from classifier.selectors.results import veil
from classifier.wording import label_name
from mlcore.labels import LABEL_SETS, TRIAGE_ORDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from classifier.models import Analysis, Review


@dataclass(frozen=True)
class ListedAnalysis:
    """One row of a list.

    Attributes:
        analysis: the job; veiled where the answer is hidden from the person.
        revealed: whether the person may see what the network said.
        label: the first label's name, or "" while hidden or missing.
        group: the worst triage group that is plausible; "" unless the label is an answer that
            is shown.
        review: the clinicians' last word on the answer; None where there is none, where it is
            hidden, and where somebody has to look again.
    """

    analysis: Analysis
    revealed: bool
    label: str
    group: str = ""
    review: Review | None = None


def told_apart(rows: Iterable[Analysis]) -> Iterator[ListedAnalysis]:
    """Veil what is hidden from the person of :meth:`AnalysisQuerySet.for_lists`."""
    for row in rows:
        revealed: bool = row.is_revealed  # type: ignore[attr-defined]  # an annotation
        if not revealed:
            veil(row)
        label = LABEL_SETS[row.label_set].label(row.top_label) if row.top_label else None
        yield ListedAnalysis(row, revealed, label_name(label) if label else "")


def in_full(rows: Iterable[Analysis]) -> list[ListedAnalysis]:
    """Return the rows with the group and what clinicians decided; one query where they did."""
    listed = list(told_apart(rows))
    decided = [
        row.analysis.pk
        for row in listed
        if row.revealed and row.analysis.review_state != ReviewState.PENDING
    ]
    reviews = last_reviews(decided) if decided else {}
    return [replace(row, group=_group(row), review=reviews.get(row.analysis.pk)) for row in listed]


def _group(row: ListedAnalysis) -> str:
    answered = row.revealed and row.analysis.decision == Decision.ANSWER
    return TRIAGE_ORDER[row.analysis.triage_rank] if answered else ""
