"""Being told that results wait: in the page, and by letters that come seldom and name nobody."""

from __future__ import annotations

import logging
import re
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from classifier.choices import NoticePace, ReviewState
from classifier.models import Analysis, AuditEvent, Membership, NoticeChoice
from classifier.services.errors import RuleError
from classifier.services.notices import choose_notices, send_notices
from classifier.tasks import send_notices_task
from tests import factories
from tests.web import answered as make
from tests.web.answers import text_of

if TYPE_CHECKING:
    from django.conf import LazySettings

    from classifier.models import User
    from tests.conftest import Cast

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def result(cast: Cast, by: User | None = None, *, minutes: int = 10, **extra: Any) -> Analysis:
    """Make a result that came some minutes ago."""
    who = by or cast.owner
    made = make.answered(make.bare_image(cast.patient, who), who, **extra)
    came = timezone.now() - timedelta(minutes=minutes)
    Analysis.objects.filter(pk=made.pk).update(finished_at=came)
    return made


def choose(user: User, pace: str = NoticePace.HOURLY) -> NoticeChoice:
    """Choose notices, and return the choice."""
    choose_notices(by=user, pace=pace, language="en")
    return NoticeChoice.objects.get(user=user)


def later(span: timedelta) -> None:
    """Let so much time pass for everything that notices look at."""
    for choice in NoticeChoice.objects.all():
        for name in ("next_at", "sent_at", "told_until"):
            moment: datetime | None = getattr(choice, name)
            setattr(choice, name, moment - span if moment else None)
        choice.save()
    Analysis.objects.update(finished_at=F("finished_at") - span)


class BrokenBackend(EmailBackend):
    """A mail server that refuses."""

    def send_messages(self, messages: Any) -> int:
        """Fail."""
        del messages
        msg = "the mail server is away"
        raise ConnectionRefusedError(msg)


def test_every_page_counts_ones_own_results_that_nobody_reviewed(cast: Cast) -> None:
    reviewed = result(cast)
    Analysis.objects.filter(pk=reviewed.pk).update(review_state=ReviewState.REVIEWED)
    result(cast, cast.colleague)
    client = cast.client_of(cast.owner)
    words = "images that you sent have a result"
    assert words not in text_of(client.get("/patients/"))
    result(cast)
    result(cast)
    shown = text_of(client.get("/patients/"))
    assert '<span class="count">2</span>' in shown
    assert words in shown
    told = "2 images that you sent have a result that nobody has reviewed."
    assert told in text_of(client.get("/"))
    assert told not in text_of(client.get("/?mine=1"))
    assert words not in text_of(cast.client_of(cast.read_only).get("/patients/"))
    # Whoever left the clinic is told of nothing there.
    Membership.objects.filter(user=cast.owner).delete()
    assert words not in text_of(client.get("/patients/"))


def test_the_sender_is_told_of_what_failed(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    failed = make.failed(make.bare_image(cast.patient, cast.owner), cast.owner)
    make.failed(make.bare_image(cast.patient, cast.colleague), cast.colleague)
    words = "1 image that you sent has failed: no network has judged it."
    assert words in text_of(client.get("/"))
    assert "?tab=failed&amp;mine=1" in text_of(client.get("/"))
    assert words not in text_of(client.get("/?tab=failed"))
    shown = text_of(client.get("/patients/"))
    assert '<span class="count">1</span>' in shown
    assert "image that you sent has failed or has a result to review" in shown
    # With a result to review both are counted.
    result(cast)
    shown = text_of(client.get("/patients/"))
    assert '<span class="count">2</span>' in shown
    assert "images that you sent have failed or have a result to review" in shown
    # Of a corrected modality another analysis was made; nobody tries the first one again.
    failed.image.modality = "clinical"
    failed.image.save()
    assert "failed" not in text_of(client.get("/patients/"))


def test_a_letter_says_how_many_and_where_and_nothing_else(cast: Cast) -> None:
    first = result(cast)
    result(cast)
    choose(cast.owner)
    send_notices_task()
    (letter,) = mail.outbox
    assert letter.to == [cast.owner.email]
    assert letter.subject == "[Skinapp] 2 results wait for a review"
    assert "2 images that you sent have a result" in letter.body
    for path in (f"{reverse('worklist')}?mine=1", reverse("preferences")):
        assert f"\n{settings.SITE_ADDRESS}{path}\n" in letter.body
    for secret in (cast.patient.name, cast.patient.record_number, cast.clinic.name, str(first.pk)):
        assert secret not in str(letter.message())
    assert "melanoma" not in str(letter.message())


def test_it_is_off_until_somebody_wants_it(cast: Cast) -> None:
    result(cast)
    assert send_notices() == 0
    choose(cast.owner, NoticePace.DAILY)
    choose_notices(by=cast.owner, pace=NoticePace.OFF, language="en")
    assert send_notices() == 0
    assert mail.outbox == []


@pytest.mark.parametrize(("pace", "between"), [(NoticePace.HOURLY, HOUR), (NoticePace.DAILY, DAY)])
def test_letters_keep_their_pace_and_tell_of_news_only(
    cast: Cast, pace: NoticePace, between: timedelta
) -> None:
    result(cast)
    choose(cast.owner, pace)
    assert send_notices() == 1
    assert send_notices() == 0
    result(cast, minutes=0)
    later(between - timedelta(minutes=5))
    assert send_notices() == 0
    later(timedelta(minutes=6))
    assert send_notices() == 1
    assert "2 images" in mail.outbox[-1].body
    # Nothing new: what waits was told of, and is counted in the page.
    later(between * 2)
    assert send_notices() == 0
    # Switching to and fro brings no letter earlier.
    result(cast, minutes=0)
    choose_notices(by=cast.owner, pace=NoticePace.OFF, language="en")
    NoticeChoice.objects.update(sent_at=timezone.now())
    assert choose(cast.owner, pace).next_at > timezone.now() + between - timedelta(minutes=1)


def test_what_was_stored_this_moment_waits_for_the_next_look(cast: Cast) -> None:
    choose(cast.owner)
    result(cast, minutes=0)
    assert send_notices() == 0
    later(timedelta(minutes=6))
    assert send_notices() == 1


def test_who_left_or_was_deactivated_gets_none(cast: Cast) -> None:
    for user in (cast.owner, cast.colleague):
        result(cast, user)
        choose(user)
    Membership.objects.filter(user=cast.owner).delete()
    cast.colleague.is_active = False
    cast.colleague.save()
    assert send_notices() == 0
    assert mail.outbox == []


def test_two_senders_write_one_letter_to_each(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    for user in (cast.owner, cast.colleague):
        result(cast, user)
        choose(user)
    working = settings.EMAIL_BACKEND

    class Slow(EmailBackend):
        def send_messages(self, messages: Any) -> int:
            # The other sender comes while this one talks to the mail server, and takes the next.
            monkeypatch.setattr(settings, "EMAIL_BACKEND", working)
            assert send_notices() == 1
            return super().send_messages(messages)

    monkeypatch.setattr("tests.web.test_notices.SlowBackend", Slow, raising=False)
    monkeypatch.setattr(settings, "EMAIL_BACKEND", "tests.web.test_notices.SlowBackend")
    assert send_notices() == 1
    assert sorted(letter.to[0] for letter in mail.outbox) == [
        cast.colleague.email,
        cast.owner.email,
    ]


def test_a_mail_server_that_fails_loses_nothing_and_is_not_pestered(
    cast: Cast, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    everybody = [factories.make_member(cast.clinic) for _ in range(5)]
    for user in everybody:
        result(cast, user)
        choose(user)
    working = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = "tests.web.test_notices.BrokenBackend"
    with caplog.at_level(logging.ERROR):
        assert send_notices() == 0
    # Three in a row are the server's fault: the others did not fail.
    assert list(NoticeChoice.objects.order_by("failures").values_list("failures", flat=True)) == [
        0,
        0,
        1,
        1,
        1,
    ]
    assert len(caplog.records) == 3
    assert "was not sent, reference" in caplog.text
    assert everybody[0].email not in caplog.text
    for _ in range(9):
        later(HOUR)
        send_notices()
    tried = len(caplog.records)
    later(timedelta(minutes=5))
    send_notices()
    assert len(caplog.records) == tried
    assert NoticeChoice.objects.filter(failures__gt=4).count() == 0
    settings.EMAIL_BACKEND = working
    later(DAY)
    assert send_notices() == 5
    assert {letter.to[0] for letter in mail.outbox} == {user.email for user in everybody}
    assert not NoticeChoice.objects.exclude(failures=0).exists()


@pytest.mark.parametrize("why", ["an analysis waits", "the time is over"])
def test_letters_leave_the_worker_to_analyses(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    for user in (cast.owner, cast.colleague):
        result(cast, user)
        choose(user)
    waits = why == "an analysis waits"
    if waits:
        factories.make_analysis(make.bare_image(cast.patient, cast.owner), cast.owner)
    name = "_WHILE_OTHERS_WAIT" if waits else "_AT_ONCE_SECONDS"
    monkeypatch.setattr(f"classifier.services.notices.{name}", 0.0)
    woken: list[Any] = []
    monkeypatch.setattr("classifier.tasks.notices.nudge", woken.append)
    send_notices_task()
    assert (len(mail.outbox), woken) == (1, [send_notices_task])
    send_notices_task()
    assert len(mail.outbox) == 2
    # Nobody is left, and nobody is woken.
    assert len(woken) == 1


def test_a_mail_server_that_hangs_holds_the_worker_up_once(
    cast: Cast, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in (cast.owner, cast.colleague):
        result(cast, user)
        choose(user)

    class Hanging(EmailBackend):
        def send_messages(self, messages: Any) -> int:
            del messages
            time.sleep(0.2)
            raise TimeoutError

    monkeypatch.setattr("tests.web.test_notices.HangingBackend", Hanging, raising=False)
    settings.EMAIL_BACKEND = "tests.web.test_notices.HangingBackend"
    monkeypatch.setattr("classifier.services.notices._AT_ONCE_SECONDS", 0.1)
    woken: list[Any] = []
    monkeypatch.setattr("classifier.tasks.notices.nudge", woken.append)
    send_notices_task()
    assert NoticeChoice.objects.filter(failures=1).count() == 1
    assert woken == []


def test_the_choice_is_made_on_a_page_and_recorded(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    page = client.get("/preferences/")
    assert cast.owner.email in text_of(page)
    assert page.context["form"].initial == {"pace": "off"}
    assert client.post("/preferences/", {"pace": "hourly"}, follow=True).status_code == 200
    assert client.post("/preferences/", {"pace": "hourly"}).status_code == 302
    assert client.post("/preferences/", {"pace": "always"}).status_code == 422
    assert NoticeChoice.objects.get().pace == "hourly"
    event = AuditEvent.objects.get(action="notices.changed")
    assert (event.actor, event.clinic) == (cast.owner, cast.clinic)
    assert event.details == {"pace": "hourly", "before": "off"}
    trail = text_of(cast.client_of(cast.administrator).get("/audit/?action=notices.changed"))
    assert re.search(r"<dd>\s*Never\s*</dd>", trail)
    assert re.search(r"<dd>\s*Once an hour at most\s*</dd>", trail)


def test_an_installation_without_an_address_offers_no_letters(
    cast: Cast, settings: LazySettings
) -> None:
    result(cast)
    choose(cast.owner)
    settings.SITE_ADDRESS = ""
    assert send_notices() == 0
    # What was chosen before can be switched off.
    client = cast.client_of(cast.owner)
    assert client.post("/preferences/", {"pace": "daily"}).status_code == 422
    assert client.post("/preferences/", {"pace": "off"}).status_code == 302
    assert "sends no letters about results" in text_of(client.get("/preferences/"))
    with pytest.raises(RuleError):
        choose_notices(by=cast.colleague, pace=NoticePace.DAILY, language="en")
