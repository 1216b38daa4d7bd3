"""What the lists and the timeline say of a clinician's word, next to the network's."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from classifier.choices import Decision, ReviewState
from classifier.models import Analysis, ReadingRequest
from classifier.services.reviews import save_review
from mlcore.decision import OUTSIDE_LABELS
from mlcore.labels import TRIAGE_ORDER
from tests import factories
from tests.web import answered as make

if TYPE_CHECKING:
    from classifier.models import User
    from tests.conftest import Cast


@pytest.fixture(autouse=True)
def _open_clinic(cast: Cast) -> None:
    """Let the clinic show answers at once."""
    cast.clinic.blinded_first = False
    cast.clinic.save()


@pytest.fixture
def overruled(cast: Cast) -> Analysis:
    """Return what the network took for a nevus and a clinician for a melanoma."""
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner, top="nevus")
    save_review(
        analysis=analysis,
        by=cast.owner,
        verdict="overrule",
        diagnosis="melanoma",
        reason="Seen in the clinic.",
        expected_number=0,
    )
    return analysis


def row_of(cast: Cast, user: User, address: str) -> str:
    """Return the words of the only row or entry that a page lists."""
    page = cast.client_of(user).get(address).content.decode()
    found = re.search(
        r"<tbody>(.*?)</tbody>|<ul class=\"timeline-analyses\">(.*?)</ul>", page, re.DOTALL
    )
    assert found is not None, page
    words = re.sub(r"<[^>]+>", " ", found.group(1) or found.group(2))
    return " ".join(html.unescape(words).split())


def places(cast: Cast) -> tuple[str, ...]:
    """Return where the analysis is listed."""
    return reverse("history"), cast.patient.get_absolute_url()


def test_an_overruled_answer_reads_as_such_wherever_it_is_listed(
    cast: Cast, overruled: Analysis
) -> None:
    for place in places(cast):
        row = row_of(cast, cast.colleague, place)
        assert "Overruled" in row, place
        assert "Melanoma" in row, place
        assert "Nevus Benign lesion" in row, place
        assert "Reviewed" not in row, place


def test_an_agreed_and_a_deferred_answer_read_as_such(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner, top="nevus")
    save_review(analysis=analysis, by=cast.owner, verdict="defer", expected_number=0)
    for place in (*places(cast), reverse("worklist") + "?tab=deferred"):
        assert "Deferred" in row_of(cast, cast.owner, place), place
    save_review(analysis=analysis, by=cast.owner, verdict="agree", expected_number=1)
    for place in places(cast):
        row = row_of(cast, cast.owner, place)
        assert "Agreed" in row, place
        assert "Deferred" not in row, place


def test_who_reads_for_the_second_time_is_told_nothing_of_the_first(
    cast: Cast, overruled: Analysis
) -> None:
    ReadingRequest.objects.create(
        clinic=cast.clinic,
        patient=cast.patient,
        analysis=overruled,
        requested_by=cast.owner,
        asked=cast.colleague,
    )
    for place in places(cast):
        row = row_of(cast, cast.colleague, place).lower()
        for word in ("overruled", "agreed", "melanoma", "nevus", "benign", "cancer"):
            assert word not in row, (place, word)


def test_a_verdict_on_an_earlier_answer_is_none_on_the_one_shown(
    cast: Cast, overruled: Analysis
) -> None:
    # As a new try leaves it: another network has answered, and nobody has looked.
    elsewhere = factories.make_patient(cast.clinic, cast.owner)
    newer = make.predict(make.bare_image(elsewhere, cast.owner), top="nevus")
    Analysis.objects.filter(pk=overruled.pk).update(
        prediction=newer, review_state=ReviewState.PENDING
    )
    history, patient = (row_of(cast, cast.owner, place) for place in places(cast))
    assert "Needs review" in history
    assert "Overruled" not in history
    assert "Needs review" in patient
    assert "of an earlier answer" in patient


def test_a_row_names_the_worst_group_that_is_plausible(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner, top="nevus")
    worst = TRIAGE_ORDER.index("skin cancer")
    Analysis.objects.filter(pk=analysis.pk).update(triage_rank=worst)
    for place in (reverse("worklist"), reverse("history")):
        row = row_of(cast, cast.owner, place)
        assert "Nevus Skin cancer" in row
        assert "Benign" not in row


@pytest.mark.parametrize(
    "facts",
    [
        {"decision": Decision.REJECTED},
        {"decision": Decision.CANNOT_SAY, "reason_code": OUTSIDE_LABELS},
    ],
)
def test_a_row_without_an_answer_names_no_group(cast: Cast, facts: dict[str, Any]) -> None:
    make.answered(make.bare_image(cast.patient, cast.owner), cast.owner, top="nevus", **facts)
    row = row_of(cast, cast.owner, reverse("history"))
    for word in ("Nevus", "Benign", "Pre-cancer", "Skin cancer"):
        assert word not in row


def test_the_lists_say_whose_label_it_is(cast: Cast, overruled: Analysis) -> None:
    page = html.unescape(cast.client_of(cast.owner).get(reverse("history")).content.decode())
    assert "Network's first label" in page
    assert '<th scope="col">Network\'s answer</th>' in page
