"""Signing in, being throttled, forgetting a password, and the second step."""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core import mail
from django.test import Client
from django.urls import reverse

from classifier.models import User
from tests.factories import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.conf import LazySettings

    from tests.conftest import Cast

LOGIN = "/accounts/login/"


@pytest.fixture(autouse=True)
def forget(settings: LazySettings) -> Callable[[], None]:
    """Forget all attempts (of other tests too: they come from the same address), and how to.

    A fresh prefix hides the old keys; flushing the server would take other tests' queues along.
    """

    def fresh() -> None:
        default = settings.CACHES["default"] | {"KEY_PREFIX": uuid.uuid4().hex}
        settings.CACHES = settings.CACHES | {"default": default}

    fresh()
    return fresh


def sign_in(client: Client, email: str, password: str = PASSWORD, **extra: Any) -> Any:
    """Send the sign-in form."""
    return client.post(LOGIN, {"login": email, "password": password}, **extra)


def confirm(client: Client) -> None:
    """Give the password again, as the pages about one's own safety ask."""
    address = reverse("account_reauthenticate")
    assert client.get(address).status_code == 200
    assert client.post(address, {"password": "wrong"}).context["form"].errors
    assert client.post(address, {"password": PASSWORD}).status_code == 302


def code_now(secret: str) -> str:
    """Return what the authenticator app shows now."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


# --- Signing in --------------------------------------------------------------------------------


@pytest.mark.parametrize("email", ["owner@north.example", "Owner@North.Example"])
def test_people_sign_in_with_their_address_whatever_its_case(cast: Cast, email: str) -> None:
    client = Client()
    response = sign_in(client, email)
    assert response.status_code == 302
    assert response["Location"] == reverse("worklist")
    assert client.get(reverse("worklist")).status_code == 200


def test_the_sign_in_page_leads_back_to_where_one_came_from(cast: Cast) -> None:
    client = Client()
    asked = cast.patient.get_absolute_url()
    page = client.get(asked)
    assert page["Location"] == f"{LOGIN}?next={asked}"
    response = client.post(
        page["Location"], {"login": cast.owner.email, "password": PASSWORD, "next": asked}
    )
    assert response["Location"] == asked


def test_the_way_back_never_leads_elsewhere(cast: Cast) -> None:
    for elsewhere in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        response = Client().post(
            LOGIN, {"login": cast.owner.email, "password": PASSWORD, "next": elsewhere}
        )
        assert response["Location"] == reverse("worklist")


def test_a_wrong_password_and_an_unknown_address_read_the_same(cast: Cast) -> None:
    wrong = sign_in(Client(), cast.owner.email, "wrong")
    unknown = sign_in(Client(), "nobody@north.example", "wrong")
    told = [page.context["form"].errors.as_json() for page in (wrong, unknown)]
    assert told[0] == told[1]
    assert wrong.status_code == unknown.status_code == 200


def test_a_deactivated_person_gets_no_session(cast: Cast) -> None:
    client = Client()
    sign_in(client, cast.deactivated.email)
    assert client.get(reverse("worklist"))["Location"].startswith(LOGIN)


def test_signing_out_takes_a_button_and_ends_the_session(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    assert client.get("/accounts/logout/").status_code == 200
    assert client.get(reverse("worklist")).status_code == 200
    client.post("/accounts/logout/")
    assert client.get(reverse("worklist")).status_code == 302


def test_nobody_signs_up(cast: Cast) -> None:
    before = User.objects.count()
    client = Client()
    page = client.get("/accounts/signup/")
    assert "administrator" in page.content.decode().lower()
    client.post(
        "/accounts/signup/",
        {"email": "new@north.example", "password1": PASSWORD, "password2": PASSWORD},
    )
    assert User.objects.count() == before
    assert "/accounts/signup/" not in client.get(LOGIN).content.decode()


def test_nobody_changes_their_own_address(cast: Cast) -> None:
    client = Client()
    sign_in(client, cast.colleague.email)
    address = reverse("account_email")
    assert client.get(address).status_code == 404
    for deed in ("action_add", "action_primary"):
        assert client.post(address, {deed: "", "email": "mine@mail.example"}).status_code == 404
    cast.colleague.refresh_from_db()
    assert cast.colleague.email == "colleague@north.example"
    client.post("/accounts/password/reset/", {"email": "mine@mail.example"})
    assert mail.outbox == []


# --- The throttle ------------------------------------------------------------------------------


def test_guessing_a_password_is_stopped_even_when_the_guess_is_right(cast: Cast) -> None:
    for _ in range(5):
        sign_in(Client(), cast.owner.email, "wrong")
    client = Client()
    page = sign_in(client, cast.owner.email)
    assert "Too many failed login attempts" in page.content.decode()
    assert client.get(reverse("worklist")).status_code == 302
    # Colleagues are not locked out with them.
    assert sign_in(Client(), cast.colleague.email).status_code == 302


def test_guessing_over_many_accounts_from_one_address_is_stopped(cast: Cast) -> None:
    for number in range(10):
        sign_in(Client(), f"guess{number}@north.example", "wrong")
    page = sign_in(Client(), cast.colleague.email, "wrong")
    assert "Too many failed login attempts" in page.content.decode()


def test_hammering_the_form_is_answered_429(cast: Cast) -> None:
    statuses = [
        sign_in(Client(), f"guess{number}@north.example", "wrong").status_code
        for number in range(31)
    ]
    assert 429 not in statuses[:30]
    assert statuses[30] == 429
    page = sign_in(Client(), cast.owner.email)
    assert page.status_code == 429
    assert "Too many attempts" in page.content.decode()


def test_a_client_cannot_invent_other_addresses_for_itself(cast: Cast) -> None:
    for number in range(5):
        headers = {"X-Forwarded-For": f"203.0.113.{number}"}
        sign_in(Client(), cast.owner.email, "wrong", headers=headers)
    page = sign_in(Client(), cast.owner.email, headers={"X-Forwarded-For": "203.0.113.99"})
    assert "Too many failed login attempts" in page.content.decode()


# --- A forgotten password ----------------------------------------------------------------------


def test_a_forgotten_password_is_set_anew_by_mail(cast: Cast) -> None:
    client = Client()
    sent = client.post("/accounts/password/reset/", {"email": cast.owner.email}, follow=True)
    assert sent.status_code == 200
    (letter,) = mail.outbox
    assert letter.to == [cast.owner.email]
    link = re.search(r"http://testserver(/accounts/password/reset/key/\S+)", str(letter.body))
    assert link is not None
    form = client.get(link[1], follow=True)
    address = form.redirect_chain[-1][0]
    fresh = "an entirely new pass phrase"
    weak = client.post(address, {"password1": "12345678", "password2": "12345678"})
    assert weak.context["form"].errors
    client.post(address, {"password1": fresh, "password2": fresh})
    assert sign_in(Client(), cast.owner.email).status_code == 200
    assert sign_in(Client(), cast.owner.email, fresh).status_code == 302
    # The link works once.
    again = Client().get(link[1], follow=True)
    assert "password1" not in again.content.decode()


def test_asking_for_a_password_tells_nobody_whether_an_address_is_known(cast: Cast) -> None:
    pages = []
    for email in (cast.owner.email, "nobody@north.example"):
        page = Client().post("/accounts/password/reset/", {"email": email}, follow=True)
        pages.append((page.status_code, page.redirect_chain))
    assert pages[0] == pages[1]
    assert [letter.to for letter in mail.outbox] == [[cast.owner.email]]


# --- The second step ---------------------------------------------------------------------------


@pytest.fixture
def enrolled(cast: Cast) -> tuple[User, str, list[str]]:
    """Return a person with an authenticator app: who, its secret, and the recovery codes."""
    client = Client()
    sign_in(client, cast.owner.email)
    asked = client.get(reverse("mfa_activate_totp"))
    # A session left open is not enough to change how one signs in.
    assert asked["Location"].startswith(reverse("account_reauthenticate"))
    confirm(client)
    form = client.get(reverse("mfa_activate_totp"))
    assert form.status_code == 200
    assert "data:image/svg+xml" in form.content.decode() or "<svg" in form.content.decode()
    secret = form.context["form"].secret
    wrong = client.post(reverse("mfa_activate_totp"), {"code": "000000"})
    assert wrong.context["form"].errors
    done = client.post(reverse("mfa_activate_totp"), {"code": code_now(secret)})
    assert done.status_code == 302
    codes = Authenticator.objects.get(
        user=cast.owner, type=Authenticator.Type.RECOVERY_CODES
    ).wrap()
    return cast.owner, secret, codes.get_unused_codes()


def start(user: User) -> Client:
    """Take the first step of signing in."""
    client = Client()
    response = sign_in(client, user.email)
    assert response["Location"] == reverse("mfa_authenticate")
    # Nothing is open before the second one.
    assert client.get(reverse("worklist"))["Location"].startswith(LOGIN)
    assert client.get(reverse("mfa_authenticate")).status_code == 200
    return client


def test_with_an_authenticator_the_password_alone_opens_nothing(
    enrolled: tuple[User, str, list[str]], forget: Callable[[], None]
) -> None:
    user, secret, _codes = enrolled
    client = start(user)
    wrong = client.post(reverse("mfa_authenticate"), {"code": "000000"})
    assert wrong.context["form"].errors
    forget()  # A code counts once; the one that enrolled must be usable here.
    right = client.post(reverse("mfa_authenticate"), {"code": code_now(secret)})
    assert right["Location"] == reverse("worklist")
    assert client.get(reverse("worklist")).status_code == 200


def test_a_code_counts_once(
    enrolled: tuple[User, str, list[str]], forget: Callable[[], None]
) -> None:
    user, secret, _codes = enrolled
    forget()
    code = code_now(secret)
    assert start(user).post(reverse("mfa_authenticate"), {"code": code}).status_code == 302
    again = start(user).post(reverse("mfa_authenticate"), {"code": code})
    assert again.status_code == 200
    assert again.context["form"].errors


def test_a_recovery_code_lets_in_once(enrolled: tuple[User, str, list[str]]) -> None:
    user, _secret, codes = enrolled
    assert len(codes) == 10
    assert start(user).post(reverse("mfa_authenticate"), {"code": codes[0]}).status_code == 302
    again = start(user).post(reverse("mfa_authenticate"), {"code": codes[0]})
    assert again.status_code == 200
    assert start(user).post(reverse("mfa_authenticate"), {"code": codes[1]}).status_code == 302


def test_guessing_codes_is_throttled(enrolled: tuple[User, str, list[str]]) -> None:
    user, _secret, codes = enrolled
    client = start(user)
    for _ in range(5):
        client.post(reverse("mfa_authenticate"), {"code": "000000"})
    page = client.post(reverse("mfa_authenticate"), {"code": codes[0]})
    assert page.status_code in {200, 429}
    assert client.get(reverse("worklist")).status_code == 302


def test_the_second_step_guards_the_admin_panel_too(
    cast: Cast, enrolled: tuple[User, str, list[str]]
) -> None:
    user, _secret, _codes = enrolled
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    client = start(user)
    assert client.get(reverse("admin:index")).status_code == 302


def test_the_page_of_the_second_step_lists_what_is_on(
    enrolled: tuple[User, str, list[str]],
) -> None:
    user, _secret, codes = enrolled
    client = start(user)
    client.post(reverse("mfa_authenticate"), {"code": codes[0]})
    page = client.get(reverse("mfa_index")).content.decode()
    assert "9 of 10 codes are unused" in page
    assert client.get(reverse("mfa_view_recovery_codes")).status_code == 302
    confirm(client)
    shown = client.get(reverse("mfa_view_recovery_codes"))
    assert codes[1] in shown.content.decode()
    saved = client.get(reverse("mfa_download_recovery_codes"))
    assert codes[1] in saved.content.decode()


# --- A superuser -------------------------------------------------------------------------------


def test_a_superuser_without_a_clinic_sees_the_admin_panel_and_no_patient(cast: Cast) -> None:
    client = cast.client_of(cast.superuser)
    assert client.get(reverse("admin:index")).status_code == 200
    assert client.get(cast.patient.get_absolute_url()).status_code == 404
    for name in ("patient_list", "worklist", "history"):
        assert cast.patient.name not in client.get(reverse(name)).content.decode()
