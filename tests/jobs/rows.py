"""Analyses in every state, and what they look like in the database."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from classifier.choices import FINAL_STATES, State
from classifier.models import Analysis, Image, Prediction, Transition
from mlcore.labels import label_set
from tests import factories

if TYPE_CHECKING:
    from classifier.models import ModelVersion
    from tests.conftest import Cast


def make_prediction(
    analysis: Analysis, version: ModelVersion, *, decision: str = "answer"
) -> Prediction:
    """Make the stored result of an analysis."""
    keys = label_set(analysis.label_set).keys
    return Prediction.objects.create(
        clinic=analysis.clinic,
        image=analysis.image,
        model_version=version,
        decision=decision,
        probabilities={key: 1 / len(keys) for key in keys},
        top_label=keys[0],
        confidence=1 / len(keys),
        triage_group=label_set(analysis.label_set).labels[0].triage_group,
        evidence_maps={key: {"height": 1, "width": 1, "values": [0]} for key in keys},
        engine="litert",
        artefact_sha256=version.artefact_sha256,
        input_sha256=analysis.image.network_source_sha256,
        attempt=analysis.attempt,
        timings_ms={"queue": 1.0, "read": 1.0, "network": 1.0},
    )


def make_analysis_in(
    state: State,
    cast: Cast,
    version: ModelVersion,
    *,
    image: Image | None = None,
    **facts: Any,
) -> Analysis:
    """Make an analysis in a state, at its third attempt unless it never ran."""
    image = image or factories.make_image(cast.patient, cast.owner)
    analysis = factories.make_analysis(image, cast.owner)
    now = timezone.now()
    if state is not State.QUEUED:
        facts = {"attempt": 3} | facts
        analysis.attempt = facts["attempt"]
    if state is State.RUNNING:
        facts = {
            "lease_until": now + timedelta(minutes=1),
            "started_at": now,
            "model_version": version,
            "worker": "host:1",
        } | facts
    if state in {State.SUCCEEDED, State.REJECTED}:
        decision = "answer" if state is State.SUCCEEDED else "rejected"
        prediction = make_prediction(analysis, version, decision=decision)
        facts = {"prediction": prediction, "decision": decision, "model_version": version} | facts
    if state is State.FAILED:
        facts = {"failure_code": "network_error", "failure_reference": "89abcdef"} | facts
    if state in FINAL_STATES:
        facts = {"finished_at": now} | facts
    Analysis.objects.filter(pk=analysis.pk).update(state=state, **facts)
    analysis.refresh_from_db()
    return analysis


def make_due(
    cast: Cast, *, waited: float = 1.0, modality: str = "dermoscopy", **facts: Any
) -> Analysis:
    """Make a queued analysis whose turn came ``waited`` seconds ago."""
    image = factories.make_image(cast.patient, cast.owner, modality=modality)
    analysis = factories.make_analysis(image, cast.owner)
    due = timezone.now() - timedelta(seconds=waited)
    Analysis.objects.filter(pk=analysis.pk).update(**({"not_before": due} | facts))
    analysis.refresh_from_db()
    return analysis


def copy_of(image: Image, number: int) -> Image:
    """Make another row of the same files, for tests that need many."""
    facts = {
        field.attname: getattr(image, field.attname)
        for field in Image._meta.concrete_fields
        if field.attname not in {"id", "original_sha256", "created_at"}
    }
    return Image.objects.create(original_sha256=f"{number:064}", **facts)


def snapshot(analysis: Analysis) -> dict[str, Any]:
    """Return every column of the row as it is in the database."""
    return dict(Analysis.objects.filter(pk=analysis.pk).values().get())


def let_lease_run_out(*analyses: Analysis) -> None:
    """Make it look as if the workers of these rows had not answered in time."""
    past = timezone.now() - timedelta(seconds=1)
    Analysis.objects.filter(pk__in=[row.pk for row in analyses]).update(lease_until=past)


def again(analysis: Analysis) -> Analysis:
    """Return the row as it is now."""
    return Analysis.objects.get(pk=analysis.pk)


def moves_of(analysis: Analysis) -> list[tuple[str, str, int]]:
    """Return the moves of a row in their order."""
    return list(
        Transition.objects.filter(analysis=analysis)
        .order_by("id")
        .values_list("from_state", "to_state", "attempt")
    )
