"""Noticing that opinions differ, and that somebody has decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.choices import Decision
from classifier.models import Analysis, Disagreement, Reading, Review
from classifier.selectors.second_readings import (
    Opinion,
    difference_between,
    people_differ,
    people_hold,
    worst_difference,
)
from classifier.services import audit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from classifier.models import Prediction


def note_reading(*, reading: Reading) -> None:
    """Open a disagreement where a reading that was just saved differs from what is on record.

    It is compared with the last decision if there is one, else with the network's first label and
    with every other reading; with nothing if its reader decided last, for nobody disagrees with
    themself. Call it in the transaction that saves the reading.
    """
    analysis = reading.analysis
    # Two who read at the same moment would each not see the other's; the second waits here.
    Analysis.objects.select_for_update(no_key=True).only("pk").get(pk=analysis.pk)
    _note(analysis, _opinion_of(reading), _others(analysis, reading))


def note_answers(*, answers: Iterable[tuple[Analysis, Prediction]]) -> None:
    """Open disagreements where an answer differs from what people said of a rejected one before.

    Nobody can have read an analysis whose first answer this is: nothing is looked up for those.
    Call it in the transaction that completes the analyses, which holds their rows.

    Args:
        answers: analyses as the worker claimed them, each with the result that is stored now.
    """
    for analysis, prediction in answers:
        if analysis.attempts_forgiven and prediction.decision == Decision.ANSWER:
            _note(analysis, Opinion(prediction.top_label), _people(analysis))


def _note(analysis: Analysis, opinion: Opinion, others: Iterable[Opinion]) -> None:
    found = worst_difference(
        difference_between(opinion, other, analysis.label_set) for other in others
    )
    if found is None:
        return
    opened = Disagreement.objects.filter(analysis=analysis, settled_by__isnull=True)
    worse = worst_difference([found, *opened.values_list("difference", flat=True)])
    if opened.update(difference=worse):
        return
    Disagreement.objects.create(
        clinic_id=analysis.clinic_id,
        patient_id=analysis.patient_id,
        analysis=analysis,
        difference=found,
    )


def settle(*, review: Review) -> None:
    """Close the disagreement that a review with a diagnosis decides, if there is one.

    Call it in the transaction that saves the review.
    """
    if not review.diagnosis:
        return
    settled = Disagreement.objects.filter(
        analysis=review.analysis_id, settled_by__isnull=True
    ).update(settled_by=review)
    if settled:
        audit.record(
            action="disagreement.settled",
            actor=review.reviewer,
            clinic_id=review.clinic_id,
            subject=review.analysis,
            number=review.number,
        )


def needs_reason(analysis: Analysis) -> bool:
    """Tell whether a decision must say why: people differ among themselves, and it is open."""
    opened = Disagreement.objects.filter(analysis=analysis, settled_by__isnull=True)
    if not opened.exists():
        return False
    said = ("diagnosis", "diagnosis_text")
    read = analysis.readings.values_list("reader_id", *said)
    decided = analysis.reviews.exclude(diagnosis="").values_list("reviewer_id", *said)
    return people_differ(people_hold(decided, read), analysis.label_set)


def _others(analysis: Analysis, reading: Reading) -> Sequence[Opinion]:
    last = _last_decision(analysis)
    if last is not None:
        return [] if last.reviewer_id == reading.reader_id else [_opinion_of(last)]
    found = _read(analysis, reading)
    if analysis.decision == Decision.ANSWER:
        found.append(Opinion(analysis.top_label))
    return found


def _people(analysis: Analysis) -> Sequence[Opinion]:
    last = _last_decision(analysis)
    return _read(analysis) if last is None else [_opinion_of(last)]


def _last_decision(analysis: Analysis) -> Review | None:
    decided = Review.objects.filter(analysis=analysis).exclude(diagnosis="")
    return decided.order_by("number").last()


def _opinion_of(said: Review | Reading) -> Opinion:
    return Opinion(said.diagnosis, said.diagnosis_text)


def _read(analysis: Analysis, but: Reading | None = None) -> list[Opinion]:
    readings = Reading.objects.filter(analysis=analysis)
    if but is not None:
        readings = readings.exclude(pk=but.pk)
    return [
        Opinion(diagnosis, text)
        for diagnosis, text in readings.values_list("diagnosis", "diagnosis_text")
    ]
