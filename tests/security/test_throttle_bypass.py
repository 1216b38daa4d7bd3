"""Ways around the throttles of the sign-in that somebody would try, and that lead nowhere."""

from __future__ import annotations

import itertools
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from allauth.core.internal import ratelimit
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import AnonymousUser
from django.core import mail
from django.test import Client, RequestFactory
from django.urls import reverse

from classifier.models import BreakGlass
from tests.factories import PASSWORD
from tests.security.test_signing_in import SECRET
from tests.web.test_accounts import code_now

if TYPE_CHECKING:
    from django.conf import LazySettings

    from tests.conftest import Cast

LOGIN = "/accounts/login/"
_networks = itertools.count(1)


@pytest.fixture(autouse=True)
def _own_counts(settings: LazySettings) -> None:
    default = settings.CACHES["default"] | {"KEY_PREFIX": uuid.uuid4().hex}
    settings.CACHES = settings.CACHES | {"default": default}
    settings.ALLOWED_HOSTS = ["testserver", "other.example"]


def elsewhere() -> dict[str, Any]:
    """Return the surroundings of a request from an address that nobody had before."""
    return {"REMOTE_ADDR": f"10.0.{next(_networks) % 250}.{next(_networks) % 250}"}


def is_in(client: Client) -> bool:
    """Tell whether a client is signed in."""
    return "_auth_user_id" in client.session


ADDRESSES = (
    "owner@north.example",
    "OWNER@NORTH.EXAMPLE",
    "Owner@north.Example",
    " owner@north.example",
    "owner@north.example\t",
    "owner@north.e\u212aample",
    "owner@\uff4eorth.example",
    "\uff4fwner@north.example",
)


def test_the_spelling_of_an_address_buys_no_more_guesses(cast: Cast) -> None:
    for spelling in ADDRESSES[:5]:
        Client().post(LOGIN, {"login": spelling, "password": "wrong"}, **elsewhere())
    for spelling in ADDRESSES:
        client = Client()
        client.post(LOGIN, {"login": spelling, "password": PASSWORD}, **elsewhere())
        assert not is_in(client), spelling
    client = Client()
    client.post(LOGIN, {"login": cast.colleague.email, "password": PASSWORD}, **elsewhere())
    assert is_in(client)


HEADERS: dict[str, list[str]] = {
    "HTTP_HOST": [f"testserver:{port}" for port in range(1, 6)],
    "HTTP_X_FORWARDED_HOST": [f"other.example:{port}" for port in range(1, 6)],
    "SERVER_PORT": [str(port) for port in range(1, 6)],
    "HTTP_USER_AGENT": list("abcde"),
    "HTTP_ACCEPT_LANGUAGE": ["de", "fr", "it", "es", "pl"],
    "HTTP_X_REQUESTED_WITH": ["XMLHttpRequest"] * 5,
    "HTTP_COOKIE": [f"sessionid={letter * 32}" for letter in "abcde"],
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_buys_no_more_guesses(cast: Cast, header: str) -> None:
    for value in HEADERS[header]:
        surroundings = elsewhere() | {header: value}
        Client().post(LOGIN, {"login": cast.owner.email, "password": "wrong"}, **surroundings)
    client = Client()
    client.post(LOGIN, {"login": cast.owner.email, "password": PASSWORD}, **elsewhere())
    assert not is_in(client)


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Client-IP", "True-Client-IP", "X-Client-IP"],
)
@pytest.mark.parametrize("proxies", [0, 1])
def test_a_header_moves_nobody_to_another_address(
    cast: Cast, settings: LazySettings, name: str, proxies: int
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    for number in range(10):
        headers = {"X-Forwarded-For": "192.0.2.1"} | {name: f"203.0.113.{number}"}
        if proxies and name == "X-Forwarded-For":
            # The proxy appends whom it speaks with.
            headers[name] += ", 192.0.2.1"
        guess = {"login": f"guess{number}@north.example", "password": "wrong"}
        Client(headers=headers).post(LOGIN, guess)
    client = Client(headers={"X-Forwarded-For": "192.0.2.1"})
    client.post(LOGIN, {"login": cast.owner.email, "password": PASSWORD})
    assert not is_in(client)


def test_the_admin_panel_has_no_door_of_its_own(cast: Cast) -> None:
    client = Client()
    sent = {"username": cast.superuser.email, "password": PASSWORD, "next": "/admin/"}
    for address in (reverse("admin:login"), reverse("admin:index")):
        client.post(address, sent)
        assert not is_in(client)


def test_other_sessions_buy_no_more_codes(cast: Cast) -> None:
    TOTP.activate(cast.owner, SECRET)

    def halfway() -> Client:
        client = Client()
        client.post(LOGIN, {"login": cast.owner.email, "password": PASSWORD}, **elsewhere())
        return client

    clients = [halfway() for _ in range(6)]
    for client in clients[:5]:
        client.post(reverse("mfa_authenticate"), {"code": "000000"}, **elsewhere())
    last = clients[5]
    last.post(reverse("mfa_authenticate"), {"code": code_now(SECRET)}, **elsewhere())
    assert not is_in(last)


def test_other_sessions_buy_no_more_confirmations(cast: Cast) -> None:
    page = reverse("account_reauthenticate")
    for _ in range(10):
        client = cast.client_of(cast.owner, confirmed=False)
        client.post(page, {"password": "wrong"}, **elsewhere())
    client = cast.client_of(cast.owner, confirmed=False)
    client.post(page, {"password": PASSWORD}, **elsewhere())
    records = client.session.get("account_authentication_methods", [])
    assert not any(record.get("reauthenticated") for record in records)


def test_other_sessions_buy_no_more_emergencies(cast: Cast) -> None:
    page = reverse("break_glass_create")
    demand = {"clinic": str(cast.clinic.pk), "reason": "Unconscious"}
    for number in range(5):
        client = cast.client_of(cast.stranger)
        client.post(page, demand | {"record_number": f"guess {number}"}, **elsewhere())
    client = cast.client_of(cast.stranger)
    right = demand | {"record_number": cast.patient.record_number}
    assert client.post(page, right, **elsewhere()).status_code == 429
    assert not BreakGlass.objects.exists()


def test_the_spelling_of_an_address_buys_no_more_letters(cast: Cast) -> None:
    for spelling in ADDRESSES * 2:
        Client().post(reverse("account_reset_password"), {"email": spelling}, **elsewhere())
    assert 1 <= len(mail.outbox) <= 5
    assert {tuple(letter.to) for letter in mail.outbox} == {(cast.owner.email,)}


def test_a_strangers_letter_keeps_nobody_from_a_second_factor(cast: Cast) -> None:
    Client().post(reverse("account_reset_password"), {"email": cast.owner.email}, **elsewhere())
    client = cast.client_of(cast.owner)
    for page in ("mfa_activate_totp", "mfa_add_webauthn"):
        assert client.get(reverse(page)).status_code == 200, page


def test_guesses_at_the_same_moment_are_counted_one_by_one() -> None:
    def guess(_number: int) -> bool:
        request = RequestFactory().post(LOGIN)
        request.user = AnonymousUser()
        allowed = ratelimit.consume(
            request, app="allauth.account", action="login_failed", key="owner@north.example"
        )
        return bool(allowed)

    with ThreadPoolExecutor(12) as together:
        allowed = list(together.map(guess, range(24)))
    assert 1 <= sum(allowed) <= 5
