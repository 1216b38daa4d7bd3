"""Lost leases, the attempt fence, back-off and the cap, seen from inside one process."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import DataError, IntegrityError, OperationalError, transaction
from django.utils import timezone
from PIL import Image as Pillow

from classifier.choices import ActorKind, Decision, Modality, State
from classifier.models import Analysis, AuditEvent, Prediction, Transition
from classifier.services import analyses, worker
from classifier.services.claims import (
    Swept,
    attempts_left,
    back_off,
    claim_batch,
    sweep_lost_leases,
)
from classifier.services.worker import run_batch
from mlcore.labels import label_set
from mlcore.predictor import Predictor
from tests import factories
from tests.jobs.rows import let_lease_run_out, make_due, make_prediction, snapshot
from tests.jobs.tiny_releases import write_tiny_release

if TYPE_CHECKING:
    from typing import Any

    from pytest_django.fixtures import Settings

    from classifier.models import ModelVersion
    from tests.conftest import Cast

Networks = dict[str, "ModelVersion"]


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

    def lose_the_lease_meanwhile(self: Predictor, pictures: Any) -> Any:
        results = predict(self, pictures)
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
            raise worker.InputFaultError("input_missing")
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


# --- Faults ------------------------------------------------------------------------------------


def test_a_missing_or_changed_input_fails_at_once_and_alone(
    cast: Cast, networks: Networks, caplog: pytest.LogCaptureFixture
) -> None:
    missing, changed, sound = (make_due(cast) for _number in range(3))
    Path(missing.image.network_source.path).unlink()
    with Path(changed.image.network_source.path).open("ab") as file:
        file.write(b"x")
    run_batch(worker="w")
    for row, code in ((missing, "input_missing"), (changed, "input_changed")):
        failed = again(row)
        assert (failed.state, failed.failure_code) == (State.FAILED, code)
        assert failed.failure_reference in caplog.text
        assert failed.attempt == 1
    assert again(sound).state == State.SUCCEEDED
    assert cast.patient.name not in caplog.text
    assert cast.patient.record_number not in caplog.text


def test_a_picture_that_breaks_the_network_fails_alone_and_visibly(
    cast: Cast,
    networks: Networks,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [0]
    poison = factories.make_image(
        cast.patient, cast.owner, picture=Pillow.new("RGB", (333, 200), (200, 90, 80))
    )
    sound = [make_due(cast) for _number in range(2)]
    bad = analyses.request_analysis(image=poison, by=cast.owner)
    predict = Predictor.predict

    def choke(self: Predictor, pictures: Any) -> Any:
        if any(picture.size == (333, 200) for picture in pictures):
            msg = "a picture the engine cannot run"
            raise RuntimeError(msg)
        return predict(self, pictures)

    monkeypatch.setattr(Predictor, "predict", choke)
    batches = [run_batch(worker="w") for _number in range(4)]
    assert batches == [3, 1, 1, 0]
    assert {again(row).state for row in sound} == {State.SUCCEEDED}
    assert {again(row).attempt for row in sound} == {1}
    failed = again(bad)
    assert (failed.state, failed.failure_code) == (State.FAILED, "network_error")
    assert failed.attempt == 3
    assert failed.failure_reference in caplog.text


class Killed(BaseException):
    """Ends a worker at once, as the kernel does when memory runs out; nothing of ours sees it."""


def test_a_picture_that_kills_workers_is_failed_after_the_cap_and_blocks_nobody(
    cast: Cast, networks: Networks, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [0]
    poison = factories.make_image(
        cast.patient, cast.owner, picture=Pillow.new("RGB", (333, 200), (200, 90, 80))
    )
    sound = [make_due(cast) for _number in range(3)]
    bad = analyses.request_analysis(image=poison, by=cast.owner)
    predict = Predictor.predict

    def die(self: Predictor, pictures: Any) -> Any:
        if any(picture.size == (333, 200) for picture in pictures):
            raise Killed
        return predict(self, pictures)

    monkeypatch.setattr(Predictor, "predict", die)
    deaths = 0
    later: list[Analysis] = []
    for _number in range(12):
        try:
            if not run_batch(worker="w"):
                break
        except Killed:
            deaths += 1
            # What is uploaded meanwhile does not wait for the poison's last attempt.
            later.append(make_due(cast, waited=0))
            let_lease_run_out(*Analysis.objects.filter(state=State.RUNNING))
            sweep_lost_leases()
    # It took its neighbours with it once; from then on it was run alone.
    assert deaths == settings.ANALYSIS_MAX_ATTEMPTS == 3
    failed = again(bad)
    assert (failed.state, failed.failure_code, failed.attempt) == (State.FAILED, "worker_lost", 3)
    assert len(failed.failure_reference) == 8
    assert {(again(row).state, again(row).attempt) for row in sound} == {(State.SUCCEEDED, 2)}
    assert {(again(row).state, again(row).attempt) for row in later} == {(State.SUCCEEDED, 1)}


def test_a_result_that_cannot_be_stored_costs_its_neighbours_nothing(
    cast: Cast, networks: Networks, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [60]
    rows = sorted((make_due(cast) for _number in range(3)), key=lambda row: row.pk)
    store = worker._store

    def refuse_the_first(analysis: Analysis, *rest: Any) -> Any:
        if analysis.pk == rows[0].pk:
            msg = "a number that JSON does not have"
            raise DataError(msg)
        return store(analysis, *rest)

    monkeypatch.setattr(worker, "_store", refuse_the_first)
    run_batch(worker="w")
    assert [again(row).state for row in rows] == [
        State.QUEUED,
        State.SUCCEEDED,
        State.SUCCEEDED,
    ]
    assert Transition.objects.filter(reason__startswith="result_error, reference").count() == 1


def test_a_database_that_goes_away_leaves_the_row_to_its_lease(
    cast: Cast, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = make_due(cast)

    def break_off(*_rest: Any) -> None:
        msg = "the server closed the connection"
        raise OperationalError(msg)

    monkeypatch.setattr(worker, "_store", break_off)
    assert run_batch(worker="w") == 1
    assert again(analysis).state == State.RUNNING
    monkeypatch.undo()
    let_lease_run_out(analysis)
    assert sweep_lost_leases().requeued == 1


def test_a_storage_that_is_away_is_tried_again_later(
    cast: Cast, networks: Networks, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [0]
    analysis = make_due(cast)
    read = worker._read
    with monkeypatch.context() as patch:

        def be_away(_row: Analysis) -> None:
            msg = "stale file handle"
            raise OSError(msg)

        patch.setattr(worker, "_read", be_away)
        run_batch(worker="w")
    assert worker._read is read
    assert again(analysis).state == State.QUEUED
    assert Transition.objects.latest("id").reason.startswith("storage_error, reference ")
    run_batch(worker="w")
    assert again(analysis).state == State.SUCCEEDED


@pytest.mark.parametrize("where", ["_read", "_run", "_complete"])
def test_a_batch_that_takes_too_long_is_queued_again(
    cast: Cast,
    networks: Networks,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [60]
    rows = [make_due(cast) for _number in range(2)]

    def take_too_long(*_rest: Any) -> None:
        raise SoftTimeLimitExceeded

    if where == "_run":
        monkeypatch.setattr(Predictor, "predict", take_too_long)
    else:
        monkeypatch.setattr(worker, where, take_too_long)
    with pytest.raises(SoftTimeLimitExceeded):
        run_batch(worker="w")
    assert {again(row).state for row in rows} == {State.QUEUED}
    reasons = Transition.objects.filter(to_state=State.QUEUED).values_list("reason", flat=True)
    assert [reason.split(",")[0] for reason in reasons] == ["time_limit", "time_limit"]


# --- Networks ----------------------------------------------------------------------------------


def test_a_damaged_release_is_not_loaded(
    cast: Cast, networks: Networks, releases: Path, settings: Settings
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [60]
    with (releases / "isic9" / "0.1.0" / "model.tflite").open("ab") as file:
        file.write(b"x")
    rows = [make_due(cast) for _number in range(2)]
    run_batch(worker="w")
    assert {again(row).state for row in rows} == {State.QUEUED}
    assert not Prediction.objects.exists()
    reasons = Transition.objects.filter(to_state=State.QUEUED).values_list("reason", flat=True)
    assert {reason.split(",")[0] for reason in reasons} == {"release_error"}


def test_a_network_is_loaded_once_and_let_go_when_another_answers(
    cast: Cast, networks: Networks, releases: Path, tiny_networks: Path
) -> None:
    from classifier.services.model_versions import activate_version, register_release

    first = worker.predictor_for(networks["isic9"])
    assert worker.predictor_for(networks["isic9"]) is first
    write_tiny_release(releases, tiny_networks, "isic9", "0.2.0", temperature=2.0)
    newer, _new = register_release(folder=releases / "isic9" / "0.2.0")
    before = make_due(cast, waited=9)
    run_batch(worker="w")
    activate_version(version=newer)
    after = make_due(cast)
    run_batch(worker="w")
    old, new = again(before).prediction, again(after).prediction
    assert old is not None
    assert new is not None
    assert (old.model_version, new.model_version) == (networks["isic9"], newer)
    assert new.artefact_sha256 == newer.artefact_sha256
    # The temperature flattens: this really is the other release.
    assert new.confidence < old.confidence
    assert first not in [predictor for _pk, predictor in worker._predictors.values()]


@pytest.fixture(autouse=True)
def _say_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
