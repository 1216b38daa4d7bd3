"""How long a sign-in holds, who must have a second factor, and what asks again who is there."""

from __future__ import annotations

import base64
import time
import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from classifier.accounts import ClosedSignupAdapter
from classifier.models import AuditEvent, Membership
from classifier.services import sealing
from classifier.services.second_factor import lacks_second_factor
from skinapp import signing_in
from tests.factories import PASSWORD
from tests.web.answers import text_of

if TYPE_CHECKING:
    from django.conf import LazySettings

    from tests.conftest import Cast

LOGIN = "/accounts/login/"
SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that lets so many seconds pass for sessions."""
    now = time.time()

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(signing_in, "time", SimpleNamespace(time=lambda: now))
    return wait


# --- Sessions -----------------------------------------------------------------------------------


def test_a_session_that_nobody_uses_ends(cast: Cast, clock: Any, settings: LazySettings) -> None:
    client = cast.client_of(cast.owner)
    address = cast.patient.get_absolute_url()
    for _ in range(3):
        assert client.get(address).status_code == 200
        clock(settings.SESSION_IDLE_SECONDS - 2)
    assert client.get(address).status_code == 200
    clock(settings.SESSION_IDLE_SECONDS)
    response = client.get(address, follow=True)
    assert response.redirect_chain[0][0] == f"{LOGIN}?next={address}"
    assert "nothing happened for 30 minutes" in response.content.decode()
    # It is gone on the server, not only in this browser.
    assert not any("_auth_user_id" in row.get_decoded() for row in Session.objects.all())


def test_a_session_ends_after_a_shift_however_much_it_is_used(
    cast: Cast, clock: Any, settings: LazySettings
) -> None:
    client = cast.client_of(cast.owner)
    settings.SESSION_IDLE_SECONDS = 10**6
    assert client.get("/").status_code == 200
    clock(settings.SESSION_ABSOLUTE_SECONDS - 5)
    assert client.get("/").status_code == 200
    clock(5)
    response = client.get("/", follow=True)
    assert "you signed in long ago" in response.content.decode()


@pytest.mark.parametrize("name", ["analysis_status", "import_detail", "rerun_detail"])
def test_what_a_page_asks_by_itself_is_no_use(
    cast: Cast, clock: Any, settings: LazySettings, name: str
) -> None:
    client = cast.client_of(cast.owner)
    client.get("/")
    poll = reverse(name, args=[uuid.uuid4()])
    for _ in range(4):
        clock(settings.SESSION_IDLE_SECONDS // 4)
        last = client.get(poll, headers={"hx-request": "true"})
    # The page is loaded anew, and led to the sign-in page: nothing is put into what it shows.
    assert (last.status_code, last["HX-Refresh"], last.content) == (204, "true", b"")
    assert client.get("/")["Location"].startswith(LOGIN)


@pytest.mark.parametrize("name", ["import_detail", "rerun_detail"])
def test_opening_a_page_that_asks_by_itself_is_use(
    cast: Cast, clock: Any, settings: LazySettings, name: str
) -> None:
    client = cast.client_of(cast.owner)
    client.get("/")
    for _ in range(4):
        clock(settings.SESSION_IDLE_SECONDS // 4)
        last = client.get(reverse(name, args=[uuid.uuid4()]))
    assert last.status_code in {403, 404}


def test_a_busy_session_is_written_once_a_minute(cast: Cast, clock: Any) -> None:
    client = cast.client_of(cast.owner)
    client.get("/")
    for seconds, often in ((0, 0), (30, 0), (31, 1), (0, 0)):
        clock(seconds)
        with CaptureQueriesContext(connection) as queries:
            client.get("/")
        said = [query["sql"] for query in queries]
        assert sum(sql.startswith("UPDATE") for sql in said) == often
        assert sum("mfa_authenticator" in sql for sql in said) == often


# --- The second factor ----------------------------------------------------------------------------


def test_whoever_lacks_the_factor_that_is_asked_gets_nowhere_else(
    cast: Cast, settings: LazySettings, clock: Any
) -> None:
    clients = {user: cast.client_of(user) for user in (cast.owner, cast.superuser, cast.stranger)}
    asked = ("/", cast.patient.get_absolute_url(), reverse("admin:index"), "/history/export.csv")
    assert clients[cast.owner].get("/").status_code == 200
    settings.SECOND_FACTOR_FOR_STAFF = True
    cast.clinic.second_factor_required = True
    cast.clinic.save()
    clock(60)
    for user in (cast.owner, cast.superuser):
        assert lacks_second_factor(user)
        for address in asked:
            for method in ("get", "post"):
                response = getattr(clients[user], method)(address)
                assert (response.status_code, response["Location"]) == (302, reverse("mfa_index"))
        page = clients[user].get("/", follow=True)
        assert "Set up a second factor first" in page.content.decode()
        assert clients[user].get(reverse("mfa_activate_totp")).status_code == 200
        assert clients[user].get(reverse("mfa_add_webauthn")).status_code == 200
        assert clients[user].get(reverse("healthz")).status_code == 200
    assert clients[cast.stranger].get("/").status_code == 200
    TOTP.activate(cast.owner, SECRET)
    assert clients[cast.owner].get("/").status_code == 200
    # Codes that stand in for a factor are none.
    RecoveryCodes.activate(cast.superuser)
    assert lacks_second_factor(cast.superuser)
    clients[cast.superuser].post(reverse("account_logout"))
    assert clients[cast.superuser].get("/")["Location"].startswith(LOGIN)


def test_asking_for_it_costs_one_query(cast: Cast) -> None:
    Membership.objects.create(user=cast.owner, clinic=cast.other_clinic, role="clinician")
    with CaptureQueriesContext(connection) as queries:
        assert not lacks_second_factor(cast.owner)
    assert len(queries) == 1


def test_changes_to_the_own_factor_are_in_the_audit_trail(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    client = cast.client_of(cast.owner)
    secret = client.get(reverse("mfa_activate_totp")).context["form"].secret
    from tests.web.test_accounts import code_now

    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("mfa_activate_totp"), {"code": code_now(secret)})
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("mfa_generate_recovery_codes"))
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("mfa_deactivate_totp"))
    told = [
        (event.action, event.details["type"], event.actor)
        for event in AuditEvent.objects.filter(action__startswith="second_factor")
    ]
    assert sorted(told, key=str) == [
        ("second_factor.added", "recovery_codes", cast.owner),
        ("second_factor.added", "totp", cast.owner),
        ("second_factor.removed", "recovery_codes", cast.owner),
        ("second_factor.removed", "totp", cast.owner),
        ("second_factor.reset", "recovery_codes", cast.owner),
    ]


def stored(factor: Authenticator) -> str:
    """Return what lies in the database in the place of a factor's secret."""
    factor.refresh_from_db()
    return str(factor.data.get("secret") or factor.data.get("seed"))


def test_secrets_are_sealed_and_keys_are_changed_one_after_the_other(
    cast: Cast, settings: LazySettings
) -> None:
    settings.MFA_KEYS = ["the old key"]
    totp = TOTP.activate(cast.owner, SECRET).instance
    codes = RecoveryCodes.activate(cast.owner)
    known = codes.get_unused_codes()
    assert SECRET not in stored(totp)
    assert sealing.unseal(stored(totp)) == SECRET
    # One that an older version stored openly is sealed with the rest.
    plain = Authenticator.objects.create(user=cast.colleague, type="totp", data={"secret": SECRET})
    assert sealing.unseal(stored(plain)) == SECRET
    key = Authenticator.objects.create(user=cast.owner, type="webauthn", data={"name": "Key"})

    settings.MFA_KEYS = ["the new key", "the old key"]
    assert sealing.unseal(stored(totp)) == SECRET
    call_command("reseal_second_factors", stdout=None)
    assert sealing.reseal_all() == 0
    settings.MFA_KEYS = ["the new key"]
    assert sealing.unseal(stored(totp)) == sealing.unseal(stored(plain)) == SECRET
    assert Authenticator.objects.get(pk=codes.instance.pk).wrap().get_unused_codes() == known
    key.refresh_from_db()
    assert key.data == {"name": "Key"}

    settings.MFA_KEYS = ["some other key"]
    with pytest.raises(sealing.SealError, match="MFA_KEYS"):
        sealing.unseal(stored(totp))
    with pytest.raises(CommandError, match="MFA_KEYS"):
        call_command("reseal_second_factors")


def test_without_a_key_of_its_own_the_secret_key_and_its_fallbacks_open(
    settings: LazySettings,
) -> None:
    sealed = sealing.seal(SECRET)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "n" * 60
    assert sealing.unseal(sealed) == SECRET
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(sealing.SealError):
        sealing.unseal(sealed)


# --- Who is there? --------------------------------------------------------------------------------


def test_dangerous_pages_ask_for_the_password_again(cast: Cast) -> None:
    user, clinic = cast.owner, cast.clinic
    pages = [
        reverse("admin:classifier_user_add"),
        reverse("admin:classifier_user_change", args=[user.pk]),
        reverse("admin:auth_user_password_change", args=[user.pk]),
        reverse("admin:classifier_clinic_change", args=[clinic.pk]),
        reverse("admin:classifier_membership_add"),
        reverse("history_csv"),
    ]
    client = cast.client_of(cast.superuser, confirmed=False)
    for page in pages:
        response = client.get(page)
        asks = reverse("account_reauthenticate")
        assert response["Location"] == f"{asks}?next={quote(page, safe='')}"
    versions = reverse("admin:classifier_modelversion_changelist")
    assert client.get(versions).status_code == 200
    before = AuditEvent.objects.count()
    for address in (versions, pages[0], reverse("admin:classifier_membership_changelist")):
        response = client.post(address, {"action": "activate", "password1": "plain words"})
        assert response["Location"].startswith(reverse("account_reauthenticate"))
    assert AuditEvent.objects.count() == before
    # Nothing that was typed waits in the session.
    assert "plain words" not in str(dict(client.session))
    shown = client.get(response["Location"])
    assert "Nothing was changed yet" in shown.content.decode()
    back = client.post(response["Location"], {"password": PASSWORD})
    assert back["Location"] == reverse("admin:classifier_membership_changelist")
    for address in pages:
        assert client.get(address).status_code == 200
    assert client.post(reverse("admin:logout")).status_code == 200


# --- The throttle ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "counted"),
    [
        (None, "192.0.2.7"),
        ("203.0.113.1", "192.0.2.7"),
        ("203.0.113.1, 203.0.113.2", "203.0.113.1"),
        ("x, 203.0.113.2", "192.0.2.7"),
        ("9.9.9.9, 203.0.113.1, 203.0.113.2", "203.0.113.1"),
    ],
)
def test_the_address_that_attempts_are_counted_by(
    settings: LazySettings, header: str | None, counted: str
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 2
    headers = {"X-Forwarded-For": header} if header else {}
    request = RequestFactory().post(LOGIN, REMOTE_ADDR="192.0.2.7", headers=headers)
    assert ClosedSignupAdapter().get_client_ip(request) == counted


def test_a_wrong_number_of_proxies_does_not_shut_the_sign_in(
    cast: Cast, settings: LazySettings
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 3
    client = Client(headers={"X-Forwarded-For": "203.0.113.5"})
    sent = client.post(LOGIN, {"login": cast.owner.email, "password": PASSWORD})
    assert sent["Location"] == reverse("worklist")


@pytest.mark.parametrize(
    ("came_from", "back"),
    [
        ("http://testserver/analyses/x/?tab=1", "/analyses/x/?tab=1"),
        ("https://elsewhere.example/analyses/x/", "/"),
        ("http://testserver@elsewhere.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
def test_what_is_sent_after_a_sign_in_ended_leads_back_to_where_it_was_sent_from(
    cast: Cast, came_from: str, back: str
) -> None:
    address = reverse("reading_create", args=[uuid.uuid4()])
    client = Client()
    answer = client.post(address, {"diagnosis": "nevus"}, headers={"Referer": came_from})
    assert answer.status_code == 302
    place, _mark, query = answer["Location"].partition("?")
    expected = {"next": [back], "unsaved": ["1"]}
    assert (place, parse_qs(query)) == (reverse("account_login"), expected)
    # A stranger can send as much as they like: nothing is kept for it.
    assert not Session.objects.exists()
    # The page that takes readings cannot be opened by a link; the sign-in page says what happened.
    assert "nothing was saved" in text_of(client.get(answer["Location"]))
    # A page that was only asked for is led back to as it is, without a word.
    asked = Client()
    answer = asked.get(reverse("history"), headers={"Referer": came_from})
    assert parse_qs(answer["Location"].partition("?")[2]) == {"next": [reverse("history")]}
    assert "nothing was saved" not in text_of(asked.get(answer["Location"]))
