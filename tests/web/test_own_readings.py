"""The own reading comes first, is kept, and opens the answer."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from classifier.choices import Verdict
from classifier.models import AuditEvent
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from tests.web import answered as make

if TYPE_CHECKING:
    from tests.conftest import Cast


def test_a_reading_is_saved_once(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    client = cast.client_of(cast.owner)
    address = reverse("reading_create", args=[analysis.pk])
    client.post(address, {"diagnosis": "nevus"})
    again = client.post(address, {"diagnosis": "melanoma"}, follow=True)
    assert "locked" in again.content.decode()
    assert analysis.readings.get().diagnosis == "nevus"


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({}, "diagnosis"),
        ({"diagnosis": "banana"}, "diagnosis"),
        ({"diagnosis": "vitiligo"}, "diagnosis"),
        ({"diagnosis": "other"}, "diagnosis_text"),
        ({"diagnosis": "other", "diagnosis_text": "   "}, "diagnosis_text"),
        ({"diagnosis": "other", "diagnosis_text": "x" * 201}, "diagnosis_text"),
    ],
)
def test_a_reading_needs_a_diagnosis(cast: Cast, facts: dict[str, str], field: str) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    page = cast.client_of(cast.owner).post(reverse("reading_create", args=[analysis.pk]), facts)
    assert page.status_code == 422
    assert list(page.context["reading_form"].errors) == [field]
    assert page.context["page"].answer is None
    assert not analysis.readings.exists()


def test_a_reading_in_own_words_is_kept(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    words = "Spitz naevus, or <b>not</b>"
    page = cast.client_of(cast.owner).post(
        reverse("reading_create", args=[analysis.pk]),
        {"diagnosis": "other", "diagnosis_text": words},
        follow=True,
    )
    assert "Spitz naevus, or &lt;b&gt;not&lt;/b&gt;" in page.content.decode()


def test_the_page_that_shows_the_answer_first_says_when(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    address = reverse("reading_create", args=[analysis.pk])
    page = cast.client_of(cast.owner).post(address, {"diagnosis": "nevus"}, follow=True)
    (held,) = page.context["second"].held
    (event,) = AuditEvent.objects.filter(action="answer.viewed")
    assert abs(held.shown_at - event.at) < timedelta(minutes=1)
    # The moment stays what it is, and whoever reviews without a reading is told of likewise.
    client = cast.client_of(cast.owner)
    (held,) = client.get(analysis.get_absolute_url()).context["second"].held
    assert held.shown_at == event.at
    save_review(analysis=analysis, by=cast.owner, verdict=Verdict.AGREE, expected_number=0)
    analysis.refresh_from_db()
    cast.client_of(cast.colleague).get(analysis.get_absolute_url())
    save_review(analysis=analysis, by=cast.colleague, verdict=Verdict.AGREE, expected_number=1)
    held = client.get(analysis.get_absolute_url()).context["second"].held
    assert [each.who for each in held if each.shown_at] == [str(cast.owner), str(cast.colleague)]


def test_nothing_can_be_read_before_the_network_has_answered(cast: Cast) -> None:
    analysis = make.running(make.bare_image(cast.patient, cast.owner), cast.owner)
    cast.client_of(cast.owner).post(
        reverse("reading_create", args=[analysis.pk]), {"diagnosis": "nevus"}
    )
    assert not analysis.readings.exists()


def test_a_finished_review_opens_the_answer_to_the_clinic(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    save_review(analysis=analysis, by=cast.owner, verdict=Verdict.DEFER, expected_number=0)
    reader = cast.client_of(cast.read_only)
    assert reader.get(analysis.get_absolute_url()).context["page"].answer is None
    save_review(analysis=analysis, by=cast.owner, verdict=Verdict.AGREE, expected_number=1)
    page = reader.get(analysis.get_absolute_url()).context["page"]
    assert page.answer is not None
    assert len(page.reviews) == 2
    assert len(page.readings) == 1


def test_a_reading_that_knew_the_answer_says_so(cast: Cast) -> None:
    cast.clinic.blinded_first = False
    cast.clinic.save()
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    assert not analysis.readings.get().blinded
    page = cast.client_of(cast.owner).get(analysis.get_absolute_url()).content.decode()
    assert "knowing the answer" in page


def test_an_answer_that_is_hidden_again_is_not_unseen(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    save_review(analysis=analysis, by=cast.owner, verdict=Verdict.AGREE, expected_number=0)
    client = cast.client_of(cast.colleague)
    assert client.get(analysis.get_absolute_url()).context["page"].answer is not None
    save_review(analysis=analysis, by=cast.owner, verdict=Verdict.DEFER, expected_number=1)
    assert client.get(analysis.get_absolute_url()).context["page"].hidden
    for reader, blinded in ((cast.colleague, False), (cast.administrator, True)):
        reading = save_reading(analysis=analysis, by=reader, diagnosis="melanoma")
        assert reading.blinded is blinded


def test_the_clinic_can_switch_it_off(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    client = cast.client_of(cast.read_only)
    assert client.get(analysis.get_absolute_url()).context["page"].answer is None
    cast.clinic.blinded_first = False
    cast.clinic.save()
    assert client.get(analysis.get_absolute_url()).context["page"].answer is not None
