"""Every address of the application, asked for by everybody in the cast.

A new address without a rule here fails ``test_every_address_has_a_rule``.
"""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from typing import cast as cast_to

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests import factories
from tests.web.answers import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test.client import _MonkeyPatchedWSGIResponse as Response

    from classifier.models import Analysis, Image, ModelVersion, Patient, User
    from tests.conftest import Cast

# Whole families whose own rules are tested elsewhere or by their library.
FOREIGN = ("admin:",)


class Who(enum.Enum):
    """Groups of the cast that an address treats alike."""

    EVERYBODY = "everybody, signed in or not"
    SIGNED_IN = "whoever is signed in"
    MEMBERS = "members of the row's clinic"
    WRITERS = "members who may write; readers get 403, strangers 404"
    ADMINISTRATORS = "the clinic's administrators; other members get 403, strangers 404"
    AN_ADMINISTRATOR = "who administers a clinic; everybody else gets 403"


@dataclass(frozen=True)
class Rule:
    """Who may use an address, and how to ask for it."""

    who: Who
    args: tuple[str, ...] = ()
    method: str = "get"
    data: dict[str, str] = field(default_factory=dict)


OPEN = Rule(Who.EVERYBODY)
OWN = Rule(Who.SIGNED_IN)

RULES: dict[str, Rule] = {
    "healthz": OPEN,
    "readyz": OPEN,
    "worklist": OWN,
    "history": OWN,
    "history_csv": OWN,
    "patient_list": OWN,
    "patient_search": OWN,
    "patient_create": OWN,
    "patient_detail": Rule(Who.MEMBERS, ("patient",)),
    "patient_update": Rule(Who.WRITERS, ("patient",)),
    "lesion_create": Rule(Who.WRITERS, ("patient",)),
    "image_upload": Rule(Who.WRITERS, ("patient",)),
    "analysis_new": OWN,
    "image_bytes": Rule(Who.MEMBERS, ("image", "display")),
    "analysis_detail": Rule(Who.MEMBERS, ("analysis",)),
    "analysis_status": Rule(Who.MEMBERS, ("analysis",)),
    "analysis_map": Rule(Who.MEMBERS, ("analysis", "melanoma")),
    "reading_create": Rule(Who.WRITERS, ("analysis",), "post"),
    "review_create": Rule(Who.WRITERS, ("analysis",), "post"),
    "analysis_retry": Rule(Who.WRITERS, ("analysis",), "post", {"reason": "again"}),
    "analysis_cancel": Rule(Who.WRITERS, ("analysis",), "post", {"reason": "stop"}),
    "model_version_detail": Rule(Who.SIGNED_IN, ("model_version",)),
    "audit_trail": Rule(Who.AN_ADMINISTRATOR),
    "patient_changes": Rule(Who.MEMBERS, ("patient",)),
    "consent_create": Rule(Who.WRITERS, ("patient",)),
    "patient_export": Rule(Who.ADMINISTRATORS, ("patient",)),
    "patient_erase": Rule(Who.ADMINISTRATORS, ("patient",)),
}
# allauth's pages: who reaches them is allauth's rule, that they exist is ours to know.
ALLAUTH = {
    "account_login",
    "account_logout",
    "account_signup",
    "account_reauthenticate",
    "account_email",
    "account_email_verification_sent",
    "account_confirm_email",
    "account_change_password",
    "account_set_password",
    "account_inactive",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "account_confirm_login_code",
    "mfa_index",
    "mfa_authenticate",
    "mfa_reauthenticate",
    "mfa_activate_totp",
    "mfa_deactivate_totp",
    "mfa_generate_recovery_codes",
    "mfa_view_recovery_codes",
    "mfa_download_recovery_codes",
}


def _names(patterns: list[Any], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            space = f"{pattern.namespace}:" if pattern.namespace else ""
            yield from _names(pattern.url_patterns, prefix + space)
        elif isinstance(pattern, URLPattern):
            yield f"{prefix}{pattern.name}"


ALL_NAMES = sorted(
    name for name in set(_names(get_resolver().url_patterns)) if not name.startswith(FOREIGN)
)


@dataclass(frozen=True)
class Things:
    """One row of each kind an address can point to."""

    patient: Patient
    image: Image
    analysis: Analysis
    model_version: ModelVersion


@pytest.fixture
def things(cast: Cast) -> Things:
    """Make the first clinic's rows."""
    image = factories.make_image(cast.patient, cast.owner)
    return Things(
        patient=cast.patient,
        image=image,
        analysis=factories.make_analysis(image, cast.owner),
        model_version=factories.make_model_version(),
    )


def ask(
    cast: Cast, things: Things, user: User | None, name: str, *, missing: bool = False
) -> Response:
    """Ask for an address as ``user``; with ``missing`` for a row that does not exist."""
    rule = RULES[name]
    args = [
        (uuid.uuid4() if missing else getattr(things, arg).pk) if hasattr(things, arg) else arg
        for arg in rule.args
    ]
    client = cast.client_of(user)
    response = getattr(client, rule.method)(reverse(name, args=args), rule.data)
    if response.streaming:
        # Reading to the end closes the file or the query behind it; the test client spares the
        # database connection then, which a second ``close()`` would not.
        response.streaming_content = [b"".join(response)]
    return cast_to("Response", response)


def body_of(response: Response) -> bytes:
    """Return the answer's bytes, whether they were sent whole or bit by bit."""
    return b"".join(response) if response.streaming else response.content


def is_sign_in(response: Response) -> bool:
    """Tell whether the answer sends the person to the sign-in page."""
    return response.status_code == 302 and response["Location"].startswith(reverse("account_login"))


def test_every_address_has_a_rule() -> None:
    assert sorted(RULES | dict.fromkeys(ALLAUTH)) == ALL_NAMES


@pytest.mark.parametrize("name", sorted(RULES))
def test_nobody_who_is_not_signed_in_gets_past_the_sign_in(
    cast: Cast, things: Things, name: str
) -> None:
    response = ask(cast, things, None, name)
    if RULES[name].who is Who.EVERYBODY:
        assert response.status_code in {200, 503}
    else:
        assert is_sign_in(response)


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_deactivated_person_is_nobody(cast: Cast, things: Things, name: str) -> None:
    if RULES[name].who is not Who.EVERYBODY:
        assert is_sign_in(ask(cast, things, cast.deactivated, name))


@pytest.mark.parametrize("who", ["stranger", "superuser"])
@pytest.mark.parametrize(
    "name",
    sorted(
        n
        for n, rule in RULES.items()
        if rule.who in {Who.MEMBERS, Who.WRITERS, Who.ADMINISTRATORS}
    ),
)
def test_a_stranger_and_a_superuser_without_a_clinic_learn_nothing(
    cast: Cast, things: Things, name: str, who: str
) -> None:
    user: User = getattr(cast, who)
    there = ask(cast, things, user, name)
    assert there.status_code == 404
    absent = ask(cast, things, user, name, missing=True)
    assert (absent.status_code, text_of(absent)) == (404, text_of(there))


@pytest.mark.parametrize("who", ["owner", "colleague", "administrator"])
@pytest.mark.parametrize("name", sorted(n for n, r in RULES.items() if r.who is not Who.EVERYBODY))
def test_members_who_write_are_not_refused(cast: Cast, things: Things, name: str, who: str) -> None:
    response = ask(cast, things, getattr(cast, who), name)
    if who != "administrator" and RULES[name].who in {Who.ADMINISTRATORS, Who.AN_ADMINISTRATOR}:
        assert response.status_code == 403
        return
    # The map is hidden until the person's own reading is saved: 404 there is the blinding.
    allowed = {200, 302, 400, 409, 422} | ({404} if name == "analysis_map" else set())
    assert response.status_code in allowed
    assert not is_sign_in(response)


@pytest.mark.parametrize(
    "name", sorted(n for n, r in RULES.items() if r.who in {Who.WRITERS, Who.ADMINISTRATORS})
)
def test_a_reader_of_the_clinic_may_not_write(cast: Cast, things: Things, name: str) -> None:
    for method in ("get", "post"):
        rule = RULES[name]
        args = [getattr(things, arg).pk if hasattr(things, arg) else arg for arg in rule.args]
        client = cast.client_of(cast.read_only)
        response = getattr(client, method)(reverse(name, args=args), rule.data)
        assert response.status_code in ({403} if method == rule.method else {403, 405})


@pytest.mark.parametrize("name", sorted(n for n, r in RULES.items() if r.who is Who.MEMBERS))
def test_a_reader_of_the_clinic_may_look(cast: Cast, things: Things, name: str) -> None:
    allowed = {200} | ({404} if name == "analysis_map" else set())
    assert ask(cast, things, cast.read_only, name).status_code in allowed


@pytest.mark.parametrize(
    "name", sorted(n for n, r in RULES.items() if r.who in {Who.SIGNED_IN, Who.AN_ADMINISTRATOR})
)
def test_pages_without_a_row_show_a_stranger_nothing_of_the_clinic(
    cast: Cast, things: Things, name: str
) -> None:
    for user in (cast.stranger, cast.superuser):
        response = ask(cast, things, user, name)
        assert response.status_code in {200, 403}
        body = body_of(response)
        assert cast.patient.name.encode() not in body
        assert cast.patient.record_number.encode() not in body


def test_there_is_no_address_for_new_accounts(cast: Cast) -> None:
    page = cast.client_of(None).get(reverse("account_signup"))
    assert b'name="password1"' not in page.content
