"""Two pictures of a lesion beside each other: which two, and what of their answers differs."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from classifier.choices import Decision, Modality
from classifier.models import AuditEvent, Clinic, Image, Lesion, ModelVersion
from classifier.selectors.comparison import Comparison, compare, dates_of, pair_of
from classifier.services.readings import save_reading
from tests import factories
from tests.web import answered as make
from tests.web.test_lesion_page import MOST_QUERIES, photographed

if TYPE_CHECKING:
    from tests.conftest import Cast


@pytest.fixture
def open_clinic(cast: Cast) -> None:
    """Let the clinic show answers without an own reading."""
    Clinic.objects.filter(pk=cast.clinic.pk).update(blinded_first=False)


@pytest.fixture
def lesion(cast: Cast) -> Lesion:
    """A lesion of the cast's patient."""
    return factories.make_lesion(cast.patient, cast.owner, label="Mole", body_site="back")


def address_of(lesion: Lesion) -> str:
    """Return where a lesion's pictures are compared."""
    return reverse("lesion_compare", args=[lesion.pk])


def compared(cast: Cast, lesion: Lesion, *keys: Any) -> Comparison:
    """Return the comparison as the owner sees it."""
    images = dates_of(lesion, cast.owner)
    first, second = pair_of(images, *(keys or (None, None)))
    return compare(first, second, cast.owner)


def switched() -> None:
    """Let another version of the network answer from now on."""
    ModelVersion.objects.update(active=False)
    factories.make_model_version()


@pytest.mark.usefixtures("open_clinic")
def test_the_change_of_each_chance_is_told_in_points(cast: Cast, lesion: Lesion) -> None:
    old = photographed(lesion, cast.owner, days_ago=100, top="nevus", confidence=0.9)
    new = photographed(lesion, cast.owner, days_ago=1, top="melanoma", confidence=0.6)
    told = compared(cast, lesion)
    assert (told.first.image, told.second.image, told.days) == (old.image, new.image, 99)
    assert told.comparable
    rows = {row.name: row for row in told.chances}
    nevus, melanoma = rows["Nevus"], rows["Melanoma"]
    assert (nevus.first, melanoma.second) == ("90 %", "60 %")
    assert old.prediction
    assert new.prediction
    for row, key in ((nevus, "nevus"), (melanoma, "melanoma")):
        change = new.prediction.probabilities[key] - old.prediction.probabilities[key]
        word = "more" if change > 0 else "less"
        assert row.change == f"{abs(round(change * 100))} points {word}"
    # The sum of what is dangerous leads; then the most probable of either date.
    assert told.chances[0].is_sum
    assert [row.name for row in told.chances[1:3]] == ["Nevus", "Melanoma"]
    page = cast.client_of(cast.owner).get(address_of(lesion)).content.decode()
    assert "99 days between" in page
    assert "another label" in page
    assert "Skin cancer" in page


@pytest.mark.usefixtures("open_clinic")
def test_a_group_that_cannot_be_said_is_compared_with_none(cast: Cast, lesion: Lesion) -> None:
    unlike: dict[str, Any] = {"decision": Decision.CANNOT_SAY, "reason_code": "outside_labels"}
    photographed(lesion, cast.owner, days_ago=9, top="nevus")
    photographed(lesion, cast.owner, top="nevus", **unlike)
    page = cast.client_of(cast.owner).get(address_of(lesion)).content.decode()
    row = page.partition("Worst plausible group")[2].partition("</tr>")[0]
    assert row.count("Benign lesion") == 1
    assert "cannot be said" in row
    assert "the same" not in row


@pytest.mark.usefixtures("open_clinic")
def test_answers_of_different_versions_are_not_compared(cast: Cast, lesion: Lesion) -> None:
    photographed(lesion, cast.owner, days_ago=9, top="nevus")
    switched()
    photographed(lesion, cast.owner, top="melanoma")
    told = compared(cast, lesion)
    assert not told.comparable
    assert "different versions" in told.warning
    assert {row.change for row in told.chances} == {""}
    page = cast.client_of(cast.owner).get(address_of(lesion)).content.decode()
    assert "different versions of the network" in page
    assert "another label" not in page


@pytest.mark.usefixtures("open_clinic")
def test_the_version_that_judged_both_is_compared(cast: Cast, lesion: Lesion) -> None:
    old = photographed(lesion, cast.owner, days_ago=9, top="nevus")
    both = photographed(lesion, cast.owner, top="nevus")
    switched()
    make.answered(both.image, cast.owner, top="melanoma")
    told = compared(cast, lesion)
    assert (told.first.analysis, told.second.analysis) == (old, both)
    assert told.comparable
    assert (told.first.newer, told.second.newer) == (False, True)
    assert "judged it since" in cast.client_of(cast.owner).get(address_of(lesion)).content.decode()


@pytest.mark.usefixtures("open_clinic")
def test_pictures_taken_in_different_ways_are_not_compared(cast: Cast, lesion: Lesion) -> None:
    photographed(lesion, cast.owner, days_ago=9)
    clinical = make.bare_image(cast.patient, cast.owner, Modality.CLINICAL)
    Image.objects.filter(pk=clinical.pk).update(lesion=lesion)
    make.answered(clinical, cast.owner, top="acne")
    told = compared(cast, lesion)
    assert "Different networks" in told.warning
    assert told.chances == []


@pytest.mark.usefixtures("open_clinic")
@pytest.mark.parametrize("decision", [Decision.CANNOT_SAY, Decision.REJECTED])
def test_what_is_no_answer_is_not_called_one(cast: Cast, lesion: Lesion, decision: str) -> None:
    photographed(lesion, cast.owner, days_ago=9, top="nevus")
    photographed(lesion, cast.owner, top="melanoma", decision=decision)
    told = compared(cast, lesion)
    assert told.second.label is None
    assert bool(told.second.chances) is (decision == Decision.CANNOT_SAY)
    page = cast.client_of(cast.owner).get(address_of(lesion)).content.decode()
    assert str(Decision(decision).label) in page
    assert "another label" not in page


def test_a_hidden_answer_is_in_no_cell_and_orders_no_row(cast: Cast, lesion: Lesion) -> None:
    read = photographed(lesion, cast.owner, days_ago=9, top="nevus")
    save_reading(analysis=read, by=cast.owner, diagnosis="nevus")
    client = cast.client_of(cast.owner)
    seen = []
    for top, decision in (
        ("melanoma", Decision.ANSWER),
        ("dermatofibroma", Decision.CANNOT_SAY),
        ("nevus", Decision.REJECTED),
    ):
        hidden = photographed(lesion, cast.owner, top=top, decision=decision)
        told = compared(cast, lesion, read.image_id, hidden.image_id)
        assert told.second.prediction is None
        assert {row.second for row in told.chances} == {""}
        query = {"a": str(read.image_id), "b": str(hidden.image_id)}
        page = client.get(address_of(lesion), query).content.decode()
        assert "Hidden until you have read it" in page
        assert "Rejected" not in page
        seen.append([row.name for row in told.chances])
        viewed = AuditEvent.objects.filter(action="answer.viewed", subject_id=str(hidden.pk))
        assert not viewed.exists()
    assert seen[0] == seen[1] == seen[2]
    assert AuditEvent.objects.filter(action="answer.viewed", subject_id=str(read.pk)).exists()


def test_what_was_not_judged_is_told_as_it_is(cast: Cast, lesion: Lesion) -> None:
    bare, failed = (make.bare_image(cast.patient, cast.owner) for _ in range(2))
    Image.objects.filter(pk__in=[bare.pk, failed.pk]).update(lesion=lesion)
    make.failed(failed, cast.owner)
    page = cast.client_of(cast.owner).get(address_of(lesion)).content.decode()
    assert "not analysed" in page
    assert "Failed" in page
    assert "uploaded; when it was taken is unknown" in page


def test_what_was_asked_of_another_modality_is_not_told(cast: Cast, lesion: Lesion) -> None:
    images = [make.bare_image(cast.patient, cast.owner) for _ in range(2)]
    for image in images:
        image.lesion = lesion
        image.save()
    waiting = make.running(images[0], cast.owner)
    # Corrected there and back again: the newer analysis is of a modality that it has no more.
    images[0].modality = Modality.CLINICAL
    make.failed(images[0], cast.owner)
    told = compared(cast, lesion)
    (side,) = (each for each in (told.first, told.second) if each.image == images[0])
    assert side.analysis == waiting


def test_the_newest_two_taken_alike_are_offered_first(cast: Cast, lesion: Lesion) -> None:
    oldest, middle = (photographed(lesion, cast.owner, days_ago=age).image for age in (90, 30))
    clinical = make.bare_image(cast.patient, cast.owner, Modality.CLINICAL)
    Image.objects.filter(pk=clinical.pk).update(lesion=lesion)
    newest = photographed(lesion, cast.owner).image
    yesterday = timezone.now() - timedelta(days=1)
    Image.objects.filter(pk=clinical.pk).update(taken_at=yesterday)
    images = dates_of(lesion, cast.owner)
    assert [image.pk for image in images] == [newest.pk, clinical.pk, middle.pk, oldest.pk]
    assert pair_of(images, None, None) == [middle, newest]
    assert pair_of(images, oldest.pk, None) == [oldest, newest]
    assert pair_of(images, newest.pk, oldest.pk) == [oldest, newest]
    # Nothing else was taken like this one.
    assert pair_of(images, None, clinical.pk) == [clinical, newest]
    with pytest.raises(LookupError):
        pair_of(images, uuid.uuid4(), None)
    with pytest.raises(LookupError):
        pair_of(images[:1], None, None)


def test_an_old_date_is_offered_when_it_is_asked_for(
    cast: Cast, lesion: Lesion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.selectors.comparison.MOST_DATES", 2)
    old = photographed(lesion, cast.owner, days_ago=90).image
    newest = [photographed(lesion, cast.owner, days_ago=age).image for age in (0, 1)]
    assert dates_of(lesion, cast.owner) == newest
    assert dates_of(lesion, cast.owner, [old.pk]) == [newest[0], old]


@pytest.mark.parametrize("key", ["rubbish", str(uuid.UUID(int=1)), "a\x00b", "another lesion's"])
def test_a_picture_of_nothing_here_is_not_found(cast: Cast, lesion: Lesion, key: str) -> None:
    for age in (0, 1):
        photographed(lesion, cast.owner, days_ago=age)
    elsewhere = photographed(factories.make_lesion(cast.patient, cast.owner), cast.owner)
    key = str(elsewhere.image_id) if " " in key else key
    response = cast.client_of(cast.owner).get(address_of(lesion), {"a": key})
    assert response.status_code == 404


def test_other_dates_are_chosen_without_a_script(cast: Cast, lesion: Lesion) -> None:
    client = cast.client_of(cast.owner)
    assert "There are not two images" in client.get(address_of(lesion)).content.decode()
    ages = (90, 30, 0)
    images = [photographed(lesion, cast.owner, days_ago=age).image for age in ages]
    query = {"a": str(images[1].pk), "b": str(images[0].pk), "view": "overlay"}
    response = client.get(address_of(lesion), query)
    form = response.context["form"]
    assert [key for key, _words in form.fields["a"].choices] == [i.pk for i in reversed(images)]
    page = response.content.decode()
    assert page.count("data-viewer-map") == 1
    assert 'value="overlay"' in page
    same = client.get(address_of(lesion), {"a": str(images[1].pk), "b": str(images[1].pk)})
    assert "Choose two different ones" in same.content.decode()
    assert AuditEvent.objects.get(action="lesion.compared").subject_id == str(lesion.pk)


@pytest.mark.usefixtures("open_clinic")
def test_no_days_are_counted_from_the_day_a_picture_was_sent(cast: Cast, lesion: Lesion) -> None:
    photographed(lesion, cast.owner, days_ago=100)
    undated = photographed(lesion, cast.owner).image
    Image.objects.filter(pk=undated.pk).update(taken_at=None)
    assert compared(cast, lesion).days is None
    client = cast.client_of(cast.owner)
    for view in ("beside", "overlay"):
        response = client.get(address_of(lesion), {"view": view})
        page = response.content.decode()
        assert "time between unknown" in page
        assert "days between" not in page
        # In the head of its column, over the picture, and where it is chosen.
        assert page.count('<span class="sub">uploaded</span></th>') == 1
        assert page.count("uploaded</time>") == (view == "overlay")
        words = [said for _key, said in response.context["form"].fields["a"].choices]
        assert ["uploaded" in said for said in words] == [True, False]


@pytest.mark.usefixtures("open_clinic")
def test_pictures_of_one_minute_are_told_apart(cast: Cast, lesion: Lesion) -> None:
    for _number in range(2):
        photographed(lesion, cast.owner)
    photographed(lesion, cast.owner, days_ago=9)
    noon = timezone.now().replace(hour=12, minute=0, second=0)
    Image.objects.filter(taken_at__gte=timezone.now() - timedelta(days=1)).update(taken_at=noon)
    response = cast.client_of(cast.owner).get(address_of(lesion))
    words = [said for _key, said in response.context["form"].fields["a"].choices]
    assert len(set(words)) == 3
    assert words[0].endswith("Dermoscopy · 2 of 2")
    assert words[1].endswith("Dermoscopy · 1 of 2")
    assert words[2].endswith("Dermoscopy")
    page = response.content.decode()
    assert "Dermoscopy, 2 of 2</span>" in page
    assert "1 of 2</th>" in page


@pytest.mark.usefixtures("open_clinic")
def test_the_page_costs_the_same_however_many_dates_there_are(cast: Cast, lesion: Lesion) -> None:
    client = cast.client_of(cast.owner)
    costs = []
    for count in (2, 4):
        for number in range(count):
            photographed(lesion, cast.owner, days_ago=number)
        client.get(address_of(lesion))
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address_of(lesion)).status_code == 200
        costs.append(len(queries))
    assert costs[0] == costs[1]
    if costs[0] > MOST_QUERIES:
        pytest.fail("\n".join(query["sql"][:160] for query in queries))
