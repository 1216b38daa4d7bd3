"""From an upload to the copies that are stored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from classifier.intake.decoders import decoders
from classifier.intake.refusals import Refused
from mlcore.imaging import Limits

if TYPE_CHECKING:
    from datetime import datetime

    from django.core.files.uploadedfile import UploadedFile

    from classifier.intake.decoders import DicomFacts

_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Accepted:
    """An upload that is fit to be stored.

    Attributes:
        original_sha256: of the bytes as they were sent, in hexadecimal.
        format: what the content was, by Pillow's name.
        byte_size: of the upload.
        width: of the upright original in pixels.
        height: likewise.
        display: JPEG without metadata, longer side at most 1600 px.
        thumbnail: JPEG without metadata, longer side at most 320 px.
        network_source: lossless PNG without metadata, shorter side at most 320 px.
        network_source_sha256: of ``network_source``.
        taken_at: the camera's clock, without a time zone unless the file tells it, or None.
            Nothing else of the metadata is kept.
        dicom: what a DICOM object says of itself, to be compared with what the person says; None
            for any other file.
    """

    original_sha256: str
    format: str
    byte_size: int
    width: int
    height: int
    display: bytes
    thumbnail: bytes
    network_source: bytes
    network_source_sha256: str
    taken_at: datetime | None
    dicom: DicomFacts | None = None


def intake_limits() -> Limits:
    """Return the limits of the settings."""
    return Limits(
        max_bytes=settings.INTAKE_MAX_BYTES,
        max_pixels=settings.INTAKE_MAX_PIXELS,
        min_side=settings.INTAKE_MIN_SIDE,
        max_side=settings.INTAKE_MAX_SIDE,
    )


def accept(upload: UploadedFile[Any]) -> Accepted:
    """Check an upload and cut its stored copies.

    Its name and declared type are not looked at.

    Raises:
        Refused: it is not a fit picture; nothing was stored.
        DecoderError: no process to decode it in can be started.
    """
    data = _read(upload)
    # Looked at in a process of its own from the first byte on.
    cut = decoders().decode(data, intake_limits())
    return Accepted(
        original_sha256=hashlib.sha256(data).hexdigest(),
        format=cut.format,
        byte_size=len(data),
        width=cut.width,
        height=cut.height,
        display=cut.display,
        thumbnail=cut.thumbnail,
        network_source=cut.network_source,
        network_source_sha256=hashlib.sha256(cut.network_source).hexdigest(),
        taken_at=cut.taken_at,
        dicom=cut.dicom,
    )


def _read(upload: UploadedFile[Any]) -> bytes:
    """Return the bytes, never more than the limit allows."""
    most: int = settings.INTAKE_MAX_BYTES
    if upload.size is not None and upload.size > most:
        raise Refused("too_many_bytes")
    parts: list[bytes] = []
    total = 0
    for chunk in upload.chunks(_CHUNK):
        total += len(chunk)
        if total > most:
            raise Refused("too_many_bytes")
        parts.append(chunk)
    return b"".join(parts)
