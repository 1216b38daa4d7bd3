"""Telling a clinic's other systems that an analysis is finished.

The message is a row, written in the transaction that finishes the analysis; a Celery message only
wakes the sender. What is sent names identifiers and nothing else: not the patient, not the answer,
not even whether there is one, which some readers must not know yet.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import logging
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from classifier.choices import DeliveryState
from classifier.models import Clinic, Webhook, WebhookDelivery
from classifier.selectors.workplace import fresh_waits
from classifier.services import audit
from classifier.services.errors import RuleError
from classifier.services.outbound import TargetError, check_url, judged_addresses, post
from classifier.services.patients import FieldRuleError, broken_constraint
from classifier.services.sealing import SealError, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from classifier.models import User

logger = logging.getLogger(__name__)

EVENT = "analysis.finished"
MOST_WEBHOOKS = 5
# Waiting time before the second, third, ... attempt, in seconds: given up after about a day.
BACK_OFF = (10, 60, 300, 1800, 7200, 21_600, 43_200)
KEPT = timedelta(days=30)
# One message, from the name to the answer's head.
_SECONDS = 5.0
# A claim holds far longer than one message may take.
_LEASE = timedelta(seconds=60)
# After a failure nothing is sent to that address for as long as the message waits itself, and for
# so long at most: a receiver that is dead must not cost its seconds for every finished analysis.
_LONGEST_PAUSE = 60
# The worker has analyses to run: so many seconds go by, or fewer where one waits, and what is left
# gets a message of its own, behind which analyses have their turn.
_AT_ONCE_SECONDS, _WHILE_OTHERS_WAIT = 10.0, 1.0
_GOOD = range(200, 300)
_PREFIX = "whsec_"

# One statement in the transaction of the move; nothing where the clinic has no webhook.
_NOTE = """
INSERT INTO classifier_webhookdelivery
  (id, webhook_id, analysis_id, analysis_attempt, state, attempts, next_attempt_at, tries,
   created_at)
SELECT gen_random_uuid(), w.id, a.id, a.attempt, 'waiting', 0, clock_timestamp(), '[]',
  clock_timestamp()
FROM classifier_analysis a JOIN classifier_webhook w ON w.clinic_id = a.clinic_id
WHERE a.id = ANY(%(analyses)s::uuid[]) AND w.ended_at IS NULL
ON CONFLICT DO NOTHING
"""

_SENTENCES = {
    "not_https": gettext_lazy("The address must begin with https://"),
    "no_host": gettext_lazy("This is no address. Write it like https://host.example/path"),
    "with_password": gettext_lazy(
        "Leave name and password out of the address; the signature proves us."
    ),
    "too_long": gettext_lazy("The address is too long: at most 500 characters."),
    "unknown_host": gettext_lazy("Nobody knows this host name. Check the spelling."),
    "inside": gettext_lazy(
        "This address lies inside a network that may not be sent to. The operator can allow it "
        "with WEBHOOK_NETWORKS."
    ),
}


@dataclass(frozen=True)
class _Claimed:
    delivery: WebhookDelivery
    attempt: int


def create_webhook(*, clinic: Clinic, by: User, url: str) -> tuple[Webhook, str]:
    """Set up an address that is told of every finished analysis of the clinic.

    Args:
        clinic: one that ``by`` administers.
        by: who sets it up, confirmed a moment ago.
        url: an https address outside, or inside a network that the settings allow.

    Returns:
        The row, and the secret that messages are signed with: it is shown once.

    Raises:
        FieldRuleError: the address may not be sent to, or is set up already.
        RuleError: the person does not administer the clinic, or it has very many webhooks.
    """
    _check_administers(clinic, by)
    try:
        host, port, _path = check_url(url)
        judged_addresses(host, port)
    except TargetError as error:
        raise FieldRuleError("url", str(_SENTENCES[error.code])) from error
    if Webhook.objects.active().filter(clinic=clinic).count() >= MOST_WEBHOOKS:
        raise RuleError(
            _("A clinic has at most %(most)d webhooks. End one first.") % {"most": MOST_WEBHOOKS}
        )
    secret = _PREFIX + secrets.token_urlsafe(32)
    webhook = Webhook(clinic=clinic, url=url, secret=seal(secret), created_by=by)
    try:
        with transaction.atomic():
            webhook.save(force_insert=True)
            audit.record(action="webhook.created", actor=by, clinic=clinic, subject=webhook)
    except IntegrityError as error:
        if broken_constraint(error) != "webhook_once_per_address":
            raise
        raise FieldRuleError(
            "url", _("This clinic has a webhook with this address already.")
        ) from error
    return webhook, secret


def end_webhook(*, webhook: Webhook, by: User) -> None:
    """Send nothing to an address any more, what waits included.

    Raises:
        RuleError: it was ended already, or the person does not administer the clinic.
    """
    _check_administers(webhook.clinic, by)
    _end(webhook, by, "")


def end_webhook_in_panel(*, webhook: Webhook, by: User, reason: str) -> None:
    """Do the same as an administrator of the installation.

    Raises:
        RuleError: it was ended already, or the person does not administer the installation.
    """
    if not by.has_perm("classifier.change_webhook"):
        raise RuleError(_("Only an administrator of the installation ends it here."))
    _end(webhook, by, reason)


def _end(webhook: Webhook, by: User, reason: str) -> None:
    with transaction.atomic():
        ended = (
            Webhook.objects.active()
            .filter(pk=webhook.pk)
            .update(ended_at=timezone.now(), ended_by=by)
        )
        if not ended:
            raise RuleError(_("This webhook was ended already."))
        webhook.deliveries.filter(state=DeliveryState.WAITING).update(state=DeliveryState.GIVEN_UP)
        audit.record(
            action="webhook.ended",
            actor=by,
            clinic_id=webhook.clinic_id,
            subject=webhook,
            reason=reason,
        )


def send_again(*, delivery: WebhookDelivery, by: User) -> None:
    """Try a message that was given up from the beginning.

    Raises:
        RuleError: it was not given up, or the webhook was ended.
    """
    _check_administers(delivery.webhook.clinic, by)
    now = timezone.now()
    again = WebhookDelivery.objects.filter(
        pk=delivery.pk, state=DeliveryState.GIVEN_UP, webhook__ended_at__isnull=True
    ).update(state=DeliveryState.WAITING, attempts=0, next_attempt_at=now, lease_until=None)
    if not again:
        raise RuleError(_("Only a message that was given up is sent again."))
    wake_sender()


def note_finished(analyses: Sequence[UUID]) -> None:
    """Write the messages that analyses are finished; call it in the moves' transaction."""
    if not analyses:
        return
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, {"analyses": [str(pk) for pk in analyses]})
        written = cursor.rowcount
    if written:
        transaction.on_commit(wake_sender, robust=True)


def wake_sender() -> None:
    """Tell a worker that messages are due; should that be lost, the sweep finds them."""
    from classifier.services.analyses import nudge  # noqa: PLC0415 - analyses call moves
    from classifier.tasks.webhooks import send_webhooks_task  # noqa: PLC0415 - tasks call services

    nudge(send_webhooks_task)


def send_due() -> bool:
    """Send what is due, one message after the other, for some seconds.

    Safe to run twice at once: a message is claimed by one sender, and a sender that died lets go
    of it after a minute, as if it had failed. A receiver may get the same message twice, and sees
    by its identifier that it did.

    Returns:
        Whether more is due.
    """
    began = time.monotonic()
    _give_up_lost()
    while (claimed := _claim()) is not None:
        _send(claimed)
        spent = time.monotonic() - began
        if spent >= _AT_ONCE_SECONDS or (spent >= _WHILE_OTHERS_WAIT and fresh_waits()):
            return WebhookDelivery.objects.due(timezone.now()).exists()
    return False


def forget_old() -> int:
    """Delete messages that ended long ago; return how many."""
    old = WebhookDelivery.objects.filter(created_at__lt=timezone.now() - KEPT)
    return old.exclude(state=DeliveryState.WAITING).delete()[0]


def body_of(delivery: WebhookDelivery) -> bytes:
    """Return what is sent: identifiers and nothing else."""
    told = {
        "event": EVENT,
        "delivery": str(delivery.pk),
        "clinic": str(delivery.webhook.clinic_id),
        "analysis": str(delivery.analysis_id),
    }
    return json.dumps(told, separators=(",", ":")).encode()


def signature_of(secret: str, timestamp: int, body: bytes) -> str:
    """Return HMAC-SHA256 over timestamp, full stop and body, in hexadecimal."""
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def _claim() -> _Claimed | None:
    """Take the message that has been due for longest.

    It is put back as if it had failed already: one that kills its sender stands behind the others
    next time.
    """
    now = timezone.now()
    with transaction.atomic():
        delivery = (
            WebhookDelivery.objects.due(now)
            .select_related("webhook")
            .select_for_update(skip_locked=True, of=("self",))
            .order_by("next_attempt_at", "id")
            .first()
        )
        if delivery is None:
            return None
        attempt = delivery.attempts + 1
        WebhookDelivery.objects.filter(pk=delivery.pk).update(
            attempts=attempt,
            next_attempt_at=_next_attempt(attempt, now),
            lease_until=now + _LEASE,
        )
    return _Claimed(delivery, attempt)


def _give_up_lost() -> None:
    """Give up what was claimed for the last time by a sender that died."""
    lost = WebhookDelivery.objects.due(timezone.now()).filter(attempts__gt=len(BACK_OFF))
    for key in lost.values_list("pk", flat=True):
        if lost.filter(pk=key).update(state=DeliveryState.GIVEN_UP, lease_until=None):
            logger.warning("webhook message %s was given up: its senders died", key)


def _next_attempt(attempt: int, now: datetime) -> datetime:
    """Return when a message is tried again; after the last attempt: when it is given up."""
    return now + timedelta(seconds=BACK_OFF[min(attempt, len(BACK_OFF)) - 1])


def _send(claimed: _Claimed) -> None:
    """Send one message and write down what became of it."""
    delivery = claimed.delivery
    body = body_of(delivery)
    began = time.monotonic()
    status, fault = None, ""
    try:
        timestamp = int(time.time())
        signature = signature_of(unseal(delivery.webhook.secret), timestamp, body)
        status = post(
            delivery.webhook.url,
            body,
            {
                "Content-Type": "application/json",
                "User-Agent": "Skinapp-Webhook/1",
                "X-Skinapp-Delivery": str(delivery.pk),
                "X-Skinapp-Timestamp": str(timestamp),
                "X-Skinapp-Signature": f"v1={signature}",
            },
            seconds=_SECONDS,
        )
        fault = "" if status in _GOOD else "status"
    except TargetError as error:
        fault = error.code
    except SealError:
        logger.exception("the secret of webhook %s cannot be opened", delivery.webhook_id)
        fault = "sealed"
    except (OSError, http.client.HTTPException) as error:
        fault = type(error).__name__
    tried = {
        "at": timezone.now().isoformat(timespec="seconds"),
        "status": status,
        "fault": fault[:40],
        "ms": round((time.monotonic() - began) * 1000),
    }
    _note(claimed, tried, taken=not fault)


def _note(claimed: _Claimed, tried: dict[str, Any], *, taken: bool) -> None:
    now = timezone.now()
    facts: dict[str, Any] = {"lease_until": None, "tries": [*claimed.delivery.tries, tried]}
    if taken:
        facts |= {"state": DeliveryState.DELIVERED, "delivered_at": now}
    elif claimed.attempt > len(BACK_OFF):
        facts |= {"state": DeliveryState.GIVEN_UP}
        logger.warning("webhook message %s was given up: %s", claimed.delivery.pk, tried["fault"])
    else:
        again = _next_attempt(claimed.attempt, now)
        # Held on: nothing else is sent there meanwhile (see ``due``).
        pause = min(again, now + timedelta(seconds=_LONGEST_PAUSE))
        facts |= {"next_attempt_at": again, "lease_until": pause}
    # Another sender may hold it by now, or an administrator ended the webhook.
    WebhookDelivery.objects.filter(
        pk=claimed.delivery.pk, attempts=claimed.attempt, state=DeliveryState.WAITING
    ).update(**facts)


def _check_administers(clinic: Clinic, by: User) -> None:
    if not Clinic.objects.administered_by(by).filter(pk=clinic.pk).exists():
        raise RuleError(_("Only the clinic's administrator manages its webhooks."))
