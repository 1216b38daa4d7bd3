"""Where analyses stand, what came out, readings and reviews.

Annotations are read at run time here, so there is no ``from __future__ import annotations``.
"""

import uuid
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Router

from classifier.api.auth import Token, token_of
from classifier.api.once import Key, done, once
from classifier.api.reach import seen, written
from classifier.api.schemas import (
    AnalysisOut,
    AnswerOut,
    RankedOut,
    ReadingIn,
    ReadingOut,
    ResultOut,
    ReviewIn,
    ReviewOut,
    VersionOut,
)
from classifier.choices import Decision, Modality, ReviewState, Scope, State, Verdict
from classifier.models import Analysis, ApiToken, LabelSet, Reading, Review
from classifier.selectors.results import Answer as NetworkAnswer
from classifier.selectors.results import diagnosis_name, percent_of, result_page, veil
from classifier.services.readings import save_reading
from classifier.services.results import record_answer_viewed
from classifier.services.reviews import save_review
from classifier.services.sent_once import Answer

router = Router(tags=["Analyses"])


def rows() -> Any:
    """Return analyses with what is told of them."""
    return Analysis.objects.select_related(
        "clinic", "patient", "image", "prediction__model_version"
    ).defer(
        "patient__notes",
        "prediction__evidence_maps",
        "prediction__model_version__metrics",
    )


def told_analysis(analysis: Analysis, *, revealed: bool) -> AnalysisOut:
    """Return where an analysis stands; one whose answer is hidden is veiled first.

    Args:
        analysis: with its image; in memory it is changed where it is veiled.
        revealed: whether the token's owner may see the answer.
    """
    hidden = analysis.prediction_id is not None and not revealed
    if not revealed:
        veil(analysis)
    return AnalysisOut(
        id=analysis.pk,
        patient=analysis.patient_id,
        image=analysis.image_id,
        lesion=analysis.image.lesion_id,
        modality=Modality(analysis.modality),
        label_set=LabelSet(analysis.label_set),
        state=State(analysis.state),
        finished=not analysis.is_waiting,
        hidden=hidden,
        requested_at=analysis.created_at,
        finished_at=analysis.finished_at,
        failure_code=analysis.failure_code,
        failure_reference=analysis.failure_reference,
        review_state=ReviewState(analysis.review_state),
        review_count=analysis.review_count,
    )


def told_reading(reading: Reading, label_set: str) -> ReadingOut:
    """Return a reading."""
    return ReadingOut(
        reader=str(reading.reader),
        diagnosis=reading.diagnosis,
        diagnosis_name=diagnosis_name(reading.diagnosis, reading.diagnosis_text, label_set),
        blinded=reading.blinded,
        saved_at=reading.created_at,
    )


def told_review(review: Review, label_set: str) -> ReviewOut:
    """Return a review."""
    return ReviewOut(
        number=review.number,
        reviewer=str(review.reviewer),
        verdict=Verdict(review.verdict),
        diagnosis=review.diagnosis,
        diagnosis_name=diagnosis_name(review.diagnosis, review.diagnosis_text, label_set),
        reason=review.reason,
        notes=review.notes,
        saved_at=review.created_at,
    )


def told_answer(answer: NetworkAnswer) -> AnswerOut:
    """Return what the network said, and no more than the page shows of it."""
    prediction = answer.prediction
    usable = prediction.decision != Decision.REJECTED
    return AnswerOut(
        decision=Decision(prediction.decision),
        reason_code=prediction.reason_code,
        reason=prediction.reason,
        first_label=answer.ranked[0].label.key if answer.is_answer else None,
        words=(answer.words or None) if answer.is_answer else None,
        triage_group=prediction.plausible_group or None,
        probabilities=[
            RankedOut(
                label=row.label.key,
                name=row.label.name,
                icd10=row.label.icd10,
                triage_group=row.label.triage_group,
                probability=row.probability,
                shown=percent_of(row.probability),
            )
            for row in (answer.ranked if usable else [])
        ],
        network=VersionOut(
            id=prediction.model_version_id,
            label_set=LabelSet(prediction.model_version.label_set),
            version=prediction.model_version.version,
        ),
        answered_at=prediction.created_at,
    )


def result_of(analysis: Analysis, token: ApiToken) -> ResultOut:
    """Return everything the token's owner may see, and record that they saw it."""
    page = result_page(analysis, token.user)
    if page.answer is not None:
        record_answer_viewed(analysis=analysis, by=token.user)
    revealed = analysis.prediction_id is None or not page.hidden
    return ResultOut(
        analysis=told_analysis(analysis, revealed=revealed),
        hidden=page.hidden,
        answer=told_answer(page.answer) if page.answer else None,
        readings=[told_reading(row, analysis.label_set) for row in page.readings],
        reviews=[told_review(row, analysis.label_set) for row in page.reviews],
        seen=page.mark if page.answer else None,
        note=_note(page.answer, hidden=page.hidden),
    )


def _note(answer: NetworkAnswer | None, *, hidden: bool) -> str:
    if hidden:
        return _("There is an answer. Save your own reading first; then it is shown.")
    judged = _("A research network, to be judged by a clinician.")
    return f"{judged} {answer.premise}" if answer else judged


@router.get(
    "/analyses/{uuid:analysis}",
    response=AnalysisOut,
    auth=Token(Scope.READ),
    url_name="analysis",
    summary="Ask where an analysis stands",
)
def get_analysis(request: HttpRequest, analysis: uuid.UUID) -> Any:
    """Ask whether an analysis is done. A webhook saves asking."""
    token = token_of(request)
    row = seen(rows(), token, analysis)
    revealed = Analysis.objects.revealed_to(token.user).filter(pk=row.pk).exists()
    return told_analysis(row, revealed=revealed)


@router.get(
    "/analyses/{uuid:analysis}/result",
    response=ResultOut,
    auth=Token(Scope.READ),
    url_name="result",
    summary="Get the result",
)
def get_result(request: HttpRequest, analysis: uuid.UUID) -> Any:
    """Return the network's answer, readings and reviews, as far as they are shown to you."""
    token = token_of(request)
    return result_of(seen(rows(), token, analysis), token)


@router.post(
    "/analyses/{uuid:analysis}/reading",
    response={201: ResultOut},
    auth=Token(Scope.REVIEW),
    url_name="reading",
    summary="Save your own reading",
)
@once
def create_reading(
    request: HttpRequest, analysis: uuid.UUID, facts: ReadingIn, idempotency_key: Key = None
) -> Answer:
    """Save what you think, once; it is locked from then on, and the answer is revealed."""
    token = token_of(request)
    row = written(rows(), token, analysis)
    save_reading(analysis=row, by=token.user, **facts.model_dump())
    return done(result_of(row, token), patient=row.patient)


@router.post(
    "/analyses/{uuid:analysis}/reviews",
    response={201: ReviewOut},
    auth=Token(Scope.REVIEW),
    url_name="reviews",
    summary="Review the answer",
)
@once
def create_review(
    request: HttpRequest, analysis: uuid.UUID, facts: ReviewIn, idempotency_key: Key = None
) -> Answer:
    """Agree with the network's answer, overrule it with a reason, or defer."""
    token = token_of(request)
    row = written(rows(), token, analysis)
    review = save_review(analysis=row, by=token.user, **facts.model_dump())
    return done(told_review(review, row.label_set), patient=row.patient)
