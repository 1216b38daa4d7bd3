"""Receivers of webhooks that are slow, dead or kill the sender: nothing waits long for them."""

from __future__ import annotations

import socket
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.utils import timezone

from classifier.choices import DeliveryState
from classifier.models import WebhookDelivery
from classifier.services import outbound, webhooks
from classifier.tasks import send_webhooks_task
from tests import factories
from tests.api.hooks import finish, set_up

if TYPE_CHECKING:
    from tests.api.receiver import Receiver
    from tests.conftest import Cast


def free_again() -> None:
    """Let time pass until everything that waits is due and nobody is held."""
    WebhookDelivery.objects.update(next_attempt_at=timezone.now(), lease_until=None)


def test_an_answer_that_drips_is_not_waited_for(
    cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(cast, receiver.url)
    finish(cast)
    receiver.drip = 0.1
    monkeypatch.setattr(webhooks, "_SECONDS", 0.5)
    send_webhooks_task.run()
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.tries[0]["fault"]) == ("waiting", "TimeoutError")
    assert 400 < delivery.tries[0]["ms"] < 1500
    assert delivery.next_attempt_at > timezone.now()


def test_all_addresses_together_get_the_seconds_of_one(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    def dead(_address: tuple[str, int], timeout: float) -> socket.socket:
        given.append(timeout)
        time.sleep(timeout)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", dead)
    monkeypatch.setattr(outbound, "judged_addresses", lambda *_args, **_more: ["127.0.0.1"] * 4)
    with pytest.raises(TimeoutError):
        outbound.post(receiver.url, b"{}", {}, seconds=0.4)
    # The last one has its turn as well.
    assert len(given) == 4
    assert sum(given) < 0.6


def test_a_name_that_nobody_resolves_in_time_is_unknown(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: time.sleep(2))
    began = time.monotonic()
    with pytest.raises(outbound.TargetError, match="unknown_host"):
        outbound.post(receiver.url, b"{}", {}, seconds=0.2)
    assert time.monotonic() - began < 1.5


def test_what_kills_the_sender_waits_its_turn_and_is_given_up(
    cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(cast, f"{receiver.url}&first")
    finish(cast)
    set_up(cast, receiver.url)
    killer, working = WebhookDelivery.objects.get(), outbound.post

    def deadly(url: str, *args: Any, **more: Any) -> int:
        if url.endswith("first"):
            raise SoftTimeLimitExceeded
        return working(url, *args, **more)

    monkeypatch.setattr(webhooks, "post", deadly)
    with pytest.raises(SoftTimeLimitExceeded):
        send_webhooks_task.run()
    # It died before anything could be noted, and yet does not stand first in the row.
    killer.refresh_from_db()
    assert killer.next_attempt_at > timezone.now() + timedelta(seconds=5)
    finish(cast)
    send_webhooks_task.run()
    assert [path for path, _headers, _body in receiver.got] == ["/hook?a=b"]
    killer.webhook.deliveries.exclude(pk=killer.pk).delete()
    for _attempt in webhooks.BACK_OFF:
        free_again()
        with pytest.raises(SoftTimeLimitExceeded):
            send_webhooks_task.run()
    free_again()
    send_webhooks_task.run()
    killer.refresh_from_db()
    assert (killer.state, killer.attempts) == (DeliveryState.GIVEN_UP, len(webhooks.BACK_OFF) + 1)


def test_a_receiver_that_failed_is_left_alone_for_a_while(cast: Cast, receiver: Receiver) -> None:
    set_up(cast, receiver.url)
    finish(cast)
    receiver.status = 500
    send_webhooks_task.run()
    # One more analysis costs no more waiting for a receiver that is dead.
    finish(cast)
    send_webhooks_task.run()
    assert len(receiver.got) == 1
    free_again()
    receiver.status = 204
    send_webhooks_task.run()
    assert not WebhookDelivery.objects.exclude(state=DeliveryState.DELIVERED).exists()


def test_the_sender_leaves_off_for_an_analysis_that_waits(
    cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(cast, receiver.url)
    for _number in range(3):
        finish(cast)
    woken: list[bool] = []
    monkeypatch.setattr(webhooks, "wake_sender", lambda: woken.append(True))
    monkeypatch.setattr(webhooks, "_WHILE_OTHERS_WAIT", 0.0)
    factories.make_model_version()
    waiting = factories.make_analysis(factories.make_image(cast.patient, cast.owner), cast.owner)
    send_webhooks_task.run()
    assert (len(receiver.got), woken) == (1, [True])
    waiting.delete()
    send_webhooks_task.run()
    assert (len(receiver.got), woken) == (3, [True])


def test_one_wake_up_ends_after_some_seconds(
    cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(cast, receiver.url)
    finish(cast)
    finish(cast)
    monkeypatch.setattr(webhooks, "_AT_ONCE_SECONDS", 0.0)
    assert webhooks.send_due()
    assert len(receiver.got) == 1
    assert not webhooks.send_due()
    assert len(receiver.got) == 2
