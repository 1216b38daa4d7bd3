"""Nothing that a file tells beside its picture reaches a stored byte."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core import serializers
from PIL import Image as Pillow

from classifier.models import Analysis, AuditEvent, Image, Transition
from mlcore.quality import QUALITY_KEY, measure
from tests.intake.carriers import CARRIERS, NAME, TELLTALES, Carrier
from tests.intake.measure import send_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.conf import LazySettings

    from tests.conftest import Cast

# The picture itself and nothing else: JFIF's own header, tables, frame, scan, end; in the networks'
# copy besides what was measured on its very pixels.
JPEG_PARTS = {0xE0, 0xDB, 0xC0, 0xC2, 0xC4, 0xDD, 0xDA}
PNG_PARTS = {b"IHDR", b"IDAT", b"IEND"}
MEASURED = b"tEXt"


def jpeg_parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the segments up to the scan."""
    position = 2
    while True:
        marker, length = (
            data[position + 1],
            int.from_bytes(data[position + 2 : position + 4], "big"),
        )
        yield marker, data[position + 4 : position + 2 + length]
        if marker == 0xDA:
            return
        position += 2 + length


def png_parts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks: kind and content."""
    position = 8
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, data[position + 8 : position + 8 + length]
        position += 12 + length


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.name)
def test_no_stored_byte_and_no_row_tells_what_the_file_told(
    cast: Cast, settings: LazySettings, carrier: Carrier
) -> None:
    data = carrier.make()
    assert carrier.packed or any(telltale in data for telltale in TELLTALES)
    answer = send_file(cast.client_of(cast.owner), cast.patient, "photo.jpg", data)
    assert answer.status == 302
    stored = [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]
    assert len(stored) == 3
    for path in stored:
        content = path.read_bytes()
        assert not [telltale for telltale in TELLTALES if telltale in content]
        with Pillow.open(io.BytesIO(content)) as opened:
            assert not dict(opened.getexif())
            assert not {"icc_profile", "xmp", "comment", "photoshop"} & set(opened.info)
        if path.suffix == ".png":
            chunks = list(png_parts(content))
            assert {kind for kind, _ in chunks} == PNG_PARTS | {MEASURED}
            with Pillow.open(io.BytesIO(content)) as opened:
                measures = measure(opened.convert("RGB")).written()
            texts = [body.decode("ascii") for kind, body in chunks if kind == MEASURED]
            assert texts == [f"{QUALITY_KEY}\0{measures}"]
        else:
            parts = list(jpeg_parts(content))
            assert {marker for marker, _ in parts} <= JPEG_PARTS
            assert [body[:5] for marker, body in parts if marker == 0xE0] == [b"JFIF\x00"]
            # Behind the end of the picture there is nothing.
            assert content.endswith(b"\xff\xd9")
    rows = [
        row
        for model in (Image, Analysis, AuditEvent, Transition)
        for row in model._default_manager.all()
    ]
    assert rows
    assert NAME not in serializers.serialize("json", rows)


def test_every_format_and_kind_of_metadata_is_in_the_table() -> None:
    names = " ".join(carrier.name for carrier in CARRIERS)
    for word in ("JPEG", "PNG", "WebP", "TIFF", "HEIC", "BMP", "Exif", "XMP", "IPTC", "profile"):
        assert word in names
    assert len({carrier.name for carrier in CARRIERS}) == len(CARRIERS)
