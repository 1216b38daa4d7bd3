"""The directories of a TIFF file, which Exif blocks are too (TIFF 6.0, section 2).

A library that reads them loads every value that an entry points at. Thousands of entries that
all point at the same megabytes would therefore cost gigabytes: they are counted here first.
"""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mlcore.imaging.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlcore.imaging.seen import Seen

_ORDERS = {b"II*\x00": "<", b"MM\x00*": ">"}
_MOST_ENTRIES = 2_000
_MOST_PAGES = 1_000
# Values other than bytes and text become objects in memory: a picture needs one a strip or tile.
_MOST_NUMBERS = 1_000_000
_MOST_TILE_PIXELS = 64_000_000
_SLACK = 64 * 1024
_BYTES_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_PLAIN_TYPES = {1, 2, 6, 7}
_INTEGER_TYPES = {1: "B", 3: "H", 4: "I", 13: "I"}

_SUBFILE, _WIDTH, _HEIGHT = 254, 256, 257
_STRIP_OFFSETS, _STRIP_BYTES = 273, 279
_ORIENTATION, _DATE_TIME, _DATE_TIME_ORIGINAL = 274, 306, 36867
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 322, 323, 324, 325
_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965
_INNER = {_EXIF, _GPS, _INTEROPERABILITY}
_INNER_DEPTH = 2
_DNG = 50706
_REDUCED = 1


@dataclass(frozen=True)
class _Entry:
    tag: int
    kind: int
    count: int
    size: int
    offset: int


@dataclass(frozen=True)
class CameraFacts:
    """The only two facts that are read of a camera's block.

    Attributes:
        orientation: 1 to 8 as Exif numbers them; 1 where none or nonsense is stated.
        taken_at: the camera's own clock, without a time zone, or None.
    """

    orientation: int = 1
    taken_at: datetime | None = None


def walk_tiff(data: bytes, seen: Seen) -> None:
    """Walk the chain of pages; a loop or an absurd one is refused.

    Raises:
        ImageError: truncated, too complex, or a camera's raw data.
        struct.error: a field lies behind the end.
    """
    seen.exif = data
    if data[8:10] == b"CR":
        raise ImageError("unsupported_format")
    order = _ORDERS[data[:4]]
    (offset,) = struct.unpack_from(f"{order}I", data, 4)
    pages: set[int] = set()
    while offset:
        if offset in pages or len(pages) >= _MOST_PAGES:
            raise ImageError("too_complex")
        entries, following = _directory(data, offset, order)
        seen.end = max(seen.end, following + 4, *(_end_of(entry) for entry in entries), 0)
        if not pages:
            _walk_first_page(data, entries, order, seen)
        pages.add(offset)
        (offset,) = struct.unpack_from(f"{order}I", data, following)
    if not pages:
        raise ImageError("damaged")


def _walk_first_page(data: bytes, entries: list[_Entry], order: str, seen: Seen) -> None:
    numbers = {entry.tag: _number(data, entry, order) for entry in entries}
    seen.states(numbers.get(_WIDTH, 0), numbers.get(_HEIGHT, 0))
    if _DNG in numbers or numbers.get(_SUBFILE, 0) & _REDUCED:
        # Camera raw: the first page is a thumbnail, which is not what the person means to send.
        raise ImageError("unsupported_format")
    if numbers.get(_TILE_WIDTH, 0) * numbers.get(_TILE_HEIGHT, 0) > _MOST_TILE_PIXELS:
        raise ImageError("too_complex")
    _check_values(data, entries, order)
    by_tag = {entry.tag: entry for entry in entries}
    for offsets, sizes in ((_STRIP_OFFSETS, _STRIP_BYTES), (_TILE_OFFSETS, _TILE_BYTES)):
        if offsets in by_tag and sizes in by_tag:
            starts = _integers(data, by_tag[offsets], order)
            lengths = _integers(data, by_tag[sizes], order)
            ends = [start + length for start, length in zip(starts, lengths, strict=False)]
            seen.end = max(seen.end, *ends, 0)
    if seen.end > len(data):
        raise ImageError("truncated")


def check_exif(block: bytes) -> None:
    """Refuse a camera's block that would cost more memory than it has bytes.

    Raises:
        ImageError: its values overlap beyond reason.
    """
    if block[:4] not in _ORDERS:
        return
    with contextlib.suppress(struct.error):
        order = _ORDERS[block[:4]]
        (offset,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, offset)
        # Nonsense costs nothing: a reader stops where the block ends, and so does this.
        fitting = min(count, (len(block) - offset - 2) // 12)
        _check_values(block, _entries(block, offset, fitting, order), order)


def read_camera_facts(block: bytes) -> CameraFacts:
    """Return orientation and time; whatever is broken in the block counts as not stated."""
    orientation, moment = 1, None
    if block[:4] not in _ORDERS:
        return CameraFacts()
    with contextlib.suppress(struct.error, ImageError):
        order = _ORDERS[block[:4]]
        (offset,) = struct.unpack_from(f"{order}I", block, 4)
        entries = {entry.tag: entry for entry in _directory(block, offset, order)[0]}
        if _ORIENTATION in entries:
            stated = _number(block, entries[_ORIENTATION], order)
            orientation = stated if 1 <= stated <= 8 else 1  # noqa: PLR2004 - Exif's eight
        if _DATE_TIME in entries:
            moment = _moment(block, entries[_DATE_TIME])
        if _EXIF in entries:
            inner, _ = _directory(block, _number(block, entries[_EXIF], order), order)
            for entry in inner:
                if entry.tag == _DATE_TIME_ORIGINAL:
                    moment = _moment(block, entry) or moment
    return CameraFacts(orientation, moment)


def _directory(data: bytes, offset: int, order: str) -> tuple[list[_Entry], int]:
    """Return the entries of a directory and the offset of the pointer behind them."""
    (count,) = struct.unpack_from(f"{order}H", data, offset)
    if count > _MOST_ENTRIES:
        raise ImageError("too_complex")
    return _entries(data, offset, count, order), offset + 2 + 12 * count


def _entries(data: bytes, offset: int, count: int, order: str) -> list[_Entry]:
    entries = []
    for position in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, position)
        size = _BYTES_OF_TYPE.get(kind, 0) * number
        # Four bytes or less stand in the entry itself.
        at = position + 8
        if size > 4:  # noqa: PLR2004 - see above
            (at,) = struct.unpack_from(f"{order}I", data, at)
        entries.append(_Entry(tag, kind, number, size, at))
    return entries


def _end_of(entry: _Entry) -> int:
    return entry.offset + entry.size


def _check_values(data: bytes, entries: list[_Entry], order: str, depth: int = 0) -> None:
    """Count the bytes that loading every value would take, those of inner directories too."""
    if sum(entry.size for entry in entries) > 2 * len(data) + _SLACK:
        raise ImageError("too_complex")
    if any(e.kind not in _PLAIN_TYPES and e.count > _MOST_NUMBERS for e in entries):
        raise ImageError("too_complex")
    # A tag that comes twice counts once, as in every reader; otherwise this would branch freely.
    inner = {entry.tag: entry for entry in entries if entry.tag in _INNER}
    for entry in inner.values() if depth < _INNER_DEPTH else ():
        with contextlib.suppress(struct.error):
            found, _ = _directory(data, _number(data, entry, order), order)
            _check_values(data, found, order, depth + 1)


def _integers(data: bytes, entry: _Entry, order: str) -> Iterator[int]:
    letter = _INTEGER_TYPES.get(entry.kind)
    if letter is None:
        return iter(())
    return iter(struct.unpack_from(f"{order}{entry.count}{letter}", data, entry.offset))


def _number(data: bytes, entry: _Entry, order: str) -> int:
    """Return the first number of an entry; 0 where it holds none."""
    letter = _INTEGER_TYPES.get(entry.kind)
    if letter is None or entry.count == 0:
        return 0
    return int(struct.unpack_from(f"{order}{letter}", data, entry.offset)[0])


def _moment(data: bytes, entry: _Entry) -> datetime | None:
    text = data[entry.offset : entry.offset + min(entry.size, 32)].decode("ascii", "replace")
    try:
        # The camera's clock has no zone; the caller knows where the clinic is.
        return datetime.strptime(text.strip("\x00 "), "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007
    except ValueError:
        return None
