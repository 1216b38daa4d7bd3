"""Sending images as a browser or the upload script does."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from classifier.models import Analysis, AuditEvent, Image, Lesion, Patient
from tests.web.uploaded import picture_bytes, stored_files

if TYPE_CHECKING:
    from django.conf import LazySettings
    from django.test import Client


JSON = {"headers": {"accept": "application/json"}}
HTML_ONLY = {"headers": {"accept": "text/html"}}
PDF = b"%PDF-1.7 not a picture"
NEW_PATIENT = {
    "record_number": "MRN-8001",
    "name": "Nora New",
    "date_of_birth": "",
    "sex": "unknown",
    "skin_type": "unknown",
    "notes": "",
}


def photo(seed: int = 1, name: str = "photo.jpg") -> SimpleUploadedFile:
    """Return a drawn photograph."""
    return SimpleUploadedFile(name, picture_bytes(seed))


def send(client: Client, patient: Patient, *files: Any, how: Any = None, **fields: Any) -> Any:
    """Post the upload form of a patient."""
    data = {"images": list(files), "modality": "dermoscopy"} | fields
    return client.post(reverse("image_upload", args=[patient.pk]), data, **(how or HTML_ONLY))


def send_new(client: Client, *files: Any, how: Any = None, **fields: Any) -> Any:
    """Post the form that registers a patient with their first images."""
    data = NEW_PATIENT | {"images": list(files), "modality": "clinical", "key": uuid.uuid4()}
    return client.post(reverse("analysis_new"), data | fields, **(how or HTML_ONLY))


def assert_nothing_stored(settings: LazySettings) -> None:
    """Assert that an upload left neither a row nor a file."""
    assert not Image.objects.exists()
    assert not Analysis.objects.exists()
    assert not Lesion.objects.exists()
    assert not AuditEvent.objects.exists()
    assert stored_files(settings) == []
