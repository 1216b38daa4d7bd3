"""Sending a file as a person would, and what it cost this process and its decoder."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from classifier.intake import accept
from tests.intake.memory import (
    decoders_peak_mebibytes,
    forget_decoders_peak,
    forget_peak,
    peak_mebibytes,
    processor_seconds,
)
from tests.intake.samples import sound

if TYPE_CHECKING:
    from django.test import Client

    from classifier.models import Patient


_WARMED: list[bool] = []


@dataclass(frozen=True)
class Answer:
    """What the server said to one file, and what saying it cost.

    Attributes:
        status: of the HTTP answer.
        body: the page, entities resolved.
        seconds: of processor time, over all threads and the decoding process.
        mebibytes: by which peak memory rose above what was held before, of both together.
    """

    status: int
    body: str
    seconds: float
    mebibytes: float


def send_file(client: Client, patient: Patient, name: str, data: bytes) -> Answer:
    """Send one file by the form of the patient's page."""
    address = reverse("image_upload", args=[patient.pk])
    if not _WARMED:
        # Templates and libraries are loaded once a process; that is not the file's doing.
        client.get(address)
        accept(SimpleUploadedFile("warm.heic", sound("HEIF")))
        _WARMED.append(True)
    upload = SimpleUploadedFile(name, data, content_type="image/jpeg")
    forget_peak()
    forget_decoders_peak()
    held, began = _peak(), processor_seconds()
    response = client.post(
        address,
        {"images": [upload], "modality": "clinical"},
        headers={"accept": "text/html"},
    )
    seconds = processor_seconds() - began
    return Answer(
        status=response.status_code,
        body=html.unescape(response.content.decode()),
        seconds=seconds,
        mebibytes=_peak() - held,
    )


def _peak() -> float:
    return peak_mebibytes() + decoders_peak_mebibytes()
