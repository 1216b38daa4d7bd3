"""Everything the result page shows, as far as the person may see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import (
    BooleanField,
    CharField,
    ExpressionWrapper,
    OuterRef,
    Q,
    Subquery,
    Value,
)
from django.db.models.functions import Cast, Coalesce

from classifier.choices import Decision, State
from classifier.models import (
    OTHER_DIAGNOSIS,
    Analysis,
    AuditEvent,
    Clinic,
    Disagreement,
    Prediction,
    Reading,
    ReadingRequest,
    Review,
)
from classifier.selectors.outcomes import outcome_facts, outcome_of
from classifier.wording import in_ten, label_name, premise
from mlcore.labels import Label, label_set

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable

    from classifier.models import Image, Outcome, Transition, User

# What the audit trail calls it that somebody was shown the network's answer.
ANSWER_VIEWED = "answer.viewed"
# Below and above these a rounded percentage would claim a certainty nobody has.
_LEAST, _MOST = 0.01, 0.99
# The column's default, which every analysis has before it is answered.
_UNRANKED = 99


@dataclass(frozen=True)
class RankedLabel:
    """One label with its probability.

    Attributes:
        label: the label's facts.
        probability: 0 to 1.
        percent: for people: "<1 %", "37 %", ">99 %".
        width: of its bar, 0 to 100.
    """

    label: Label
    probability: float
    percent: str
    width: int


@dataclass(frozen=True)
class Answer:
    """What the network said, for a person who may see it.

    Attributes:
        prediction: the stored facts.
        ranked: all labels, most probable first.
        is_answer: whether the first label may be shown as the answer.
        words: the first probability in a sentence, where it is a share of any images.
        premise: what the probabilities assume.
    """

    prediction: Prediction
    ranked: list[RankedLabel]
    is_answer: bool
    words: str
    premise: str


@dataclass(frozen=True)
class ResultPage:
    """Everything one result page needs.

    Attributes:
        analysis: the job.
        answer: None while it waits, failed, or is hidden from this person.
        hidden: an answer exists, and this person must read first.
        reading: this person's own reading.
        readings: everybody's, once revealed; else only this person's.
        reviews: what is on record, once revealed.
        transitions: every move of the job.
        can_write: whether this person may read, review, retry and cancel.
        difference: a value of ``Difference`` while opinions differ and nobody has decided; empty
            where the person must not know.
        request_key: of the open request for a second reading.
        outcome: what the lesion turned out to be, not to be saved; None where there is none, and
            where this person must read first.
        outdated: the image's modality was corrected since; another network should judge it.
        current: the analysis to look at instead of an outdated one, if there is one.
    """

    analysis: Analysis
    answer: Answer | None
    hidden: bool
    reading: Reading | None
    readings: list[Reading]
    reviews: list[Review]
    transitions: list[Transition]
    can_write: bool
    difference: str = ""
    request_key: uuid.UUID | None = None
    outcome: Outcome | None = None
    outdated: bool = False
    current: Analysis | None = None

    @property
    def must_read(self) -> bool:
        """Whether the page asks for an own reading."""
        return self.can_write and self.reading is None and self.has_result

    @property
    def can_review(self) -> bool:
        """Whether the page offers the review form."""
        return self.can_write and self.answer is not None

    @property
    def mark(self) -> str:
        """What a review from this page answers to; only of use where the answer is shown."""
        return mark_of(self.analysis, len(self.readings))

    @property
    def has_result(self) -> bool:
        """Whether the network has answered."""
        return self.analysis.state in {State.SUCCEEDED, State.REJECTED}


def percent_of(probability: float) -> str:
    """Return a probability for people."""
    if probability < _LEAST:
        return "<1 %"
    if probability > _MOST:
        return ">99 %"
    return f"{round(probability * 100)} %"


def diagnosis_name(key: str, text: str, label_set_key: str) -> str:
    """Return a diagnosis as shown: a label's name, or the clinician's own words."""
    if key == OTHER_DIAGNOSIS:
        return text
    names = {label.key: label_name(label) for label in label_set(label_set_key).labels}
    return names.get(key, key)


def mark_of(analysis: Analysis, readings: int) -> str:
    """Return a mark of what a review answers to: which result, and after how many readings.

    The page gives it out and the review brings it back, so that nobody decides about an answer or
    an opinion that was not there when they looked.
    """
    return f"{analysis.prediction_id}-{readings}"


def final_diagnoses(rows: Iterable[Analysis]) -> dict[Any, str]:
    """Return the diagnosis of each analysis's last review, which may be none (deferred)."""
    label_sets = {row.pk: row.label_set for row in rows}
    reviews = Review.objects.filter(analysis__in=label_sets).order_by("number")
    return {
        review.analysis_id: diagnosis_name(
            review.diagnosis, review.diagnosis_text, label_sets[review.analysis_id]
        )
        for review in reviews.only("analysis_id", "number", "diagnosis", "diagnosis_text")
    }


def latest_analysis(image: Image) -> Analysis | None:
    """Return the newest analysis for the modality that the image has now."""
    wanted = image.analyses.filter(modality=image.modality)
    return wanted.order_by("-created_at", "-id").first()


def veil(analysis: Analysis) -> None:
    """Blank the answer's columns of a row that is about to be shown to a blinded person.

    Only the object in memory changes, so that no template can show by mistake what the person
    must not know yet. "Rejected" is an answer too: it reads "done" until it is revealed. Never
    save such a row, nor hand it to a service.
    """
    analysis.decision = ""
    analysis.top_label = ""
    analysis.triage_rank = _UNRANKED
    if analysis.state == State.REJECTED:
        analysis.state = State.SUCCEEDED


def _without_earlier_answers(moves: list[Transition]) -> list[Transition]:
    """Leave out the attempts that ended in a rejection which somebody did not accept.

    They, and the reason that the person gave, tell what the network said of the image, and very
    likely will say again.
    """
    asked = [place for place, move in enumerate(moves) if move.from_state == State.REJECTED]
    if not asked:
        return moves
    request = [move for move in moves[:1] if not move.from_state]
    return request + moves[asked[-1] + 1 :]


def _veil_move(move: Transition) -> None:
    move.reason = ""
    if move.to_state == State.REJECTED:
        move.to_state = State.SUCCEEDED
    if move.from_state == State.REJECTED:
        move.from_state = State.SUCCEEDED


def result_page(analysis: Analysis, user: User) -> ResultPage:
    """Return what a person may see of an analysis that is visible to them.

    Args:
        analysis: with image, patient, clinic, lesion, model version and prediction; it is
            veiled (see :func:`veil`) where the answer is hidden from the person.
        user: who looks.
    """
    gates = _gates(analysis, user)
    revealed = gates["revealed"]
    hidden = analysis.prediction_id is not None and not revealed
    transitions = list(analysis.transitions.select_related("actor"))
    if not revealed:
        transitions = _without_earlier_answers(transitions)
    if hidden:
        veil(analysis)
        for move in transitions:
            _veil_move(move)
    rows = analysis.readings.select_related("reader").annotate(shown_at=_first_shown("reader"))
    readings: list[Reading] = list(rows)
    own = next((reading for reading in readings if reading.reader_id == user.pk), None)
    outdated = analysis.modality != analysis.image.modality
    return ResultPage(
        analysis=analysis,
        answer=_answer(analysis) if revealed else None,
        hidden=hidden,
        reading=own,
        readings=readings if revealed else [r for r in readings if r is own],
        reviews=_reviews(analysis) if revealed else [],
        transitions=transitions,
        can_write=gates["can_write"],
        difference=gates["difference"] if revealed and not outdated else "",
        request_key=gates["request_key"],
        outcome=outcome_of(gates["outcome"]) if revealed else None,
        outdated=outdated,
        current=latest_analysis(analysis.image) if outdated else None,
    )


# What is assumed of a row that is away.
_CLOSED = {
    "revealed": False,
    "can_write": False,
    "difference": "",
    "request_key": None,
    "outcome": None,
}


def _gates(analysis: Analysis, user: User) -> dict[str, Any]:
    """Return what decides what the page shows, in one query."""
    yes = BooleanField()
    writable = Q(clinic__in=Clinic.objects.writable_by(user).values("pk"))
    differs = Disagreement.objects.filter(analysis=OuterRef("pk"), settled_by__isnull=True)
    requests = ReadingRequest.objects.open().filter(analysis=OuterRef("pk"))
    found = (
        Analysis.objects.visible_to(user)
        .filter(pk=analysis.pk)
        .annotate(
            revealed=ExpressionWrapper(Analysis.objects.open_to(user), output_field=yes),
            can_write=ExpressionWrapper(writable, output_field=yes),
            difference=Coalesce(Subquery(differs.values("difference")[:1]), Value("")),
            request_key=Subquery(requests.values("pk")[:1]),
            outcome=outcome_facts("image__lesion"),
        )
        .values(*_CLOSED)
        .first()
    )
    return dict(found) if found is not None else dict(_CLOSED)


def _reviews(analysis: Analysis) -> list[Review]:
    rows = analysis.reviews.select_related("reviewer")
    return list(rows.annotate(shown_at=_first_shown("reviewer")))


def _first_shown(who: str) -> Subquery:
    """Return when the answer was first shown to the person in that column of a row."""
    shown = AuditEvent.objects.filter(
        subject_type="analysis",
        subject_id=Cast(OuterRef("analysis"), CharField()),
        action=ANSWER_VIEWED,
        actor=OuterRef(who),
    )
    return Subquery(shown.order_by("at").values("at")[:1])


def _answer(analysis: Analysis) -> Answer | None:
    prediction = analysis.prediction
    if prediction is None:
        return None
    labels = label_set(analysis.label_set)
    ranked = [
        RankedLabel(labels.label(key), p, percent_of(p), round(p * 100))
        for key, p in sorted(prediction.probabilities.items(), key=lambda pair: -pair[1])
    ]
    manifest = prediction.model_version.manifest
    return Answer(
        prediction,
        ranked,
        prediction.decision == Decision.ANSWER,
        in_ten(prediction.confidence, label_name(ranked[0].label), manifest),
        premise(manifest),
    )
