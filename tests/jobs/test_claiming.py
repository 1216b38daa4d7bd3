"""Claiming: who gets which rows, from several connections at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection, transaction
from django.utils import timezone

from classifier.choices import ActorKind, Modality, State
from classifier.models import Analysis, LabelSet, Transition
from classifier.services.claims import Claimed, Swept, claim_batch, sweep_lost_leases
from tests import factories
from tests.jobs.rows import copy_of, let_lease_run_out, make_due

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import Settings

    from classifier.models import ModelVersion
    from tests.conftest import Cast


@pytest.fixture
def version(db: None) -> ModelVersion:
    """Return the active version of the dermoscopic label set."""
    return factories.make_model_version()


def rows_of(claimed: Claimed | None) -> set[object]:
    """Return the keys of the claimed rows."""
    assert claimed is not None
    return set(claimed.attempts)


def test_a_claim_leases_the_row_and_pins_the_version(
    cast: Cast, version: ModelVersion, settings: Settings
) -> None:
    settings.ANALYSIS_LEASE_SECONDS = 90
    analysis = make_due(cast)
    before = timezone.now()
    claimed = claim_batch(worker="host:7")
    assert claimed is not None
    assert claimed.model_version == version
    assert claimed.attempts == {analysis.pk: 1}
    analysis.refresh_from_db()
    assert (analysis.state, analysis.attempt, analysis.worker) == (State.RUNNING, 1, "host:7")
    assert analysis.model_version == version
    assert analysis.started_at is not None
    assert analysis.started_at >= before
    assert analysis.lease_until == analysis.started_at + timedelta(seconds=90)
    transition = Transition.objects.get()
    assert (transition.from_state, transition.to_state) == (State.QUEUED, State.RUNNING)
    assert (transition.attempt, transition.actor_kind) == (1, ActorKind.WORKER)
    assert transition.worker == "host:7"


def test_the_oldest_due_rows_come_first(cast: Cast, version: ModelVersion) -> None:
    young, oldest, middle = (make_due(cast, waited=seconds) for seconds in (1, 300, 60))
    assert rows_of(claim_batch(worker="w", limit=2)) == {oldest.pk, middle.pk}
    assert rows_of(claim_batch(worker="w", limit=2)) == {young.pk}
    assert claim_batch(worker="w") is None


def test_the_batch_is_as_large_as_the_settings_say(
    cast: Cast, version: ModelVersion, settings: Settings
) -> None:
    settings.ANALYSIS_BATCH_SIZE = 2
    for _number in range(3):
        make_due(cast)
    assert len(rows_of(claim_batch(worker="w"))) == 2


def test_nothing_is_claimed_before_its_time(cast: Cast, version: ModelVersion) -> None:
    make_due(cast, waited=-30)
    assert claim_batch(worker="w") is None
    assert Analysis.objects.get().state == State.QUEUED


@pytest.mark.parametrize("state", [State.CANCELLED, State.FAILED])
def test_only_queued_rows_are_claimed(cast: Cast, version: ModelVersion, state: State) -> None:
    make_due(
        cast,
        state=state,
        finished_at=timezone.now(),
        failure_code="network_error",
        failure_reference="0",
    )
    assert claim_batch(worker="w") is None


def test_without_an_active_version_the_row_keeps_waiting(cast: Cast) -> None:
    factories.make_model_version(active=False)
    make_due(cast)
    assert claim_batch(worker="w") is None
    assert Analysis.objects.get().state == State.QUEUED
    assert not Transition.objects.exists()


def test_a_batch_holds_one_label_set_and_the_longest_wait_goes_first(
    cast: Cast, version: ModelVersion
) -> None:
    clinical = factories.make_model_version(LabelSet.CLINICAL5)
    skin = make_due(cast, waited=10)
    photograph = make_due(cast, waited=20, modality=Modality.CLINICAL)
    younger = make_due(cast, waited=5, modality=Modality.CLINICAL)
    first, second = claim_batch(worker="w"), claim_batch(worker="w")
    assert first is not None
    assert second is not None
    assert (first.model_version, rows_of(first)) == (clinical, {photograph.pk, younger.pk})
    assert (second.model_version, rows_of(second)) == (version, {skin.pk})


def test_a_row_tried_before_runs_alone(cast: Cast, version: ModelVersion) -> None:
    fresh = make_due(cast, waited=60)
    suspect = make_due(cast, waited=40, attempt=1)
    other = make_due(cast, waited=20)
    # What may have killed a worker takes no neighbour with it, nor is it overtaken for ever.
    assert rows_of(claim_batch(worker="w")) == {fresh.pk, other.pk}
    claimed = claim_batch(worker="w")
    assert claimed is not None
    assert claimed.attempts == {suspect.pk: 2}
    oldest_suspect = make_due(cast, waited=90, attempt=1)
    late = make_due(cast, waited=1)
    assert rows_of(claim_batch(worker="w")) == {oldest_suspect.pk}
    assert rows_of(claim_batch(worker="w")) == {late.pk}


# --- Several connections -----------------------------------------------------------------------


def test_no_row_is_claimed_twice_by_many_at_once(transactional_db: None, cast: Cast) -> None:
    factories.make_model_version()
    image = factories.make_image(cast.patient, cast.owner)
    due = timezone.now() - timedelta(seconds=5)
    images = [image] + [copy_of(image, number) for number in range(59)]
    Analysis.objects.bulk_create(
        Analysis(
            clinic=each.clinic,
            patient=each.patient,
            image=each,
            label_set=LabelSet.ISIC9,
            modality=each.modality,
            requested_by=cast.owner,
        )
        for each in images
    )
    Analysis.objects.update(not_before=due)
    start = threading.Barrier(6)

    def work(number: int) -> list[object]:
        got: list[object] = []
        try:
            start.wait(20)
            while (claimed := claim_batch(worker=f"w{number}", limit=4)) is not None:
                got += claimed.attempts
        finally:
            connection.close()
        return got

    with ThreadPoolExecutor(6) as pool:
        shares = list(pool.map(work, range(6)))
    everything = [pk for share in shares for pk in share]
    assert len(everything) == len(set(everything)) == 60
    assert Analysis.objects.filter(state=State.RUNNING, attempt=1).count() == 60
    assert Transition.objects.count() == 60
    for number, share in enumerate(shares):
        assert Analysis.objects.filter(worker=f"w{number}").count() == len(share)


@contextmanager
def held_by_another(*analyses: Analysis) -> Iterator[None]:
    """Let another connection hold rows, as a worker that freezes while it stores a result."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                list(Analysis.objects.select_for_update().filter(pk__in=[a.pk for a in analyses]))
                held.set()
                assert done.wait(20)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(hold)
        try:
            assert held.wait(20)
            yield
        finally:
            done.set()
        holder.result(20)


def test_a_claim_skips_rows_that_another_is_claiming(transactional_db: None, cast: Cast) -> None:
    factories.make_model_version()
    first, second, third = (make_due(cast, waited=seconds) for seconds in (30, 20, 10))
    with held_by_another(first, second):
        # It neither waits for the other nor takes what the other holds.
        claimed = claim_batch(worker="w")
        assert rows_of(claimed) == {third.pk}
        assert claim_batch(worker="w") is None
    assert rows_of(claim_batch(worker="w")) == {first.pk, second.pk}


def test_a_sweep_does_not_wait_for_a_row_that_somebody_holds(
    transactional_db: None, cast: Cast
) -> None:
    factories.make_model_version()
    frozen, lost = (make_due(cast, waited=seconds) for seconds in (30, 20))
    claim_batch(worker="w")
    for analysis in (frozen, lost):
        let_lease_run_out(analysis)
    with held_by_another(frozen):
        assert sweep_lost_leases() == Swept(requeued=1, failed=0)
    assert set(Analysis.objects.values_list("pk", "state")) == {
        (frozen.pk, State.RUNNING),
        (lost.pk, State.QUEUED),
    }
    assert sweep_lost_leases() == Swept(requeued=1, failed=0)
