"""Undo: once, by whoever did it, a moment later, and only while nobody changed it since."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.urls import reverse

from classifier.models import Analysis, AuditEvent, Patient, ReadingRequest, SavedFilter
from classifier.services.patient_versions import set_back
from classifier.services.patients import register_patient, update_patient
from classifier.services.readings import save_reading
from classifier.services.results import record_answer_viewed
from classifier.services.saved_filters import MOST_FILTERS, save_filter
from classifier.services.second_readings import ask_again, request_second_reading, withdraw_request
from classifier.views import undo as page_of_undo
from tests import factories
from tests.web import answered as make
from tests.web.answers import text_of

if TYPE_CHECKING:
    from django.test import Client

    from tests.conftest import Cast

UNDO = reverse("undo")
TOO_LATE = "too late to undo this, or it was undone already"
_KEY = re.compile(r'action="/undo/".*?name="key" value="([\w-]+)"', re.DOTALL)


def offered(client: Client, view: str, pk: Any, /, **facts: str) -> str:
    """Send a form; return the key of the Undo button on the page it leads to, or nothing."""
    response = client.post(reverse(view, args=[pk]), facts, follow=True)
    assert response.status_code == 200
    found = _KEY.search(response.content.decode())
    assert ("Undo</button>" in response.content.decode()) is bool(found)
    return found[1] if found else ""


def press(client: Client, key: str) -> str:
    """Press Undo; return the page it leads to."""
    return text_of(client.post(UNDO, {"key": key}, follow=True))


def keep(cast: Cast, name: str = "Melanoma") -> SavedFilter:
    """Save a filter of the owner's."""
    query = {"label": "melanoma"}
    return save_filter(by=cast.owner, page="history", name=name, query=query)


def edited(client: Client, patient: Patient, /, **facts: str) -> str:
    """Correct a patient by the form; return the key of the Undo button."""
    address = reverse("patient_update", args=[patient.pk])
    form = client.get(address).context["form"].initial
    sent = {name: value for name, value in form.items() if value not in {None, False}} | facts
    return offered(client, "patient_update", patient.pk, **sent)


def test_a_removed_filter_comes_back_to_its_place(cast: Cast) -> None:
    first, second = keep(cast), keep(cast, "Later")
    client = cast.client_of(cast.owner)
    key = offered(client, "saved_filter_remove", first.pk)
    assert not SavedFilter.objects.filter(pk=first.pk).exists()
    assert "“Melanoma” is back." in press(client, key)
    assert list(SavedFilter.objects.all()) == [first, second]
    assert SavedFilter.objects.get(pk=first.pk).query == {"label": "melanoma"}
    # The button was for once, whatever a page in another tab still shows.
    offered(client, "saved_filter_remove", first.pk)
    assert TOO_LATE in press(client, key)
    assert not SavedFilter.objects.filter(pk=first.pk).exists()


def test_a_removed_filter_stays_away_where_it_has_no_place_any_more(cast: Cast) -> None:
    saved = keep(cast)
    client = cast.client_of(cast.owner)
    key = offered(client, "saved_filter_remove", saved.pk)
    other = keep(cast, "melanoma")
    page = press(client, key)
    assert "cannot be undone any more" in page
    assert "a filter with this name" in page
    key = offered(client, "saved_filter_remove", other.pk)
    for number in range(MOST_FILTERS):
        keep(cast, f"Filter {number}")
    assert "Remove one first" in press(client, key)
    assert SavedFilter.objects.count() == MOST_FILTERS


def test_a_renamed_filter_has_its_name_back_unless_it_got_a_third(cast: Cast) -> None:
    saved = keep(cast)
    client = cast.client_of(cast.owner)
    key = offered(client, "saved_filter_rename", saved.pk, name="Moles")
    assert "its old name again" in press(client, key)
    assert SavedFilter.objects.get().name == "Melanoma"
    key = offered(client, "saved_filter_rename", saved.pk, name="Moles")
    later = offered(client, "saved_filter_rename", saved.pk, name="Naevi")
    assert "renamed meanwhile" in press(client, key)
    assert SavedFilter.objects.get().name == "Naevi"
    SavedFilter.objects.all().delete()
    assert "removed meanwhile" in press(client, later)


def test_a_patients_facts_go_back_as_a_change_of_their_own(cast: Cast) -> None:
    patient = cast.patient
    client = cast.client_of(cast.owner)
    key = edited(client, patient, name="Ada Typo", notes="Anticoagulated", archived="on")
    patient.refresh_from_db()
    assert (patient.name, patient.archived) == ("Ada Typo", True)
    page = press(client, key)
    assert "as they were before" in page
    patient.refresh_from_db()
    assert (patient.name, patient.notes, patient.archived) == ("Ada Example", "", False)
    versions: Any = apps.get_model("classifier", "PatientEvent")
    kept = versions.objects.filter(pgh_obj=patient).order_by("pgh_id")
    assert [one.name for one in kept] == ["Ada Example", "Ada Typo", "Ada Example"]
    assert kept.last().pgh_context == {"user": str(cast.owner.pk), "page": "undo", "reason": ""}
    actions = AuditEvent.objects.filter(action__startswith="patient.").order_by("pk")
    assert [one.action for one in actions if one.action != "patient.viewed"] == [
        *("patient.updated", "patient.archived"),
        *("patient.updated", "patient.restored"),
    ]
    changes = text_of(client.get(reverse("patient_changes", args=[patient.pk])))
    assert "with “Undo”, a moment later" in changes
    assert TOO_LATE in press(client, key)


def test_nothing_is_offered_where_nothing_was_changed(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    assert edited(client, cast.patient) == ""
    assert "undo" not in client.session


def test_facts_that_somebody_changed_since_stay(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    key = edited(client, cast.patient, name="Ada Typo")
    update_patient(patient=cast.patient, by=cast.colleague, notes="Allergic to latex")
    page = press(client, key)
    assert "Somebody has changed this patient since. Nothing was changed back." in page
    cast.patient.refresh_from_db()
    assert (cast.patient.name, cast.patient.notes) == ("Ada Typo", "Allergic to latex")


def test_only_the_newest_version_of_ones_own_is_set_back(cast: Cast) -> None:
    update_patient(patient=cast.patient, by=cast.colleague, notes="Allergic to latex")
    seen = Patient.objects.get().updated_at.isoformat()
    with pytest.raises(Exception, match="changed this patient since"):
        set_back(patient=cast.patient, by=cast.owner, seen=seen)
    fresh = register_patient(clinic=cast.clinic, by=cast.owner, record_number="N", name="New")
    with pytest.raises(Exception, match="changed this patient since"):
        set_back(patient=fresh, by=cast.owner, seen=fresh.updated_at.isoformat())


def test_a_number_that_another_has_by_now_is_not_taken_from_them(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    former = cast.patient.record_number
    key = edited(client, cast.patient, record_number="MRN-NEW")
    factories.make_patient(cast.clinic, cast.owner, record_number=former)
    assert "already has a patient with this number" in press(client, key)


@pytest.mark.parametrize("change", ["reader", "left"])
def test_who_may_not_write_any_more_undoes_nothing(cast: Cast, change: str) -> None:
    client = cast.client_of(cast.owner)
    key = edited(client, cast.patient, name="Ada Typo")
    memberships = cast.owner.memberships.all()
    if change == "left":
        memberships.delete()
    else:
        memberships.update(role="read_only")
    response = client.post(UNDO, {"key": key})
    assert "no longer yours to change" in text_of(client.get("/"))
    assert response.status_code == 302
    cast.patient.refresh_from_db()
    assert cast.patient.name == "Ada Typo"


@pytest.fixture
def asked(cast: Cast) -> ReadingRequest:
    """Return the owner's request, which asks the colleague."""
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    return request_second_reading(analysis=analysis, by=cast.owner, asked=cast.colleague)


def test_a_withdrawn_request_is_made_again_and_hides_the_answer_again(
    cast: Cast, asked: ReadingRequest
) -> None:
    client = cast.client_of(cast.owner)
    key = offered(client, "second_reading_withdraw", asked.pk, back="list")
    assert "The second reading is asked for again." in press(client, key)
    asked.refresh_from_db()
    assert asked.withdrawn_by == cast.owner
    again = ReadingRequest.objects.open().get()
    assert (again.asked, again.requested_by) == (cast.colleague, cast.owner)
    hidden = Analysis.objects.revealed_to(cast.colleague).filter(pk=asked.analysis_id)
    assert not hidden.exists()
    assert AuditEvent.objects.filter(action="second_reading.requested").count() == 2


def test_a_colleague_who_has_seen_the_answer_meanwhile_is_not_asked_again(
    cast: Cast, asked: ReadingRequest
) -> None:
    client = cast.client_of(cast.owner)
    key = offered(client, "second_reading_withdraw", asked.pk)
    record_answer_viewed(analysis=asked.analysis, by=cast.colleague)
    assert "cannot read the image blinded" in press(client, key)
    assert not ReadingRequest.objects.open().exists()


def test_a_request_that_was_made_meanwhile_stands(cast: Cast, asked: ReadingRequest) -> None:
    client = cast.client_of(cast.owner)
    key = offered(client, "second_reading_withdraw", asked.pk)
    newer = request_second_reading(analysis=asked.analysis, by=cast.owner, asked=None)
    assert "asked for a second reading of this image since" in press(client, key)
    assert list(ReadingRequest.objects.open()) == [newer]


def test_only_whoever_asked_asks_again(cast: Cast, asked: ReadingRequest) -> None:
    # The administrator may withdraw anybody's request, but it is not theirs.
    assert offered(cast.client_of(cast.administrator), "second_reading_withdraw", asked.pk) == ""
    asked.refresh_from_db()
    for who in (cast.administrator, cast.owner):
        with pytest.raises(Exception, match="Only whoever asked"):
            ask_again(request=asked, by=who)


def test_an_open_request_is_not_asked_twice(cast: Cast, asked: ReadingRequest) -> None:
    withdraw_request(request=asked, by=cast.owner)
    asked.refresh_from_db()
    ask_again(request=asked, by=cast.owner)
    with pytest.raises(Exception, match="since"):
        ask_again(request=asked, by=cast.owner)


@pytest.mark.parametrize("who", ["colleague", "stranger", "superuser", "owner elsewhere"])
def test_a_key_is_nobody_elses(cast: Cast, who: str) -> None:
    key = edited(cast.client_of(cast.owner), cast.patient, name="Ada Typo")
    user = cast.owner if who == "owner elsewhere" else getattr(cast, who)
    page = press(cast.client_of(user), key)
    assert TOO_LATE in page
    cast.patient.refresh_from_db()
    assert cast.patient.name == "Ada Typo"


def test_after_a_while_it_is_too_late(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    client = cast.client_of(cast.owner)
    monkeypatch.setattr(page_of_undo, "UNDO_SECONDS", 0)
    key = edited(client, cast.patient, name="Ada Typo")
    assert TOO_LATE in press(client, key)
    cast.patient.refresh_from_db()
    assert cast.patient.name == "Ada Typo"
    assert client.session["undo"] == {}


def test_a_session_holds_few_and_no_name_of_a_patient(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    keys = [edited(client, cast.patient, name=f"Ada Typo {number}") for number in range(7)]
    held = client.session["undo"]
    assert list(held) == keys[-5:]
    assert "Ada" not in str(held)


def test_without_a_token_of_the_page_nothing_is_undone(cast: Cast) -> None:
    key = edited(client := cast.client_of(cast.owner), cast.patient, name="Ada Typo")
    client.handler.enforce_csrf_checks = True
    assert client.post(UNDO, {"key": key}).status_code == 403
    assert client.get(UNDO).status_code == 405
    assert client.session["undo"]
