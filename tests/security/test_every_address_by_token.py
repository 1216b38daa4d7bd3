"""Every operation of the API, asked for with everybody's token, by every method.

The addresses come from the URL configuration (``test_every_address`` fails for one without a
rule), the cast from ``tests.conftest``, and everybody gets a token with every scope that their role
allows.
"""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from classifier.choices import Role, Scope
from classifier.models import ApiToken, Membership
from classifier.services.tokens import create_token, digest_of, revoke_token
from tests import factories
from tests.security import cells
from tests.security.operations import OPERATIONS, OneOperation
from tests.security.test_every_address import tells_of

if TYPE_CHECKING:
    from classifier.models import Clinic, User
    from tests.conftest import Cast
    from tests.security.cells import Things

WORKING = ("owner", "administrator", "read_only", "stranger", "emergency", "elsewhere")
STOPPED = ("deactivated", "left", "came back", "expired", "revoked", "invented")
FACTORLESS = "factorless"
EVERYBODY = (*WORKING, *STOPPED, FACTORLESS)
INSIDE = {"owner", "administrator", "read_only"}

pytestmark = pytest.mark.usefixtures("open_doors")


def token_of(user: User, clinic: Clinic, scopes: tuple[str, ...] = tuple(Scope.values)) -> str:
    _row, text = create_token(
        by=user, clinic=clinic, name="Program", scopes=scopes, days=1, key=uuid.uuid4()
    )
    return text


def text_for(cast: Cast, things: Things, who: str) -> str:
    """Return the text of somebody's token."""
    if who in {"owner", "administrator"}:
        return token_of(getattr(cast, who), cast.clinic)
    if who == "read_only":
        return token_of(cast.read_only, cast.clinic, ("read", "export"))
    if who in {"stranger", "emergency"}:
        return token_of(
            cast.stranger if who == "stranger" else things.access.user, cast.other_clinic
        )
    if who == "elsewhere":
        # Of somebody who works in both clinics, made for the other one.
        both = factories.make_member(cast.clinic)
        Membership.objects.create(user=both, clinic=cast.other_clinic, role=Role.CLINICIAN)
        return token_of(both, cast.other_clinic)
    if who == FACTORLESS:
        strict = factories.make_clinic("Western Skin Clinic")
        text = token_of(factories.make_member(strict), strict)
        strict.second_factor_required = True
        strict.save()
        return text
    return stopped(cast, who)


def stopped(cast: Cast, who: str) -> str:
    """Return a text that worked a moment ago, or never."""
    if who == "invented":
        return "skinapp_" + "x" * 43
    user = factories.make_member(cast.clinic)
    text = token_of(user, cast.clinic)
    token = ApiToken.objects.get(digest=digest_of(text))
    if who == "deactivated":
        user.is_active = False
        user.save()
    elif who == "revoked":
        revoke_token(token=token, by=user)
    elif who == "expired":
        text = "skinapp_" + "y" * 43
        past = timezone.now() - timedelta(days=2)
        old = ApiToken(
            user=user,
            clinic=cast.clinic,
            name="Old",
            scopes=["read"],
            digest=digest_of(text),
            ending="yyyy",
            expires_at=past + timedelta(days=1),
        )
        # The moment of its making is the database's rule to check, not the model's to choose.
        ApiToken._meta.get_field("created_at").auto_now_add = False
        try:
            old.created_at = past
            old.save(force_insert=True)
        finally:
            ApiToken._meta.get_field("created_at").auto_now_add = True
    else:
        Membership.objects.filter(user=user).delete()
        if who == "came back":
            Membership.objects.create(user=user, clinic=cast.clinic, role=Role.CLINICIAN)
    return text


def ask(text: str, method: str, address: str, one: OneOperation) -> Any:
    """Send one request and undo what it did to the database."""
    client = Client(enforce_csrf_checks=True)
    headers = {"Authorization": f"Bearer {text}"}
    with transaction.atomic():
        if method == "post" and address.endswith("/images"):
            response: Any = client.post(address, {"modality": "clinical"}, headers=headers)
        elif method in {"post", "put", "patch", "delete"}:
            send = getattr(client, method)
            body = json.dumps(one.body)
            response = send(address, body, content_type="application/json", headers=headers)
        else:
            response = getattr(client, method)(address, headers=headers)
        transaction.set_rollback(True)
    return response


def expected(one: OneOperation, name: str, who: str, method: str) -> set[int]:
    if method not in one.takes:
        return {405}
    if who in STOPPED:
        return {401}
    if who == FACTORLESS:
        return {403}
    if who == "read_only" and one.scopes[method] in {"upload", "review"}:
        return {403}
    # Networks are everybody's; the other rows are the first clinic's.
    if one.args and "model_version" not in one.args and who not in INSIDE:
        # An upload without a file is refused before anything is looked up.
        return {422} if (method, name) == ("post", "api:image_upload") else {404}
    return {200, 201, 409, 422}


@pytest.mark.parametrize("who", EVERYBODY)
def test_everybodys_token_asks_every_operation_by_every_method(
    cast: Cast, things: Things, who: str, record_property: Any
) -> None:
    text = text_for(cast, things, who)
    wrong, asked = [], 0
    for name, one in OPERATIONS.items():
        address = reverse(name, args=[getattr(things, arg).pk for arg in one.args])
        for method in cells.METHODS:
            response = ask(text, method, address, one)
            asked += 1
            told = f"{method} {name}: {response.status_code}"
            wanted = expected(one, name, who, method)
            if response.status_code not in wanted:
                wrong.append(f"{told}, not {wanted}")
            if response.status_code >= 400 and method != "head":
                problem = response["Content-Type"] == "application/problem+json"
                wrong += [] if problem and response.json()["reference"] else [f"{told}, no problem"]
            if who not in INSIDE and tells_of(cast, response):
                wrong.append(f"{told}, names the patient")
            if not cells.is_closed(response):
                wrong.append(f"{told}, no policy, or an open one")
    assert not wrong, "\n".join(wrong)
    record_property("cells", asked)


@pytest.mark.parametrize("who", ["stranger", "emergency", "elsewhere"])
def test_what_a_token_does_not_reach_is_like_what_is_not_there(
    cast: Cast, things: Things, who: str
) -> None:
    text = text_for(cast, things, who)
    pairs = 0
    for name, one in OPERATIONS.items():
        if not one.args or "model_version" in one.args:
            continue
        for method in one.takes:
            answers = []
            for pk in (getattr(things, one.args[0]).pk, uuid.uuid4()):
                response = ask(text, method, reverse(name, args=[pk]), one)
                facts = response.json()
                facts.pop("reference")
                headers = {k: v for k, v in response.headers.items() if k != "X-Reference"}
                answers.append((response.status_code, facts, headers))
            assert answers[0] == answers[1], f"{method} {name}"
            pairs += 1
    assert pairs == 9


def test_each_scope_opens_its_own_operations_only(cast: Cast, things: Things) -> None:
    texts = {scope: token_of(cast.owner, cast.clinic, (scope,)) for scope in Scope.values}
    for name, one in OPERATIONS.items():
        address = reverse(name, args=[getattr(things, arg).pk for arg in one.args])
        for method in one.takes:
            demanded = one.scopes[method]
            let_in = {
                scope
                for scope, text in texts.items()
                if ask(text, method, address, one).status_code != 403
            }
            assert let_in == ({demanded} if demanded else set(texts)), f"{method} {name}"
