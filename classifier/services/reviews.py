"""Saving a verdict on the network's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _

from classifier.choices import Decision, ReviewState, State, Verdict
from classifier.models import OTHER_DIAGNOSIS, Analysis, Review
from classifier.selectors.results import mark_of
from classifier.services import audit, disagreements
from classifier.services.errors import ConflictError, RuleError
from classifier.services.readings import check_diagnosis

if TYPE_CHECKING:
    from classifier.models import User

_STATE_AFTER = {
    Verdict.AGREE: ReviewState.REVIEWED,
    Verdict.OVERRULE: ReviewState.REVIEWED,
    Verdict.DEFER: ReviewState.DEFERRED,
}


def save_review(  # noqa: PLR0913 - one form's fields
    *,
    analysis: Analysis,
    by: User,
    verdict: str,
    expected_number: int,
    seen: str | None = None,
    diagnosis: str = "",
    diagnosis_text: str = "",
    reason: str = "",
    notes: str = "",
) -> Review:
    """Append a review.

    Args:
        analysis: with its prediction.
        by: the reviewer, who may see the answer.
        verdict: agree, overrule or defer.
        expected_number: how many reviews there were when the form was made.
        seen: the mark of what the form's page showed (see :func:`mark_of`); None where the caller
            looked at nothing that could have changed.
        diagnosis: the final one; needed to overrule, and to agree that the network cannot say.
        diagnosis_text: written out where the diagnosis is "other".
        reason: needed to overrule, and to settle what readers disagree about.
        notes: anything else.

    Raises:
        RuleError: the answer is hidden from this person, or a needed field is missing.
        ConflictError: somebody reviewed or read meanwhile, or there is another answer; nothing
            was saved.
    """
    prediction = analysis.prediction
    if prediction is None or analysis.state not in {State.SUCCEEDED, State.REJECTED}:
        raise RuleError(_("There is no answer to review yet."))
    if not Analysis.objects.revealed_to(by).filter(pk=analysis.pk).exists():
        raise RuleError(_("Save your own reading first."))
    choice = Verdict(verdict)
    diagnosis = _final_diagnosis(analysis, choice, diagnosis, diagnosis_text, reason)
    with transaction.atomic():
        claimed = Analysis.objects.filter(
            pk=analysis.pk,
            review_count=expected_number,
            prediction=prediction,
            state=analysis.state,
        ).update(
            review_count=expected_number + 1,
            review_state=_STATE_AFTER[choice],
            last_reviewer=by,
        )
        if not claimed:
            raise ConflictError(_("Somebody reviewed this analysis while you were writing."))
        # The row is held from here on: who saves a reading waits for it.
        if seen is not None and seen != mark_of(analysis, analysis.readings.count()):
            raise ConflictError(_("The analysis has moved on meanwhile. Look again."))
        if diagnosis and not reason.strip() and disagreements.needs_reason(analysis):
            raise RuleError(_("The readers differ. Say why you decide so."))
        review = Review.objects.create(
            clinic_id=analysis.clinic_id,
            analysis=analysis,
            prediction=prediction,
            number=expected_number + 1,
            reviewer=by,
            verdict=choice,
            diagnosis=diagnosis,
            diagnosis_text=diagnosis_text.strip() if diagnosis == OTHER_DIAGNOSIS else "",
            reason=reason.strip(),
            notes=notes.strip(),
        )
        audit.record(
            action="review.saved",
            actor=by,
            clinic_id=analysis.clinic_id,
            subject=analysis,
            verdict=choice.value,
            number=review.number,
        )
        disagreements.settle(review=review)
    return review


def _final_diagnosis(
    analysis: Analysis, verdict: Verdict, diagnosis: str, text: str, reason: str
) -> str:
    """Return the diagnosis to keep, after checking what the verdict needs."""
    answered = analysis.decision == Decision.ANSWER
    if verdict is Verdict.DEFER:
        return ""
    if verdict is Verdict.AGREE and answered:
        # To agree is to share the network's first label, whatever the form's other fields hold.
        return analysis.top_label
    if not diagnosis:
        raise RuleError(_("Choose the final diagnosis."))
    check_diagnosis(analysis=analysis, diagnosis=diagnosis, text=text)
    if verdict is Verdict.OVERRULE:
        if not reason.strip():
            raise RuleError(_("Say why you overrule the network."))
        if answered and diagnosis == analysis.top_label:
            raise RuleError(_("This is the network's own answer. Choose “Agree” instead."))
    return diagnosis
