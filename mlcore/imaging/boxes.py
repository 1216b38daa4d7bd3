"""The boxes of a HEIF file (ISO/IEC 14496-12 and 23008-12)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from mlcore.imaging.errors import ImageError
from mlcore.imaging.seen import MOST_METADATA, MOST_PARTS, Seen

if TYPE_CHECKING:
    from collections.abc import Iterator

# What stands at the top level of pictures; anything else there is no box but what follows them.
_TOP = {
    b"ftyp",
    b"meta",
    b"mdat",
    b"moov",
    b"moof",
    b"free",
    b"skip",
    b"wide",
    b"uuid",
    b"mpvd",
    b"styp",
    b"sidx",
    b"mfra",
}
_TO_THE_END = 0
_LONG = 1


def walk_heif(data: bytes, seen: Seen) -> None:
    """Walk the boxes at the top and read the sizes of the pictures.

    Raises:
        ImageError: truncated, damaged, a film, or structured beyond what cameras write.
    """
    kinds: set[bytes] = set()
    for kind, start, stop in _boxes(data, 0, len(data)):
        if kind not in _TOP:
            break
        if stop > len(data):
            raise ImageError("truncated")
        kinds.add(kind)
        seen.end = stop
        if kind == b"meta":
            _walk_meta(data, start, stop, seen)
            kinds |= {inner for inner, _, _ in _boxes(data, start + 4, stop)}
    if b"meta" not in kinds:
        raise ImageError("video" if b"moov" in kinds else "truncated")
    if not kinds & {b"mdat", b"idat"}:
        raise ImageError("truncated")


def _walk_meta(data: bytes, start: int, stop: int, seen: Seen) -> None:
    if stop - start > MOST_METADATA:
        raise ImageError("too_complex")
    # An overlay may name the same large picture again and again; no camera writes one.
    if data.find(b"iovl", start, stop) >= 0:
        raise ImageError("unsupported_format")
    # "meta" and "ispe" carry four bytes of version and flags before their content.
    for kind, inner, end in _boxes(data, start + 4, stop):
        if kind == b"iprp":
            for holder, first, last in _boxes(data, inner, end):
                if holder == b"ipco":
                    _walk_properties(data, first, last, seen)


def _walk_properties(data: bytes, start: int, stop: int, seen: Seen) -> None:
    for kind, inner, _ in _boxes(data, start, stop):
        if kind == b"ispe":
            seen.states(*struct.unpack_from(">II", data, inner + 4))


def _boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, offset of the content, and offset behind each box."""
    position = start
    for _ in range(MOST_PARTS):
        if position + 8 > stop:
            return
        size, kind = struct.unpack_from(">I4s", data, position)
        content = position + 8
        if size == _LONG:
            (size,) = struct.unpack_from(">Q", data, position + 8)
            content += 8
        elif size == _TO_THE_END:
            size = stop - position
        end = position + size
        yield kind, content, end
        if end < content:
            raise ImageError("damaged")
        position = end
    raise ImageError("too_complex")
