"""The alarm for a queue that stands still: what clinicians see, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from classifier.choices import State
from classifier.models import Analysis
from classifier.selectors.workplace import oldest_wait
from tests import factories

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

    from tests.conftest import Cast

ALARM = "Answers are late"


def shown(client: Client) -> bool:
    """Tell whether the worklist warns, as a status that screen readers announce."""
    text = client.get(reverse("worklist")).content.decode()
    if ALARM not in text:
        return False
    before = text[: text.index(ALARM)]
    assert before.rindex('role="status"') > before.rindex("</header>")
    assert "Nothing is lost" in text
    return True


def test_clinicians_are_warned_when_answers_are_late_and_only_then(
    cast: Cast, settings: Settings
) -> None:
    settings.ANALYSIS_QUEUE_ALARM_SECONDS = 120
    clinician = cast.client_of(cast.owner)
    analysis = factories.make_analysis(factories.make_image(cast.patient, cast.owner), cast.owner)
    rows = Analysis.objects.filter(pk=analysis.pk)
    now = timezone.now()

    rows.update(not_before=now - timedelta(seconds=60))
    assert not shown(clinician)
    # Waiting for its next attempt is not waiting for a worker.
    rows.update(not_before=now + timedelta(hours=1))
    assert not shown(clinician)
    rows.update(not_before=now - timedelta(seconds=180))
    assert shown(clinician)
    # Everybody who waits for answers is told, also in a clinic whose own queue is empty.
    assert shown(cast.client_of(cast.stranger))
    assert "3 minutes" in clinician.get(reverse("worklist")).content.decode()
    # A stranger at the door learns nothing of it.
    assert ALARM not in Client().get(reverse("account_login")).content.decode()
    settings.ANALYSIS_QUEUE_ALARM_SECONDS = 600
    assert not shown(clinician)

    # A worker took it and died, and nothing sweeps.
    settings.ANALYSIS_QUEUE_ALARM_SECONDS = 120
    facts = {"started_at": now, "attempt": 1, "model_version": factories.make_model_version()}
    rows.update(state=State.RUNNING, lease_until=now + timedelta(seconds=60), **facts)
    assert oldest_wait() is None
    assert not shown(clinician)
    rows.update(lease_until=now - timedelta(seconds=240))
    waited = oldest_wait()
    assert waited is not None
    assert 240 <= waited.total_seconds() < 300
    assert shown(clinician)
