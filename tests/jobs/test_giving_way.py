"""What the night does leaves off after one piece when an image waits for its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from classifier.models import AuditEvent, AuditLink, Clinic, IntegrityRun
from classifier.services import audit, audit_chain, integrity_runs
from classifier.services.integrity import SLICES
from classifier.services.integrity_runs import go_on, open_run
from classifier.services.turns import Turn
from classifier.tasks import (
    check_integrity_task,
    seal_audit_task,
    verify_audit_task,
    watch_drift_task,
)
from tests import factories
from tests.jobs.rows import copy_of, make_due

if TYPE_CHECKING:
    from tests.conftest import Cast


@pytest.fixture
def waiting(cast: Cast) -> None:
    """Let an image wait that a network could answer."""
    factories.make_model_version()
    make_due(cast)


def test_a_turn_is_over_when_an_image_comes_or_its_time_has_passed(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.services.turns._ASK_SECONDS", 0.0)
    turn = Turn(60)
    assert not turn.is_over()
    assert Turn(0).is_over()
    due = make_due(cast)
    # Nobody can answer it, so that nothing is won by leaving off.
    assert not turn.is_over()
    factories.make_model_version()
    assert not Turn(60, at_least=30).is_over()
    assert turn.is_over()
    due.delete()
    assert turn.is_over()


def test_the_check_of_the_night_leaves_off_after_one_slice(
    cast: Cast, waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity_runs, "_width", lambda: 2)
    run = open_run()
    assert not go_on(run, seconds=600)
    assert run.slices_done == 2
    # Each message gets some of it done, and sends the next one.
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(check_integrity_task, "apply_async", lambda **more: messages.append(more))
    check_integrity_task.run()
    assert IntegrityRun.objects.get().slices_done == 4
    assert len(messages) == 1
    IntegrityRun.objects.update(slices_done=SLICES - 2)
    check_integrity_task.run()
    assert IntegrityRun.objects.get().finished_at is not None
    assert len(messages) == 1


def test_a_slice_of_many_images_is_a_short_one(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    image = factories.make_image(cast.patient, cast.owner)
    for number in range(9):
        copy_of(image, number)
    monkeypatch.setattr(integrity_runs, "_IMAGES_AT_ONCE", 0)
    assert integrity_runs._width() == 1
    monkeypatch.setattr(integrity_runs, "_IMAGES_AT_ONCE", 1)
    assert integrity_runs._width() == SLICES // 10
    # Of a million, some hundred.
    assert 1_000_000 / SLICES < 250


def test_the_audit_trail_is_sealed_and_examined_in_pieces(
    cast: Cast, waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_chain, "_BATCH", 2)
    monkeypatch.setattr(audit_chain, "_RANGE", 2)
    for _event in range(6):
        audit.record(action="patient.viewed", actor=cast.owner, subject=cast.patient)
    seal_audit_task.run()
    assert AuditLink.objects.count() == 2
    messages: list[tuple[Any, ...]] = []
    monkeypatch.setattr(verify_audit_task, "delay", lambda *values: messages.append(values))
    verify_audit_task.run()
    assert [message[:2] for message in messages] == [
        ("links", AuditLink.objects.order_by("position")[1].position)
    ]
    assert AuditEvent.objects.count() >= 6


def test_drift_is_looked_at_one_clinic_after_the_other(
    cast: Cast, waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Clinic | None] = []

    def drifts_of(_versions: object, *, until: object, clinic: Clinic | None) -> list[object]:
        assert until is not None
        seen.append(clinic)
        return []

    monkeypatch.setattr("classifier.tasks.maintenance.drifts_of", drifts_of)
    messages: list[tuple[str, ...]] = []
    monkeypatch.setattr(watch_drift_task, "delay", lambda *values: messages.append(values))
    watch_drift_task.run()
    assert seen == [None]
    while messages:
        before = len(seen)
        watch_drift_task.run(*messages.pop())
        assert len(seen) <= before + 1
    assert seen == [None, *Clinic.objects.order_by("pk")]
