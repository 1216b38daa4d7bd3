"""Tokens, webhooks and their messages in the admin panel: read, revoked, never given away."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from classifier.choices import DeliveryState
from classifier.models import ApiToken, AuditEvent, NoticeChoice, Webhook, WebhookDelivery
from classifier.services.errors import RuleError
from classifier.services.notices import choose_notices
from classifier.services.sealing import seal
from classifier.services.tokens import create_token
from classifier.services.webhooks import end_webhook_in_panel
from tests import factories
from tests.web import answered as make
from tests.web.answers import text_of

if TYPE_CHECKING:
    from django.test import Client

    from tests.conftest import Cast

KINDS = (ApiToken, Webhook, WebhookDelivery, NoticeChoice)
SECRET = "whsec_" + "s" * 43


@pytest.fixture
def root(cast: Cast) -> Client:
    """Return the superuser's browser."""
    return cast.client_of(cast.superuser)


def token(cast: Cast, name: str = "Practice software") -> tuple[ApiToken, str]:
    """Make a token of the owner's."""
    return create_token(
        by=cast.owner, clinic=cast.clinic, name=name, scopes=["read"], days=9, key=uuid.uuid4()
    )


def webhook(cast: Cast, number: int = 1) -> Webhook:
    """Make a webhook of the first clinic."""
    return Webhook.objects.create(
        clinic=cast.clinic,
        url=f"https://receiver.example/{number}",
        secret=seal(SECRET),
        created_by=cast.administrator,
    )


def message(cast: Cast, to: Webhook) -> WebhookDelivery:
    """Make a message that waits."""
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    now = timezone.now()
    return WebhookDelivery.objects.create(
        webhook=to, analysis=analysis, analysis_attempt=1, next_attempt_at=now, created_at=now
    )


def list_of(kind: type, query: str = "") -> str:
    """Return the address of a kind's list."""
    return reverse(f"admin:classifier_{kind.__name__.lower()}_changelist") + query


def test_lists_and_pages_show_facts_and_no_secret(root: Client, cast: Cast) -> None:
    made, text = token(cast)
    hook = webhook(cast)
    sent = message(cast, hook)
    choose_notices(by=cast.owner, pace="daily", language="en")
    choice = NoticeChoice.objects.get()
    for row, words in ((made, made.name), (hook, hook.url), (sent, hook.url), (choice, "owner@")):
        kind = type(row)
        change = reverse(f"admin:classifier_{kind.__name__.lower()}_change", args=[row.pk])
        shown = text_of(root.get(list_of(kind)))
        assert words in shown
        shown += text_of(root.get(change)) + text_of(root.get(list_of(kind, "?q=owner")))
        for secret in (text, made.digest, hook.secret, SECRET):
            assert secret not in shown
        assert 'name="_save"' not in shown
        assert root.post(change, {"name": "x", "url": "https://x.example"}).status_code == 403
    for query in (made.name, made.ending, "owner@north", str(made.pk)):
        assert made.name in text_of(root.get(list_of(ApiToken, f"?q={query}")))
    assert made.name not in text_of(root.get(list_of(ApiToken, "?q=nobody@north")))
    found = text_of(root.get(list_of(WebhookDelivery, f"?q={sent.analysis_id}")))
    assert str(sent.analysis_id) in found


def test_lists_cost_the_same_however_long(root: Client, cast: Cast) -> None:
    def cost(kind: type) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert root.get(list_of(kind)).status_code == 200
        return len(queries)

    def fill(first: int, last: int) -> None:
        for number in range(first, last):
            now = timezone.now()
            user = factories.make_member(cast.clinic)
            choose_notices(by=user, pace="daily", language="en")
            ApiToken.objects.create(
                user=user,
                clinic=cast.clinic,
                name="x",
                scopes=["read"],
                digest=f"{number:064}",
                expires_at=now + timedelta(days=1),
            )
            message(cast, webhook(cast, number))

    fill(0, 2)
    root.get(reverse("admin:index"))
    few = [cost(kind) for kind in KINDS]
    fill(2, 12)
    assert [cost(kind) for kind in KINDS] == few
    assert max(few) <= 12


def test_a_token_is_revoked_with_a_reason_once(root: Client, cast: Cast) -> None:
    made, _text = token(cast)
    post = {"action": "revoke", "_selected_action": str(made.pk)}
    asked = root.post(list_of(ApiToken), post)
    assert "Say why" in text_of(asked)
    assert str(cast.clinic) in text_of(asked)
    assert "This field is required" in text_of(
        root.post(list_of(ApiToken), post | {"confirmed": "1", "reason": " "})
    )
    made.refresh_from_db()
    assert made.revoked_at is None
    confirmed = post | {"confirmed": "1", "reason": "lost laptop"}
    assert "1 token revoked." in text_of(root.post(list_of(ApiToken), confirmed, follow=True))
    again = text_of(root.post(list_of(ApiToken), confirmed, follow=True))
    assert "This token is revoked already." in again
    made.refresh_from_db()
    assert made.revoked_by == cast.superuser
    event = AuditEvent.objects.get(action="token.revoked")
    assert (event.actor, event.clinic, event.reason) == (
        cast.superuser,
        cast.clinic,
        "lost laptop",
    )


def test_a_webhook_is_ended_with_what_waits(root: Client, cast: Cast) -> None:
    hook = webhook(cast)
    sent = message(cast, hook)
    post = {"action": "end", "_selected_action": str(hook.pk), "confirmed": "1", "reason": "moved"}
    assert "1 webhook ended." in text_of(root.post(list_of(Webhook), post, follow=True))
    sent.refresh_from_db()
    assert sent.state == DeliveryState.GIVEN_UP
    assert AuditEvent.objects.get(action="webhook.ended").reason == "moved"
    assert "ended already" in text_of(root.post(list_of(Webhook), post, follow=True))


def test_who_may_only_look_revokes_nothing(cast: Cast) -> None:
    made, _text = token(cast)
    hook = webhook(cast)
    looker = factories.make_user(is_staff=True)
    names = ["view_apitoken", "view_webhook"]
    looker.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = cast.client_of(looker)
    for row, action in ((made, "revoke"), (hook, "end")):
        page = text_of(client.get(list_of(type(row))))
        assert f'value="{action}"' not in page
        post = {"action": action, "_selected_action": str(row.pk)}
        client.post(list_of(type(row)), post | {"confirmed": "1", "reason": "no"})
    made.refresh_from_db()
    assert made.revoked_at is None
    with pytest.raises(RuleError):
        end_webhook_in_panel(webhook=hook, by=looker, reason="no")
    assert Webhook.objects.active().count() == 1
