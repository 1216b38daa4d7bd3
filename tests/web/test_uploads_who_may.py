"""Who may send an image, and to whom; nobody else learns anything."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.urls import reverse

from classifier.models import Lesion, Patient
from tests import factories
from tests.web.answers import text_of
from tests.web.sending import JSON, assert_nothing_stored, photo, send, send_new
from tests.web.uploaded import stored_files

if TYPE_CHECKING:
    from django.conf import LazySettings

    from tests.conftest import Cast


# --- Who may ------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["stranger", "superuser"])
def test_a_strangers_patient_takes_nothing_and_says_nothing(
    cast: Cast, settings: LazySettings, who: str
) -> None:
    client = cast.client_of(getattr(cast, who))
    there = send(client, cast.patient, photo())
    absent = client.post(reverse("image_upload", args=[uuid.uuid4()]), {"modality": "clinical"})
    assert there.status_code == absent.status_code == 404
    assert text_of(there) == text_of(absent)
    assert_nothing_stored(settings)


def test_a_reader_is_told_that_they_may_only_look(cast: Cast, settings: LazySettings) -> None:
    client = cast.client_of(cast.read_only)
    for response in (send(client, cast.patient, photo()), send_new(client, photo())):
        assert response.status_code == 403
        assert "Your role in this clinic lets you look" in response.content.decode()
    assert_nothing_stored(settings)


def test_a_superuser_without_a_clinic_is_told_what_is_missing(cast: Cast) -> None:
    response = cast.client_of(cast.superuser).get(reverse("analysis_new"))
    assert response.status_code == 403
    assert "You belong to no clinic yet." in response.content.decode()


def test_nobody_signed_in_is_sent_to_the_sign_in(cast: Cast, settings: LazySettings) -> None:
    for response in (
        send(Client(), cast.patient, photo()),
        send(Client(), cast.patient, photo(), how=JSON),
        send_new(Client(), photo()),
    ):
        assert response["Location"].startswith(reverse("account_login"))
    assert_nothing_stored(settings)


def test_uploads_need_the_browsers_token(cast: Cast, settings: LazySettings) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.owner, backend="django.contrib.auth.backends.ModelBackend")
    assert send(client, cast.patient, photo()).status_code == 403
    assert send_new(client, photo()).status_code == 403
    assert_nothing_stored(settings)
    page = client.get(reverse("image_upload", args=[cast.patient.pk]))
    token = str(page.context["csrf_token"])
    assert send(client, cast.patient, photo(), csrfmiddlewaretoken=token).status_code == 302


def test_an_archived_patient_refuses_with_a_sentence(cast: Cast, settings: LazySettings) -> None:
    Patient.objects.update(archived=True)
    client = cast.client_of(cast.owner)
    page = client.get(reverse("image_upload", args=[cast.patient.pk]))
    assert "This patient is archived." in page.content.decode()
    assert "data-upload-send" not in page.content.decode()
    refused = send(client, cast.patient, photo())
    assert refused.status_code == 422
    assert "This patient is archived." in refused.content.decode()
    answer = send(client, cast.patient, photo(), how=JSON)
    assert answer.status_code == 422
    assert "archived" in json.loads(answer.content)["errors"]["__all__"][0]
    assert_nothing_stored(settings)


def test_a_lesion_of_another_patient_cannot_be_chosen(cast: Cast, settings: LazySettings) -> None:
    other = factories.make_patient(cast.clinic, cast.owner)
    lesion = Lesion.objects.create(
        clinic=cast.clinic, patient=other, label="Theirs", created_by=cast.owner
    )
    response = send(cast.client_of(cast.owner), cast.patient, photo(), lesion=str(lesion.pk))
    assert response.status_code == 422
    assert stored_files(settings) == []
