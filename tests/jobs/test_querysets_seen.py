"""Which rows a person, a list and a worker see; permission checks are defined through these."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from classifier.choices import ReviewState, State
from classifier.models import Analysis, Clinic, Image, Patient, Prediction, Reading
from tests import factories
from tests.jobs.rows import let_lease_run_out, make_analysis_in, make_due

if TYPE_CHECKING:
    from classifier.models import ModelVersion, User
    from classifier.querysets.people import Person
    from tests.conftest import Cast

EVERYBODY = (
    "owner",
    "colleague",
    "read_only",
    "administrator",
    "stranger",
    "superuser",
    "deactivated",
)
SEE = {"owner", "colleague", "read_only", "administrator"}
WRITE = {"owner", "colleague", "administrator"}


@pytest.fixture
def version(db: None) -> ModelVersion:
    """Return the active version of the dermoscopic label set."""
    return factories.make_model_version()


@pytest.mark.parametrize("who", [*EVERYBODY, "nobody"])
def test_who_sees_and_who_writes(cast: Cast, version: ModelVersion, who: str) -> None:
    user: Person = AnonymousUser() if who == "nobody" else getattr(cast, who)
    make_analysis_in(State.SUCCEEDED, cast, version)
    for model in (Patient, Image, Analysis, Prediction):
        rows = model.objects.all()
        assert rows.visible_to(user).exists() == (who in SEE), model
        assert rows.writable_by(user).exists() == (who in WRITE), model
    assert (cast.clinic in Clinic.objects.visible_to(user)) == (who in SEE)
    assert (cast.clinic in Clinic.objects.writable_by(user)) == (who in WRITE)
    assert (cast.clinic in Clinic.objects.administered_by(user)) == (who == "administrator")
    assert cast.other_clinic not in Clinic.objects.administered_by(user)


def read(analysis: Analysis, user: User) -> None:
    """Save a reading without asking the rules."""
    Reading.objects.create(
        clinic=analysis.clinic, analysis=analysis, reader=user, diagnosis="nevus", blinded=True
    )


def test_the_answer_is_hidden_until_the_person_has_read_it(
    cast: Cast, version: ModelVersion
) -> None:
    Clinic.objects.filter(pk=cast.clinic.pk).update(blinded_first=True)
    analysis = make_analysis_in(State.SUCCEEDED, cast, version)

    def seen_by() -> set[str]:
        return {
            who
            for who in EVERYBODY
            if Analysis.objects.revealed_to(getattr(cast, who)).filter(pk=analysis.pk).exists()
        }

    assert seen_by() == set()
    read(analysis, cast.owner)
    assert seen_by() == {"owner"}
    for state in (ReviewState.DEFERRED, ReviewState.REVIEWED):
        Analysis.objects.filter(pk=analysis.pk).update(review_state=state)
        assert seen_by() == (SEE if state == ReviewState.REVIEWED else {"owner"})
    Analysis.objects.filter(pk=analysis.pk).update(review_state=ReviewState.PENDING)
    Clinic.objects.filter(pk=cast.clinic.pk).update(blinded_first=False)
    assert seen_by() == SEE


def test_what_needs_review_is_ordered_by_danger_and_then_by_age(
    cast: Cast, version: ModelVersion
) -> None:
    mild = make_analysis_in(State.SUCCEEDED, cast, version, triage_rank=5)
    old, young = (
        make_analysis_in(State.REJECTED, cast, version, triage_rank=1) for _number in range(2)
    )
    make_analysis_in(State.SUCCEEDED, cast, version, review_state=ReviewState.REVIEWED)
    make_analysis_in(State.SUCCEEDED, cast, version, review_state=ReviewState.DEFERRED)
    for state in (State.QUEUED, State.RUNNING, State.FAILED, State.CANCELLED):
        make_analysis_in(state, cast, version)
    assert list(Analysis.objects.all().needing_review()) == [old, young, mild]


def test_what_is_due_and_what_is_lost(cast: Cast, version: ModelVersion) -> None:
    due = make_due(cast)
    make_due(cast, waited=-60)
    held = make_analysis_in(State.RUNNING, cast, version)
    now = timezone.now()
    assert list(Analysis.objects.due(now)) == [due]
    assert not Analysis.objects.lease_lost(now).exists()
    let_lease_run_out(held)
    assert list(Analysis.objects.lease_lost(now)) == [held]
    assert not Analysis.objects.due(now - timedelta(hours=1)).exists()


def test_lists_leave_heavy_columns_in_the_database(cast: Cast, version: ModelVersion) -> None:
    make_analysis_in(State.SUCCEEDED, cast, version)
    row = Analysis.objects.all().for_lists(cast.owner).get()
    assert "model_version" not in row._state.fields_cache
    assert "notes" in row.patient.get_deferred_fields()
    assert "image" in row._state.fields_cache
    revealed = vars(row)["is_revealed"]
    assert revealed is Analysis.objects.revealed_to(cast.owner).filter(pk=row.pk).exists()
