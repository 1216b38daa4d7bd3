"""The admin panel's searches, which ask indexes instead of every row of a table."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from classifier.models import AuditEvent, Lesion, Prediction
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from tests import factories
from tests.web import answered as make

if TYPE_CHECKING:
    from classifier.models import Analysis, Image
    from tests.conftest import Cast


@pytest.fixture
def image(cast: Cast) -> Image:
    """Return an image of the cast's patient."""
    return make.bare_image(cast.patient, cast.owner)


@pytest.fixture
def analysis(cast: Cast, image: Image) -> Analysis:
    """Return a reviewed analysis of it, beside a failed one of somebody else."""
    cast.clinic.blinded_first = False
    cast.clinic.save()
    other = factories.make_patient(cast.clinic, cast.owner, name="Grace Other")
    make.failed(make.bare_image(other, cast.owner), cast.owner)
    reviewed = make.answered(image, cast.owner)
    save_reading(analysis=reviewed, by=cast.owner, diagnosis="nevus")
    save_review(analysis=reviewed, by=cast.colleague, verdict="defer", expected_number=0)
    Lesion.objects.create(
        clinic=cast.clinic, patient=cast.patient, label="L1", created_by=cast.owner
    )
    return reviewed


def test_every_list_is_searched_by_key_patient_or_person(
    cast: Cast, analysis: Analysis, image: Image
) -> None:
    client = cast.client_of(cast.superuser)

    def found(model: str, text: Any) -> int:
        address = reverse(f"admin:classifier_{model}_changelist")
        page = client.get(address, {"q": str(text)})
        assert page.status_code == 200, (model, text)
        return len(page.context["cl"].result_list)

    for model in ("analysis", "prediction", "reading", "review", "image", "lesion"):
        assert found(model, "ada") == 1, model
        assert found(model, "example ADA") == 1, model
        assert found(model, "nobody") == 0, model
        assert found(model, uuid.uuid4()) == 0, model
    for model in ("analysis", "image", "lesion"):
        assert found(model, cast.patient.pk) == 1, model
        assert found(model, "grace") == (0 if model == "lesion" else 1), model
    assert found("analysis", analysis.pk) == found("analysis", image.pk) == 1
    assert found("analysis", " 3F9A01BC ") == found("analysis", "3f9a01bc") == 1
    assert found("prediction", Prediction.objects.get().pk) == 1
    assert found("reading", cast.owner.email) == found("review", cast.colleague.email) == 1
    assert found("reading", cast.colleague.email) == found("review", cast.owner.email) == 0
    assert found("image", image.original_sha256) == 1
    assert found("image", "0" * 64) == 0
    assert found("erasure", uuid.uuid4()) == found("erasure", "nobody") == 0
    assert found("consent", "ada") == 0

    events = AuditEvent.objects.filter(patient_key=cast.patient.pk).count()
    assert found("auditevent", cast.patient.pk) >= events > 0
    assert found("auditevent", analysis.pk) > 0
    assert found("auditevent", cast.colleague.email) > 0
    assert found("auditevent", "nobody@nowhere.example") == 0


def test_the_trail_is_filtered_by_the_actions_there_are(cast: Cast, analysis: Analysis) -> None:
    client = cast.client_of(cast.superuser)
    address = reverse("admin:classifier_auditevent_changelist")
    page = client.get(address, {"action": "review.saved"})
    shown = {event.action for event in page.context["cl"].result_list}
    assert shown == {"review.saved"}
    assert "Patient erased" in page.content.decode()
    assert str(analysis.pk) in page.content.decode()
