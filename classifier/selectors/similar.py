"""Confirmed cases that look alike to the network: for comparison, never as evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, Value
from django.utils.translation import gettext as _

from classifier.choices import ReviewState, State, Verdict
from classifier.models import Analysis, Embedding, Outcome, Review
from classifier.models.embeddings import DIMENSIONS
from classifier.models.vectors import CosineDistance
from classifier.selectors.outcomes import (
    day_of_picture,
    is_younger,
    outcome_name,
    standing_outcomes,
)
from classifier.selectors.results import diagnosis_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classifier.models import User

MOST_SIMILAR = 6
# Cosine distances of the shipped networks: the same picture turned or brightened lies below the
# first, and the release's golden pictures of other lesions above the second, nearly all of them.
_VERY, _QUITE, _LITTLE = 0.1, 0.3, 0.6
# How many neighbours the index keeps in view, and how many rows it may look at before it gives up
# and all of the clinic's are looked at instead.
_EF_SEARCH = 100
_MOST_SCANNED = 20_000


@dataclass(frozen=True)
class SimilarCase:
    """One confirmed case.

    Attributes:
        analysis: with its image, lesion and patient.
        diagnosis: what it turned out to be, or what a clinician decided.
        confirmed: which of them, in words.
        distance: 0 for the same to the network, 1 for nothing in common.
        words: the same for people.
    """

    analysis: Analysis
    diagnosis: str
    confirmed: str
    distance: float
    words: str


def similar_cases(analysis: Analysis, user: User) -> list[SimilarCase] | None:
    """Return the confirmed cases of the same clinic that the same network places nearest.

    Confirmed is what pathology or time has settled, or a clinician has decided, by a review that is
    no deferral; of both the first counts. Cases of the same patient, and what the person may not
    see, are none.

    Args:
        analysis: one whose answer the person may see.
        user: who looks.

    Returns:
        At most :data:`MOST_SIMILAR`; None where the network has not placed the image.
    """
    own = Embedding.objects.filter(prediction=analysis.prediction_id).first()
    if own is None:
        return None
    confirmed = (
        Analysis.objects.revealed_to(user)
        .filter(
            is_confirmed(),
            clinic=analysis.clinic_id,
            prediction__embedding__clinic=analysis.clinic_id,
            prediction__embedding__model_version=own.model_version_id,
        )
        .exclude(patient=analysis.patient_id)
        .select_related("image__lesion", "patient")
        .defer("patient__notes")
    )
    far = CosineDistance("prediction__embedding__vector", own.vector, dimensions=DIMENSIONS)
    with transaction.atomic():
        with connection.cursor() as cursor:
            # The index gives neighbours of all clinics, the nearest first: it goes on until six
            # are left over. It can only lead where PostgreSQL weighs every order of the joins.
            cursor.execute(
                "SELECT set_config('join_collapse_limit', '12', true),"
                " set_config('hnsw.iterative_scan', 'strict_order', true),"
                " set_config('hnsw.ef_search', %s, true),"
                " set_config('hnsw.max_scan_tuples', %s, true)",
                [str(_EF_SEARCH), str(_MOST_SCANNED)],
            )
        found = list(confirmed.annotate(distance=far).order_by("distance")[:MOST_SIMILAR])
        if len(found) < MOST_SIMILAR:
            # Few, or far away: no index is asked for a sum.
            exact = confirmed.annotate(distance=far + Value(0.0)).order_by("distance")
            found = list(exact[:MOST_SIMILAR])
    known = _known(found)
    return [
        SimilarCase(case, *known[case.pk], distance=distance, words=words_of(distance))
        for case, distance in ((case, float(vars(case)["distance"])) for case in found)
    ]


def is_confirmed() -> Q:
    """Return the condition under which an analysis may be shown beside another as a known case."""
    settled = Outcome.objects.standing().filter(
        lesion=OuterRef("image__lesion"), found_on__gte=day_of_picture("image", OuterRef)
    )
    return (Q(review_state=ReviewState.REVIEWED) | Exists(settled)) & Q(
        state=State.SUCCEEDED, modality=F("image__modality")
    )


def words_of(distance: float) -> str:
    """Return how much alike two pictures are to the network."""
    if distance < _VERY:
        return _("very much alike")
    if distance < _QUITE:
        return _("alike")
    return _("a little alike") if distance < _LITTLE else _("hardly alike")


def _known(cases: Sequence[Analysis]) -> dict[Any, tuple[str, str]]:
    """Return of each case what it is and how that is known, in words; two queries."""
    outcomes = standing_outcomes(case.image.lesion for case in cases if case.image.lesion)
    reviews = Review.objects.filter(
        analysis__in=[case.pk for case in cases], verdict__in=(Verdict.AGREE, Verdict.OVERRULE)
    ).order_by("number")
    last = {review.analysis_id: review for review in reviews}
    known: dict[Any, tuple[str, str]] = {}
    for case in cases:
        outcome = outcomes.get(case.image.lesion_id)
        if outcome is not None and not is_younger(case.image, outcome):
            known[case.pk] = outcome_name(outcome), outcome.get_kind_display()
            continue
        review = last[case.pk]
        told = diagnosis_name(review.diagnosis, review.diagnosis_text, case.label_set)
        known[case.pk] = told, _("decided by a clinician")
    return known
