"""The fragment that a waiting page asks for again and again, and how it stops."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from classifier.choices import Decision, State
from classifier.models import Analysis
from tests import factories
from tests.web import answered as make

if TYPE_CHECKING:
    from tests.conftest import Cast

STOP_POLLING = 286
_TRIGGER = re.compile(r'hx-trigger="load delay:(\d+)s, again"')


def ask(cast: Cast, analysis: Analysis, **query: Any) -> Any:
    """Ask as the page does."""
    address = reverse("analysis_status", args=[analysis.pk])
    return cast.client_of(cast.owner).get(address, query, headers={"HX-Request": "true"})


def delay_of(response: Any) -> int:
    """Return the seconds until the next question."""
    found = _TRIGGER.findall(response.content.decode())
    assert len(found) == 1
    return int(found[0])


@pytest.fixture
def waiting(cast: Cast) -> Analysis:
    """Return a queued analysis."""
    return factories.make_analysis(make.bare_image(cast.patient, cast.owner), cast.owner)


def test_the_interval_grows_and_then_stays(cast: Cast, waiting: Analysis) -> None:
    delays = [delay_of(ask(cast, waiting, poll=poll)) for poll in range(12)]
    assert delays == sorted(delays)
    assert delays[0] == 1
    assert delays[-1] == delays[-2] == 10


@pytest.mark.parametrize("poll", ["", "x", "-5", "9" * 400, "1e3", "\u0663"])
def test_any_count_is_answered(cast: Cast, waiting: Analysis, poll: str) -> None:
    assert 1 <= delay_of(ask(cast, waiting, poll=poll)) <= 10


def test_a_screen_reader_hears_of_a_change_and_of_nothing_else(
    cast: Cast, waiting: Analysis
) -> None:
    page = cast.client_of(cast.owner).get(waiting.get_absolute_url()).content.decode()
    # The live region is there before anything changes, and the questions are asked outside of it.
    region = re.search(
        r'<div id="state-words" role="status" aria-live="polite">(.*?)</div>', page, re.DOTALL
    )
    assert region is not None
    assert "Waiting for a worker" in region[1]
    assert "hx-get" not in region[1]
    seen = re.search(r"seen=([\w-]+)", page)
    assert seen is not None

    silent = ask(cast, waiting, poll=1, seen=seen[1]).content.decode()
    assert "state-words" not in silent
    Analysis.objects.filter(pk=waiting.pk).delete()
    busy = make.running(waiting.image, cast.owner, pk=waiting.pk)
    told = ask(cast, busy, poll=2, seen=seen[1]).content.decode()
    assert 'id="state-words" hx-swap-oob="innerHTML"' in told
    assert "The network is looking at the image" in told


@pytest.mark.parametrize("state", ["answer", "cannot_say", "rejected", "failed", "cancelled"])
def test_the_end_stops_the_questions(cast: Cast, state: str) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    if state == "failed":
        analysis = make.failed(image, cast.owner)
    elif state == "cancelled":
        analysis = make.cancelled(image, cast.owner)
    else:
        analysis = make.answered(image, cast.owner, decision=state)
    response = ask(cast, analysis, poll=3)
    body = response.content.decode()
    assert response.status_code == STOP_POLLING
    assert response["HX-Refresh"] == "true"
    assert "hx-trigger" not in body
    assert "hx-get" not in body
    assert analysis.get_absolute_url() in body


def test_the_end_does_not_tell_a_blinded_person_what_it_is(cast: Cast) -> None:
    bodies = set()
    for decision in Decision.values:
        image = make.bare_image(cast.patient, cast.owner)
        analysis = make.answered(image, cast.owner, decision=decision)
        body = ask(cast, analysis).content.decode()
        bodies.add(body.replace(str(analysis.pk), ""))
    assert len(bodies) == 1
    assert str(State.SUCCEEDED.label) in bodies.pop()


def test_the_fragment_is_not_stored_and_costs_little(
    cast: Cast, waiting: Analysis, django_assert_max_num_queries: Any
) -> None:
    client = cast.client_of(cast.owner)
    address = reverse("analysis_status", args=[waiting.pk])
    # Once a minute a request also writes that the person is still there.
    client.get(address)
    with django_assert_max_num_queries(4):
        response = client.get(address)
    assert "no-store" in response["Cache-Control"]
