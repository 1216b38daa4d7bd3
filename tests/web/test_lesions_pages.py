"""A lesion is recorded on its patient's page."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from django.utils import timezone

from classifier.models import AuditEvent, Lesion, Patient

if TYPE_CHECKING:
    from tests.conftest import Cast


# --- Lesions -----------------------------------------------------------------------------------


def test_a_lesion_is_recorded_on_the_patients_page(cast: Cast) -> None:
    response = cast.client_of(cast.colleague).post(
        reverse("lesion_create", args=[cast.patient.pk]),
        {"label": " Mole left of the spine ", "body_site": "back", "first_seen": "2024-01-31"},
    )
    assert response["Location"].startswith(cast.patient.get_absolute_url())
    lesion = Lesion.objects.get()
    assert (lesion.label, lesion.body_site) == ("Mole left of the spine", "back")
    assert lesion.clinic == cast.clinic
    assert AuditEvent.objects.get(action="lesion.added").subject_id == str(lesion.pk)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("label", " "),
        ("label", "x" * 101),
        ("body_site", "moon"),
        ("first_seen", (timezone.localdate() + timedelta(days=2)).isoformat()),
    ],
)
def test_an_impossible_lesion_is_an_error_at_its_field(cast: Cast, field: str, value: str) -> None:
    facts = {"label": "Mole", "body_site": "back"} | {field: value}
    response = cast.client_of(cast.owner).post(
        reverse("lesion_create", args=[cast.patient.pk]), facts
    )
    assert response.status_code == 422
    assert list(response.context["lesion_form"].errors) == [field]
    assert not Lesion.objects.exists()


def test_a_label_is_used_once_for_each_patient(cast: Cast) -> None:
    address = reverse("lesion_create", args=[cast.patient.pk])
    client = cast.client_of(cast.owner)
    client.post(address, {"label": "Mole", "body_site": "back"})
    response = client.post(address, {"label": "Mole", "body_site": "face"})
    assert response.status_code == 422
    assert Lesion.objects.count() == 1


def test_an_archived_patient_gets_no_lesion(cast: Cast) -> None:
    Patient.objects.update(archived=True)
    response = cast.client_of(cast.owner).post(
        reverse("lesion_create", args=[cast.patient.pk]), {"label": "Mole", "body_site": "back"}
    )
    assert response.status_code == 422
    assert "archived" in str(response.context["lesion_form"].non_field_errors())
    assert not Lesion.objects.exists()
