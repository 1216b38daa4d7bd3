"""Which networks there are, and switching the one that answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from django.utils import timezone

from classifier.models import AuditEvent, ModelVersion
from classifier.services import model_versions
from tests import factories
from tests.web.answers import text_of
from tests.web.test_markup import faults_of

if TYPE_CHECKING:
    from tests.conftest import Cast


@pytest.fixture
def pair(db: None, monkeypatch: pytest.MonkeyPatch) -> tuple[ModelVersion, ModelVersion]:
    """Return a version that answers and another one, whose files are taken for the right ones."""
    monkeypatch.setattr(model_versions, "check_files", lambda _version: None)
    old = factories.make_model_version(activated_at=timezone.now())
    return old, factories.make_model_version(active=False)


def page_of(name: str, version: ModelVersion) -> str:
    """Return an address about a version."""
    return reverse(name, args=[version.pk])


def test_everybody_reads_which_network_answers_since_when(
    cast: Cast, pair: tuple[ModelVersion, ModelVersion]
) -> None:
    old, new = pair
    model_versions.activate_version(version=new, by=cast.superuser, reason="Finds more melanomas")
    page = cast.client_of(cast.read_only).get(reverse("model_version_list"))
    text = text_of(page)
    assert faults_of(page.content.decode()) == []
    assert "Finds more melanomas" in text
    assert str(cast.superuser) in text
    assert "Roll back" not in text
    assert page.context["networks"][0].active == new
    assert page.context["networks"][0].others == [old]
    # The other label set has none, and the page says what that means.
    assert "No network answers here" in text
    detail = text_of(cast.client_of(cast.read_only).get(page_of("model_version_detail", new)))
    assert "Finds more melanomas" in detail
    assert "Activate" not in detail
    answer = cast.client_of(cast.administrator).post(
        page_of("model_version_activate", old), {"reason": "Mine"}
    )
    assert answer.status_code == 403
    new.refresh_from_db()
    assert new.active


def test_an_administrator_switches_and_goes_back(
    cast: Cast, pair: tuple[ModelVersion, ModelVersion]
) -> None:
    old, new = pair
    root = cast.client_of(cast.superuser)
    address = page_of("model_version_activate", new)
    assert faults_of(root.get(address).content.decode()) == []
    seen = str(old.pk)
    assert root.post(address, {"reason": " ", "seen": seen}).status_code == 422
    assert root.post(address, {"reason": "Better", "seen": seen}).status_code == 302
    # The same form once more, and one that was opened before the switch.
    again = root.post(address, {"reason": "Better", "seen": seen}, follow=True)
    assert "answers already" in text_of(again)
    third = factories.make_model_version(active=False)
    late = root.post(page_of("model_version_activate", third), {"reason": "Mine", "seen": seen})
    assert late.status_code == 409
    assert "Somebody else switched meanwhile" in text_of(late)
    # Who has read that may send the same form again.
    assert f'value="{new.pk}"' in late.content.decode()
    back = page_of("model_version_roll_back", new)
    assert f"Let {old} answer" in text_of(root.get(back))
    assert root.post(back, {"reason": "Worse after all"}).status_code == 302
    assert root.post(back, {"reason": "Worse after all"}).status_code == 409
    old.refresh_from_db()
    assert old.active
    events = AuditEvent.objects.filter(action="model_version.activated").order_by("id")
    assert [(event.actor, event.reason) for event in events] == [
        (cast.superuser, "Better"),
        (cast.superuser, "Worse after all"),
    ]


def test_switching_asks_who_is_there_and_looks_at_the_files(cast: Cast) -> None:
    old = factories.make_model_version(activated_at=timezone.now())
    new = factories.make_model_version(active=False)
    address = page_of("model_version_activate", new)
    form = {"reason": "Better", "seen": str(old.pk)}
    late = cast.client_of(cast.superuser, confirmed=False).post(address, form)
    assert late.status_code == 302
    assert reverse("account_reauthenticate") in late["Location"]
    # No folder backs the factory's versions.
    refused = cast.client_of(cast.superuser).post(address, form)
    assert refused.status_code == 422
    assert "cannot be used" in text_of(refused)
    alone = cast.client_of(cast.superuser).get(page_of("model_version_roll_back", old))
    assert "No earlier version has been active." in text_of(alone)
    old.refresh_from_db()
    assert old.active
