"""Analyses in every state, with the rows a worker would have written; no network runs."""

from __future__ import annotations

import hashlib
import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from classifier.choices import ActorKind, Decision, Modality, State
from classifier.models import (
    Analysis,
    Image,
    LabelSet,
    ModelVersion,
    Prediction,
    Transition,
)
from mlcore.labels import TRIAGE_ORDER, UNJUDGED_RANK, label_set
from tests import factories

if TYPE_CHECKING:
    from datetime import datetime

    from classifier.models import Patient, User

_numbers = itertools.count(1)
REASON = "The picture is too blurred for an answer."


def bare_image(patient: Patient, by: User, modality: str = Modality.DERMOSCOPY) -> Image:
    """Make an image whose files do not exist: lists and pages only name their addresses."""
    number = next(_numbers)
    return Image.objects.create(
        clinic=patient.clinic,
        patient=patient,
        uploaded_by=by,
        modality=modality,
        original_sha256=hashlib.sha256(f"bare {number}".encode()).hexdigest(),
        original_format="PNG",
        byte_size=1000,
        width=320,
        height=240,
        display=f"none/{number}/display.jpg",
        thumbnail=f"none/{number}/thumbnail.jpg",
        network_source=f"none/{number}/source.png",
        network_source_sha256="0" * 64,
    )


def version_of(key: LabelSet) -> ModelVersion:
    """Return the label set's active version; it is made when there is none."""
    active = ModelVersion.objects.filter(label_set=key, active=True).first()
    return active or factories.make_model_version(key)


def predict(
    image: Image,
    *,
    top: str,
    decision: str = Decision.ANSWER,
    confidence: float = 0.8,
    reason_code: str = "too_blurred",
    group: str = "",
) -> Prediction:
    """Store what a network could have said: ``top`` first, the rest in the set's order.

    ``group`` is the worst plausible one, where that is not ``top``'s own.
    """
    key = factories.label_set_of(image)
    labels = label_set(key)
    others = [name for name in labels.keys if name != top]
    # Falling steadily, so that the ranking is known; all of them together make 1.
    weights = [len(others) - index for index in range(len(others))]
    rest = 1 - confidence
    probabilities = {top: confidence} | {
        name: rest * weight / sum(weights) for name, weight in zip(others, weights, strict=True)
    }
    version = version_of(key)
    return Prediction.objects.create(
        clinic=image.clinic,
        image=image,
        model_version=version,
        decision=decision,
        reason_code="" if decision == Decision.ANSWER else reason_code,
        reason="" if decision == Decision.ANSWER else REASON,
        probabilities=probabilities,
        top_label=top,
        confidence=confidence,
        triage_group=group or labels.label(top).triage_group,
        evidence_maps={
            name: {"height": 2, "width": 2, "values": [0, 90, 180, 255]} for name in labels.keys
        },
        engine="litert",
        artefact_sha256=version.artefact_sha256,
        input_sha256=image.network_source_sha256,
        attempt=1,
        timings_ms={"queue": 40.0, "read": 5.0, "network": 1234.0},
    )


def answered(
    image: Image, by: User, *, top: str = "melanoma", decision: str = Decision.ANSWER, **extra: Any
) -> Analysis:
    """Make a finished analysis."""
    prediction = predict(
        image, top=top, decision=decision, **_taken(extra, "confidence", "reason_code", "group")
    )
    state = State.REJECTED if decision == Decision.REJECTED else State.SUCCEEDED
    rank = TRIAGE_ORDER.index(prediction.triage_group)
    facts: dict[str, Any] = {
        "state": state,
        "attempt": 1,
        "model_version": prediction.model_version,
        "prediction": prediction,
        "decision": decision,
        "top_label": top,
        "triage_rank": rank if decision == Decision.ANSWER else min(rank, UNJUDGED_RANK),
        "started_at": timezone.now(),
        "finished_at": timezone.now(),
    } | extra
    moment = facts.pop("created_at", None)
    analysis = at(moment, factories.make_analysis(image, by, **facts))
    Transition.objects.create(
        analysis=analysis,
        from_state=State.RUNNING,
        to_state=state,
        attempt=1,
        actor_kind=ActorKind.WORKER,
        worker="w1",
        reason=prediction.reason,
    )
    return analysis


def running(image: Image, by: User, **extra: Any) -> Analysis:
    """Make an analysis a worker is busy with."""
    now = timezone.now()
    facts = {
        "state": State.RUNNING,
        "attempt": 1,
        "model_version": version_of(factories.label_set_of(image)),
        "started_at": now,
        "lease_until": now + timedelta(minutes=2),
    } | extra
    return factories.make_analysis(image, by, **facts)


def failed(image: Image, by: User, code: str = "network_error", **extra: Any) -> Analysis:
    """Make an analysis that failed for good."""
    facts = {
        "state": State.FAILED,
        "attempt": 3,
        "failure_code": code,
        "failure_reference": "3f9a01bc",
        "finished_at": timezone.now(),
    } | extra
    return factories.make_analysis(image, by, **facts)


def cancelled(image: Image, by: User) -> Analysis:
    """Make an analysis that was called off."""
    return factories.make_analysis(image, by, state=State.CANCELLED, finished_at=timezone.now())


def at(moment: datetime | None, analysis: Analysis) -> Analysis:
    """Date an analysis back."""
    if moment is not None:
        Analysis.objects.filter(pk=analysis.pk).update(created_at=moment)
        analysis.created_at = moment
    return analysis


def _taken(extra: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: extra.pop(name) for name in names if name in extra}
