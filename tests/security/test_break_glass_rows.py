"""Emergency access as a permission: what it opens, for whom, and until when."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pgtrigger
import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, InternalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from classifier.choices import Role
from classifier.models import Analysis, BreakGlass, Image, Lesion, Membership, Patient, Reading
from tests import factories

if TYPE_CHECKING:
    from classifier.models import User
    from tests.conftest import Cast

KINDS: tuple[Any, ...] = (Patient, Lesion, Image, Analysis)


def glass(cast: Cast, user: User, **facts: Any) -> BreakGlass:
    """Open an emergency access to the first clinic's patient."""
    defaults = {
        "clinic": cast.clinic,
        "patient": cast.patient,
        "reason": "Unconscious in the emergency room",
        "expires_at": timezone.now() + timedelta(hours=1),
    }
    return BreakGlass.objects.create(user=user, **(defaults | facts))


@pytest.fixture
def record(cast: Cast) -> None:
    """Give both patients of the first clinic one row of each kind."""
    for patient in (cast.patient, factories.make_patient(cast.clinic, cast.owner)):
        lesion = Lesion.objects.create(
            clinic=cast.clinic, patient=patient, label="L1", created_by=cast.owner
        )
        image = factories.make_image(patient, cast.owner, lesion=lesion)
        factories.make_analysis(image, cast.owner)


def seen(user: Any) -> list[int]:
    """Return how many rows of each kind the person sees, and how many they may change."""
    return [
        count
        for kind in KINDS
        for count in (
            kind.objects.visible_to(user).count(),
            kind.objects.writable_by(user).count(),
        )
    ]


def test_it_opens_one_patient_for_reading_to_one_person(cast: Cast, record: None) -> None:
    assert seen(cast.stranger) == seen(cast.superuser) == [0] * 8
    for user in (cast.stranger, cast.superuser):
        glass(cast, user)
        assert seen(user) == [1, 0] * 4
        assert Patient.objects.visible_to(user).get() == cast.patient
    assert seen(cast.owner) == [2] * 8
    assert seen(cast.read_only) == [2, 0] * 4
    assert seen(AnonymousUser()) == [0] * 8
    # Rows that do not name a patient themselves follow the clinic alone.
    assert not Reading.objects.visible_to(cast.stranger).exists()


def test_it_is_over_when_ended_when_late_and_for_whoever_is_deactivated(
    cast: Cast, record: None
) -> None:
    row = glass(cast, cast.stranger)
    BreakGlass.objects.filter(pk=row.pk).update(
        ended_at=timezone.now(), ended_by=cast.administrator
    )
    past = timezone.now() - timedelta(seconds=1)
    late = glass(cast, cast.stranger)
    # The application cannot write a past one; only the clock makes it one.
    with pgtrigger.ignore("classifier.BreakGlass:break_glass_is_not_rewritten"):
        BreakGlass.objects.filter(pk=late.pk).update(
            created_at=past - timedelta(hours=1), expires_at=past
        )
    glass(cast, cast.deactivated)
    assert seen(cast.stranger) == seen(cast.deactivated) == [0] * 8
    assert BreakGlass.objects.active().count() == 1


def test_administrators_of_the_clinic_see_it_and_others_only_their_own(cast: Cast) -> None:
    row = glass(cast, cast.stranger)
    other = factories.make_member(cast.other_clinic, Role.ADMINISTRATOR)
    for user in (cast.administrator, cast.stranger):
        assert BreakGlass.objects.visible_to(user).get() == row
    for nobody in (cast.owner, cast.read_only, cast.superuser, other, cast.deactivated):
        assert not BreakGlass.objects.visible_to(nobody).exists()
    assert not BreakGlass.objects.visible_to(AnonymousUser()).exists()


def test_it_costs_one_query_however_many_there_are(cast: Cast, record: None) -> None:
    for _ in range(5):
        glass(cast, cast.stranger)
    Membership.objects.create(user=cast.stranger, clinic=cast.clinic, role=Role.READ_ONLY)
    for kind in KINDS:
        with CaptureQueriesContext(connection) as queries:
            rows = list(kind.objects.visible_to(cast.stranger))
        assert len(queries) == 1
        assert len(rows) == len(set(rows)) == 2


def test_what_it_was_is_not_rewritten(cast: Cast) -> None:
    row = glass(cast, cast.stranger)
    rows = BreakGlass.objects.filter(pk=row.pk)
    changes: tuple[dict[str, Any], ...] = (
        {"reason": "none"},
        {"expires_at": timezone.now() + timedelta(days=300)},
        {"user": cast.owner},
    )
    for change in changes:
        with pytest.raises(InternalError, match="Cannot update"), transaction.atomic():
            rows.update(**change)
    rows.update(ended_at=timezone.now(), ended_by=cast.administrator)
    with pytest.raises(InternalError, match="Cannot update"), transaction.atomic():
        rows.update(ended_at=None, ended_by=None)


def test_the_database_wants_a_reason_an_end_and_a_name_under_it(cast: Cast) -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {"reason": ""},
        {"expires_at": timezone.now() - timedelta(minutes=1)},
        {"ended_at": timezone.now()},
    )
    for facts in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            glass(cast, cast.stranger, **facts)
