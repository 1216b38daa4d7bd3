"""Walking a file's own structure before a decoder sees it.

Finds how large the picture says it is, where it ends (what follows may hide something), whether
it was cut off, and whether its inner structure would cost a decoder more than a picture can be
worth. Every walk takes time in proportion to the file's size at most.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import TYPE_CHECKING

from mlcore.imaging.boxes import walk_heif
from mlcore.imaging.directories import check_exif, walk_tiff
from mlcore.imaging.errors import ImageError
from mlcore.imaging.seen import MOST_METADATA, MOST_PARTS, Seen
from mlcore.imaging.sniff import Format, hides_behind, hides_inside

if TYPE_CHECKING:
    from collections.abc import Callable

# Cameras write one scan, progressive encoders about ten; each costs up to 60 ms at 64 megapixels.
_MOST_SCANS = 32
# In the coded data 0xFF is followed by 0 or by a restart marker; all others begin a segment.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")
_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
_FIRST_APP, _LAST_APP = 0xE0, 0xEF
_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
# Descriptions in XML speak of other formats without being them.
_XMP = (b"http://ns.adobe.com/", b"XMP\x00")
_PNG_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_PNG_FRAMES = {b"IDAT", b"fdAT", b"fcTL"}
_WEBP_METADATA = {b"EXIF", b"XMP ", b"ICCP"}
_BMP_CORE_HEADER = 12
_BMP_RUN_LENGTHS = (1, 2)
_BMP_EMBEDDED = (4, 5)
# Run lengths are decoded by Pillow in Python, a pixel at a time.
_MOST_RUN_LENGTH_PIXELS = 4_000_000


def inspect(data: bytes, found: Format) -> Seen:
    """Return what the container gives away; its ``fault`` is the refusal, if it deserves one."""
    seen = Seen()
    try:
        _WALKS[found](data, seen)
        if hides_behind(data, seen.end):
            seen.fault = ImageError("polyglot")
    except ImageError as fault:
        seen.fault = fault
    except (struct.error, IndexError):
        # A field that should be there lies behind the end.
        seen.fault = ImageError("truncated")
    return seen


def _walk_jpeg(data: bytes, seen: Seen) -> None:
    """Walk the segments up to the first image's EOI marker (ITU-T T.81, annex B)."""
    position, metadata, scans = 2, 0, 0
    exif: list[bytes] = []
    for _ in range(MOST_PARTS):
        marked = _JPEG_MARKER.search(data, position)
        if marked is None:
            raise ImageError("truncated")
        position = marked.start()
        marker = data[position + 1]
        if marker == _EOI:
            seen.exif = b"".join(exif)
            check_exif(seen.exif)
            seen.end = position + 2
            return
        if marker == _SOI:
            position += 2
            continue
        length = int(struct.unpack_from(">H", data, position + 2)[0])
        body = data[position + 4 : position + 2 + length]
        position += 2 + length
        if position > len(data):
            raise ImageError("truncated")
        scans += marker == _SOS
        if marker in _SIZES:
            height, width = struct.unpack_from(">HH", body, 1)
            seen.states(width, height)
        elif marker == _COM or _FIRST_APP <= marker <= _LAST_APP:
            metadata += length
            exif += _jpeg_metadata(body)
        if scans > _MOST_SCANS or metadata > MOST_METADATA:
            raise ImageError("too_complex")
    raise ImageError("too_complex")


def _jpeg_metadata(body: bytes) -> list[bytes]:
    """Return the camera's block, if this is one.

    Raises:
        ImageError: something hides in the segment.
    """
    if not body.startswith(_XMP) and hides_inside(body):
        raise ImageError("polyglot")
    return [body[6:]] if body.startswith(b"Exif\x00\x00") else []


def _walk_png(data: bytes, seen: Seen) -> None:
    """Walk the chunks up to IEND (PNG specification, section 5)."""
    position, metadata = 8, 0
    for number in range(MOST_PARTS):
        length, kind = struct.unpack_from(">I4s", data, position)
        if (kind == b"IHDR") != (number == 0) or not kind.isalpha():
            raise ImageError("damaged")
        if kind == b"IHDR":
            seen.states(*struct.unpack_from(">II", data, position + 8))
        body = data[position + 8 : position + 8 + length]
        (stated,) = struct.unpack_from(">I", data, position + 8 + length)
        if kind in _PNG_CRITICAL and zlib.crc32(body, zlib.crc32(kind)) != stated:
            raise ImageError("damaged")
        if kind not in _PNG_CRITICAL | _PNG_FRAMES:
            metadata += length
            if metadata > MOST_METADATA:
                raise ImageError("too_complex")
        if kind in {b"tEXt", b"iTXt"} and hides_inside(body):
            raise ImageError("polyglot")
        if kind == b"eXIf":
            seen.exif = body
        position += 12 + length
        if kind == b"IEND":
            seen.end = position
            return
    raise ImageError("too_complex")


def _walk_webp(data: bytes, seen: Seen) -> None:
    """Walk the chunks up to the end the RIFF header states (RFC 9649)."""
    end = 8 + int(struct.unpack_from("<I", data, 4)[0])
    position, metadata, pictures = 12, 0, 0
    for _ in range(MOST_PARTS):
        if position + 8 > end:
            break
        kind, length = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : position + 8 + length]
        if kind in {b"VP8X", b"VP8 ", b"VP8L"}:
            seen.states(*_webp_size(kind, body))
        pictures += kind in {b"VP8 ", b"VP8L", b"ANMF"}
        if kind in _WEBP_METADATA:
            metadata += length
            if metadata > MOST_METADATA:
                raise ImageError("too_complex")
        if kind == b"EXIF":
            seen.exif = body.removeprefix(b"Exif\x00\x00")
        if position + 8 + length > len(data):
            raise ImageError("truncated")
        position += 8 + length + length % 2
    else:
        raise ImageError("too_complex")
    if end > len(data) or not pictures:
        raise ImageError("truncated")
    seen.end = end


def _webp_size(kind: bytes, body: bytes) -> tuple[int, int]:
    """Return width and height in pixels as the chunk states them."""
    if kind == b"VP8X":
        fields = struct.unpack_from("<HBHB", body, 4)
        return 1 + fields[0] + (fields[1] << 16), 1 + fields[2] + (fields[3] << 16)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 1)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def _walk_bmp(data: bytes, seen: Seen) -> None:
    """Read the header and find the last row's end."""
    offset, header = struct.unpack_from("<II", data, 10)
    if header == _BMP_CORE_HEADER:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        compression, coded = 0, 0
    else:
        width, height, _, depth, compression, coded = struct.unpack_from("<iiHHII", data, 18)
    # A negative height says that the rows run downwards.
    height = abs(height)
    if width <= 0 or height == 0:
        raise ImageError("damaged")
    seen.states(width, height)
    if compression in _BMP_EMBEDDED:
        raise ImageError("unsupported_format")
    if compression in _BMP_RUN_LENGTHS:
        if max(width * height, len(data) - offset) > _MOST_RUN_LENGTH_PIXELS:
            raise ImageError("too_complex")
        seen.end = offset + coded
    else:
        row = (width * depth + 31) // 32 * 4
        seen.end = offset + row * height
    if seen.end > len(data):
        raise ImageError("truncated")


_WALKS: dict[Format, Callable[[bytes, Seen], None]] = {
    Format.JPEG: _walk_jpeg,
    Format.PNG: _walk_png,
    Format.WEBP: _walk_webp,
    Format.TIFF: walk_tiff,
    Format.HEIF: walk_heif,
    Format.BMP: _walk_bmp,
}
