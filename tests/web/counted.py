"""Many finished analyses at once, as counting them needs: rows only, no files, no network."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from classifier.choices import Decision, Modality, ReviewState, State, Verdict
from classifier.models import Analysis, Image, Prediction, Reading, Review
from classifier.selectors.figures import Period
from mlcore.labels import label_set
from tests import factories
from tests.web.answered import version_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classifier.models import Clinic, Lesion, ModelVersion, Patient, User
    from tests.conftest import Cast

_numbers = itertools.count(1)


@dataclass
class Case:
    """One analysis, and what people said of it.

    Attributes:
        patient: whose it is.
        by: who sent and reviewed it.
        top: the network's first label.
        decision: of the network.
        reason_code: why it is no answer.
        confidence: of the first label.
        measures: as a worker stores them.
        at: when it was sent.
        waited: from then to the answer.
        final: the diagnosis of the review; none: nobody reviewed it.
        reason: why it was overruled.
        reviewed_after: from sending to the review.
        reading: somebody's own reading before the answer; none: there is none.
        modality: of the analysis.
        corrected: whether the image's kind was corrected since.
        lesion: of the image.
        version: that answered; the label set's active one when not given.
        bare: it still waits for an answer.
    """

    patient: Patient
    by: User
    top: str = "nevus"
    decision: str = Decision.ANSWER
    reason_code: str = ""
    confidence: float = 0.8
    measures: dict[str, float] | None = None
    at: datetime = field(default_factory=timezone.now)
    waited: timedelta = timedelta(minutes=1)
    final: str = ""
    reason: str = ""
    reviewed_after: timedelta = timedelta(hours=1)
    reading: str = ""
    modality: str = Modality.DERMOSCOPY
    corrected: bool = False
    lesion: Lesion | None = None
    version: ModelVersion | None = None
    bare: bool = False


AUGUST = datetime(2026, 8, 10, 9, tzinfo=UTC)
SEPTEMBER = datetime(2026, 9, 20, 9, tzinfo=UTC)


def autumn(clinic: Clinic | None) -> Period:
    """Return a period that both moments lie in."""
    return Period(datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC), clinic)


def cases(cast: Cast, number: int, **facts: Any) -> list[Case]:
    """Return cases of the first clinic in August, unless told otherwise."""
    patient = facts.pop("patient", cast.patient)
    return [Case(patient, cast.owner, **{"at": AUGUST} | facts) for _number in range(number)]


def store(cases: Sequence[Case]) -> list[Analysis]:
    """Store the cases and return their analyses, in order."""
    images = Image.objects.bulk_create(_image(case) for case in cases)
    pairs = list(zip(cases, images, strict=True))
    versions = {key: version_of(key) for key in {factories.label_set_of(image) for image in images}}
    predictions = [
        None if case.bare else _prediction(case, image, versions[factories.label_set_of(image)])
        for case, image in pairs
    ]
    Prediction.objects.bulk_create(row for row in predictions if row is not None)
    analyses = Analysis.objects.bulk_create(
        _analysis(case, image, prediction)
        for (case, image), prediction in zip(pairs, predictions, strict=True)
    )
    _people(cases, analyses)
    for case, image, analysis in zip(cases, images, analyses, strict=True):
        # Django writes the moment of storing itself.
        analysis.created_at = case.at
        if case.corrected:
            (other,) = set(Modality) - {Modality(case.modality)}
            image.modality = other
    Analysis.objects.bulk_update(analyses, ["created_at"])
    Image.objects.bulk_update([image for case, image in pairs if case.corrected], ["modality"])
    return analyses


def _image(case: Case) -> Image:
    number = next(_numbers)
    return Image(
        clinic=case.patient.clinic,
        patient=case.patient,
        uploaded_by=case.by,
        lesion=case.lesion,
        modality=case.modality,
        original_sha256=f"{number:064}",
        original_format="PNG",
        byte_size=1000,
        width=320,
        height=240,
        network_source_sha256="0" * 64,
    )


def _prediction(case: Case, image: Image, active: ModelVersion) -> Prediction:
    labels = label_set(factories.label_set_of(image))
    return Prediction(
        clinic=image.clinic,
        image=image,
        model_version=case.version or active,
        decision=case.decision,
        reason_code=case.reason_code,
        reason=f"A sentence about {case.reason_code}." if case.reason_code else "",
        probabilities={case.top: case.confidence},
        top_label=case.top,
        confidence=case.confidence,
        triage_group=labels.label(case.top).triage_group,
        evidence_maps={},
        engine="litert",
        artefact_sha256="0" * 64,
        input_sha256="0" * 64,
        attempt=1,
        measures=case.measures,
        timings_ms={},
    )


def _analysis(case: Case, image: Image, prediction: Prediction | None) -> Analysis:
    facts = {
        "clinic": image.clinic,
        "patient": case.patient,
        "image": image,
        "label_set": factories.label_set_of(image),
        "modality": case.modality,
        "requested_by": case.by,
    }
    if prediction is None:
        return Analysis(**facts)
    rejected = case.decision == Decision.REJECTED
    return Analysis(
        **facts,
        state=State.REJECTED if rejected else State.SUCCEEDED,
        attempt=1,
        model_version=prediction.model_version,
        prediction=prediction,
        decision=case.decision,
        top_label=case.top,
        started_at=case.at,
        finished_at=case.at + case.waited,
        review_state=ReviewState.REVIEWED if case.final else ReviewState.PENDING,
        review_count=1 if case.final else 0,
    )


def _people(cases: Sequence[Case], analyses: Sequence[Analysis]) -> None:
    pairs = list(zip(cases, analyses, strict=True))
    Reading.objects.bulk_create(
        Reading(
            clinic_id=analysis.clinic_id,
            analysis=analysis,
            reader=case.by,
            diagnosis=case.reading,
            blinded=True,
        )
        for case, analysis in pairs
        if case.reading
    )
    reviewed = [(case, analysis) for case, analysis in pairs if case.final]
    for case, analysis in reviewed:
        agrees = case.final == case.top or case.decision != Decision.ANSWER
        review = Review(
            clinic_id=analysis.clinic_id,
            analysis=analysis,
            prediction=analysis.prediction,
            number=1,
            reviewer=case.by,
            verdict=Verdict.AGREE if agrees else Verdict.OVERRULE,
            diagnosis=case.final,
            reason="" if agrees else case.reason or "no reason given",
        )
        review.save()
