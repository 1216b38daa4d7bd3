"""Who must read an image first is not told its answer by the audit trail either."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from classifier.choices import Decision
from classifier.models import Analysis
from classifier.services.analyses import retry_analysis
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from classifier.services.second_readings import request_second_reading
from tests.web import answered as make
from tests.web.answers import text_of

if TYPE_CHECKING:
    from tests.conftest import Cast

TRAIL = reverse("audit_trail")
KEPT = ("state", "decision", "prediction", "finished_at")
SETTLED = f"{TRAIL}?action=disagreement.settled"


def test_that_readers_differed_is_listed_once_the_reader_has_read(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    save_review(analysis=analysis, by=cast.owner, verdict="agree", expected_number=0)
    client = cast.client_of(cast.administrator)
    assert cast.patient.name in text_of(client.get(SETTLED))
    request_second_reading(analysis=analysis, by=cast.owner, asked=cast.administrator)
    assert cast.patient.name not in text_of(client.get(SETTLED))
    # What gives nothing away is listed as ever.
    told = text_of(client.get(TRAIL))
    assert cast.patient.name in told
    assert "Review saved" in told
    save_reading(analysis=analysis, by=cast.administrator, diagnosis="nevus")
    assert cast.patient.name in text_of(client.get(SETTLED))


@pytest.mark.parametrize("answered_again", [False, True])
def test_why_an_answer_was_not_accepted_is_told_once_the_reader_has_read(
    cast: Cast, *, answered_again: bool
) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    analysis = make.answered(image, cast.owner, decision=Decision.REJECTED)
    before = {name: getattr(analysis, name) for name in KEPT}
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    retry_analysis(analysis=analysis, by=cast.owner, reason="It said not skin")
    if answered_again:
        Analysis.objects.filter(pk=analysis.pk).update(**before)
    client = cast.client_of(cast.administrator)
    told = text_of(client.get(TRAIL))
    assert "Analysis tried again" in told
    assert "It said not skin" not in told
    Analysis.objects.filter(pk=analysis.pk).update(**before)
    save_reading(analysis=Analysis.objects.get(), by=cast.administrator, diagnosis="nevus")
    assert "It said not skin" in text_of(client.get(TRAIL))
