"""A clinic that has a webhook, and analyses that finish."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils import timezone

from classifier.choices import State
from classifier.models import Webhook
from classifier.services import moves
from classifier.services.moves import move
from tests import factories

if TYPE_CHECKING:
    from classifier.models import Analysis
    from tests.conftest import Cast


def set_up(cast: Cast, url: str) -> tuple[Webhook, str]:
    """Set a webhook up as its administrator does, on the page."""
    data = {"clinic": str(cast.clinic.pk), "url": url}
    page = cast.client_of(cast.administrator).post(reverse("webhook_create"), data)
    found = re.search(r"whsec_[\w-]{43}", page.content.decode())
    assert page.status_code == 200, page.content
    assert found is not None
    return Webhook.objects.get(url=url, ended_at=None), found[0]


def finish(cast: Cast, state: State = State.FAILED) -> Analysis:
    """Let an analysis finish by the one function that moves it."""
    analysis = factories.make_analysis(factories.make_image(cast.patient, cast.owner), cast.owner)
    version = factories.make_model_version(active=False)
    type(analysis).objects.filter(pk=analysis.pk).update(
        state=State.RUNNING,
        attempt=1,
        lease_until=timezone.now(),
        started_at=timezone.now(),
        model_version=version,
    )
    assert move(
        analysis_id=analysis.pk,
        origin=State.RUNNING,
        target=state,
        attempt=1,
        actor=moves.worker("w"),
        failure_code="x",
        failure_reference="y",
    )
    return analysis
