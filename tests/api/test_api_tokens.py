"""Tokens: made and revoked on a page, shown once, and stopped at once."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import InternalError, transaction
from django.urls import reverse
from django.utils import timezone

from classifier.choices import Role
from classifier.models import ApiToken, AuditEvent, Membership
from classifier.services.errors import ConflictError, RuleError
from classifier.services.tokens import create_token, digest_of, revoke_token
from tests.api.programs import Program, program_of, told

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings as SettingsWrapper

    from tests.conftest import Cast


def test_a_token_is_made_on_a_page_and_shown_once(cast: Cast) -> None:
    browser = cast.client_of(cast.owner)
    page = browser.get(reverse("token_create"))
    assert page.status_code == 200
    data = {
        "name": "Practice software",
        "clinic": str(cast.clinic.pk),
        "scopes": ["read", "upload"],
        "days": "30",
        "key": str(uuid.uuid4()),
    }
    made = browser.post(reverse("token_create"), data)
    found = re.search(r"skinapp_[\w-]{43}", made.content.decode())
    assert found is not None
    token = ApiToken.objects.get()
    assert (token.user, token.clinic, token.scopes) == (cast.owner, cast.clinic, ["read", "upload"])
    assert token.digest == digest_of(found[0])
    assert made["Cache-Control"] == "no-store, private"
    # Nothing that is kept opens the door.
    listed = browser.get(reverse("token_list")).content.decode()
    assert found[0] not in listed
    assert token.ending in listed
    assert "never" in listed
    assert told(Program(found[0]).get("/token"))["scopes"] == ["read", "upload"]
    token.refresh_from_db()
    assert token.last_used_at is not None
    assert f"{token.last_used_at:%Y-%m-%d}" in browser.get(reverse("token_list")).content.decode()
    # The same form again makes no second token.
    again = browser.post(reverse("token_create"), data)
    assert again.status_code == 409
    assert "made a token already" in again.content.decode()
    assert ApiToken.objects.count() == 1
    event = AuditEvent.objects.get(action="token.created")
    assert (event.actor, event.clinic, event.details["scopes"]) == (
        cast.owner,
        cast.clinic,
        ["read", "upload"],
    )


def test_making_a_token_asks_for_the_password_again(cast: Cast) -> None:
    browser = cast.client_of(cast.owner, confirmed=False)
    answer = browser.get(reverse("token_create"))
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("account_reauthenticate"))


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"days": "366"}, "days"),
        ({"name": " "}, "name"),
    ],
)
def test_what_a_token_cannot_be(cast: Cast, wrong: dict[str, object], field: str) -> None:
    data = {
        "name": "Program",
        "clinic": str(cast.clinic.pk),
        "scopes": ["read"],
        "days": "30",
        "key": str(uuid.uuid4()),
    } | wrong
    answer = cast.client_of(cast.owner).post(reverse("token_create"), data)
    assert answer.status_code == 422
    assert field in answer.context["form"].errors
    assert not ApiToken.objects.exists()


def test_a_token_never_reaches_further_than_its_owner(cast: Cast) -> None:
    def make(user: object, clinic: object, *scopes: str) -> None:
        create_token(
            by=user,  # type: ignore[arg-type] # the cast's
            clinic=clinic,  # type: ignore[arg-type] # likewise
            name="Program",
            scopes=scopes,
            days=1,
            key=uuid.uuid4(),
        )

    with pytest.raises(RuleError, match="do not work in this clinic"):
        make(cast.stranger, cast.clinic, "read")
    with pytest.raises(RuleError, match="do not work in this clinic"):
        make(cast.superuser, cast.clinic, "read")
    with pytest.raises(RuleError, match="look, not change"):
        make(cast.read_only, cast.clinic, "read", "upload")
    make(cast.read_only, cast.clinic, "read", "export")


def test_a_key_of_somebody_elses_form_tells_nothing(cast: Cast) -> None:
    program = program_of(cast.owner, cast.clinic)
    assert program.token is not None
    with pytest.raises(ConflictError):
        create_token(
            by=cast.stranger,
            clinic=cast.other_clinic,
            name="Program",
            scopes=["read"],
            days=1,
            key=program.token.pk,
        )


def test_a_token_stops_at_once(cast: Cast, settings: SettingsWrapper) -> None:
    settings.ACCOUNT_RATE_LIMITS = False
    program = program_of(cast.owner, cast.clinic)
    token = program.token
    assert token is not None
    told(program.get("/patients"))

    cast.owner.is_active = False
    cast.owner.save()
    told(program.get("/patients"), 401)
    cast.owner.is_active = True
    cast.owner.save()
    told(program.get("/patients"))

    # Another role counts at once, too.
    mine = Membership.objects.get(user=cast.owner, clinic=cast.clinic)
    mine.role = Role.READ_ONLY
    mine.save()
    told(program.get("/patients"))
    new = {"record_number": "MRN-1", "name": "Grace Other"}
    assert told(program.post("/patients", new), 422)["detail"].startswith(
        "Your role in this clinic"
    )

    # Who leaves and comes back makes a new one.
    mine.delete()
    told(program.get("/patients"), 401)
    Membership.objects.create(user=cast.owner, clinic=cast.clinic, role=Role.CLINICIAN)
    told(program.get("/patients"), 401)

    program = program_of(cast.owner, cast.clinic)
    told(program.get("/patients"))
    browser = cast.client_of(cast.owner)
    token = program.token
    assert token is not None
    assert browser.post(reverse("token_revoke", args=[token.pk])).status_code == 302
    refused = program.get("/patients")
    assert told(refused, 401)["title"] == "Unauthorized"
    assert refused["WWW-Authenticate"].startswith("Bearer")
    with pytest.raises(RuleError, match="revoked already"):
        revoke_token(token=token, by=cast.owner)


def test_a_token_runs_out(cast: Cast) -> None:
    text = "skinapp_" + "x" * 43
    now = timezone.now()
    ApiToken.objects.create(
        user=cast.owner,
        clinic=cast.clinic,
        name="Old",
        scopes=["read"],
        digest=digest_of(text),
        ending="xxxx",
        expires_at=now + timedelta(milliseconds=200),
    )
    told(Program(text).get("/token"))
    ApiToken.objects.filter(name="Old").first()
    late = now + timedelta(milliseconds=250)
    while timezone.now() < late:
        pass
    told(Program(text).get("/token"), 401)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic abc",
        "Bearer skinapp_",
        "Bearer skinapp_\u00e9",
        "Bearer x y",
    ],
)
def test_what_is_no_token(cast: Cast, header: str) -> None:
    answer = Program("").client.get("/api/v1/patients", headers={"Authorization": header})
    told(answer, 401)


def test_a_session_is_no_token(cast: Cast) -> None:
    browser = cast.client_of(cast.owner)
    told(browser.get("/api/v1/patients"), 401)
    facts = {"record_number": "MRN-1", "name": "Grace Other"}
    answer = browser.post("/api/v1/patients", facts, content_type="application/json")
    told(answer, 401)


def test_scopes_are_kept_apart(cast: Cast) -> None:
    patient = f"/patients/{cast.patient.pk}"
    lesion = {"label": "mole"}
    reading = program_of(cast.owner, cast.clinic, "read")
    told(reading.get(patient))
    assert "“upload”" in told(reading.post(f"{patient}/lesions", lesion), 403)["detail"]
    told(reading.get("/register"), 403)
    sending = program_of(cast.owner, cast.clinic, "upload")
    told(sending.post(f"{patient}/lesions", lesion), 201)
    told(sending.get(patient), 403)
    told(program_of(cast.owner, cast.clinic, "export").get("/register"))


def test_administrators_see_and_revoke_their_clinics_tokens(cast: Cast) -> None:
    token = program_of(cast.owner, cast.clinic, name="Owner's software").token
    assert token is not None
    theirs = cast.client_of(cast.administrator)
    assert "Owner&#x27;s software" in theirs.get(reverse("token_list")).content.decode()
    for user in (cast.colleague, cast.stranger):
        browser = cast.client_of(user)
        page = browser.get(reverse("token_list")).content.decode()
        assert "software" not in page.split("<main")[1]
        assert browser.post(reverse("token_revoke", args=[token.pk])).status_code == 404
    theirs.post(reverse("token_revoke", args=[token.pk]))
    token.refresh_from_db()
    assert token.revoked_by == cast.administrator


def test_nobody_sees_no_tokens(cast: Cast) -> None:
    program_of(cast.owner, cast.clinic)
    assert ApiToken.objects.visible_to(cast.owner).exists()
    assert not ApiToken.objects.visible_to(AnonymousUser()).exists()
    cast.owner.is_active = False
    assert not ApiToken.objects.visible_to(cast.owner).exists()


def test_a_token_is_not_rewritten(cast: Cast) -> None:
    token = program_of(cast.owner, cast.clinic).token
    assert token is not None
    rows = ApiToken.objects.filter(pk=token.pk)
    for change in (
        {"scopes": ["read"]},
        {"expires_at": timezone.now() + timedelta(days=900)},
        {"clinic": cast.other_clinic},
    ):
        with pytest.raises(InternalError, match="Cannot update"), transaction.atomic():
            rows.update(**change)
    revoke_token(token=token, by=cast.owner)
    with pytest.raises(InternalError, match="Cannot update"), transaction.atomic():
        rows.update(revoked_at=None, revoked_by=None)


def test_whoever_lacks_a_second_factor_that_is_asked_of_them(cast: Cast) -> None:
    program = program_of(cast.owner, cast.clinic)
    cast.clinic.second_factor_required = True
    cast.clinic.save()
    assert "second factor" in told(program.get("/patients"), 403)["detail"]


def test_one_token_may_not_ask_too_often(cast: Cast, settings: SettingsWrapper) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3
    settings.CACHES["default"]["KEY_PREFIX"] = uuid.uuid4().hex
    program, other = program_of(cast.owner, cast.clinic), program_of(cast.owner, cast.clinic)
    answers = [program.get("/token") for _again in range(8)]
    refused = [answer for answer in answers if answer.status_code == 429]
    # The minute may have ended in between.
    assert len(refused) >= 2
    assert 1 <= int(refused[0]["Retry-After"]) <= 61
    assert "Too many requests" in told(refused[0], 429)["detail"]
    told(other.get("/token"))


def test_too_many_tokens(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("classifier.services.tokens.MOST_TOKENS", 1)
    program_of(cast.owner, cast.clinic)
    with pytest.raises(RuleError, match="Revoke one first"):
        program_of(cast.owner, cast.clinic)
