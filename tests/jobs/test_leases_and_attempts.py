"""Lost leases, the attempt fence, back-off and the cap, seen from inside one process."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from PIL import Image as Pillow

from classifier.choices import ActorKind, Decision, Modality, State
from classifier.models import Analysis, AuditEvent, Prediction, Transition
from classifier.services import analyses, worker
from classifier.services.answers import stored_measures
from classifier.services.claims import (
    Swept,
    attempts_left,
    back_off,
    claim_batch,
    sweep_lost_leases,
)
from classifier.services.network_inputs import InputFaultError
from classifier.services.worker import run_batch
from mlcore.drift import CONFIDENCE, INPUTS, SUSPICION
from mlcore.labels import label_set
from mlcore.predictor import Predictor, Result
from tests import factories
from tests.jobs.rows import again, let_lease_run_out, make_due, make_prediction, moves_of, snapshot

if TYPE_CHECKING:
    from typing import Any

    from pytest_django.fixtures import Settings

    from classifier.models import ModelVersion
    from tests.conftest import Cast

Networks = dict[str, "ModelVersion"]


# --- What a worker stores ----------------------------------------------------------------------


def test_a_batch_is_read_run_and_completed(cast: Cast, networks: Networks) -> None:
    rows = [make_due(cast) for _number in range(3)]
    assert run_batch(worker="host:1") == 3
    assert run_batch(worker="host:1") == 0
    for row in map(again, rows):
        prediction = row.prediction
        assert prediction is not None
        version = networks["isic9"]
        assert (row.state, row.decision, row.top_label) == ("succeeded", "answer", "melanoma")
        assert (row.model_version, prediction.model_version) == (version, version)
        assert row.triage_rank == 0
        assert row.finished_at is not None
        assert prediction.image == row.image
        assert prediction.engine == "litert"
        assert prediction.artefact_sha256 == version.artefact_sha256
        assert prediction.input_sha256 == row.image.network_source_sha256
        assert prediction.attempt == 1
        assert len(prediction.probabilities) == 9
        assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-6)
        assert prediction.confidence == pytest.approx(prediction.probabilities["melanoma"])
        assert set(prediction.timings_ms) == {"queue", "read", "network"}
        assert all(value >= 0 for value in prediction.timings_ms.values())
        assert prediction.measures is not None
        assert set(prediction.measures) == {*INPUTS, CONFIDENCE, SUSPICION}
        assert prediction.measures[CONFIDENCE] == pytest.approx(prediction.confidence, abs=1e-5)
        found = prediction.evidence_maps["melanoma"]
        assert len(found["values"]) == found["height"] * found["width"] == 16
        assert moves_of(row) == [("queued", "running", 1), ("running", "succeeded", 1)]


def test_each_modality_is_judged_by_its_own_network(cast: Cast, networks: Networks) -> None:
    photograph = make_due(cast, modality=Modality.CLINICAL)
    run_batch(worker="w")
    row = again(photograph)
    assert row.prediction is not None
    assert row.model_version == networks["clinical5"]
    assert set(row.prediction.probabilities) == set(label_set("clinical5").keys)


def test_an_unusable_picture_is_rejected_with_its_reason(cast: Cast, networks: Networks) -> None:
    flat = factories.make_image(
        cast.patient, cast.owner, picture=Pillow.new("RGB", (300, 300), (120, 90, 80))
    )
    analysis = analyses.request_analysis(image=flat, by=cast.owner)
    run_batch(worker="w")
    row = again(analysis)
    assert (row.state, row.decision) == (State.REJECTED, Decision.REJECTED)
    assert row.prediction is not None
    assert (row.prediction.reason_code, bool(row.prediction.reason)) == ("blank", True)
    # What the network could not judge stands high enough in the worklist to be looked at.
    assert row.triage_rank <= 2


# --- Losing the lease --------------------------------------------------------------------------


def test_a_lost_lease_is_swept_and_another_attempt_is_made(
    cast: Cast, networks: Networks, settings: Settings
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [0]
    analysis = make_due(cast)
    claim_batch(worker="dead")
    assert sweep_lost_leases() == Swept(requeued=0, failed=0)
    let_lease_run_out(analysis)
    assert sweep_lost_leases() == Swept(requeued=1, failed=0)
    assert sweep_lost_leases() == Swept(requeued=0, failed=0)
    swept = again(analysis)
    assert (swept.state, swept.attempt, swept.lease_until) == (State.QUEUED, 1, None)
    assert run_batch(worker="alive") == 1
    assert again(analysis).state == State.SUCCEEDED
    assert moves_of(analysis) == [
        ("queued", "running", 1),
        ("running", "queued", 1),
        ("queued", "running", 2),
        ("running", "succeeded", 2),
    ]
    by_sweep = Transition.objects.filter(analysis=analysis).order_by("id")[1]
    assert by_sweep.actor_kind == ActorKind.SYSTEM
    assert "did not answer" in by_sweep.reason


def test_the_result_of_an_older_attempt_is_refused(
    cast: Cast,
    networks: Networks,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [0]
    analysis = make_due(cast)
    predict = Predictor.predict

    def lose_the_lease_meanwhile(self: Predictor, pictures: Any, *rest: Any) -> Any:
        results = predict(self, pictures, *rest)
        let_lease_run_out(analysis)
        sweep_lost_leases()
        claimed = claim_batch(worker="second")
        assert claimed is not None
        assert claimed.attempts == {analysis.pk: 2}
        lost.append(snapshot(analysis))
        return results

    lost: list[dict[str, Any]] = []
    monkeypatch.setattr(Predictor, "predict", lose_the_lease_meanwhile)
    assert run_batch(worker="first") == 1
    assert snapshot(analysis) == lost[0]
    assert not Prediction.objects.exists()
    assert moves_of(analysis)[-1] == ("queued", "running", 2)
    assert f"A stale result of {analysis.pk} was dropped." in caplog.text


@pytest.mark.parametrize("fault", ["fail", "put back"])
def test_a_late_fault_of_an_older_attempt_is_refused_too(
    cast: Cast,
    networks: Networks,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [0]
    analysis = make_due(cast)
    lost: list[dict[str, Any]] = []

    def break_after_losing_the_lease(_row: Analysis) -> None:
        let_lease_run_out(analysis)
        sweep_lost_leases()
        claim_batch(worker="second")
        lost.append(snapshot(analysis))
        if fault == "fail":
            raise InputFaultError("input_missing")
        msg = "the disk is away"
        raise OSError(msg)

    monkeypatch.setattr(worker, "_read", break_after_losing_the_lease)
    run_batch(worker="first")
    assert snapshot(analysis) == lost[0]


def test_a_second_result_of_a_version_is_impossible(cast: Cast, networks: Networks) -> None:
    analysis = make_due(cast)
    run_batch(worker="w")
    row = again(analysis)
    with pytest.raises(IntegrityError, match="prediction_unique_result"), transaction.atomic():
        make_prediction(row, networks["isic9"])


def test_a_stored_result_is_found_not_doubled(cast: Cast, networks: Networks) -> None:
    flat = factories.make_image(
        cast.patient, cast.owner, picture=Pillow.new("RGB", (300, 300), (120, 90, 80))
    )
    analysis = analyses.request_analysis(image=flat, by=cast.owner)
    run_batch(worker="w")
    first = again(analysis).prediction
    analyses.retry_analysis(analysis=again(analysis), by=cast.owner, reason="Once more.")
    run_batch(worker="w")
    row = again(analysis)
    assert (row.state, row.prediction, row.attempt) == (State.REJECTED, first, 2)
    assert Prediction.objects.count() == 1


# --- Attempts and back-off ---------------------------------------------------------------------


def test_the_back_off_grows_and_stays_at_its_last_value(settings: Settings) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [2, 10, 60]
    waits = [back_off(Analysis(attempt=attempt)).total_seconds() for attempt in range(1, 6)]
    assert waits == [2, 10, 60, 60, 60]
    # A person's retry starts over.
    assert back_off(Analysis(attempt=4, attempts_forgiven=3)) == timedelta(seconds=2)


def test_the_cap_counts_from_the_last_retry(settings: Settings) -> None:
    settings.ANALYSIS_MAX_ATTEMPTS = 3
    left = [attempts_left(Analysis(attempt=attempt)) for attempt in range(1, 5)]
    assert left == [True, True, False, False]
    assert attempts_left(Analysis(attempt=5, attempts_forgiven=3))
    assert not attempts_left(Analysis(attempt=6, attempts_forgiven=3))


def test_lost_leases_end_in_a_named_failure_and_a_retry_starts_over(
    cast: Cast, networks: Networks, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ANALYSIS_MAX_ATTEMPTS = 2
    settings.ANALYSIS_BACKOFF_SECONDS = [30]
    analysis = make_due(cast)
    claim_batch(worker="w")
    let_lease_run_out(analysis)
    before = timezone.now()
    sweep_lost_leases()
    waiting = again(analysis)
    assert waiting.not_before >= before + timedelta(seconds=30)
    assert claim_batch(worker="w") is None
    Analysis.objects.update(not_before=before)
    claim_batch(worker="w")
    let_lease_run_out(analysis)
    assert sweep_lost_leases() == Swept(requeued=0, failed=1)
    failed = again(analysis)
    assert (failed.state, failed.failure_code) == (State.FAILED, "worker_lost")
    assert len(failed.failure_reference) == 8
    assert "no attempt is left" in Transition.objects.latest("id").reason
    # The reference that the page shows is found in the log, and the failure in the audit trail.
    assert f"worker_lost, reference {failed.failure_reference}" in caplog.text
    event = AuditEvent.objects.get(action="analysis.failed")
    assert (event.subject_id, event.actor_kind) == (str(failed.pk), ActorKind.SYSTEM)
    assert event.details == {"worker": "w", "attempt": 2, "code": "worker_lost"}

    analyses.retry_analysis(analysis=failed, by=cast.owner, reason="The worker was mended.")
    assert run_batch(worker="w") == 1
    assert again(analysis).state == State.SUCCEEDED
    assert again(analysis).attempt == 3


@pytest.fixture(autouse=True)
def _say_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_a_measure_without_a_number_is_left_out() -> None:
    """PostgreSQL's JSON refuses what is not finite, and one such measure must not cost a result."""
    measures = {"sharpness": 1.23456789, "gate_distance": float("inf"), "contrast": float("nan")}
    result = Result({}, "", 0, "answer", "", "", "", measures, np.zeros(0), np.zeros(0))
    assert stored_measures(result) == {"sharpness": 1.23457}
