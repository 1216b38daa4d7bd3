"""Faults while a batch is run, and networks that come and go, inside one process."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import DataError, OperationalError
from PIL import Image as Pillow

from classifier.choices import State
from classifier.models import Analysis, Prediction, Transition
from classifier.services import analyses, answers, predictors, worker
from classifier.services.claims import sweep_lost_leases
from classifier.services.worker import run_batch
from mlcore.predictor import Predictor
from tests import factories
from tests.jobs.rows import again, let_lease_run_out, make_due
from tests.jobs.tiny_releases import write_tiny_release

if TYPE_CHECKING:
    from typing import Any

    from pytest_django.fixtures import Settings

    from classifier.models import ModelVersion
    from tests.conftest import Cast

Networks = dict[str, "ModelVersion"]


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

    def choke(self: Predictor, pictures: Any, *rest: Any) -> Any:
        if any(picture.size == (333, 200) for picture in pictures):
            msg = "a picture the engine cannot run"
            raise RuntimeError(msg)
        return predict(self, pictures, *rest)

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

    def die(self: Predictor, pictures: Any, *rest: Any) -> Any:
        if any(picture.size == (333, 200) for picture in pictures):
            raise Killed
        return predict(self, pictures, *rest)

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
    # It took neighbours with it once; from then on it was run alone.
    assert deaths == settings.ANALYSIS_MAX_ATTEMPTS == 3
    failed = again(bad)
    assert (failed.state, failed.failure_code, failed.attempt) == (State.FAILED, "worker_lost", 3)
    assert len(failed.failure_reference) == 8
    assert {again(row).state for row in sound} == {State.SUCCEEDED}
    # Parts are stored in turn: what was stored before its own part is not run again.
    batch = sorted([bad.pk, *(row.pk for row in sound)])
    size = -(-len(batch) // predictors.LANES)
    stored_before = batch[: batch.index(bad.pk) // size * size]
    for row in sound:
        assert again(row).attempt == (1 if row.pk in stored_before else 2)
    assert {(again(row).state, again(row).attempt) for row in later} == {(State.SUCCEEDED, 1)}


def test_what_was_computed_before_a_worker_dies_beside_it_is_kept(
    cast: Cast, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {}
    for width in (333, 334, 335, 336):
        picture = Pillow.new("RGB", (width, 200), (200, 90, 80))
        image = factories.make_image(cast.patient, cast.owner, picture=picture)
        rows[analyses.request_analysis(image=image, by=cast.owner).pk] = width
    killer = rows[max(rows)]
    dead = threading.Event()
    predict = Predictor.predict

    def die_first(self: Predictor, pictures: Any, *rest: Any) -> Any:
        if any(picture.width == killer for picture in pictures):
            dead.set()
            raise Killed
        assert dead.wait(30)
        # Its part is done, and known to be, before this one is.
        time.sleep(0.1)
        return predict(self, pictures, *rest)

    monkeypatch.setattr(Predictor, "predict", die_first)
    monkeypatch.setattr(worker, "LANES", 2)
    with pytest.raises(Killed):
        run_batch(worker="w")
    held = [Analysis.objects.get(pk=pk).state == State.RUNNING for pk in sorted(rows)]
    assert held == [False, False, True, True]


def test_a_result_that_cannot_be_stored_costs_its_neighbours_nothing(
    cast: Cast, networks: Networks, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [60]
    rows = sorted((make_due(cast) for _number in range(3)), key=lambda row: row.pk)
    store = answers._store

    def refuse_the_first(answer: answers.Answer) -> Any:
        if answer.analysis.pk == rows[0].pk:
            msg = "a number that JSON does not have"
            raise DataError(msg)
        return store(answer)

    monkeypatch.setattr(answers, "_store", refuse_the_first)
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

    monkeypatch.setattr(answers, "_store", break_off)
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
        monkeypatch.setattr(worker if where == "_read" else answers, where, take_too_long)
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

    first = predictors.predictor_for(networks["isic9"])
    assert predictors.predictor_for(networks["isic9"]) is first
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
    assert first not in [predictor for _pk, predictor in predictors._predictors.values()]


@pytest.fixture(autouse=True)
def _say_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
