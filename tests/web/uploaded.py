"""Pictures as people send them, and what is stored of them."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import ExifTags
from PIL import Image as Pillow

from mlcore.drawing import draw_dermoscopy

if TYPE_CHECKING:
    from django.conf import LazySettings


LATITUDE = (51.0, 28.0, 38.123)


@functools.cache
def picture_bytes(seed: int = 1, *, exif: bool = False, kind: str = "JPEG") -> bytes:
    """Return a drawn picture; with ``exif`` it tells where and when it was taken, and by what."""
    picture = draw_dermoscopy("nevus", seed=seed, size=(400, 300))
    details = Pillow.Exif()
    if exif:
        details[ExifTags.Base.Make] = "TELLTALE CAMERA"
        details[ExifTags.Base.ImageDescription] = "PATIENT NAME HERE"
        details.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:02:29 13:45:10"
        details.get_ifd(ExifTags.IFD.GPSInfo).update(
            {
                ExifTags.GPS.GPSLatitudeRef: "N",
                ExifTags.GPS.GPSLatitude: LATITUDE,
                ExifTags.GPS.GPSMapDatum: "TELLTALE DATUM",
            }
        )
    buffer = io.BytesIO()
    picture.save(buffer, kind, exif=details)
    return buffer.getvalue()


def upload(data: bytes | None = None, name: str = "photo.jpg") -> SimpleUploadedFile:
    """Return an upload as Django hands it to a view."""
    return SimpleUploadedFile(name, picture_bytes() if data is None else data)


def stored_files(settings: LazySettings) -> list[Path]:
    """Return every file below the media folder."""
    return [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]
