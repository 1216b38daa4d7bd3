"""Walking a file's own structure before a decoder sees it.

Finds where the picture ends (what follows may hide something), whether it was cut off, and
whether metadata is absurdly large.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from mlcore.imaging.errors import ImageError
from mlcore.imaging.sniff import Format, hides_something

if TYPE_CHECKING:
    from collections.abc import Callable

# Far beyond what cameras write; a decoder that inflated more would cost memory for nothing.
_MOST_METADATA = 4 * 1024 * 1024
_MOST_CHUNKS = 20_000
_JPEG_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_TIFF_MOST_ENTRIES = 2_000
_TIFF_MOST_PAGES = 1_000


def check_structure(data: bytes, found: Format) -> None:
    """Refuse what the container itself gives away.

    Raises:
        ImageError: truncated, polyglot, damaged or too complex.
    """
    walk = _WALKS.get(found)
    end = walk(data) if walk is not None else len(data)
    if end < len(data) and hides_something(data[end:]):
        code = "polyglot"
        raise ImageError(code)


def _jpeg_end(data: bytes) -> int:
    """Return the offset behind the first image's EOI marker (ITU-T T.81, annex B)."""
    position, metadata = 2, 0
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            raise ImageError("truncated")  # noqa: EM101 - a code
        marker = data[position + 1]
        if marker in {0xFF, 0x00}:
            position += 1
            continue
        if marker == 0xD9:  # noqa: PLR2004 - EOI
            return position + 2
        if marker in _JPEG_STANDALONE:
            position += 2
            continue
        if position + 4 > len(data):
            raise ImageError("truncated")  # noqa: EM101 - a code
        length = struct.unpack(">H", data[position + 2 : position + 4])[0]
        if position + 2 + length > len(data):
            raise ImageError("truncated")  # noqa: EM101 - a code
        segment = data[position + 4 : position + 2 + length]
        if marker == 0xFE or 0xE0 <= marker <= 0xEF:  # noqa: PLR2004 - COM, APPn
            metadata += length
            if hides_something(segment) and not segment.startswith((b"http://ns.", b"ICC_", b"Exif")):
                raise ImageError("polyglot")  # noqa: EM101 - a code
            if metadata > _MOST_METADATA:
                raise ImageError("too_complex")  # noqa: EM101 - a code
        position += 2 + length


def _png_end(data: bytes) -> int:
    """Return the offset behind the IEND chunk (PNG specification, section 5)."""
    position, metadata, chunks = 8, 0, 0
    while True:
        if position + 12 > len(data):
            raise ImageError("truncated")  # noqa: EM101 - a code
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        chunks += 1
        if not kind.isalpha():
            raise ImageError("damaged")  # noqa: EM101 - a code
        if position + 12 + length > len(data):
            raise ImageError("truncated")  # noqa: EM101 - a code
        if kind not in {b"IDAT", b"IEND", b"IHDR", b"PLTE"}:
            metadata += length
            if kind in {b"tEXt", b"iTXt"} and hides_something(data[position + 8 : position + 8 + length]):
                raise ImageError("polyglot")  # noqa: EM101 - a code
        if metadata > _MOST_METADATA or chunks > _MOST_CHUNKS:
            raise ImageError("too_complex")  # noqa: EM101 - a code
        position += 12 + length
        if kind == b"IEND":
            return position


def _webp_end(data: bytes) -> int:
    """Return the end the RIFF header states."""
    if len(data) < 12:  # noqa: PLR2004 - the RIFF header
        raise ImageError("truncated")  # noqa: EM101 - a code
    end = 8 + int(struct.unpack("<I", data[4:8])[0])
    if end > len(data):
        raise ImageError("truncated")  # noqa: EM101 - a code
    return end


def _tiff_end(data: bytes) -> int:
    """Walk the chain of directories (TIFF 6.0, section 2); a loop or an absurd one is refused."""
    order = "<" if data[:2] == b"II" else ">"
    if len(data) < 8:  # noqa: PLR2004 - the TIFF header
        raise ImageError("truncated")  # noqa: EM101 - a code
    offset = struct.unpack(f"{order}I", data[4:8])[0]
    seen: set[int] = set()
    while offset:
        if offset in seen or len(seen) >= _TIFF_MOST_PAGES:
            raise ImageError("too_complex")  # noqa: EM101 - a code
        seen.add(offset)
        if offset + 2 > len(data):
            raise ImageError("truncated")  # noqa: EM101 - a code
        entries = struct.unpack(f"{order}H", data[offset : offset + 2])[0]
        if entries > _TIFF_MOST_ENTRIES:
            raise ImageError("too_complex")  # noqa: EM101 - a code
        following = offset + 2 + 12 * entries
        if following + 4 > len(data):
            raise ImageError("truncated")  # noqa: EM101 - a code
        offset = struct.unpack(f"{order}I", data[following : following + 4])[0]
    # A TIFF may keep its parts in any order, so it has no end to look behind.
    return len(data)


_WALKS: dict[Format, Callable[[bytes], int]] = {
    Format.JPEG: _jpeg_end,
    Format.PNG: _png_end,
    Format.WEBP: _webp_end,
    Format.TIFF: _tiff_end,
}
