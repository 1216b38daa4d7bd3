"""From signing in to an upload in three clicks, and through a whole visit by links alone."""

from __future__ import annotations

import html
import io
import re
from typing import TYPE_CHECKING

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from classifier.models import Analysis, Image
from mlcore.drawing import draw_dermoscopy
from tests import factories
from tests.factories import PASSWORD
from tests.web import answered as make

if TYPE_CHECKING:
    from django.conf import LazySettings

    from tests.conftest import Cast


def links(page: str) -> list[str]:
    """Return where the page's links lead."""
    return [html.unescape(link) for link in re.findall(r'<a\b[^>]*?\bhref="([^"]*)"', page)]


def picture() -> SimpleUploadedFile:
    """Return a drawn picture as a browser sends it."""
    buffer = io.BytesIO()
    draw_dermoscopy("nevus", seed=3, size=(320, 240)).save(buffer, "JPEG")
    return SimpleUploadedFile("IMG_0001.jpg", buffer.getvalue(), content_type="image/jpeg")


def signed_in(cast: Cast) -> tuple[Client, str]:
    """Return a browser after the sign-in form, and the page it is led to."""
    client = Client()
    answer = client.post(
        reverse("account_login"), {"login": cast.owner.email, "password": PASSWORD}, follow=True
    )
    return client, answer.content.decode()


def test_a_known_patients_image_is_sent_with_three_clicks(cast: Cast) -> None:
    client, page = signed_in(cast)
    # One: "New analysis", which every page offers.
    assert reverse("analysis_new") in links(page)
    new = client.get(reverse("analysis_new")).content.decode()
    assert f'hx-get="{reverse("patient_search")}"' in new
    # Two: the patient, who appears while the name is typed.
    found = client.get(reverse("patient_search"), {"q": "ada ex"}).content.decode()
    upload = reverse("image_upload", args=[cast.patient.pk])
    assert upload in links(found)
    assert 'type="file"' in client.get(upload).content.decode()
    # Three: "Send".
    sent = client.post(upload, {"images": picture(), "modality": "dermoscopy"})
    assert sent["Location"] == Analysis.objects.get().get_absolute_url()


def test_a_new_patients_image_is_sent_with_three_clicks(cast: Cast) -> None:
    client, page = signed_in(cast)
    # One: "New analysis". Two: "A new patient", which opens in place. Three: "Register and send".
    assert reverse("analysis_new") in links(page)
    new = client.get(reverse("analysis_new")).content.decode()
    assert '<details class="card disclosure" id="new-patient"' in new
    form = {
        "record_number": "MRN-3",
        "name": "Grace Example",
        "sex": "unknown",
        "skin_type": "unknown",
        "modality": "dermoscopy",
        "images": picture(),
        "key": "6f0f6f9e-58d5-4a5f-9a55-2f1b3a6b1c11",
    }
    sent = client.post(reverse("analysis_new"), form)
    assert sent["Location"] == Analysis.objects.get().get_absolute_url()


def test_a_patient_on_the_worklist_is_two_clicks_from_another_image(cast: Cast) -> None:
    make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    client, page = signed_in(cast)
    result = next(
        link for link in links(page) if link.startswith("/analyses/") and "new" not in link
    )
    back = links(client.get(result).content.decode())
    assert cast.patient.get_absolute_url() in back
    patient = links(client.get(cast.patient.get_absolute_url()).content.decode())
    assert reverse("image_upload", args=[cast.patient.pk]) in patient


@pytest.mark.parametrize("who", ["owner", "read_only", "administrator", "superuser"])
def test_every_link_on_every_page_leads_somewhere(cast: Cast, who: str) -> None:
    cast.clinic.blinded_first = False
    cast.clinic.save()
    image = factories.make_image(cast.patient, cast.owner)
    make.answered(image, cast.owner)
    make.failed(make.bare_image(cast.patient, cast.owner), cast.owner)
    client = cast.client_of(getattr(cast, who))
    unvisited, seen = [reverse("worklist")], set()
    while unvisited:
        address = unvisited.pop()
        path = address.split("#")[0]
        if path in seen or not path.startswith("/") or path.startswith("/admin/"):
            continue
        seen.add(path)
        response = client.get(path)
        # Pages about one's own safety ask for the password first.
        assert response.status_code in {200, 302}, (path, response.status_code)
        if response.streaming:
            b"".join(response)
        elif "html" in response.headers.get("Content-Type", ""):
            unvisited += [
                link if link.startswith(("/", "#")) else f"{path.split('?')[0]}{link}"
                for link in links(response.content.decode())
            ]
    assert len(seen) > (12 if who != "superuser" else 6)


def test_no_page_runs_or_styles_anything_inline(cast: Cast) -> None:
    cast.clinic.blinded_first = False
    cast.clinic.save()
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    waiting = factories.make_analysis(make.bare_image(cast.patient, cast.owner), cast.owner)
    client = cast.client_of(cast.owner)
    for address in (
        "/",
        "/history/",
        "/patients/",
        "/analyses/new/",
        cast.patient.get_absolute_url(),
        analysis.get_absolute_url(),
        waiting.get_absolute_url(),
        reverse("image_upload", args=[cast.patient.pk]),
        reverse("model_version_detail", args=[analysis.model_version_id]),
        "/nothing/here/",
    ):
        response = client.get(address)
        page = response.content.decode()
        assert "script-src 'self'" in response["Content-Security-Policy"]
        assert not re.search(r"<script(?![^>]*\bsrc=)", page), address
        assert "<style" not in page, address
        assert not re.search(r"\s(style|on[a-z]+)=\"", page), address
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page), address


def test_uploading_keeps_nothing_of_the_files_name(cast: Cast, settings: LazySettings) -> None:
    upload = picture()
    upload.name = "Ada Example 1961-05-04.jpg"
    cast.client_of(cast.owner).post(
        reverse("image_upload", args=[cast.patient.pk]),
        {"images": upload, "modality": "dermoscopy"},
    )
    image = Image.objects.get()
    for stored in (image.display, image.thumbnail, image.network_source):
        assert "Ada" not in str(stored.name)
        assert "1961" not in str(stored.name)
