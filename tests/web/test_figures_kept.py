"""Figures that take long are kept: for one clinic, for some minutes, and never what was closed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from classifier.choices import Decision
from classifier.selectors.figures import Period
from classifier.selectors.figures.kept import counted, key_of
from classifier.services.analyses import retry_analysis
from classifier.services.erasure import erase_patient
from classifier.services.reviews import save_review
from classifier.services.second_readings import request_second_reading
from tests import factories
from tests.web.answers import text_of
from tests.web.counted import Case, store

if TYPE_CHECKING:
    from django.conf import LazySettings

    from classifier.models import Clinic, User
    from tests.conftest import Cast

PAGE = "/figures/"


@pytest.fixture(autouse=True)
def _always_slow(settings: LazySettings) -> None:
    settings.FIGURES_SLOW_SECONDS = 0.0


def period(clinic: Clinic | None) -> Period:
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    return Period(today - timedelta(days=30), today + timedelta(days=1), clinic)


def images(user: User, clinic: Clinic | None, *, later: float = 0) -> tuple[int, int]:
    """Return how many images are counted, and how many of them with what the network said."""
    found = counted(user, period(clinic), now=timezone.now() + timedelta(minutes=later))
    return found.counts.all_waits.images, found.counts.tally.images


def test_what_took_long_is_shown_again_with_its_moment(cast: Cast) -> None:
    store([Case(cast.patient, cast.owner, final="nevus")])
    before = counted(cast.owner, period(cast.clinic), now=timezone.now())
    store([Case(cast.patient, cast.owner, final="nevus")])
    with CaptureQueriesContext(connection) as queries:
        again = counted(cast.colleague, period(cast.clinic), now=timezone.now())
    assert again == before
    assert not any("GROUPING SETS" in query["sql"] for query in queries)
    page = cast.client_of(cast.owner).get(PAGE)
    assert f"Counted at {timezone.localtime():%H}:" in text_of(page)


def test_what_is_counted_fast_is_counted_every_time(cast: Cast, settings: LazySettings) -> None:
    settings.FIGURES_SLOW_SECONDS = 3600.0
    assert images(cast.owner, cast.clinic) == (0, 0)
    store([Case(cast.patient, cast.owner)])
    assert images(cast.owner, cast.clinic) == (1, 0)


def test_nobody_gets_the_figures_of_another_clinic(cast: Cast) -> None:
    store([Case(cast.patient, cast.owner, final="nevus")])
    assert images(cast.owner, cast.clinic) == (1, 1)
    assert images(cast.stranger, cast.other_clinic) == (0, 0)
    # Kept figures of the first clinic lie ready; who does not belong to it gets none of them.
    assert images(cast.stranger, cast.clinic) == (0, 0)
    assert images(cast.superuser, cast.clinic) == (0, 0)
    assert images(cast.owner, cast.clinic) == (1, 1)
    assert images(cast.superuser, None) == (1, 1)
    with pytest.raises(PermissionDenied):
        images(cast.administrator, None)
    assert (
        cast.client_of(cast.stranger).get(PAGE, {"clinic": str(cast.clinic.pk)}).status_code == 400
    )


def test_whoever_left_a_clinic_gets_nothing_that_was_kept(cast: Cast) -> None:
    store([Case(cast.patient, cast.owner, final="nevus")])
    assert images(cast.colleague, cast.clinic) == (1, 1)
    cast.colleague.memberships.all().delete()
    assert images(cast.colleague, cast.clinic) == (0, 0)


def test_a_key_names_all_that_figures_depend_on(cast: Cast) -> None:
    one = period(cast.clinic)
    open_clinic = factories.make_clinic("Open Clinic", blinded_first=False)
    keys = [
        key_of(one),
        key_of(replace(one, clinic=cast.other_clinic)),
        key_of(replace(one, clinic=None)),
        key_of(replace(one, since=one.since - timedelta(days=1))),
        key_of(replace(one, until=one.until + timedelta(days=1))),
    ]
    cast.clinic.blinded_first = False
    cast.clinic.save()
    keys += [key_of(one), key_of(replace(one, clinic=None))]
    assert len(set(keys)) == len(keys)
    assert str(cast.clinic.pk) in keys[0]
    assert str(open_clinic.pk) in key_of(replace(one, clinic=open_clinic))
    assert key_of(one) == key_of(replace(one))


def test_an_answer_that_was_closed_again_is_in_no_kept_figure(cast: Cast) -> None:
    asked, deferred = store(
        [Case(cast.patient, cast.owner, final="nevus", reading="nevus") for _number in range(2)]
    )
    assert images(cast.colleague, cast.clinic) == (2, 2)
    request_second_reading(analysis=asked, by=cast.owner, asked=cast.colleague)
    assert images(cast.colleague, cast.clinic) == (2, 1)
    save_review(analysis=deferred, by=cast.owner, verdict="defer", expected_number=1)
    assert images(cast.colleague, cast.clinic) == (2, 0)


def test_a_try_again_counts_everything_anew(cast: Cast) -> None:
    rejected, _other = store(
        [
            Case(cast.patient, cast.owner, final="nevus", decision=Decision.REJECTED)
            for _number in range(2)
        ]
    )
    assert images(cast.owner, cast.clinic) == images(cast.superuser, None) == (2, 2)
    retry_analysis(analysis=rejected, by=cast.owner, reason="It was sharp.")
    assert images(cast.owner, cast.clinic) == images(cast.superuser, None) == (2, 1)


def test_an_erased_patient_is_in_no_kept_figure(cast: Cast) -> None:
    patient = factories.make_patient(cast.clinic, cast.owner)
    store([Case(one, cast.owner, final="nevus") for one in (patient, cast.patient)])
    assert images(cast.owner, cast.clinic) == images(cast.superuser, None) == (2, 2)
    erase_patient(
        patient_key=patient.pk,
        by=cast.administrator,
        reason="They asked for it.",
        confirmation=patient.record_number,
    )
    assert images(cast.owner, cast.clinic) == images(cast.superuser, None) == (1, 1)


def test_nobodys_words_are_kept(cast: Cast) -> None:
    """The cache's server writes to a disk, and what it holds is read as data only."""
    cases = [Case(cast.patient, cast.owner, final="melanoma", reason="Scar")]
    store([*cases, Case(cast.patient, cast.owner, bare=True)])
    before = counted(cast.owner, period(cast.clinic), now=timezone.now())
    server = cache._cache.get_client()  # type: ignore[attr-defined]  # what lies there, unread
    written = server.get(cache.make_key(key_of(period(cast.clinic))))
    assert json.loads(written)["tallies"]
    assert b"scar" not in written.lower()
    store([*cases, *cases])
    again = counted(cast.owner, period(cast.clinic), now=timezone.now())
    assert again.counts == before.counts
    assert (before.reasons, again.reasons) == ([("scar", 1)], [("scar", 3)])


def test_a_cache_that_is_away_costs_the_memory_only(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: object, **_named: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(cache, "get", away)
    monkeypatch.setattr(cache, "set", away)
    store([Case(cast.patient, cast.owner)])
    assert images(cast.owner, cast.clinic) == (1, 0)


def test_something_else_under_the_key_is_no_figure(cast: Cast) -> None:
    for other in (
        {"counts": "forged"},
        "forged",
        7,
        {"waits_by": [[]], "tallies": [], "moment": ""},
    ):
        cache.set(key_of(period(cast.clinic)), other)
        assert images(cast.owner, cast.clinic) == (0, 0)
