"""Every address of the application, asked for by everybody in the cast, by every method.

The table is made from the URL configuration: a new address without a rule in
:mod:`tests.security.rules` fails ``test_every_address_has_a_rule``. Each request runs against one
database and is undone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, converters, reverse
from django.utils import timezone

from tests import factories
from tests.security import cells
from tests.security.cells import Person, Rule, Things, Who, address_of, body_of
from tests.security.rules import OWN_ACCOUNT, RULES, SIGN_IN_PAGES, TO_A_FACTOR
from tests.web.answers import text_of

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

    from classifier.models import User
    from tests.conftest import Cast

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
ADMIN = sorted({name for name, _pattern in cells.walk() if name.startswith("admin:")})


def sign_in(cast: Cast, things: Things, who: str) -> Person:
    """Sign somebody of the cast in; then their session runs out, or they are deactivated."""
    if who == "anonymous":
        return Person(who, None, "")
    user: User
    if who == "emergency":
        user = things.access.user
    elif who in {"expired", "idle", "deactivated"}:
        user = factories.make_member(cast.clinic)
    elif who == cells.FACTORLESS:
        strict = factories.make_clinic("Western Skin Clinic", second_factor_required=True)
        user = factories.make_member(strict)
    else:
        user = getattr(cast, who)
    client = cast.client_of(user)
    # What is written once a minute is written now, and not in each request that is undone.
    client.get(reverse("break_glass_list"))
    session = client.session
    if who == "idle":
        session["last_seen_at"] -= 3600
        session.save()
    if who == "expired":
        past = timezone.now() - timedelta(minutes=1)
        Session.objects.filter(pk=session.session_key).update(expire_date=past)
    if who == "deactivated":
        user.is_active = False
        user.save()
    return Person(who, user, str(session.session_key))


def test_every_address_has_a_rule() -> None:
    ruled = RULES.keys() | SIGN_IN_PAGES.keys() | OWN_ACCOUNT.keys()
    assert sorted(ruled | set(ADMIN)) == sorted({name for name, _pattern in cells.walk()})


def test_rows_are_named_by_uuid() -> None:
    for name, pattern in cells.walk():
        if name in RULES:
            # The API's library has a UUID of its own that goes on as text.
            kinds = {
                key: converters.UUIDConverter
                if isinstance(value, converters.UUIDConverter)
                else type(value)
                for key, value in pattern.pattern.converters.items()
            }
            words = {key for key, kind in kinds.items() if kind is converters.SlugConverter}
            assert set(kinds.values()) <= {converters.UUIDConverter, converters.SlugConverter}, name
            # Words that say which picture of a row, not which row.
            assert words <= {"variant", "label"}, name


def expected(rule: Rule, name: str, method: str) -> set[int] | str:
    """Return the statuses that an address may answer somebody, or "sign in", or "set up"."""
    done = {200, 302, 400, 409, 422}
    alike = {Who.EVERYBODY: {200, 503}, Who.LED_BACK: {302}, Who.A_TOKEN: {401}}.get(rule.who)
    if alike is not None:
        return alike if method in rule.takes else {405}
    if name in cells.NOBODIES:
        return "sign in"
    if name == cells.FACTORLESS:
        return "set up"
    if method not in rule.takes:
        return {405}
    writes = name in {*cells.WRITERS, "stranger", "emergency"}
    belongs = name in {*cells.WRITERS, *cells.LOOKERS}
    may = {
        Who.SIGNED_IN: True,
        Who.A_MEMBER: name != "superuser",
        Who.A_WRITER: writes,
        Who.A_CLINICIAN: writes or name == "superuser",
        Who.AN_ADMINISTRATOR: name == "administrator",
        Who.A_SWITCHER: name == "superuser",
        Who.A_COMPARER: name in {"administrator", "superuser"},
        Who.COMPARERS: name in {"administrator", "superuser"},
        Who.MEMBERS: belongs and not rule.veiled,
        Who.WRITERS: name in cells.WRITERS,
        Who.ADMINISTRATORS: name == "administrator",
        Who.KEEPERS: name in {"administrator", "emergency"},
        Who.HEADS: name == "administrator",
        Who.HOLDER: name == "owner",
    }[rule.who]
    if may:
        return done
    hidden = rule.who in cells.ABOUT_A_ROW and (
        not belongs or rule.veiled or rule.who in cells.HIDDEN_ROWS
    )
    return {404} if hidden else {403}


def matches(response: Response, wanted: set[int] | str) -> bool:
    """Tell whether an answer is what was expected."""
    if wanted == "sign in":
        return cells.is_sign_in(response)
    if wanted == "set up":
        return cells.is_set_up(response)
    return (
        response.status_code in wanted
        and not cells.is_sign_in(response)
        and not cells.is_set_up(response)
    )


def tells_of(cast: Cast, response: Response) -> bool:
    """Tell whether an answer names the first clinic's patient."""
    body = body_of(response)
    return cast.patient.name.encode() in body or cast.patient.record_number.encode() in body


# One test for each of the cast: on a busy machine none comes near the time limit.
@pytest.mark.parametrize("who", cells.EVERYBODY)
def test_everybody_asks_every_address_by_every_method(
    cast: Cast, things: Things, who: str, record_property: Any
) -> None:
    someone = sign_in(cast, things, who)
    may_know = who in {*cells.WRITERS, *cells.LOOKERS}
    wrong, asked = [], 0
    for name, rule in RULES.items():
        address = address_of(name, rule, things, someone.user)
        for method in cells.METHODS:
            response = someone.ask(method, address, rule.data)
            asked += 1
            wanted = expected(rule, who, method)
            if not matches(response, wanted):
                wrong.append(f"{method} {name}: {response.status_code}, not {wanted}")
            if not may_know and tells_of(cast, response):
                wrong.append(f"{method} {name}: names the patient")
            if not cells.is_closed(response):
                wrong.append(f"{method} {name}: no policy, or an open one")
    assert not wrong, "\n".join(wrong)
    assert asked == len(RULES) * len(cells.METHODS)
    record_property("cells", asked)


@pytest.mark.parametrize("who", cells.EVERYBODY)
def test_everybody_asks_the_sign_in_pages_and_the_own_account(
    cast: Cast, things: Things, who: str, record_property: Any
) -> None:
    someone = sign_in(cast, things, who)
    holder = factories.make_member(cast.clinic)
    key = Authenticator.objects.create(user=holder, type="webauthn", data={"name": "Key"})
    wrong, asked = [], 0
    for name, args in (SIGN_IN_PAGES | OWN_ACCOUNT).items():
        own = name in OWN_ACCOUNT
        address = reverse(name, args=[key.pk if arg == "key" else arg for arg in args])
        for method in cells.methods_of_the_library(who):
            response = someone.ask(method, address)
            asked += 1
            told = f"{method} {name}: {response.status_code}"
            if response.status_code >= 500 or tells_of(cast, response):
                wrong.append(told)
            if not cells.is_closed(response):
                wrong.append(f"{told}, no policy, or an open one")
            if own and who in cells.NOBODIES and not cells.is_sign_in(response):
                wrong.append(f"{told}, not the sign-in")
            if own and who == cells.FACTORLESS and name not in TO_A_FACTOR:
                wrong += [] if cells.is_set_up(response) else [f"{told}, not the set-up"]
            if (
                args == ("key",)
                and method != "options"
                and who in {*cells.WRITERS, *cells.OUTSIDERS, *cells.LOOKERS}
            ):
                # Somebody else's key is no key.
                wrong += [] if response.status_code in {404, 405} else [told]
    assert not wrong, "\n".join(wrong)
    record_property("cells", asked)


def admin_addresses(things: Things) -> dict[str, str]:
    """Return the address of every admin page, about a row that exists where it is about one."""
    found: dict[str, str] = {}
    models = {model._meta.label_lower.replace(".", "_"): model for model in apps.get_models()}
    for name, pattern in cells.walk():
        if name not in ADMIN:
            continue
        words = {}
        names = pattern.pattern.converters or getattr(pattern.pattern, "regex", None)
        keys = names.keys() if isinstance(names, dict) else names.groupindex.keys() if names else ()
        kind = name.removeprefix("admin:").rpartition("_")[0].removesuffix("_password")
        model = models.get({"auth_user": "classifier_user"}.get(kind, kind))
        row = model._default_manager.first() if model is not None else None
        for key in keys:
            words[key] = {
                "app_label": "classifier",
                "content_type_id": "1",
                "url": "nothing",
            }.get(key, str(row.pk if row is not None else things.patient.pk))
        try:
            found[name] = reverse(name, kwargs=words)
        except NoReverseMatch:
            # Nameless addresses: Django's old links to a row, and whatever else is below /admin/.
            found[name] = f"/admin/classifier/patient/{things.patient.pk}/"
    return found


@pytest.mark.parametrize("who", cells.EVERYBODY)
def test_nobody_but_the_staff_gets_into_the_admin_panel(
    cast: Cast, things: Things, who: str, record_property: Any
) -> None:
    someone = sign_in(cast, things, who)
    addresses = admin_addresses(things)
    wrong, asked = [], 0
    for name, address in addresses.items():
        for method in cells.methods_of_the_library(who):
            response = someone.ask(method, address)
            asked += 1
            told = f"{method} {name}: {response.status_code}"
            if not cells.is_closed(response):
                wrong.append(f"{told}, no policy, or an open one")
            if who == "superuser":
                wrong += [told] if response.status_code >= 500 else []
                wrong += [told] if cells.is_sign_in(response) else []
            elif response.status_code not in {302, 403, 404, 405} or tells_of(cast, response):
                wrong.append(told)
    assert not wrong, "\n".join(wrong)
    assert len(addresses) == len(ADMIN) > 60
    record_property("cells", asked)


@pytest.mark.parametrize("who", cells.OUTSIDERS)
def test_a_strangers_404_is_that_of_a_missing_row(cast: Cast, things: Things, who: str) -> None:
    someone = sign_in(cast, things, who)
    pairs = 0
    for name, rule in RULES.items():
        if rule.who not in cells.ABOUT_A_ROW or (rule.who is Who.COMPARERS and who == "superuser"):
            continue
        for method in rule.takes:
            answers = []
            for missing in (False, True):
                address = address_of(name, rule, things, someone.user, missing=missing)
                with CaptureQueriesContext(connection) as queries:
                    response = someone.ask(method, address, rule.data)
                headers = dict(response.headers)
                headers.pop("X-Reference")
                said = [cells.shape_of(query["sql"]) for query in queries]
                answers.append((response.status_code, text_of(response), headers, said))
            assert answers[0] == answers[1], f"{method} {name}"
            assert answers[0][0] == 404
            pairs += 1
    assert pairs >= 20


def test_nothing_is_sent_without_the_forms_token(cast: Cast, things: Things) -> None:
    addresses = {
        name: address_of(name, rule, things, cast.owner)
        for name, rule in RULES.items()
        if rule.who is not Who.A_TOKEN
    } | {name: reverse(name) for name, args in {**SIGN_IN_PAGES, **OWN_ACCOUNT}.items() if not args}
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.owner, backend=MODEL_BACKEND)
    let_in = {
        name: status
        for name, address in addresses.items()
        if (status := client.post(address).status_code) not in {403, 405}
    }
    assert let_in == {}
    client.force_login(cast.superuser, backend=MODEL_BACKEND)
    for name, address in admin_addresses(things).items():
        assert client.post(address).status_code in {403, 405}, name


def test_there_is_no_address_for_new_accounts(cast: Cast) -> None:
    page = cast.client_of(None).get(reverse("account_signup"))
    assert b'name="password1"' not in page.content
