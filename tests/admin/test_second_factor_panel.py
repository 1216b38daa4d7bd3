"""Second factors in the admin panel: a lost one can be taken away, none can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.urls import reverse

from classifier.models import AuditEvent
from classifier.services.sealing import unseal

if TYPE_CHECKING:
    from tests.conftest import Cast

LIST = "admin:mfa_authenticator_changelist"


@pytest.fixture
def secret(cast: Cast) -> str:
    """Give the owner a second factor and return its secret."""
    drawn = str(generate_totp_secret())
    TOTP.activate(cast.owner, drawn)
    return drawn


def test_no_page_shows_the_secret(cast: Cast, secret: str) -> None:
    client = cast.client_of(cast.superuser)
    factor = Authenticator.objects.get()
    sealed = factor.data["secret"]
    assert unseal(sealed) == secret
    addresses = [
        reverse(LIST),
        reverse("admin:mfa_authenticator_change", args=[factor.pk]),
        reverse("admin:mfa_authenticator_delete", args=[factor.pk]),
    ]
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 200
        assert secret not in answer.content.decode()
        assert sealed not in answer.content.decode()


def test_nothing_is_added_or_changed(cast: Cast, secret: str) -> None:
    client = cast.client_of(cast.superuser)
    factor = Authenticator.objects.get()
    change = reverse("admin:mfa_authenticator_change", args=[factor.pk])
    assert client.get(reverse("admin:mfa_authenticator_add")).status_code == 403
    assert client.post(change, {"data": "{}"}).status_code == 403
    factor.refresh_from_db()
    assert unseal(factor.data["secret"]) == secret


@pytest.mark.parametrize("in_bulk", [False, True])
def test_a_lost_one_is_taken_away_with_a_trace(cast: Cast, secret: str, in_bulk: bool) -> None:
    client = cast.client_of(cast.superuser)
    factor = Authenticator.objects.get()
    if in_bulk:
        chosen = {"action": "delete_selected", "_selected_action": [factor.pk], "post": "yes"}
        client.post(reverse(LIST), chosen)
    else:
        client.post(reverse("admin:mfa_authenticator_delete", args=[factor.pk]), {"post": "yes"})
    assert not Authenticator.objects.exists()
    event = AuditEvent.objects.get(action="second_factor.removed")
    assert event.actor == cast.superuser
    assert str(cast.owner.pk) in str(event.subject_id)
