"""Small files that would cost a trusting decoder minutes or gigabytes."""

from __future__ import annotations

import struct
import zlib

from tests.intake.hostile_file import Hostile
from tests.intake.samples import (
    bmp,
    box,
    drawn,
    encoded,
    jpeg_part,
    jpeg_segment,
    jpeg_with,
    png_chunk,
    png_with,
    riff_chunk,
    sound,
    tiff,
    tiff_directory,
    webp,
)

MEBIBYTE = 1024 * 1024


def _jpeg_of_scans() -> bytes:
    data = encoded(drawn(), "JPEG", progressive=True)
    start, end = jpeg_part(data, 0xDA)
    scan = data[start:end] + b"\x00"
    return data[:start] + scan * 5_000 + data[start:]


def _exif_of_overlapping_values(entries: int = 1_900, size: int = 60_000) -> bytes:
    """Return a camera's block in which every entry points at the same text."""
    offset = 8 + 6 + 12 * entries
    listed = [(40_000 + number, 2, size, offset) for number in range(entries)]
    return b"II*\x00" + struct.pack("<I", 8) + tiff_directory(listed)


def _jpeg_exif_bomb() -> bytes:
    block = _exif_of_overlapping_values() + b"x" * 20_000
    return jpeg_with(jpeg_segment(0xE1, b"Exif\x00\x00" + block))


def _png_of_frames() -> bytes:
    frame = png_chunk(b"fcTL", bytes(26)) + png_chunk(b"fdAT", bytes(8))
    return png_with(png_chunk(b"acTL", struct.pack(">II", 12_000, 0)), frame * 12_000)


def _bombed_text(kind: bytes) -> bytes:
    head = b"profile\x00\x00" if kind in {b"zTXt", b"iCCP"} else b"Comment\x00\x01\x00\x00\x00"
    return png_with(png_chunk(kind, head + zlib.compress(bytes(64 * MEBIBYTE), 9)))


def _tiff_looping() -> bytes:
    data = tiff(100, 100, strip=bytes(10_000))
    (first,) = struct.unpack_from("<I", data, 4)
    return data[:-4] + struct.pack("<I", first)


def _tiff_of_pages() -> bytes:
    data = tiff(100, 100, strip=bytes(10_000))
    page = tiff_directory([(256, 4, 1, 1)])
    body = b""
    for _ in range(1_001):
        at = len(data) + len(body)
        body += page[:-4] + struct.pack("<I", at + len(page))
    return data[:-4] + struct.pack("<I", len(data)) + body[:-4] + struct.pack("<I", 0)


def _tiff_value_bomb() -> bytes:
    """Return entries that all point at the whole file: 3.8 GB if each is loaded."""
    extra = [(40_000 + number, 2, 2 * MEBIBYTE, 8) for number in range(1_900)]
    return tiff(100, 100, strip=bytes(2 * MEBIBYTE), extra=extra)


def _tiff_number_bomb() -> bytes:
    extra = [(279, 3, 2_000_000, 8)]
    return tiff(100, 100, strip=bytes(4 * MEBIBYTE), extra=extra)


def _heif_overlay() -> bytes:
    return sound("HEIF").replace(b"hvc1", b"iovl")


def _bmp_run_length(size: tuple[int, int]) -> bytes:
    return bmp(*size, compression=1, depth=8, rows=b"\x00\x00" * 100 + b"\x00\x01")


COSTLY = [
    Hostile("scans.jpg", "JPEG of 5 000 progressive scans", _jpeg_of_scans, "too_complex"),
    Hostile(
        "segments.jpg",
        "JPEG of 2 million empty segments",
        lambda: jpeg_with(jpeg_segment(0xDB, b"") * 2_000_000),
        "too_complex",
    ),
    Hostile(
        "fill.jpg",
        "JPEG of 8 MB of fill bytes",
        lambda: b"\xff\xd8" + b"\xff" * (8 * MEBIBYTE),
        "truncated",
    ),
    Hostile(
        "comments.jpg",
        "JPEG with 9 MB of comments",
        lambda: jpeg_with(jpeg_segment(0xFE, bytes(65_000)) * 140),
        "too_complex",
    ),
    Hostile(
        "exif-bomb.jpg",
        "JPEG whose Exif would load 114 MB from 43 KB",
        _jpeg_exif_bomb,
        "too_complex",
    ),
    Hostile(
        "chunks.png",
        "PNG of 30 000 empty chunks",
        lambda: png_with(png_chunk(b"tEXt", b"a\x00") * 30_000),
        "too_complex",
    ),
    Hostile(
        "private.png",
        "PNG with 9 MB of private chunks",
        lambda: png_with(png_chunk(b"prVt", bytes(MEBIBYTE)) * 9),
        "too_complex",
    ),
    Hostile(
        "exif.webp",
        "WebP with 9 MB of Exif",
        lambda: webp(sound("WEBP")[12:], riff_chunk(b"EXIF", bytes(9 * MEBIBYTE))),
        "too_complex",
    ),
    Hostile(
        "boxes.heic",
        "HEIC of 30 000 empty boxes",
        lambda: sound("HEIF") + box(b"free") * 30_000,
        "too_complex",
    ),
    Hostile("frames.png", "animated PNG of 12 000 frames", _png_of_frames, "too_complex"),
    Hostile(
        "text-bomb.png", "PNG whose text unpacks to 64 MB", lambda: _bombed_text(b"zTXt"), "damaged"
    ),
    Hostile(
        "profile-bomb.png",
        "PNG whose colour profile unpacks to 64 MB",
        lambda: _bombed_text(b"iCCP"),
        "damaged",
    ),
    Hostile(
        "chunks.webp",
        "WebP of 40 000 empty chunks",
        lambda: webp(riff_chunk(b"abcd", b"") * 40_000, sound("WEBP")[12:]),
        "too_complex",
    ),
    Hostile("loop.tif", "TIFF whose pages run in a circle", _tiff_looping, "too_complex"),
    Hostile("pages.tif", "TIFF of 1 002 pages", _tiff_of_pages, "too_complex"),
    Hostile(
        "entries.tif",
        "TIFF of 60 000 entries",
        lambda: tiff(
            100, 100, strip=bytes(10_000), extra=[(1_000 + n, 3, 1, 0) for n in range(60_000)]
        ),
        "too_complex",
    ),
    Hostile(
        "values.tif",
        "TIFF whose entries would load 3.8 GB from 2 MB",
        _tiff_value_bomb,
        "too_complex",
    ),
    Hostile("numbers.tif", "TIFF with 2 million strips", _tiff_number_bomb, "too_complex"),
    Hostile(
        "tile.tif",
        "TIFF with a tile of 4 gigapixels",
        lambda: tiff(
            100,
            100,
            strip=bytes(10_000),
            extra=[(322, 4, 1, 65_536), (323, 4, 1, 65_536), (324, 4, 1, 8), (325, 4, 1, 10_000)],
        ),
        "too_complex",
    ),
    Hostile(
        "overlay.heic",
        "HEIC that lays pictures over each other",
        _heif_overlay,
        "unsupported_format",
    ),
    Hostile(
        "index.heic",
        "HEIC with an index of 9 MB",
        lambda: box(b"ftyp", b"heic\x00\x00\x00\x00mif1heic") + box(b"meta", bytes(9 * MEBIBYTE)),
        "too_complex",
    ),
    Hostile(
        "run-length.bmp",
        "BMP, run lengths: 62 megapixels in 1 KB",
        lambda: _bmp_run_length((8_000, 7_800)),
        "too_complex",
    ),
]
