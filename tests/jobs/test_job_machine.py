"""Everything that can happen to jobs, in any order: what must hold afterwards, always holds."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, note
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from classifier.choices import FINAL_STATES, ActorKind, State
from classifier.models import Analysis, Prediction, Transition
from classifier.services import analyses
from classifier.services.claims import attempts_left, back_off, claim_batch, sweep_lost_leases
from classifier.services.errors import ConflictError, RuleError
from classifier.services.moves import LEGAL_MOVES, PERSONAL_MOVES, move, worker
from tests import factories
from tests.jobs.rows import copy_of, let_lease_run_out, make_prediction

if TYPE_CHECKING:
    from uuid import UUID

    from pytest_django.fixtures import Settings

    from classifier.models import Image, ModelVersion, User

WORKERS = ("a", "b", "c")
IMAGES = 2


class JobMachine(RuleBasedStateMachine):
    """Two images, three workers that may fall asleep, a sweep, and people.

    A worker remembers what it claimed for as long as it likes, so that late answers of every age
    come in.
    """

    owner: User
    image: Image
    version: ModelVersion

    def __init__(self) -> None:
        """Start with two images and no analysis; undo everything at the end."""
        super().__init__()
        self._undo: Any = transaction.atomic()
        self._undo.__enter__()
        self.images = [self.image] + [copy_of(self.image, n) for n in range(1, IMAGES)]
        # (row, attempt) that a worker believes to hold.
        self.held: dict[str, list[tuple[UUID, int]]] = {name: [] for name in WORKERS}

    def teardown(self) -> None:
        """Undo everything."""
        transaction.set_rollback(True)
        self._undo.__exit__(None, None, None)

    # --- What can happen ---

    @initialize()
    def begin(self) -> None:
        """Somebody uploads the first image."""
        analyses.request_analysis(image=self.images[0], by=self.owner)

    @rule(which=st.integers(0, IMAGES - 1))
    def ask(self, which: int) -> None:
        """Somebody asks for an analysis, perhaps of an image that waits already."""
        image = self.images[which]
        waits = Analysis.objects.filter(image=image, finished_at__isnull=True).exists()
        try:
            analyses.request_analysis(image=image, by=self.owner)
        except ConflictError:
            assert waits
        else:
            assert not waits

    @rule(name=st.sampled_from(WORKERS), limit=st.integers(1, 3))
    def claim(self, name: str, limit: int) -> None:
        """A worker takes what is due."""
        due = Analysis.objects.due(timezone.now()).count()
        claimed = claim_batch(worker=name, limit=limit)
        assert (claimed is None) == (due == 0)
        if claimed is not None:
            assert len(claimed.attempts) <= limit
            self.held[name] += claimed.attempts.items()

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data(), rejected=st.booleans())
    def finish(self, data: st.DataObject, rejected: bool) -> None:
        """A worker brings a result, in time or late; the real store-and-move, in one piece."""
        pk, attempt, name = self._take(data)
        row = Analysis.objects.get(pk=pk)
        valid = (row.state, row.attempt) == (State.RUNNING, attempt)
        with transaction.atomic():
            known = Prediction.objects.filter(image=row.image, model_version=self.version).first()
            decision = "rejected" if rejected else "answer"
            result = known or make_prediction(row, self.version, decision=decision)
            done = move(
                analysis_id=pk,
                origin=State.RUNNING,
                target=State.REJECTED if result.decision == "rejected" else State.SUCCEEDED,
                attempt=attempt,
                actor=worker(name),
                prediction=result,
                decision=result.decision,
            )
            if not done:
                transaction.set_rollback(True)
        assert done == valid

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data())
    def break_down(self, data: st.DataObject) -> None:
        """A worker reports a fault, in time or late."""
        pk, attempt, name = self._take(data)
        row = Analysis.objects.get(pk=pk)
        valid = (row.state, row.attempt) == (State.RUNNING, attempt)
        row.attempt = attempt
        again = attempts_left(row)
        facts: dict[str, Any] = (
            {"not_before": timezone.now() + back_off(row)}
            if again
            else {"failure_code": "network_error", "failure_reference": "0123abcd"}
        )
        done = move(
            analysis_id=pk,
            origin=State.RUNNING,
            target=State.QUEUED if again else State.FAILED,
            attempt=attempt,
            actor=worker(name),
            reason="network_error",
            **facts,
        )
        assert done == valid

    def _take(self, data: st.DataObject) -> tuple[UUID, int, str]:
        name = data.draw(st.sampled_from([name for name in WORKERS if self.held[name]]))
        held = self.held[name]
        index = data.draw(st.integers(0, len(held) - 1))
        # It may answer once more for the same row: a message delivered twice.
        twice = data.draw(st.booleans())
        pk, attempt = held[index] if twice else held.pop(index)
        note(f"{name} answers for attempt {attempt} of {pk}")
        return pk, attempt, name

    @rule(everybody=st.booleans())
    def lose_leases(self, everybody: bool) -> None:
        """Workers do not answer in time, and the sweep comes round, twice."""
        rows = Analysis.objects.filter(state=State.RUNNING).order_by("created_at", "id")
        lost = list(rows if everybody else rows[:1])
        let_lease_run_out(*lost)
        first, second = sweep_lost_leases(), sweep_lost_leases()
        assert first.requeued + first.failed == len(lost)
        assert (second.requeued, second.failed) == (0, 0)
        assert not Analysis.objects.lease_lost(timezone.now()).exists()

    @rule(which=st.integers(0, 3))
    def cancel(self, which: int) -> None:
        """Somebody calls an analysis off."""
        for row in Analysis.objects.order_by("created_at", "id")[which : which + 1]:
            allowed = row.state == State.QUEUED
            try:
                analyses.cancel_analysis(analysis=row, by=self.owner, reason="Wrong patient.")
            except RuleError:
                assert not allowed
            else:
                assert allowed

    @rule(which=st.integers(0, 3))
    def retry(self, which: int) -> None:
        """Somebody tries an analysis again."""
        for row in Analysis.objects.order_by("created_at", "id")[which : which + 1]:
            waits = Analysis.objects.filter(image=row.image, finished_at__isnull=True).exists()
            allowed = row.state in {State.FAILED, State.REJECTED} and not waits
            try:
                analyses.retry_analysis(analysis=row, by=self.owner, reason="Once more.")
            except RuleError:
                assert not allowed
            else:
                assert allowed

    # --- What must hold ---

    @invariant()
    def every_row_tells_one_story(self) -> None:
        """The moves form one legal chain that ends in the present state."""
        for row in Analysis.objects.all():
            chain = list(Transition.objects.filter(analysis=row).order_by("id"))
            assert chain[0].from_state == ""
            assert chain[-1].to_state == row.state
            attempts = 0
            for before, step in itertools.pairwise(chain):
                assert step.from_state == before.to_state
                pair = (State(step.from_state), State(step.to_state))
                assert pair[1] in LEGAL_MOVES[pair[0]]
                by_person = step.actor_kind == ActorKind.USER
                assert by_person == (pair in PERSONAL_MOVES)
                assert step.reason or not by_person
                attempts += step.to_state == State.RUNNING
                assert step.attempt == attempts
            assert row.attempt == attempts
            assert row.attempt - row.attempts_forgiven <= django_settings.ANALYSIS_MAX_ATTEMPTS

    @invariant()
    def a_row_is_held_by_one_worker_or_nobody(self) -> None:
        """There is a lease exactly while it runs, and one waiting row at most for an image."""
        for row in Analysis.objects.all():
            assert (row.lease_until is not None) == (row.state == State.RUNNING)
            assert (row.finished_at is not None) == (row.state in FINAL_STATES)
        waiting = Analysis.objects.filter(finished_at__isnull=True)
        images = list(waiting.values_list("image", flat=True))
        assert len(images) == len(set(images))
        for pk, attempt in waiting.filter(state=State.RUNNING).values_list("pk", "attempt"):
            holders = [name for name in WORKERS if (pk, attempt) in self.held[name]]
            assert len(holders) <= 1

    @invariant()
    def a_result_is_there_exactly_when_the_state_says_so(self) -> None:
        """One result a version and image; a row points at it exactly when it is done."""
        for row in Analysis.objects.all():
            done = row.state in {State.SUCCEEDED, State.REJECTED}
            assert (row.prediction_id is not None) == done
            assert bool(row.decision) == done
            assert (row.failure_code != "") == (row.state == State.FAILED)
        pairs = list(Prediction.objects.values_list("image", "model_version"))
        assert len(pairs) == len(set(pairs))


@pytest.mark.django_db
def test_jobs_in_any_order(settings: Settings) -> None:
    # Whatever is put back is due at once, and the cap is near: deep histories in few steps.
    settings.ANALYSIS_BACKOFF_SECONDS = [0]
    settings.ANALYSIS_MAX_ATTEMPTS = 2
    clinic = factories.make_clinic()
    owner = factories.make_member(clinic)
    JobMachine.owner = owner
    JobMachine.image = factories.make_image(factories.make_patient(clinic, owner), owner)
    JobMachine.version = factories.make_model_version()
    run_state_machine_as_test(
        JobMachine,
        settings=hypothesis_settings(
            max_examples=15,
            stateful_step_count=25,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
