"""Batches that are shared out among lanes and stored together: nothing a row can see differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import DataError

from classifier.choices import ActorKind, State
from classifier.models import Analysis, AuditEvent, Prediction, Transition
from classifier.services import answers, worker
from classifier.services.claims import claim_batch, sweep_lost_leases
from classifier.services.moves import IllegalMoveError, Step, move_all
from classifier.services.moves import worker as worker_actor
from classifier.services.worker import run_batch
from mlcore.predictor import Predictor
from tests.jobs.rows import let_lease_run_out, make_due, make_prediction, snapshot

if TYPE_CHECKING:
    from typing import Any

    from pytest_django.fixtures import Settings

    from classifier.models import ModelVersion
    from tests.conftest import Cast

Networks = dict[str, "ModelVersion"]


def _again(rows: list[Analysis]) -> list[Analysis]:
    return list(Analysis.objects.filter(pk__in=[row.pk for row in rows]).order_by("pk"))


def test_many_rows_get_what_each_would_get_alone(
    cast: Cast, networks: Networks, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ANALYSIS_BATCH_SIZE = 32
    alone = make_due(cast, waited=9)
    settings.ANALYSIS_BATCH_SIZE = 1
    assert run_batch(worker="w") == 1
    settings.ANALYSIS_BATCH_SIZE = 32
    rows = [make_due(cast) for _number in range(9)]
    # Nothing is wrong with any of them, so none is run or stored by itself.
    monkeypatch.setattr(answers, "_complete", None)
    monkeypatch.setattr(worker, "_run", None)
    assert run_batch(worker="host:1") == 9
    (first,) = _again([alone])
    for row in _again(rows):
        assert (row.state, row.attempt, row.lease_until) == (State.SUCCEEDED, 1, None)
        assert row.prediction is not None
        assert first.prediction is not None
        assert row.prediction.image_id == row.image_id
        assert row.prediction.input_sha256 == row.image.network_source_sha256
        assert (row.decision, row.top_label, row.triage_rank) == (
            first.decision,
            first.top_label,
            first.triage_rank,
        )
        assert row.prediction.probabilities == pytest.approx(first.prediction.probabilities)
        assert row.prediction.evidence_maps.keys() == first.prediction.evidence_maps.keys()
        assert set(row.prediction.timings_ms) == {"queue", "read", "network"}
        moves = Transition.objects.filter(analysis=row).order_by("id")
        assert [(move.to_state, move.worker) for move in moves] == [
            (State.RUNNING, "host:1"),
            (State.SUCCEEDED, "host:1"),
        ]
        event, usual = (
            AuditEvent.objects.get(action="analysis.answered", subject_id=str(one.pk))
            for one in (row, first)
        )
        assert (event.clinic_id, event.patient_key, event.actor_kind) == (
            row.clinic_id,
            row.patient_id,
            ActorKind.WORKER,
        )
        assert event.subject_type == usual.subject_type
        assert event.details == usual.details | {"worker": "host:1"}


def test_a_bad_picture_costs_only_its_own_row(
    cast: Cast, networks: Networks, settings: Settings
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [60]
    rows = [make_due(cast) for _number in range(8)]
    gone, changed = rows[2].image, rows[5].image
    gone.network_source.storage.delete(str(gone.network_source.name))
    with changed.network_source.storage.open(str(changed.network_source.name), "ab") as file:
        file.write(b"x")
    assert run_batch(worker="w") == 8
    found = {row.pk: row for row in _again(rows)}
    assert (found[rows[2].pk].state, found[rows[2].pk].failure_code) == ("failed", "input_missing")
    assert (found[rows[5].pk].state, found[rows[5].pk].failure_code) == ("failed", "input_changed")
    sound = [found[row.pk].state for row in rows if row not in {rows[2], rows[5]}]
    assert sound == [State.SUCCEEDED] * 6


def test_a_lost_lease_among_many_loses_only_its_own_result(
    cast: Cast, networks: Networks, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [0]
    rows = [make_due(cast) for _number in range(5)]
    lost: list[dict[str, Any]] = []
    together = answers.store_together

    def lose_one_before(*given: Any, **named: Any) -> bool:
        if not lost:
            let_lease_run_out(rows[3])
            sweep_lost_leases()
            claim_batch(worker="second")
            lost.append(snapshot(rows[3]))
        return together(*given, **named)

    monkeypatch.setattr(answers, "store_together", lose_one_before)
    monkeypatch.setattr(worker, "LANES", 1)
    assert run_batch(worker="first") == 5
    assert snapshot(rows[3]) == lost[0]
    assert not Prediction.objects.filter(image=rows[3].image).exists()
    kept = [row.state for row in _again(rows) if row.pk != rows[3].pk]
    assert kept == [State.SUCCEEDED] * 4


def test_an_image_that_this_version_has_judged_keeps_its_result(
    cast: Cast, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LANES", 1)
    rows = [make_due(cast) for _number in range(4)]
    before = make_prediction(rows[1], networks["isic9"])
    assert run_batch(worker="w") == 4
    found = {row.pk: row for row in _again(rows)}
    assert found[rows[1].pk].prediction == before
    assert found[rows[1].pk].top_label == before.top_label
    assert Prediction.objects.count() == 4


@pytest.mark.parametrize("where", ["store", "predict", "lanes"])
def test_a_fault_among_many_is_told_apart_in_turn(
    cast: Cast,
    networks: Networks,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [60]
    rows = [make_due(cast) for _number in range(4)]

    def break_down(*_given: Any, **_named: Any) -> Any:
        msg = "a number that JSON does not have"
        raise DataError(msg)

    if where == "store":
        monkeypatch.setattr(worker, "LANES", 1)
        # The transaction is broken, and the rows are stored one by one all the same.
        monkeypatch.setattr(answers, "move_all", break_down)
    elif where == "predict":
        predict = Predictor.predict
        several = {"broken": 0}

        def break_of_many(self: Predictor, pictures: Any, *rest: Any) -> Any:
            if len(pictures) > 1:
                several["broken"] += 1
                break_down()
            return predict(self, pictures, *rest)

        monkeypatch.setattr(Predictor, "predict", break_of_many)
    else:
        monkeypatch.setattr(worker, "LANES", 3)
    assert run_batch(worker="w") == 4
    assert {row.state for row in _again(rows)} == {State.SUCCEEDED}
    assert Transition.objects.filter(to_state=State.SUCCEEDED).count() == 4


def test_many_that_take_too_long_are_queued_again(
    cast: Cast, networks: Networks, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [60]
    rows = [make_due(cast) for _number in range(4)]
    monkeypatch.setattr(worker, "LANES", 1)

    def take_too_long(*_given: Any, **_named: Any) -> Any:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(answers, "store_together", take_too_long)
    with pytest.raises(SoftTimeLimitExceeded):
        run_batch(worker="w")
    assert {row.state for row in _again(rows)} == {State.QUEUED}


def test_a_full_batch_is_followed_by_the_next(
    cast: Cast, networks: Networks, settings: Settings
) -> None:
    settings.ANALYSIS_BATCH_SIZE = 4
    rows = [make_due(cast, waited=60 - number) for number in range(10)]
    assert run_batch(worker="w") == 4
    assert run_batch(worker="w", go_on_seconds=60) == 6
    assert {(row.state, row.attempt) for row in _again(rows)} == {(State.SUCCEEDED, 1)}
    assert Transition.objects.filter(to_state=State.SUCCEEDED).count() == 10


def test_a_row_that_was_tried_before_is_run_when_nothing_else_is(
    cast: Cast, networks: Networks, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ANALYSIS_BATCH_SIZE = 4
    rows = [make_due(cast, waited=60 - number) for number in range(4)]
    tried = make_due(cast, waited=9)
    Analysis.objects.filter(pk=tried.pk).update(attempt=1)
    read = worker._read
    others: list[set[str]] = []

    def look_round(analysis: Analysis) -> Any:
        if analysis.pk == tried.pk:
            others.append({row.state for row in _again(rows)})
        return read(analysis)

    monkeypatch.setattr(worker, "_read", look_round)
    assert run_batch(worker="w", go_on_seconds=60) == 5
    # Should it kill the worker, it takes nobody along.
    assert others == [{State.SUCCEEDED}]
    assert _again([tried])[0].attempt == 2


def test_what_was_stored_before_time_ran_out_stays(
    cast: Cast, networks: Networks, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [60]
    settings.ANALYSIS_BATCH_SIZE = 4
    rows = [make_due(cast, waited=60 - number) for number in range(8)]
    monkeypatch.setattr(worker, "LANES", 1)
    monkeypatch.setattr(worker, "_MOST_STORED", 1)
    together, stored = answers.store_together, [0]

    def take_too_long(*given: Any, **named: Any) -> Any:
        if stored[0]:
            raise SoftTimeLimitExceeded
        stored[0] += 1
        return together(*given, **named)

    monkeypatch.setattr(answers, "store_together", take_too_long)
    with pytest.raises(SoftTimeLimitExceeded):
        run_batch(worker="w", go_on_seconds=60)
    states = [Analysis.objects.get(pk=row.pk).state for row in rows]
    assert states == [State.SUCCEEDED] * 4 + [State.QUEUED] * 4
    # Only what was not stored is told of.
    assert Transition.objects.filter(reason__startswith="time_limit").count() == 4


def test_only_legal_moves_are_made_together(cast: Cast, networks: Networks) -> None:
    row = make_due(cast)
    steps = [Step(row.pk, State.QUEUED, 0, {})]
    with pytest.raises(IllegalMoveError, match="not final"):
        move_all(origin=State.RUNNING, steps=steps, actor=worker_actor("w"))
    steps = [Step(row.pk, State.SUCCEEDED, 0, {})]
    with pytest.raises(IllegalMoveError, match="cannot go"):
        move_all(origin=State.QUEUED, steps=steps, actor=worker_actor("w"))
    assert not move_all(origin=State.RUNNING, steps=steps, actor=worker_actor("w"))
    assert _again([row])[0].state == State.QUEUED
