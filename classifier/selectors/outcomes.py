"""What lesions turned out to be, and how right every prediction of them was.

Nothing of it is stored: a corrected outcome corrects every figure the next time it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from django.db.models import DateTimeField, Exists, F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, JSONObject, TruncDate
from django.utils import timezone

from classifier.choices import Decision
from classifier.models import (
    LABEL_SET_OF,
    OTHER_DIAGNOSIS,
    Analysis,
    Image,
    Outcome,
    Prediction,
    Reading,
)
from classifier.wording import label_name
from mlcore.labels import LABEL_SETS, Label

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from classifier.models import Lesion, User

# Every label of every set by its key; "melanoma" is in both and means the same.
LABELS: Mapping[str, Label] = {
    label.key: label for each in LABEL_SETS.values() for label in each.labels
}
# No prediction was made for a picture taken otherwise than recorded now.
RIGHT_MODALITY = Q()
for _modality, _label_set in LABEL_SET_OF.items():
    RIGHT_MODALITY |= Q(image__modality=_modality, model_version__label_set=_label_set)


def outcome_name(outcome: Outcome) -> str:
    """Return an outcome's diagnosis as shown: a label's name, or the words that were written."""
    if outcome.diagnosis == OTHER_DIAGNOSIS:
        return outcome.diagnosis_text
    label = LABELS.get(outcome.diagnosis)
    return label_name(label) if label else outcome.diagnosis


def standing_outcomes(lesions: Iterable[Lesion]) -> dict[Any, Outcome]:
    """Return the outcome that counts of each lesion that has one, by the lesion's key."""
    found = Outcome.objects.standing().filter(lesion__in=[lesion.pk for lesion in lesions])
    return {row.lesion_id: row for row in found.select_related("recorded_by")}


def day_of_picture(image: str, column: type[F] = F) -> TruncDate:
    """Return on which day a picture was taken, or sent where nobody knows.

    A picture that is younger than the outcome of its lesion may show the scar: neither is what the
    network said of it right or wrong, nor is it a picture of what was found.

    Args:
        image: the path from the row to its image.
        column: ``OuterRef`` where the row is of the query around.
    """
    columns = (column(f"{image}__{name}") for name in ("taken_at", "created_at"))
    return TruncDate(Coalesce(*columns, output_field=DateTimeField()))


def is_younger(image: Image, outcome: Outcome) -> bool:
    """Tell of one picture, as :func:`day_of_picture`, whether it was taken after the outcome."""
    return timezone.localdate(image.taken_at or image.created_at) > outcome.found_on


# What is read of an outcome along with another row.
_READ_ALONG = ("kind", "diagnosis", "diagnosis_text", "behaviour", "found_on", "reference")


def outcome_facts(lesion: str) -> Subquery:
    """Return the outcome that counts of a row's lesion, to be read along with the row.

    Args:
        lesion: the path from the row to its lesion.
    """
    standing = Outcome.objects.standing().filter(lesion=OuterRef(lesion)).order_by()
    return Subquery(standing.values(facts=JSONObject(**{name: name for name in _READ_ALONG}))[:1])


def outcome_of(facts: dict[str, Any] | None) -> Outcome | None:
    """Return what :func:`outcome_facts` read as a row that is never saved."""
    if facts is None:
        return None
    return Outcome(**facts | {"found_on": date.fromisoformat(facts["found_on"])})


@dataclass(frozen=True)
class Score:
    """How right one diagnosis was against what the lesion turned out to be.

    Attributes:
        exact: the same diagnosis.
        group: the same triage group; None where the outcome belongs to none.
        behaviour: both malignant or pre-malignant, or both benign; None where the outcome is
            uncertain.
    """

    exact: bool
    group: bool | None
    behaviour: bool | None


def score(diagnosis: str, outcome: Outcome) -> Score | None:
    """Return how right a diagnosis was; None for words, of which nothing is known.

    Args:
        diagnosis: a label's key, or "other".
        outcome: that counts.
    """
    said = LABELS.get(diagnosis)
    if said is None:
        return None
    found = LABELS.get(outcome.diagnosis)
    return Score(
        exact=diagnosis == outcome.diagnosis,
        group=None if found is None else said.triage_group == found.triage_group,
        behaviour=None if outcome.malignant is None else said.malignant == outcome.malignant,
    )


@dataclass(frozen=True)
class ScoredReading:
    """What a reader said before the answer, and how right that was; None where words say it."""

    reader: str
    diagnosis: str
    score: Score | None


@dataclass(frozen=True)
class ScoredPrediction:
    """One past prediction of a lesion against its outcome.

    Attributes:
        prediction: the stored facts, with its version; None where it is hidden from the person.
        image: what was judged; ``moment`` is when it was taken, or sent where nobody knows.
        analysis: of the image, to go to.
        said: the first label as shown; empty where the network gave no answer.
        score: how right it was; None likewise.
        known: whether the outcome is a label that the network can name at all.
        readings: of the image by people who did not know the answer.
        younger: the picture was taken after the outcome was found, and nothing of it is scored.
    """

    image: Image
    analysis: Analysis | None
    prediction: Prediction | None = None
    said: str = ""
    score: Score | None = None
    known: bool = True
    readings: tuple[ScoredReading, ...] = ()
    younger: bool = False


def scored_predictions(lesion: Lesion, outcome: Outcome, user: User) -> list[ScoredPrediction]:
    """Return every prediction of the lesion's images against its outcome, newest picture first.

    What is hidden from the person before their own reading stays so: whether it was right would
    tell it. Predictions made for the wrong modality are left out.

    Args:
        lesion: visible to the person.
        outcome: of it, that counts.
        user: who looks.
    """
    predictions = list(
        Prediction.objects.filter(RIGHT_MODALITY, image__lesion=lesion)
        .select_related("image", "model_version")
        .defer(
            "evidence_maps", "probabilities", "model_version__manifest", "model_version__metrics"
        )
        .annotate(moment=Coalesce("image__taken_at", "image__created_at"))
        .order_by("-moment", "-created_at", "-id")
    )
    analyses = (
        Analysis.objects.visible_to(user)
        .filter(image__lesion=lesion, modality=F("image__modality"), prediction__isnull=False)
        .annotate(open=Exists(Analysis.objects.revealed_to(user).filter(pk=OuterRef("pk"))))
        .order_by("created_at", "id")
    )
    of_image = {row.image_id: row for row in analyses}
    blinded = Reading.objects.filter(
        analysis__in=[row.pk for row in of_image.values()], blinded=True
    )
    readings: dict[Any, list[ScoredReading]] = {}
    for row in blinded.select_related("reader").order_by("created_at", "id"):
        label = LABELS.get(row.diagnosis)
        said = label_name(label) if label is not None else row.diagnosis_text
        readings.setdefault(row.analysis_id, []).append(
            ScoredReading(str(row.reader), said, score(row.diagnosis, outcome))
        )
    return [_scored(row, of_image.get(row.image_id), outcome, readings) for row in predictions]


def _scored(
    row: Prediction,
    analysis: Any,
    outcome: Outcome,
    readings: Mapping[Any, list[ScoredReading]],
) -> ScoredPrediction:
    if analysis is None or not analysis.open:
        return ScoredPrediction(row.image, analysis)
    answered = row.decision == Decision.ANSWER
    younger = is_younger(row.image, outcome)
    read = readings.get(analysis.pk, ())
    return ScoredPrediction(
        image=row.image,
        analysis=analysis,
        prediction=row,
        said=label_name(LABELS[row.top_label]) if answered else "",
        score=score(row.top_label, outcome) if answered and not younger else None,
        known=outcome.diagnosis in LABEL_SETS[row.model_version.label_set].keys,
        readings=tuple(replace(each, score=None) if younger else each for each in read),
        younger=younger,
    )
