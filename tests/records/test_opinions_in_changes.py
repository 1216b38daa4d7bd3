"""Readings, outcomes and requests in the history of changes, as far as each person may know."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from classifier.choices import Behaviour, OutcomeKind, Verdict
from classifier.models import Analysis
from classifier.services.outcomes import record_outcome, withdraw_outcome
from classifier.services.readings import save_reading
from classifier.services.results import has_seen_an_answer
from classifier.services.reviews import save_review
from classifier.services.second_readings import request_second_reading, withdraw_request
from tests import factories
from tests.web import answered as make

if TYPE_CHECKING:
    from classifier.models import Lesion, User
    from tests.conftest import Cast

HIDDEN = "Hidden until your own reading is saved."


def told(cast: Cast, user: User) -> list[str]:
    """Return the words of each change that the person is shown, newest first."""
    address = reverse("patient_changes", args=[cast.patient.pk])
    page = cast.client_of(user).get(address).content.decode()
    cards = page.split('<li class="card">')[1:]
    bare = [re.sub(r"<[^>]*>", " ", card.partition("</li>")[0]) for card in cards]
    return [re.sub(r"\s+", " ", html.unescape(card)).strip() for card in bare]


def about(lines: list[str], what: str) -> list[str]:
    """Return the changes of one kind."""
    return [line for line in lines if line.startswith(what)]


@pytest.fixture
def lesion(cast: Cast) -> Lesion:
    """Return a lesion of the patient."""
    return factories.make_lesion(cast.patient, cast.owner, label="left heel")


@pytest.fixture
def analysis(cast: Cast, lesion: Lesion) -> Analysis:
    """Return an answered analysis of the lesion, which nobody has read."""
    image = make.bare_image(cast.patient, cast.owner)
    image.lesion = lesion
    image.save()
    return make.answered(image, cast.owner)


def record(lesion: Lesion, by: User, number: int, diagnosis: str, reason: str = "") -> None:
    """Record what the lesion turned out to be."""
    record_outcome(
        lesion=lesion,
        by=by,
        expected_number=number,
        kind=OutcomeKind.HISTOPATHOLOGY,
        diagnosis=diagnosis,
        behaviour=Behaviour.BENIGN if diagnosis == "nevus" else Behaviour.MALIGNANT,
        found_on=timezone.localdate() - timedelta(days=1),
        reason=reason,
    )


def record_and_take_back(lesion: Lesion, by: User) -> None:
    """Record what the lesion turned out to be, correct it, and take it back: three outcomes."""
    record(lesion, by, 0, "nevus")
    record(lesion, by, 1, "melanoma", reason="The wrong slide.")
    withdraw_outcome(lesion=lesion, by=by, expected_number=2, reason="Of another lesion.")


def test_who_read_the_image_is_told_what_was_read_and_found(
    cast: Cast, lesion: Lesion, analysis: Analysis
) -> None:
    save_reading(analysis=analysis, by=cast.owner, diagnosis="dermatofibroma")
    record_and_take_back(lesion, cast.owner)
    request = request_second_reading(analysis=analysis, by=cast.owner, asked=cast.colleague)
    withdraw_request(request=request, by=cast.owner)
    lines = told(cast, cast.owner)
    (reading,) = about(lines, "Own reading")
    assert "Dermatofibroma" in reading
    assert str(cast.owner) in reading
    withdrawn, corrected, first = about(lines, "Outcome")
    assert withdrawn.startswith("Outcome withdrawn")
    assert "Of another lesion." in withdrawn
    assert corrected.startswith("Outcome changed")
    assert "Nevus Melanoma" in corrected
    assert all("left heel" in line for line in (withdrawn, corrected, first))
    assert [line.split(" reading ")[1].split()[0] for line in about(lines, "Request")] == [
        "withdrawn",
        "added",
    ]
    assert str(cast.colleague) in about(lines, "Request")[1]
    assert HIDDEN not in " ".join(lines)


def test_who_must_read_first_is_told_neither_opinions_nor_the_outcome(
    cast: Cast, lesion: Lesion, analysis: Analysis
) -> None:
    save_reading(analysis=analysis, by=cast.owner, diagnosis="dermatofibroma")
    analysis.refresh_from_db()
    save_review(analysis=analysis, by=cast.owner, verdict=Verdict.AGREE, expected_number=0)
    record(lesion, cast.owner, 0, "melanoma")
    request_second_reading(
        analysis=Analysis.objects.get(pk=analysis.pk), by=cast.owner, asked=cast.colleague
    )
    # A review is on record, so that the answer is open to everybody but to who is asked.
    assert HIDDEN not in " ".join(told(cast, cast.administrator))
    lines = told(cast, cast.colleague)
    for what in ("Own reading", "Review", "Outcome"):
        (line,) = about(lines, what)
        assert line.endswith(HIDDEN), line
    (request,) = about(lines, "Request")
    assert str(cast.colleague) in request
    whole = " ".join(lines)
    assert "Dermatofibroma" not in whole
    assert "Melanoma" not in whole
    save_reading(analysis=analysis, by=cast.colleague, diagnosis="nevus")
    assert HIDDEN not in " ".join(told(cast, cast.colleague))


def test_a_request_is_nobodys_business_who_has_not_read(cast: Cast, analysis: Analysis) -> None:
    save_reading(analysis=analysis, by=cast.owner, diagnosis="dermatofibroma")
    request_second_reading(analysis=analysis, by=cast.owner, asked=cast.colleague)
    (request,) = about(told(cast, cast.read_only), "Request")
    assert request.endswith(HIDDEN)


def test_more_opinions_cost_no_more_queries(cast: Cast, lesion: Lesion, analysis: Analysis) -> None:
    client = cast.client_of(cast.owner)
    address = reverse("patient_changes", args=[cast.patient.pk])

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200
        return len(queries)

    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    request_second_reading(analysis=analysis, by=cast.owner, asked=None)
    record(lesion, cast.owner, 0, "nevus")
    client.get(address)
    few = cost()
    for number in range(6):
        image = make.bare_image(cast.patient, cast.owner)
        other = make.answered(image, cast.owner)
        save_reading(analysis=other, by=cast.owner, diagnosis="nevus")
        request_second_reading(analysis=other, by=cast.owner, asked=cast.colleague)
        record(lesion, cast.owner, number + 1, "melanoma" if number % 2 else "nevus", "Looked at.")
    assert cost() <= few


def test_who_reads_others_opinions_here_reads_the_image_first_no_more(
    cast: Cast, analysis: Analysis
) -> None:
    cast.clinic.blinded_first = False
    cast.clinic.save()
    save_reading(analysis=analysis, by=cast.owner, diagnosis="dermatofibroma")
    analysis.refresh_from_db()
    assert not has_seen_an_answer(analysis=analysis, by=cast.colleague)
    # One's own opinion is no news.
    told(cast, cast.owner)
    assert not has_seen_an_answer(analysis=analysis, by=cast.owner)
    assert "Dermatofibroma" in " ".join(told(cast, cast.colleague))
    assert has_seen_an_answer(analysis=analysis, by=cast.colleague)


def test_a_review_is_its_reviewers_whoever_let_it_be_written(
    cast: Cast, analysis: Analysis
) -> None:
    save_reading(analysis=analysis, by=cast.owner, diagnosis="dermatofibroma")
    analysis.refresh_from_db()
    # As a script writes one: there is no request that says who is signed in.
    save_review(analysis=analysis, by=cast.owner, verdict=Verdict.AGREE, expected_number=0)
    (line,) = about(told(cast, cast.owner), "Review")
    assert str(cast.owner) in line
    assert not has_seen_an_answer(analysis=analysis, by=cast.owner)


def test_who_is_told_nothing_has_seen_nothing(cast: Cast, analysis: Analysis) -> None:
    save_reading(analysis=analysis, by=cast.owner, diagnosis="dermatofibroma")
    assert HIDDEN in " ".join(told(cast, cast.colleague))
    assert not has_seen_an_answer(analysis=analysis, by=cast.colleague)


def test_an_outcome_after_a_withdrawn_one_is_told_whole(
    cast: Cast, lesion: Lesion, analysis: Analysis
) -> None:
    save_reading(analysis=analysis, by=cast.owner, diagnosis="dermatofibroma")
    record_and_take_back(lesion, cast.owner)
    record(lesion, cast.owner, 3, "melanoma", reason="It was this one.")
    again, withdrawn, corrected, _first = about(told(cast, cast.owner), "Outcome")
    assert again.startswith("Outcome added")
    assert "Melanoma" in again
    assert "It was this one." in again
    assert "Of another lesion." not in again
    assert "The wrong slide." not in withdrawn
    assert "The wrong slide." in corrected


def test_an_outcome_waits_for_the_answer_too(cast: Cast, lesion: Lesion) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    image.lesion = lesion
    image.save()
    make.running(image, cast.owner)
    record(lesion, cast.owner, 0, "melanoma")
    (line,) = about(told(cast, cast.colleague), "Outcome")
    assert line.endswith(HIDDEN)
