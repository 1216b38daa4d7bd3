"""Filters that a person keeps under a name: private, checked when opened, naming nobody."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.urls import reverse

from classifier.choices import FilteredPage, ReviewState
from classifier.models import Analysis, SavedFilter
from classifier.services.errors import RuleError
from classifier.services.patients import FieldRuleError
from classifier.services.saved_filters import MOST_FILTERS, rename_filter, save_filter
from tests import factories
from tests.web import answered as make
from tests.web.answers import text_of

if TYPE_CHECKING:
    from django.test import Client

    from classifier.models import User
    from tests.conftest import Cast

HISTORY = FilteredPage.HISTORY


def keep(user: User, name: str = "Melanoma", **query: str) -> SavedFilter:
    """Save a filter of the history."""
    return save_filter(by=user, page=HISTORY, name=name, query=query or {"label": "melanoma"})


def send(client: Client, name: str, query: str, page: str = "history", **more: str) -> Any:
    """Send the form that stands on a list."""
    sent = {"page": page, "filter": query, "name": name} | more
    return client.post(reverse("saved_filter_create"), sent, follow=True)


def test_a_filter_is_saved_from_its_list_and_opened_by_a_link_above_it(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    page = client.get("/history/?label=melanoma&state=succeeded&since=2026-01-05")
    form = page.context["filter_to_save"]
    answer = send(client, " My  melanoma list ", form)
    assert "Saved as “My melanoma list”." in text_of(answer)
    saved = SavedFilter.objects.get()
    assert saved.user == cast.owner
    assert saved.query == {"label": "melanoma", "state": "succeeded", "since": "2026-01-05"}
    link = reverse("saved_filter_open", args=[saved.pk])
    assert f'href="{link}" aria-current="page"' in answer.content.decode()
    assert "Save this filter" not in text_of(answer)
    opened = client.get(link)
    assert opened["Location"] == "/history/?label=melanoma&state=succeeded&since=2026-01-05"
    assert f'href="{link}">My melanoma list' in client.get("/history/").content.decode()
    assert link not in client.get("/").content.decode()


def test_the_worklist_is_narrowed_and_its_filter_saved(cast: Cast) -> None:
    mine = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    make.answered(make.bare_image(cast.patient, cast.colleague), cast.colleague)
    later = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    Analysis.objects.filter(pk=later.pk).update(review_state=ReviewState.DEFERRED)
    client = cast.client_of(cast.owner)
    page = client.get("/?mine=on")
    assert [row.analysis.pk for row in page.context["listed"].rows] == [mine.pk]
    assert (page.context["counts"].review, page.context["counts"].deferred) == (1, 1)
    assert len(client.get("/?modality=dermoscopy").context["listed"].rows) == 2
    assert "Nothing matches these filters." in text_of(client.get("/?modality=clinical"))
    wrong = client.get("/?modality=smell")
    assert wrong.status_code == 400
    assert wrong.context["listed"].rows == []
    send(client, "Mine", page.context["filter_to_save"], "worklist")
    saved = SavedFilter.objects.get()
    assert (saved.page, saved.query) == ("worklist", {"mine": "1"})
    opened = client.get(reverse("saved_filter_open", args=[saved.pk]), follow=True)
    assert [row.analysis.pk for row in opened.context["listed"].rows] == [mine.pk]
    deferred = client.get("/?tab=deferred&mine=1")
    assert deferred.context["filter_to_save"] == "tab=deferred&mine=1"
    assert client.get("/?tab=deferred").context["filter_to_save"] == ""


def test_nothing_that_names_a_patient_is_kept_and_that_is_said(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    found = client.get(f"/history/?q={cast.patient.name}&patient={cast.patient.pk}&label=nevus")
    assert "The search for a patient is not kept" in text_of(found)
    assert found.context["filter_to_save"] == "label=nevus"
    alone = client.get(f"/history/?q={cast.patient.name}")
    assert "Save this filter" not in text_of(alone)
    # Whatever a forged form says, the list's own form decides what is kept.
    forged = f"label=nevus&q={cast.patient.name}&patient={cast.patient.pk}&evil=1&cursor=x"
    answer = send(client, "Nevi", forged)
    assert "The search for a patient is not part of it." in text_of(answer)
    assert SavedFilter.objects.get().query == {"label": "nevus"}
    assert cast.patient.name not in json.dumps(SavedFilter.objects.get().query)


@pytest.mark.parametrize("query", ["", "q=Somebody", "label=no-such-label", "since=2026-02-31"])
def test_what_the_list_would_not_take_is_not_saved(cast: Cast, query: str) -> None:
    answer = send(cast.client_of(cast.owner), "Odd", query)
    assert answer.status_code == 422
    assert "There is nothing to save" in text_of(answer)
    assert not SavedFilter.objects.exists()


def test_a_list_that_does_not_exist_leads_to_the_saved_ones(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    answer = send(client, "Odd", "label=nevus", "patients")
    assert answer.redirect_chain == [("/filters/", 302)]
    assert "No filter is saved yet." in text_of(answer)
    assert client.get("/filters/new/?page=history&filter=label%3Dnevus").status_code == 200


def test_what_means_nothing_any_more_is_left_out_with_a_sentence(cast: Cast) -> None:
    leaver = factories.make_member(cast.clinic)
    saved = keep(cast.owner, "Old", label="melanoma", reviewer=str(leaver.pk))
    client = cast.client_of(cast.owner)
    link = reverse("saved_filter_open", args=[saved.pk])
    assert client.get(link)["Location"] == f"/history/?label=melanoma&reviewer={leaver.pk}"
    leaver.memberships.all().delete()
    answer = client.get(link, follow=True)
    assert answer.redirect_chain == [("/history/?label=melanoma", 302)]
    assert "fields that mean nothing any more: Reviewer." in text_of(answer)
    # As an older release, or a hand in the database, may have left it.
    odd = {"label": "gone", "colour": "red", "state": ["failed"], "q": "Somebody", "tab": "x"}
    SavedFilter.objects.filter(pk=saved.pk).update(query=odd)
    answer = client.get(link, follow=True)
    assert answer.redirect_chain == [("/history/", 302)]
    told = "any more: Network&#x27;s first label, Patient, State, colour, tab."
    assert told in text_of(answer)
    SavedFilter.objects.filter(pk=saved.pk).update(query=["no", "filter"])
    assert client.get(link)["Location"] == "/history/"


def test_names_are_once_a_list_and_can_be_changed(cast: Cast) -> None:
    saved = keep(cast.owner, "Melanoma")
    with pytest.raises(FieldRuleError, match="a filter with this name"):
        keep(cast.owner, "melanoma")
    client = cast.client_of(cast.owner)
    answer = send(client, "MELANOMA", "label=nevus")
    assert answer.status_code == 422
    assert "You have a filter with this name" in text_of(answer)
    # Another's, and another list's, are no matter.
    keep(cast.colleague, "Melanoma")
    save_filter(by=cast.owner, page="worklist", name="Melanoma", query={"mine": "1"})
    other = keep(cast.owner, "Nevi")
    rename = reverse("saved_filter_rename", args=[other.pk])
    assert 'value="Nevi"' in client.get(rename).content.decode()
    assert client.post(rename, {"name": "melanoma"}).status_code == 422
    assert client.post(rename, {"name": " "}).status_code == 422
    assert client.post(rename, {"name": "Moles"}, follow=True).status_code == 200
    other.refresh_from_db()
    assert other.name == "Moles"
    assert client.get("/filters/").context["rows"].count() == 3
    assert saved.name == "Melanoma"


def test_a_filter_is_removed_and_gone(cast: Cast) -> None:
    saved = keep(cast.owner)
    client = cast.client_of(cast.owner)
    remove = reverse("saved_filter_remove", args=[saved.pk])
    assert "“Melanoma” is removed." in text_of(client.post(remove, follow=True))
    assert client.post(remove).status_code == 404
    assert not SavedFilter.objects.exists()
    with pytest.raises(RuleError, match="removed meanwhile"):
        rename_filter(saved=saved, name="Back")


def test_nobody_else_sees_or_touches_it(cast: Cast) -> None:
    saved = keep(cast.owner)
    for who in (cast.colleague, cast.administrator, cast.superuser):
        client = cast.client_of(who)
        for name in ("open", "rename", "remove"):
            address = reverse(f"saved_filter_{name}", args=[saved.pk])
            assert client.post(address).status_code in {404, 405}
            assert client.get(address).status_code in {404, 405}
        assert "Melanoma</a>" not in client.get("/history/").content.decode()
    assert list(SavedFilter.objects.visible_to(cast.owner)) == [saved]
    assert not SavedFilter.objects.visible_to(AnonymousUser()).exists()
    cast.owner.is_active = False
    assert not SavedFilter.objects.visible_to(cast.owner).exists()


def test_there_is_a_bound(cast: Cast) -> None:
    for number in range(MOST_FILTERS):
        keep(cast.owner, f"Filter {number}")
    client = cast.client_of(cast.owner)
    assert "Remove one first" in text_of(client.get("/history/?label=nevus"))
    answer = send(client, "One more", "label=nevus")
    assert answer.status_code == 422
    assert "You have 20 saved filters for this list." in text_of(answer)
    save_filter(by=cast.owner, page="worklist", name="Of the other list", query={"mine": "1"})
