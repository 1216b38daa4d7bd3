"""A patient's name stays on the pages: no address, log line, file name or header holds it."""

from __future__ import annotations

import html
import io
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from classifier.models import Analysis, AuditEvent
from mlcore.drawing import draw_dermoscopy
from tests.web import answered as make

if TYPE_CHECKING:
    import pytest
    from django.conf import LazySettings

    from tests.conftest import Cast

NAME, NUMBER, NOTE = "Zebedee Quux", "MRN-ZQ-4711", "Lives beside the lighthouse"
SECRETS = ("Zebedee", "Quux", "ZQ-4711", "lighthouse")


def picture() -> SimpleUploadedFile:
    """Return a drawn picture whose file is named like the patient."""
    buffer = io.BytesIO()
    draw_dermoscopy("nevus", seed=3, size=(320, 240)).save(buffer, "JPEG")
    return SimpleUploadedFile("Zebedee Quux.jpg", buffer.getvalue(), content_type="image/jpeg")


def test_a_whole_visit_leaves_the_name_on_the_pages_only(
    cast: Cast, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # The database's own log of statements is not part of an installation (it needs DEBUG).
    caplog.set_level(logging.WARNING, logger="django.db.backends")
    client = cast.client_of(cast.owner)
    facts = {"name": NAME, "record_number": NUMBER, "notes": NOTE, "sex": "male"}
    addresses: list[str] = []

    def follow(address: str, data: dict[str, Any] | None = None) -> str:
        response = client.get(address) if data is None else client.post(address, data)
        for _ in range(3):
            if response.status_code != 302:
                break
            addresses.append(response["Location"])
            response = client.get(response["Location"])
        if response.streaming:
            b"".join(response)
            page = ""
        else:
            page = response.content.decode()
        addresses.extend(
            html.unescape(link)
            for link in re.findall(r'(?:src|href|action|hx-get)="([^"]*)"', page)
        )
        for header, value in response.headers.items():
            assert not any(secret in value for secret in SECRETS), header
        title = re.search(r"<title>(.*?)</title>", page, re.DOTALL)
        assert title is None or not any(s in title[1] for s in ("Zebedee", "Quux", "lighthouse"))
        return page

    page = follow(reverse("patient_create"), facts | {"skin_type": "unknown"})
    assert NAME in page
    patient = client.get(reverse("patient_search"), {"q": "zebedee"}).context["found"][0]
    upload = reverse("image_upload", args=[patient.pk])
    follow(upload, {"images": picture(), "modality": "dermoscopy"})
    follow(
        upload,
        {"images": SimpleUploadedFile("Zebedee Quux.jpg", b"<svg/>"), "modality": "clinical"},
    )
    waiting = Analysis.objects.get()
    follow(reverse("analysis_cancel", args=[waiting.pk]), {"reason": "Zebedee moved away"})
    answered = make.answered(make.bare_image(patient, cast.owner), cast.owner)
    follow(reverse("reading_create", args=[answered.pk]), {"diagnosis": "nevus"})
    follow(
        reverse("review_create", args=[answered.pk]),
        {
            "verdict": "defer",
            "notes": NOTE,
            "expected_number": "0",
            "seen": client.get(answered.get_absolute_url()).context["page"].mark,
        },
    )
    for address in (
        "/",
        "/history/",
        "/history/export.csv",
        "/patients/",
        answered.get_absolute_url(),
    ):
        follow(address)
    client.get(f"{patient.get_absolute_url()}nothing/")

    for address in addresses:
        assert not any(secret in address for secret in SECRETS), address
    for record in caplog.records:
        said = record.getMessage() + str(record.exc_info or "")
        assert not any(secret in said for secret in SECRETS), said
    stored = [str(path) for path in Path(settings.MEDIA_ROOT).rglob("*")]
    assert stored
    assert not any(secret in name for name in stored for secret in SECRETS)
    for event in AuditEvent.objects.exclude(action="analysis.cancelled"):
        told = f"{event.reason} {event.details}"
        assert not any(secret in told for secret in SECRETS), event.action
