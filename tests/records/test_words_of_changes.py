"""The history of changes speaks of diagnoses as people do."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from django.urls import reverse

from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from tests.web import answered as make

if TYPE_CHECKING:
    from tests.conftest import Cast


def test_a_diagnosis_is_named_and_never_a_key(cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    said = (("pigmented_benign_keratosis", ""), ("other", "Tick bite"))
    for number, (diagnosis, words) in enumerate(said):
        save_review(
            analysis=analysis,
            by=cast.owner,
            verdict="overrule",
            expected_number=number,
            diagnosis=diagnosis,
            diagnosis_text=words,
            reason="Seen in person.",
        )
    save_review(analysis=analysis, by=cast.owner, verdict="defer", expected_number=len(said))
    address = reverse("patient_changes", args=[cast.patient.pk])
    page = html.unescape(cast.client_of(cast.owner).get(address).content.decode())
    assert "Pigmented benign keratosis" in page
    assert "pigmented_benign_keratosis" not in page
    assert "Tick bite" in page
    assert page.count("Final diagnosis") == len(said)
