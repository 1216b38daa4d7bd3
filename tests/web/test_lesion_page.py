"""One lesion's page: its pictures by date, what was said of each, and what stays hidden."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from classifier.choices import Decision
from classifier.models import Analysis, AuditEvent, Image, Lesion, Patient
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from tests import factories
from tests.web import answered as make

if TYPE_CHECKING:
    from django.conf import LazySettings

    from classifier.models import User
    from tests.conftest import Cast

MOST_QUERIES = 12


@pytest.fixture
def lesion(cast: Cast) -> Lesion:
    """A lesion of the cast's patient."""
    return factories.make_lesion(cast.patient, cast.owner, label="Mole", body_site="back")


def photographed(lesion: Lesion, by: User, *, days_ago: int = 0, **extra: Any) -> Analysis:
    """Add a picture of the lesion with an answer."""
    image = make.bare_image(lesion.patient, by)
    taken = timezone.now() - timedelta(days=days_ago)
    Image.objects.filter(pk=image.pk).update(lesion=lesion, taken_at=taken)
    image.refresh_from_db()
    return make.answered(image, by, **extra)


def page_of(cast: Cast, lesion: Lesion, user: User | None = None, **query: str) -> str:
    """Return the page as somebody reads it."""
    response = cast.client_of(user or cast.owner).get(lesion.get_absolute_url(), query)
    assert response.status_code == 200
    return response.content.decode()


def test_the_pictures_stand_by_date_with_what_was_said(cast: Cast, lesion: Lesion) -> None:
    old = photographed(lesion, cast.owner, days_ago=400, top="nevus")
    new = photographed(lesion, cast.owner, days_ago=3, top="melanoma")
    photographed(factories.make_lesion(cast.patient, cast.owner), cast.owner, top="melanoma")
    save_reading(analysis=new, by=cast.owner, diagnosis="nevus")
    new.refresh_from_db()
    save_review(
        analysis=new,
        by=cast.owner,
        verdict="overrule",
        expected_number=0,
        diagnosis="dermatofibroma",
        reason="Dimple sign",
    )
    client = cast.client_of(cast.owner)
    response = client.get(lesion.get_absolute_url())
    assert [entry.image.pk for entry in response.context["entries"]] == [new.image_id, old.image_id]
    text = response.content.decode()
    assert "2 images" in text
    assert new.get_absolute_url() in text
    assert old.get_absolute_url() in text
    # The answer of the first, the clinician's decision, and nothing of what nobody has read yet.
    assert "Melanoma" in text
    assert "Dermatofibroma" in text
    assert "Skin cancer" in text
    assert "Nevus" not in text
    assert f"{reverse('image_upload', args=[cast.patient.pk])}?lesion={lesion.pk}" in text


@pytest.mark.parametrize("decision", list(Decision))
def test_nothing_of_a_hidden_answer_is_on_the_page(
    cast: Cast, lesion: Lesion, decision: str
) -> None:
    analysis = photographed(lesion, cast.owner, top="melanoma", decision=decision)
    save_reading(analysis=analysis, by=cast.colleague, diagnosis="dermatofibroma")
    save_review(
        analysis=analysis,
        by=cast.colleague,
        verdict="defer",
        expected_number=0,
        notes="Looks odd to me",
    )
    for user in (cast.owner, cast.read_only):
        text = page_of(cast, lesion, user)
        assert "Hidden until you have read it" in text
        for word in ("Melanoma", "Skin cancer", "Cannot say", "Rejected", "colleague", make.REASON):
            assert word not in text, word
    assert "Deferred" in page_of(cast, lesion, cast.colleague)


def test_older_pictures_are_on_the_next_page(
    cast: Cast, lesion: Lesion, settings: LazySettings
) -> None:
    settings.PAGE_SIZE = 2
    ages = [5, 30, 90]
    of_age = {age: photographed(lesion, cast.owner, days_ago=age) for age in ages}
    client = cast.client_of(cast.owner)
    first = client.get(lesion.get_absolute_url())
    assert len(first.context["entries"]) == 2
    second = client.get(lesion.get_absolute_url(), {"cursor": first.context["page"].next})
    assert [entry.image.pk for entry in second.context["entries"]] == [of_age[90].image_id]


def test_the_page_costs_the_same_however_many_pictures_there_are(
    cast: Cast, lesion: Lesion, settings: LazySettings
) -> None:
    settings.PAGE_SIZE = 3
    client = cast.client_of(cast.owner)
    costs = []
    for count in (2, 3):
        for number in range(count):
            analysis = photographed(lesion, cast.owner, days_ago=number)
            save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
            save_review(analysis=analysis, by=cast.owner, verdict="agree", expected_number=0)
        page = client.get(lesion.get_absolute_url()).context["page"]
        with CaptureQueriesContext(connection) as queries:
            client.get(lesion.get_absolute_url(), {"cursor": page.next} if page.next else {})
        costs.append(len(queries))
    # A page further down looks its beginning up.
    assert costs[1] <= costs[0] + 1 <= MOST_QUERIES, queries.captured_queries


def test_who_only_looks_is_offered_nothing_to_add(cast: Cast, lesion: Lesion) -> None:
    upload = reverse("image_upload", args=[cast.patient.pk])
    assert "No image of this lesion yet." in page_of(cast, lesion)
    assert upload in page_of(cast, lesion)
    assert upload not in page_of(cast, lesion, cast.read_only)
    Patient.objects.update(archived=True)
    assert upload not in page_of(cast, lesion)


def test_a_look_is_kept_once_in_a_while(cast: Cast, lesion: Lesion) -> None:
    page_of(cast, lesion)
    page_of(cast, lesion)
    event = AuditEvent.objects.get(action="lesion.viewed")
    assert (event.actor, event.subject_id) == (cast.owner, str(lesion.pk))
    assert event.patient_key == cast.patient.pk


def test_the_patient_and_the_result_lead_there(cast: Cast, lesion: Lesion) -> None:
    analysis = photographed(lesion, cast.owner)
    client = cast.client_of(cast.owner)
    for page in (cast.patient.get_absolute_url(), analysis.get_absolute_url()):
        assert f'href="{lesion.get_absolute_url()}"' in client.get(page).content.decode()
