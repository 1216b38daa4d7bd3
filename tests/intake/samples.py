"""Sound pictures of every accepted format, and the means to take them apart."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from pillow_heif import register_heif_opener

from mlcore.drawing import draw_dermoscopy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from PIL.Image import Image as Picture

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", "BMP")
SIZE = (160, 120)


@functools.cache
def drawn(seed: int = 1, size: tuple[int, int] = SIZE) -> Picture:
    """Return a drawn lesion; callers must not change it."""
    return draw_dermoscopy("nevus", seed=seed, size=size)


def encoded(picture: Picture, kind: str, **options: Any) -> bytes:
    """Return the picture as a file of Pillow's format ``kind``."""
    if kind == "HEIF":
        register_heif_opener(thumbnails=False)
    buffer = io.BytesIO()
    # Copies, because Pillow leaves a format's settings behind in what it saved.
    if "append_images" in options:
        options["append_images"] = [each.copy() for each in options["append_images"]]
    picture.copy().save(buffer, kind, **options)
    return buffer.getvalue()


@functools.cache
def sound(kind: str) -> bytes:
    """Return a sound file of the format."""
    return encoded(drawn(), kind)


def blank(size: tuple[int, int], mode: str = "RGB", colour: Any = 0) -> Picture:
    """Return a picture of one colour."""
    return Image.new(mode, size, colour)


def noise(seed: int, length: int) -> bytes:
    """Return bytes without order, the same for the same seed."""
    return np.random.default_rng(seed).bytes(length)


# --- PNG ---------------------------------------------------------------------------------------

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, body: bytes = b"") -> bytes:
    """Return a chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """Return an IHDR chunk."""
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def png(*chunks: bytes) -> bytes:
    """Return a file of the given chunks and IEND."""
    return PNG_SIGNATURE + b"".join(chunks) + png_chunk(b"IEND")


def png_with(*extra: bytes) -> bytes:
    """Return the sound PNG with chunks put behind its header."""
    data = sound("PNG")
    behind_header = len(PNG_SIGNATURE) + 25
    return data[:behind_header] + b"".join(extra) + data[behind_header:]


def png_rows(width: int, height: int) -> bytes:
    """Return the IDAT chunk of a black RGB picture."""
    return png_chunk(b"IDAT", zlib.compress(b"\x00" * ((1 + 3 * width) * height), 9))


# --- JPEG --------------------------------------------------------------------------------------


def jpeg_segment(marker: int, body: bytes) -> bytes:
    """Return a segment with its length."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg_with(*segments: bytes, data: bytes | None = None) -> bytes:
    """Return a sound JPEG with segments put behind its first marker."""
    data = sound("JPEG") if data is None else data
    return data[:2] + b"".join(segments) + data[2:]


def jpeg_part(data: bytes, marker: int) -> tuple[int, int]:
    """Return where the first segment with the marker begins and ends, its marker included."""
    position = 2
    while data[position + 1] != marker:
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return position, position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")


# --- RIFF, TIFF, BMP ---------------------------------------------------------------------------


def riff_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk, padded to an even length."""
    return kind + struct.pack("<I", len(body)) + body + b"\x00" * (len(body) % 2)


def webp(*chunks: bytes) -> bytes:
    """Return a WebP file of the given chunks."""
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8x(width: int, height: int, flags: int = 0) -> bytes:
    """Return the header of an extended WebP."""
    body = struct.pack("<I", flags) + (width - 1).to_bytes(3, "little")
    return riff_chunk(b"VP8X", body + (height - 1).to_bytes(3, "little"))


def tiff_directory(entries: Iterable[tuple[int, int, int, int]], following: int = 0) -> bytes:
    """Return a directory; each entry is tag, type, count and value or offset."""
    listed = sorted(entries)
    packed = b"".join(struct.pack("<HHII", *entry) for entry in listed)
    return struct.pack("<H", len(listed)) + packed + struct.pack("<I", following)


def tiff(
    width: int,
    height: int,
    *,
    compression: int = 1,
    strip: bytes = b"",
    extra: Iterable[tuple[int, int, int, int]] = (),
    following: int = 0,
) -> bytes:
    """Return a grey little-endian TIFF of one strip; ``extra`` entries replace those it has."""
    entries = {
        256: (256, 4, 1, width),
        257: (257, 4, 1, height),
        258: (258, 3, 1, 8),
        259: (259, 3, 1, compression),
        262: (262, 3, 1, 1),
        273: (273, 4, 1, 8),
        277: (277, 3, 1, 1),
        278: (278, 4, 1, height),
        279: (279, 4, 1, len(strip)),
    } | {entry[0]: entry for entry in extra}
    offset = 8 + len(strip)
    return (
        b"II*\x00" + struct.pack("<I", offset) + strip + tiff_directory(entries.values(), following)
    )


def bmp(
    width: int, height: int, *, compression: int = 0, depth: int = 24, rows: bytes = b""
) -> bytes:
    """Return a BMP whose header says what it is told to."""
    offset = 54 + (1024 if depth == 8 else 0)
    header = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, depth, compression, len(rows), 0, 0, 0, 0
    )
    palette = b"\x00" * (offset - 54)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + header + palette + rows


# --- HEIF --------------------------------------------------------------------------------------


def box(kind: bytes, body: bytes = b"") -> bytes:
    """Return a box of the ISO base media format."""
    return struct.pack(">I4s", len(body) + 8, kind) + body


def heif_with_size(width: int, height: int, data: bytes | None = None) -> bytes:
    """Return a HEIF whose every picture says it is of that size."""
    changed = bytearray(sound("HEIF") if data is None else data)
    position = changed.find(b"ispe")
    while position >= 0:
        struct.pack_into(">II", changed, position + 8, width, height)
        position = changed.find(b"ispe", position + 4)
    return bytes(changed)


def zipped(name: str = "a.txt") -> bytes:
    """Return a ZIP archive."""
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "hidden")
    return buffer.getvalue()
