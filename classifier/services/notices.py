"""Letters that results wait: to whoever wants them, as seldom as they want, naming nobody.

A letter says how many results wait and where to read them. Whose they are and what they say stands
in the application alone. The row of ``NoticeChoice`` is the job; the task that sends is only asked
now and then to look.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Count, Q
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from classifier.choices import NoticePace
from classifier.models import Analysis, NoticeChoice, User
from classifier.selectors.workplace import fresh_waits
from classifier.services import audit
from classifier.services.claims import new_reference
from classifier.services.errors import RuleError

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

logger = logging.getLogger(__name__)

PACES = {NoticePace.HOURLY: timedelta(hours=1), NoticePace.DAILY: timedelta(days=1)}
# Where nothing new waits, so long until the next look.
_LOOK_AGAIN = timedelta(minutes=5)
# After one letter that could not be sent, two, ...; the last of these from then on, for ever: a
# letter is lost to nobody, and nobody's broken address is tried more than once a day.
_BACK_OFF = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6), timedelta(days=1))
# A result may be stored a while before it can be seen: a transaction that takes longer than this is
# ended by the database (``DATABASE_STATEMENT_SECONDS``).
_RIPE = timedelta(minutes=1)
# Of one run: the worker has analyses to run. So many seconds go by, or fewer where one waits. A
# mail server that hangs costs ``EMAIL_TIMEOUT`` once, because then the time is over.
_AT_ONCE, _AT_ONCE_SECONDS, _WHILE_OTHERS_WAIT = 200, 10.0, 1.0
# So many failures one after the other mean the mail server and not the address.
_IN_A_ROW = 3
# Not looked up by name: that imports every page into the worker, a third of its memory.
_WORKLIST, _CHOICE = "/?mine=1", "/preferences/"


def notices_possible() -> bool:
    """Return whether this installation can send such letters: it must know its own address."""
    return bool(settings.SITE_ADDRESS)


def choose_notices(*, by: User, pace: str, language: str) -> None:
    """Say how often a person wants to be told.

    Args:
        by: whose wish it is.
        pace: a value of ``NoticePace``.
        language: in which to write, a code of ``settings.LANGUAGES``.

    Raises:
        RuleError: letters were asked for, and this installation cannot send any.
    """
    if pace != NoticePace.OFF and not notices_possible():
        raise RuleError(_("This installation sends no letters about results. Ask its operator."))
    now = timezone.now()
    with transaction.atomic():
        # The person's row, as there may be no choice to lock yet.
        User.objects.select_for_update(no_key=True).get(pk=by.pk)
        before = NoticeChoice.objects.filter(user=by).first()
        was = before.pace if before else NoticePace.OFF
        if was == pace and (before is None or before.language == language):
            return
        NoticeChoice.objects.update_or_create(
            user=by,
            defaults={
                "pace": pace,
                "language": language,
                "changed_at": now,
                # Switching to and fro brings no letter earlier.
                "next_at": _after(before.sent_at if before else None, pace, now),
                "failures": 0,
            },
        )
        if was != pace:
            audit.record(action="notices.changed", actor=by, subject=by, pace=pace, before=str(was))


def pace_of(user: User) -> str:
    """Return how often the person wants to be told."""
    pace = NoticeChoice.objects.filter(user=user).values_list("pace", flat=True).first()
    return pace or NoticePace.OFF


def send_notices() -> int:
    """Send the letters that are due; return how many.

    Safe to run twice at once, and to be killed: a row is claimed by moving its next look on, so
    that one of two senders gets it, and what a sender that died did not send is tried again as
    after a failure.
    """
    if not notices_possible():
        return 0
    began = time.monotonic()
    sent, failed = 0, 0
    due = _due().select_related("user").order_by("next_at", "user_id")
    for choice in due[:_AT_ONCE]:
        told = _tell(choice)
        if told:
            sent, failed = sent + 1, 0
        elif told is False:
            failed += 1
        spent = time.monotonic() - began
        if failed == _IN_A_ROW or spent >= _AT_ONCE_SECONDS:
            break
        if spent >= _WHILE_OTHERS_WAIT and fresh_waits():
            break
    return sent


def letters_wait() -> bool:
    """Tell whether there is somebody left to look at."""
    return notices_possible() and _due().exists()


def _due() -> QuerySet[NoticeChoice]:
    return NoticeChoice.objects.exclude(pace=NoticePace.OFF).filter(
        next_at__lte=timezone.now(), user__is_active=True
    )


def _tell(choice: NoticeChoice) -> bool | None:
    """Send one letter; None where there is nothing to tell or another sender has it."""
    now = timezone.now()
    ripe = now - _RIPE
    fresh = Q(finished_at__lte=ripe)
    if choice.told_until is not None:
        fresh &= Q(finished_at__gt=choice.told_until)
    waiting = Analysis.objects.unreviewed_from(choice.user).visible_to(choice.user)
    counted = waiting.aggregate(whole=Count("pk"), new=Count("pk", filter=fresh))
    held = NoticeChoice.objects.filter(
        pk=choice.pk, pace=choice.pace, next_at=choice.next_at, failures=choice.failures
    )
    if not counted["new"]:
        held.update(next_at=now + _LOOK_AGAIN)
        return None
    # Claimed as if it had failed already: whoever dies now has failed.
    back_off = _BACK_OFF[min(choice.failures, len(_BACK_OFF) - 1)]
    failures = min(choice.failures + 1, len(_BACK_OFF))
    if not held.update(next_at=now + back_off, failures=failures):
        return None
    try:
        _letter(choice, counted["whole"]).send()
    # ValueError: an address that no letter can have, which older rows may hold.
    except (OSError, ValueError):
        reference = new_reference()
        logger.exception(
            "the letter to person %s was not sent, reference %s", choice.user_id, reference
        )
        return False
    NoticeChoice.objects.filter(pk=choice.pk, next_at=now + back_off).update(
        sent_at=now, told_until=ripe, next_at=_after(now, choice.pace, now), failures=0
    )
    return True


def _letter(choice: NoticeChoice, waiting: int) -> EmailMessage:
    site = settings.SITE_ADDRESS.rstrip("/")
    told = {
        "waiting": waiting,
        "worklist": site + _WORKLIST,
        "choice": site + _CHOICE,
    }
    with translation.override(choice.language):
        subject = render_to_string("notices/letter_subject.txt", told)
        body = render_to_string("notices/letter.txt", told)
    return EmailMessage(
        settings.EMAIL_SUBJECT_PREFIX + " ".join(subject.split()),
        body,
        to=[choice.user.email],
        # Nobody answers a program, and no answering machine should.
        headers={"Auto-Submitted": "auto-generated"},
    )


def _after(sent_at: datetime | None, pace: str, now: datetime) -> datetime:
    """Return when the next letter may be written."""
    between = PACES.get(NoticePace(pace))
    return max(now, sent_at + between) if sent_at and between else now
