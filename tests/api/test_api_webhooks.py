"""Webhooks: signed, naming nobody, sent until taken, and never led inside."""

from __future__ import annotations

import json
import re
import socket
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone

from classifier.choices import DeliveryState, State
from classifier.models import AuditEvent, Webhook, WebhookDelivery
from classifier.services import moves, outbound, webhooks
from classifier.services.errors import RuleError
from classifier.services.moves import move
from classifier.services.sealing import reseal_all
from classifier.tasks import forget_requests_task, send_webhooks_task
from tests import factories
from tests.api.hooks import finish, set_up

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings as SettingsWrapper

    from tests.api.receiver import Receiver
    from tests.conftest import Cast

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_a_message_is_signed_and_names_nobody(cast: Cast, receiver: Receiver) -> None:
    webhook, secret = set_up(cast, receiver.url)
    assert secret not in webhook.secret
    analysis = finish(cast)
    send_webhooks_task.run()
    ((path, headers, body),) = receiver.got
    delivery = WebhookDelivery.objects.get()
    assert path == "/hook?a=b"
    assert json.loads(body) == {
        "event": "analysis.finished",
        "delivery": str(delivery.pk),
        "clinic": str(cast.clinic.pk),
        "analysis": str(analysis.pk),
    }
    assert (delivery.state, delivery.attempts, delivery.tries[0]["status"]) == ("delivered", 1, 204)
    # The example of the docs checks it, and finds a forged or an old one.
    example = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[1]
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102 - the documentation's own text
    is_genuine = names["is_genuine"]
    assert is_genuine(secret, headers, body)
    assert not is_genuine(secret, headers, body.replace(b"finished", b"forgotten"))
    assert not is_genuine("whsec_other", headers, body)
    old = str(int(time.time()) - 400)
    signed = f"v1={webhooks.signature_of(secret, int(old), body)}"
    late = headers | {"X-Skinapp-Timestamp": old, "X-Skinapp-Signature": signed}
    assert not is_genuine(secret, late, body)
    # Twice is once: nothing is due any more.
    send_webhooks_task.run()
    assert len(receiver.got) == 1
    page = cast.client_of(cast.administrator).get(reverse("webhook_list")).content.decode()
    assert "Delivered" in page
    assert secret not in page
    assert AuditEvent.objects.get(action="webhook.created").actor == cast.administrator


def test_what_is_written_and_what_is_not(cast: Cast, receiver: Receiver) -> None:
    finish(cast)
    assert not WebhookDelivery.objects.exists()
    webhook, _secret = set_up(cast, receiver.url)
    analysis = factories.make_analysis(factories.make_image(cast.patient, cast.owner), cast.owner)
    move(
        analysis_id=analysis.pk,
        origin=State.QUEUED,
        target=State.CANCELLED,
        attempt=0,
        actor=moves.person(cast.owner),
        reason="wrong patient",
    )
    assert not WebhookDelivery.objects.exists()
    done = finish(cast)
    webhooks.note_finished([done.pk])
    webhooks.note_finished([])
    assert WebhookDelivery.objects.get().analysis == done
    browser = cast.client_of(cast.administrator)
    browser.post(reverse("webhook_end", args=[webhook.pk]))
    finish(cast)
    assert WebhookDelivery.objects.get().state == DeliveryState.GIVEN_UP
    send_webhooks_task.run()
    assert receiver.got == []
    with pytest.raises(RuleError, match="given up"):
        webhooks.send_again(
            delivery=WebhookDelivery.objects.select_related("webhook__clinic").get(),
            by=cast.administrator,
        )
    webhook.refresh_from_db()
    with pytest.raises(RuleError, match="ended already"):
        webhooks.end_webhook(webhook=webhook, by=cast.administrator)


def test_a_message_is_sent_until_it_is_taken_or_given_up(cast: Cast, receiver: Receiver) -> None:
    set_up(cast, receiver.url)
    finish(cast)
    # A redirect is no answer, wherever it leads.
    receiver.status, receiver.headers = 307, {"Location": receiver.url}
    send_webhooks_task.run()
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.tries[0]["status"], len(receiver.got)) == ("waiting", 307, 1)
    wait = delivery.next_attempt_at - timezone.now()
    assert timedelta(seconds=5) < wait <= timedelta(seconds=10)
    send_webhooks_task.run()
    assert len(receiver.got) == 1
    receiver.status = 500
    for _attempt in webhooks.BACK_OFF:
        WebhookDelivery.objects.update(next_attempt_at=timezone.now(), lease_until=None)
        send_webhooks_task.run()
    delivery.refresh_from_db()
    assert (delivery.state, len(delivery.tries)) == (DeliveryState.GIVEN_UP, 8)
    assert {headers["X-Skinapp-Delivery"] for _path, headers, _body in receiver.got} == {
        str(delivery.pk)
    }
    receiver.status, receiver.headers = 200, {}
    browser = cast.client_of(cast.administrator)
    assert "Send again" in browser.get(reverse("webhook_list")).content.decode()
    browser.post(reverse("webhook_again", args=[delivery.pk]))
    send_webhooks_task.run()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 1)


def test_a_dead_senders_message_is_taken_over(cast: Cast, receiver: Receiver) -> None:
    set_up(cast, receiver.url)
    finish(cast)
    soon = timezone.now() + timedelta(seconds=60)
    WebhookDelivery.objects.update(attempts=1, lease_until=soon)
    send_webhooks_task.run()
    assert receiver.got == []
    WebhookDelivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    send_webhooks_task.run()
    assert WebhookDelivery.objects.get().attempts == 2
    assert len(receiver.got) == 1


def test_one_that_hangs_does_not_hold_up_the_others(
    cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        set_up(cast, f"https://localhost:{port}/")
        finish(cast)
        finish(cast)
        set_up(cast, receiver.url)
        finish(cast)
        monkeypatch.setattr(webhooks, "_SECONDS", 0.2)
        webhooks.send_due()
    # One of its three was tried, and the other receiver got its own.
    tried = WebhookDelivery.objects.filter(attempts=1)
    assert sorted(tried.values_list("state", flat=True)) == ["delivered", "waiting"]
    assert len(receiver.got) == 1


def test_a_certificate_of_somebody_else_is_refused(
    cast: Cast, receiver: Receiver, settings: SettingsWrapper
) -> None:
    set_up(cast, receiver.url)
    finish(cast)
    settings.WEBHOOK_CA_FILE = ""
    send_webhooks_task.run()
    assert WebhookDelivery.objects.get().tries[0]["fault"] == "SSLCertVerificationError"
    assert receiver.got == []


INSIDE = (
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104 - an address to be refused
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "no address",
)


def test_no_address_inside_is_sent_to(settings: SettingsWrapper) -> None:
    settings.WEBHOOK_NETWORKS = []
    assert [one for one in INSIDE if outbound.may_be_sent_to(one)] == []
    assert outbound.may_be_sent_to("93.184.215.14")
    assert outbound.may_be_sent_to("2606:2800:21f:cb07:6820:80da:af6b:8b2c")
    assert outbound.may_be_sent_to("64:ff9b::5db8:d70e")
    settings.WEBHOOK_NETWORKS = ["10.1.0.0/16"]
    assert outbound.may_be_sent_to("10.1.2.3")
    assert outbound.may_be_sent_to("::ffff:10.1.2.3")
    assert not outbound.may_be_sent_to("10.2.0.1")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://receiver.example/", "must begin with https"),
        ("ftp://receiver.example/", "must begin with https"),
        ("https://", "no address"),
        ("https://[::1/", "no address"),
        ("https://a.example:99999/", "no address"),
        ("https://a b.example/", "no address"),
        ("https://user:word@receiver.example/", "Leave name and password out"),
        ("https://127.0.0.1/", "lies inside"),
        ("https://2130706433/", "lies inside"),
        ("https://0x7f.1/", "lies inside"),
        ("https://localhost/", "lies inside"),
        ("https://[::1]/", "lies inside"),
        ("https://nobody.invalid/", "Nobody knows"),
    ],
)
def test_addresses_that_are_refused(cast: Cast, url: str, sentence: str) -> None:
    data = {"clinic": str(cast.clinic.pk), "url": url}
    page = cast.client_of(cast.administrator).post(reverse("webhook_create"), data)
    assert page.status_code == 422
    assert sentence in page.content.decode()
    assert not Webhook.objects.exists()


def test_a_name_that_changes_its_mind_leads_nowhere(
    cast: Cast, receiver: Receiver, settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(cast, receiver.url)
    finish(cast)
    # Allowed no more: every sending judges anew.
    settings.WEBHOOK_NETWORKS = []
    send_webhooks_task.run()
    assert WebhookDelivery.objects.get().tries[0]["fault"] == "inside"
    # A name with one good address among bad ones is bad.
    found = [(2, 1, 6, "", (host, 443)) for host in ("93.184.215.14", "127.0.0.1")]
    with monkeypatch.context() as patched:
        patched.setattr("socket.getaddrinfo", lambda *_args, **_kwargs: found)
        with pytest.raises(outbound.TargetError, match="inside"):
            outbound.judged_addresses("two-faced.example", 443)
    # And the connection itself is looked at, whatever was judged before.
    monkeypatch.setattr(outbound, "judged_addresses", lambda *_args, **_more: ["127.0.0.1"])
    with pytest.raises(outbound.TargetError, match="inside"):
        outbound.post(receiver.url, b"{}", {}, seconds=1)
    assert receiver.got == []


def test_a_clinic_has_few_webhooks_and_each_once(
    cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(cast, receiver.url)
    browser = cast.client_of(cast.administrator)
    data = {"clinic": str(cast.clinic.pk), "url": receiver.url}
    again = browser.post(reverse("webhook_create"), data)
    assert (again.status_code, "already" in again.content.decode()) == (422, True)
    monkeypatch.setattr(webhooks, "MOST_WEBHOOKS", 1)
    third = browser.post(reverse("webhook_create"), data | {"url": receiver.url + "&c=d"})
    assert (third.status_code, "at most 1" in third.content.decode()) == (422, True)
    with pytest.raises(RuleError, match="administrator"):
        webhooks.create_webhook(clinic=cast.clinic, by=cast.owner, url=receiver.url)


def test_secrets_follow_the_newest_key(
    cast: Cast, receiver: Receiver, settings: SettingsWrapper
) -> None:
    settings.MFA_KEYS = ["first-" + "a1b2c3" * 8]
    _webhook, secret = set_up(cast, receiver.url)
    settings.MFA_KEYS = ["second-" + "d4e5f6" * 8, *settings.MFA_KEYS]
    assert reseal_all() == 1
    settings.MFA_KEYS = settings.MFA_KEYS[:1]
    finish(cast)
    send_webhooks_task.run()
    ((_path, headers, body),) = receiver.got
    timestamp = int(headers["X-Skinapp-Timestamp"])
    signature = webhooks.signature_of(secret, timestamp, body)
    assert headers["X-Skinapp-Signature"] == f"v1={signature}"
    # Without the key nothing is sent, and the page says so.
    settings.MFA_KEYS = ["third-" + "a7b8c9" * 8]
    finish(cast)
    send_webhooks_task.run()
    assert WebhookDelivery.objects.get(state="waiting").tries[0]["fault"] == "sealed"


def test_old_messages_are_forgotten(cast: Cast, receiver: Receiver) -> None:
    set_up(cast, receiver.url)
    finish(cast)
    finish(cast)
    long_ago = timezone.now() - timedelta(days=31)
    first, second = WebhookDelivery.objects.all()
    WebhookDelivery.objects.filter(pk=first.pk).update(
        state=DeliveryState.GIVEN_UP, created_at=long_ago
    )
    WebhookDelivery.objects.filter(pk=second.pk).update(created_at=long_ago)
    forget_requests_task.run()
    assert list(WebhookDelivery.objects.all()) == [second]
