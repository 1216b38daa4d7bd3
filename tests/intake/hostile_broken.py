"""Files that are cut off or damaged, at every stage of every format."""

from __future__ import annotations

import struct
import zlib

from tests.intake.hostile_file import Hostile
from tests.intake.samples import (
    FORMATS,
    blank,
    bmp,
    encoded,
    heif_with_size,
    jpeg_part,
    noise,
    png,
    png_chunk,
    png_header,
    png_rows,
    sound,
    tiff,
    vp8x,
    webp,
)


def _header_of(data: bytes, kind: str) -> int:
    """Return how many bytes of a sound file hold its first header."""
    return {"JPEG": 20, "PNG": 33, "WEBP": 30, "TIFF": 8, "HEIF": 32, "BMP": 54}[kind]


def _cut(kind: str, stage: str) -> bytes:
    data = sound(kind)
    if kind == "TIFF":
        # Pixels first and the directory last, as many programs write it.
        data = tiff(160, 120, strip=bytes(160 * 120))
    keep = {
        "signature": 18,
        "header": _header_of(data, kind),
        "middle": len(data) // 2,
        "end": len(data) - 2,
    }[stage]
    return data[:keep]


def _jpeg_saying(width: int, height: int) -> bytes:
    data = bytearray(sound("JPEG"))
    start, _ = jpeg_part(sound("JPEG"), 0xC0)
    struct.pack_into(">HH", data, start + 5, height, width)
    return bytes(data)


def _jpeg_changed(marker: int, offset: int, value: bytes) -> bytes:
    data = bytearray(sound("JPEG"))
    start, _ = jpeg_part(sound("JPEG"), marker)
    data[start + offset : start + offset + len(value)] = value
    return bytes(data)


def _jpeg_without(marker: int) -> bytes:
    start, end = jpeg_part(sound("JPEG"), marker)
    return sound("JPEG")[:start] + sound("JPEG")[end:]


def _jpeg_half_then_end() -> bytes:
    data = sound("JPEG")
    _, scan = jpeg_part(data, 0xDA)
    return data[: scan + (len(data) - scan) // 2] + b"\xff\xd9"


def _png_bad_sum(kind: bytes) -> bytes:
    data = bytearray(sound("PNG"))
    start = data.find(kind)
    length = int.from_bytes(data[start - 4 : start], "big")
    data[start + 4 + length] ^= 0xFF
    return bytes(data)


def _png_bad_stream() -> bytes:
    body = bytearray(zlib.compress(bytes((1 + 3 * 100) * 100)))
    body[10:20] = b"\xff" * 10
    return png(png_header(100, 100), png_chunk(b"IDAT", bytes(body)))


def _heif_without_primary() -> bytes:
    data = bytearray(sound("HEIF"))
    data[data.find(b"pitm") : data.find(b"pitm") + 4] = b"free"
    return bytes(data)


def _heif_garbled() -> bytes:
    data = bytearray(sound("HEIF"))
    start = data.find(b"mdat") + 4
    data[start:] = noise(1, len(data) - start)
    return bytes(data)


def _heif_without(kind: bytes) -> bytes:
    return sound("HEIF").replace(kind, b"free", 1)


def _webp_garbled() -> bytes:
    data = bytearray(sound("WEBP"))
    data[40:] = noise(2, len(data) - 40)
    return bytes(data)


def _tiff_garbled() -> bytes:
    strip = bytearray(zlib.compress(noise(3, 10_000)))
    strip[10:20] = b"\xff" * 10
    return tiff(100, 100, compression=8, strip=bytes(strip))


CUTS = [
    Hostile(
        f"cut-{stage}.{kind.lower()}",
        f"{kind} cut off {words}",
        lambda kind=kind, stage=stage: _cut(kind, stage),  # type: ignore[misc] # bound early
        "truncated",
    )
    for kind in FORMATS
    for stage, words in {
        "signature": "behind its signature",
        "header": "behind its header",
        "middle": "in the middle",
        "end": "two bytes before its end",
    }.items()
]

BROKEN = [
    Hostile(
        "huffman.jpg",
        "JPEG with an impossible Huffman table",
        lambda: _jpeg_changed(0xC4, 5, b"\xff" * 16),
        "damaged",
    ),
    Hostile(
        "half.jpg", "JPEG: half the picture, then a forged end", _jpeg_half_then_end, "truncated"
    ),
    Hostile(
        "no-tables.jpg", "JPEG without quantisation tables", lambda: _jpeg_without(0xDB), "damaged"
    ),
    Hostile("no-frame.jpg", "JPEG without a frame header", lambda: _jpeg_without(0xC0), "damaged"),
    Hostile(
        "no-scan.jpg",
        "JPEG without a scan",
        lambda: sound("JPEG")[: jpeg_part(sound("JPEG"), 0xDA)[0]] + b"\xff\xd9",
        "damaged",
    ),
    Hostile("flat.jpg", "JPEG of no height", lambda: _jpeg_saying(160, 0), "damaged"),
    Hostile(
        "sampling.jpg",
        "JPEG with impossible sampling factors",
        lambda: _jpeg_changed(0xC0, 11, b"\xff"),
        "damaged",
    ),
    Hostile(
        "12-bit.jpg", "JPEG that says 12 bits", lambda: _jpeg_changed(0xC0, 4, b"\x0c"), "damaged"
    ),
    Hostile(
        "crc-header.png",
        "PNG: wrong checksum of the header",
        lambda: _png_bad_sum(b"IHDR"),
        "damaged",
    ),
    Hostile(
        "crc-data.png",
        "PNG: wrong checksum of the pixels",
        lambda: _png_bad_sum(b"IDAT"),
        "damaged",
    ),
    Hostile("stream.png", "PNG: corrupt compressed data", _png_bad_stream, "damaged"),
    Hostile("no-pixels.png", "PNG without pixels", lambda: png(png_header(100, 100)), "damaged"),
    Hostile(
        "few-pixels.png",
        "PNG with a tenth of its rows",
        lambda: png(png_header(100, 100), png_rows(100, 10)),
        "truncated",
    ),
    Hostile("no-header.png", "PNG without a header", lambda: png(png_rows(100, 100)), "damaged"),
    Hostile(
        "colour-type.png",
        "PNG of colour type 9",
        lambda: png(png_header(100, 100, 8, 9), png_rows(100, 100)),
        "damaged",
    ),
    Hostile(
        "vp8x-lies.webp",
        "WebP whose canvas is not its picture's size",
        lambda: webp(vp8x(300, 300), sound("WEBP")[12:]),
        "damaged",
    ),
    Hostile(
        "no-picture.webp",
        "WebP with a header and no picture",
        lambda: webp(vp8x(200, 200)),
        "truncated",
    ),
    Hostile("garbled.webp", "WebP with random picture data", _webp_garbled, "damaged"),
    Hostile("no-page.tif", "TIFF without a page", lambda: b"II*\x00" + bytes(200), "damaged"),
    Hostile(
        "strip-outside.tif",
        "TIFF whose pixels lie behind its end",
        lambda: tiff(100, 100, extra=[(273, 4, 1, 10**6), (279, 4, 1, 10_000)]),
        "truncated",
    ),
    Hostile(
        "compression.tif",
        "TIFF of an unknown compression",
        lambda: tiff(100, 100, compression=60_000, strip=bytes(10_000)),
        "damaged",
    ),
    Hostile("stream.tif", "TIFF: corrupt compressed data", _tiff_garbled, "damaged"),
    Hostile(
        "ispe-64.heic",
        "HEIC of 1024 x 1024 that says 64 x 64",
        lambda: heif_with_size(64, 64, encoded(blank((1024, 1024)), "HEIF")),
        "damaged",
    ),
    Hostile(
        "no-primary.heic", "HEIC that names no primary picture", _heif_without_primary, "damaged"
    ),
    Hostile("garbled.heic", "HEIC with random picture data", _heif_garbled, "damaged"),
    Hostile("no-index.heic", "HEIC without its index", lambda: _heif_without(b"meta"), "truncated"),
    Hostile(
        "no-data.heic", "HEIC without picture data", lambda: _heif_without(b"mdat"), "truncated"
    ),
    Hostile(
        "negative.bmp",
        "BMP of negative width",
        lambda: bmp(-100, 100, rows=bytes(30_000)),
        "damaged",
    ),
    Hostile(
        "depth.bmp",
        "BMP of 7 bits a pixel",
        lambda: bmp(100, 100, depth=7, rows=bytes(30_000)),
        "damaged",
    ),
    Hostile(
        "embedded.bmp",
        "BMP that wraps a PNG",
        lambda: bmp(100, 100, compression=5, rows=sound("PNG")),
        "unsupported_format",
    ),
]
