"""The table of legal moves: every pair of states, every actor."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, InternalError, transaction
from django.utils import timezone

from classifier.choices import FINAL_STATES, ActorKind, ReviewState, State
from classifier.models import Analysis, AuditEvent, Transition
from classifier.services import analyses, moves
from classifier.services.errors import ConflictError, RuleError
from tests import factories
from tests.jobs.rows import make_analysis_in, make_prediction, snapshot

if TYPE_CHECKING:
    from classifier.models import ModelVersion
    from tests.conftest import Cast

# Written out by hand from the design, not taken from the code.
BY_SYSTEM = {
    ("queued", "running"),
    ("running", "succeeded"),
    ("running", "rejected"),
    ("running", "failed"),
    ("running", "queued"),
}
BY_PERSON = {("queued", "cancelled"), ("failed", "queued"), ("rejected", "queued")}


def facts_for(target: str, version: ModelVersion, analysis: Analysis) -> dict[str, Any]:
    """Return what the database demands of a row in ``target``."""
    if target == State.RUNNING:
        return {
            "lease_until": timezone.now() + timedelta(minutes=1),
            "started_at": timezone.now(),
            "model_version": version,
        }
    if target in {State.SUCCEEDED, State.REJECTED}:
        decision = "answer" if target == State.SUCCEEDED else "rejected"
        prediction = make_prediction(analysis, version, decision=decision)
        return {"prediction": prediction, "decision": decision}
    if target == State.FAILED:
        return {"failure_code": "network_error", "failure_reference": "0123abcd"}
    return {}


def actor_of(kind: ActorKind, cast: Cast) -> moves.Actor:
    """Return an actor of each kind."""
    return {
        ActorKind.USER: moves.person(cast.owner),
        ActorKind.WORKER: moves.worker("host:1"),
        ActorKind.SYSTEM: moves.SYSTEM,
    }[kind]


def test_the_table_is_the_designs() -> None:
    legal = {(a.value, b.value) for a, targets in moves.LEGAL_MOVES.items() for b in targets}
    assert legal == BY_SYSTEM | BY_PERSON
    assert {(a.value, b.value) for a, b in moves.PERSONAL_MOVES} == BY_PERSON
    assert set(moves.LEGAL_MOVES) == set(State)


def make_move(
    analysis: Analysis,
    target: str,
    actor: moves.Actor,
    reason: str = "A named reason.",
    **facts: Any,
) -> bool:
    """Move the analysis from where it is."""
    return moves.move(
        analysis_id=analysis.pk,
        origin=State(analysis.state),
        target=State(target),
        attempt=analysis.attempt,
        actor=actor,
        reason=reason,
        **facts,
    )


@pytest.mark.parametrize(
    ("origin", "target", "kind"),
    [(*pair, ActorKind.USER) for pair in sorted(BY_PERSON)]
    + [
        (*pair, kind) for pair in sorted(BY_SYSTEM) for kind in (ActorKind.WORKER, ActorKind.SYSTEM)
    ],
)
def test_a_legal_move_happens_and_is_written_down_once(
    cast: Cast, origin: str, target: str, kind: ActorKind
) -> None:
    version = factories.make_model_version()
    analysis = make_analysis_in(State(origin), cast, version, attempt=2)
    assert make_move(analysis, target, actor_of(kind, cast), **facts_for(target, version, analysis))
    analysis.refresh_from_db()
    assert analysis.state == target
    assert (analysis.finished_at is not None) == (target in FINAL_STATES)
    assert (analysis.lease_until is not None) == (target == State.RUNNING)
    transition = Transition.objects.get()
    assert (transition.from_state, transition.to_state) == (origin, target)
    assert (transition.analysis, transition.attempt) == (analysis, 2)
    assert transition.actor_kind == kind
    assert transition.actor == (cast.owner if kind is ActorKind.USER else None)
    assert transition.worker == ("host:1" if kind is ActorKind.WORKER else "")
    assert transition.reason == "A named reason."


@pytest.mark.parametrize("origin", State.values)
def test_every_other_move_is_refused_and_changes_nothing(cast: Cast, origin: str) -> None:
    version = factories.make_model_version()
    analysis = make_analysis_in(State(origin), cast, version)
    before = snapshot(analysis)
    for target, kind in itertools.product(State.values, ActorKind):
        if (origin, target) in (BY_PERSON if kind is ActorKind.USER else BY_SYSTEM):
            continue
        with pytest.raises(moves.IllegalMoveError):
            make_move(analysis, target, actor_of(kind, cast))
    assert snapshot(analysis) == before
    assert not Transition.objects.exists()


@pytest.mark.parametrize(("origin", "target"), sorted(BY_PERSON))
@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_personal_move_demands_a_reason(
    cast: Cast, origin: str, target: str, reason: str
) -> None:
    with pytest.raises(moves.IllegalMoveError, match="reason"):
        moves.check_move(State(origin), State(target), moves.person(cast.owner), reason)


@pytest.mark.parametrize("stale", ["state", "attempt"])
def test_a_move_from_where_the_row_is_not_any_more_changes_nothing(cast: Cast, stale: str) -> None:
    analysis = make_analysis_in(State.RUNNING, cast, factories.make_model_version())
    before = snapshot(analysis)
    origin = State.QUEUED if stale == "state" else State.RUNNING
    target = State.CANCELLED if stale == "state" else State.QUEUED
    moved = moves.move(
        analysis_id=analysis.pk,
        origin=origin,
        target=target,
        attempt=analysis.attempt - (stale == "attempt"),
        actor=moves.person(cast.owner) if stale == "state" else moves.SYSTEM,
        reason="Late.",
    )
    assert moved is False
    assert snapshot(analysis) == before
    assert not Transition.objects.exists()


def test_a_long_reason_is_cut_and_kept(cast: Cast) -> None:
    analysis = make_analysis_in(State.QUEUED, cast, factories.make_model_version())
    analyses.cancel_analysis(analysis=analysis, by=cast.owner, reason="x" * 700)
    assert Transition.objects.get().reason == "x" * 500
    assert AuditEvent.objects.get().reason == "x" * 500


def test_a_transition_is_never_changed_nor_deleted(cast: Cast) -> None:
    analysis = make_analysis_in(State.QUEUED, cast, factories.make_model_version())
    analyses.cancel_analysis(analysis=analysis, by=cast.owner, reason="Wrong patient.")
    with pytest.raises(InternalError), transaction.atomic():
        Transition.objects.update(reason="Another.")
    with pytest.raises(InternalError), transaction.atomic():
        Transition.objects.all().delete()
    assert Transition.objects.get().reason == "Wrong patient."


# --- Cancel and retry --------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(State))
def test_only_what_waits_in_the_queue_is_cancelled(cast: Cast, state: State) -> None:
    analysis = make_analysis_in(state, cast, factories.make_model_version())
    before = snapshot(analysis)
    if state is State.QUEUED:
        analyses.cancel_analysis(analysis=analysis, by=cast.owner, reason="Wrong patient.")
        analysis.refresh_from_db()
        assert analysis.state == State.CANCELLED
        event = AuditEvent.objects.get(action="analysis.cancelled")
        assert (event.actor, event.reason) == (cast.owner, "Wrong patient.")
        assert event.subject_id == str(analysis.pk)
        assert event.clinic == cast.clinic
        assert Transition.objects.count() == 1
        return
    with pytest.raises(RuleError):
        analyses.cancel_analysis(analysis=analysis, by=cast.owner, reason="Wrong patient.")
    assert snapshot(analysis) == before
    assert not Transition.objects.exists()
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("state", list(State))
def test_only_what_failed_or_was_rejected_is_tried_again(cast: Cast, state: State) -> None:
    analysis = make_analysis_in(state, cast, factories.make_model_version())
    before = snapshot(analysis)
    if state in {State.FAILED, State.REJECTED}:
        analyses.retry_analysis(analysis=analysis, by=cast.colleague, reason="New worker.")
        analysis.refresh_from_db()
        assert analysis.state == State.QUEUED
        assert (analysis.failure_code, analysis.failure_reference) == ("", "")
        assert analysis.attempts_forgiven == analysis.attempt == 3
        event = AuditEvent.objects.get(action="analysis.retried")
        assert (event.actor, event.reason) == (cast.colleague, "New worker.")
        assert Transition.objects.count() == 1
        return
    with pytest.raises(RuleError):
        analyses.retry_analysis(analysis=analysis, by=cast.owner, reason="New worker.")
    assert snapshot(analysis) == before
    assert not Transition.objects.exists()


def test_a_retry_lets_go_of_the_rejected_result_and_its_review(cast: Cast) -> None:
    version = factories.make_model_version()
    analysis = make_analysis_in(
        State.REJECTED,
        cast,
        version,
        top_label="nevus",
        triage_rank=2,
        review_state=ReviewState.REVIEWED,
        review_count=1,
        last_reviewer=cast.owner,
    )
    result = analysis.prediction
    analyses.retry_analysis(analysis=analysis, by=cast.owner, reason="A better network.")
    analysis.refresh_from_db()
    assert analysis.prediction is None
    assert (analysis.decision, analysis.top_label, analysis.triage_rank) == ("", "", 99)
    assert analysis.review_state == ReviewState.PENDING
    # What was reviewed stays counted: the next review gets the next number.
    assert analysis.review_count == 1
    assert list(analysis.image.predictions.all()) == [result]


@pytest.mark.parametrize("service", [analyses.cancel_analysis, analyses.retry_analysis])
def test_no_reason_no_move(cast: Cast, service: Any) -> None:
    state = State.QUEUED if service is analyses.cancel_analysis else State.FAILED
    analysis = make_analysis_in(state, cast, factories.make_model_version())
    with pytest.raises(RuleError, match="reason"):
        service(analysis=analysis, by=cast.owner, reason="   ")
    assert not AuditEvent.objects.exists()
    assert not Transition.objects.exists()


@pytest.mark.parametrize("service", [analyses.cancel_analysis, analyses.retry_analysis])
def test_two_people_at_once_are_told(cast: Cast, service: Any) -> None:
    state = State.QUEUED if service is analyses.cancel_analysis else State.FAILED
    analysis = make_analysis_in(state, cast, factories.make_model_version())
    seen_by_the_second = Analysis.objects.get(pk=analysis.pk)
    service(analysis=analysis, by=cast.owner, reason="First.")
    with pytest.raises(ConflictError):
        service(analysis=seen_by_the_second, by=cast.colleague, reason="Second.")
    assert AuditEvent.objects.count() == Transition.objects.count() == 1


def test_an_old_analysis_is_not_tried_again_while_a_newer_one_waits(cast: Cast) -> None:
    old = make_analysis_in(State.FAILED, cast, factories.make_model_version())
    factories.make_analysis(old.image, cast.owner)
    before = snapshot(old)
    with pytest.raises(RuleError, match="waiting"):
        analyses.retry_analysis(analysis=old, by=cast.owner, reason="Again.")
    assert snapshot(old) == before
    assert not AuditEvent.objects.exists()


def test_an_image_waits_for_one_analysis_at_a_time(cast: Cast) -> None:
    image = factories.make_image(cast.patient, cast.owner)
    first = analyses.request_analysis(image=image, by=cast.owner)
    with pytest.raises(ConflictError, match="waiting"):
        analyses.request_analysis(image=image, by=cast.colleague)
    assert list(Analysis.objects.all()) == [first]
    assert AuditEvent.objects.filter(action="analysis.requested").count() == 1
    assert Transition.objects.get().to_state == State.QUEUED


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "lost"},
        {"state": State.RUNNING},
        {"lease_until": timezone.now()},
        {"finished_at": timezone.now()},
        {"state": State.SUCCEEDED, "finished_at": timezone.now()},
        {"state": State.FAILED, "finished_at": timezone.now()},
        {"state": State.CANCELLED},
    ],
)
def test_the_database_itself_refuses_impossible_rows(cast: Cast, wrong: dict[str, Any]) -> None:
    analysis = make_analysis_in(State.QUEUED, cast, factories.make_model_version())
    with pytest.raises(IntegrityError), transaction.atomic():
        Analysis.objects.filter(pk=analysis.pk).update(**wrong)
