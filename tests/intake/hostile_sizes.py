"""Files that are too large or too small, and bombs that only say or really unpack too much."""

from __future__ import annotations

import struct
import zlib

from tests.intake.hostile_file import Hostile
from tests.intake.samples import (
    blank,
    bmp,
    encoded,
    heif_with_size,
    jpeg_part,
    png,
    png_chunk,
    png_header,
    riff_chunk,
    sound,
    tiff,
    vp8x,
    webp,
)

MEBIBYTE = 1024 * 1024


def _jpeg_saying(width: int, height: int) -> bytes:
    data = bytearray(sound("JPEG"))
    start, _ = jpeg_part(sound("JPEG"), 0xC0)
    struct.pack_into(">HH", data, start + 5, height, width)
    return bytes(data)


def _png_bomb() -> bytes:
    """Return 30 000 x 30 000 pixels that really unpack: 112 MB from some hundred kilobytes."""
    row = b"\x00" * (1 + 30_000 // 8)
    packed = zlib.compressobj(9)
    parts = [packed.compress(row * 1_000) for _ in range(30)] + [packed.flush()]
    return png(png_header(30_000, 30_000, 1, 0), png_chunk(b"IDAT", b"".join(parts)))


SIZES = [
    Hostile("empty.jpg", "no bytes at all", lambda: b"", "empty"),
    Hostile("one-byte.jpg", "a single byte", lambda: b"\xff", "not_an_image"),
    Hostile(
        "25-mib-and-one.jpg",
        "a JPEG one byte over the limit",
        lambda: sound("JPEG").ljust(25 * MEBIBYTE + 1, b"\x00"),
        "too_many_bytes",
    ),
    Hostile("1x1.png", "1 x 1 pixel", lambda: encoded(blank((1, 1)), "PNG"), "too_small"),
    Hostile("1x1.jpg", "1 x 1 pixel", lambda: encoded(blank((1, 1)), "JPEG"), "too_small"),
    Hostile(
        "63x400.webp", "a pixel too narrow", lambda: encoded(blank((63, 400)), "WEBP"), "too_small"
    ),
    Hostile(
        "64x20001.png",
        "a strip a pixel too long",
        lambda: encoded(blank((64, 20_001)), "PNG"),
        "too_long",
    ),
    Hostile(
        "header-30000.png",
        "PNG: a header of 30 000 x 30 000 and nothing else",
        lambda: png(png_header(30_000, 30_000)),
        "too_many_pixels",
    ),
    Hostile("bomb-30000.png", "PNG bomb: 900 megapixels in 110 KB", _png_bomb, "too_many_pixels"),
    Hostile(
        "int32.png",
        "PNG of 2 147 483 647 pixels a side",
        lambda: png(png_header(2**31 - 1, 2**31 - 1), png_chunk(b"IDAT", b"x")),
        "too_many_pixels",
    ),
    Hostile(
        "sof-65500.jpg",
        "JPEG that says 65 500 x 65 500",
        lambda: _jpeg_saying(65_500, 65_500),
        "too_many_pixels",
    ),
    Hostile(
        "sof-65500x64.jpg",
        "JPEG that says 65 500 x 64",
        lambda: _jpeg_saying(65_500, 64),
        "too_long",
    ),
    Hostile(
        "lzw-60000.tif",
        "TIFF, LZW: 60 000 x 60 000",
        lambda: tiff(60_000, 60_000, compression=5, strip=b"\x80\x00" * 500),
        "too_many_pixels",
    ),
    Hostile(
        "deflate-60000.tif",
        "TIFF, deflate bomb: 60 000 x 60 000",
        lambda: tiff(60_000, 60_000, compression=8, strip=zlib.compress(bytes(32 * MEBIBYTE), 9)),
        "too_many_pixels",
    ),
    Hostile(
        "vp8x-16m.webp",
        "WebP with a canvas of 16 777 216 x 256",
        lambda: webp(vp8x(2**24, 256), sound("WEBP")[12:]),
        "too_many_pixels",
    ),
    Hostile(
        "vp8l-16384.webp",
        "WebP, lossless: 16 384 x 16 384",
        lambda: webp(riff_chunk(b"VP8L", b"\x2f" + struct.pack("<I", 0x0FFFFFFF) + bytes(20))),
        "too_many_pixels",
    ),
    Hostile(
        "ispe-60000.heic",
        "HEIC that says 60 000 x 60 000",
        lambda: heif_with_size(60_000, 60_000),
        "too_many_pixels",
    ),
    Hostile(
        "wide.bmp",
        "BMP that says 2 000 000 000 x 2 000 000 000",
        lambda: bmp(2 * 10**9, 2 * 10**9),
        "too_many_pixels",
    ),
    Hostile(
        "lowest.bmp",
        "BMP with the most negative height",
        lambda: bmp(64, -(2**31)),
        "too_many_pixels",
    ),
]
