"""Noticing that a decoder filled in pixels which the file does not hold.

libjpeg paints the missing rest of a picture mid-grey and Pillow leaves missing PNG rows black,
both without an error. A network would judge such a picture, and a clinician might too. Both
checks cost nothing unless the picture ends in exactly that colour.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import TYPE_CHECKING

from mlcore.imaging.errors import ImageError
from mlcore.imaging.sniff import Format

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_MID_GREY = 128
# The height of the blocks that JPEG codes, twice over where colour is coded at half size.
_BLOCK_ROWS = 16
_RESTARTS = re.compile(rb"\xff[\xd0-\xd7]")
_BASELINE = re.compile(rb"\xff[\xc0\xc1]\x00")
_EOI = b"\xff\xd9"
# The code of one grey block group is at most about 40 bits long, so the bytes repeat after 40.
_LONGEST_PERIOD = 40
_COMPARED = 8
_CHUNK = 1024 * 1024
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First column, first row, step across and step down of each of Adam7's passes.
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def check_complete(data: bytes, found: Format, decoded: Picture, end: int) -> None:
    """Refuse a picture whose lower part was filled in by the decoder.

    Args:
        data: the whole file.
        found: its format.
        decoded: its pixels as the decoder left them, neither turned nor converted.
        end: the offset behind the picture.

    Raises:
        ImageError: truncated.
    """
    if found is Format.JPEG and _ends_grey(decoded) and not _codes_one_colour(data[:end]):
        raise ImageError("truncated")
    if found is Format.PNG and _ends_black(decoded) and not _holds_every_row(data[:end]):
        raise ImageError("truncated")


def _last_rows(decoded: Picture, rows: int) -> Picture:
    return decoded.crop((0, max(0, decoded.height - rows), decoded.width, decoded.height))


def _ends_grey(decoded: Picture) -> bool:
    if decoded.mode not in {"L", "RGB"}:
        return False
    # A picture decoded at an eighth of its size keeps two rows of its last blocks.
    bands = _last_rows(decoded, _BLOCK_ROWS // 8).split()
    return all(band.getextrema() == (_MID_GREY, _MID_GREY) for band in bands)


def _codes_one_colour(data: bytes) -> bool:
    """Tell whether the coded data end as those of a plain area do: in a repeated pattern.

    Only Huffman-coded sequential pictures can be judged: progressive ones code a plain area in
    almost no bytes, so they get the benefit of the doubt.
    """
    if _BASELINE.search(data) is None:
        return True
    # The last byte is filled up with ones, so it is left out.
    tail = _RESTARTS.sub(b"", data[-4 * (_LONGEST_PERIOD + _COMPARED) :])
    tail = tail.removesuffix(_EOI)[:-1]
    return any(
        tail[-_COMPARED:] == tail[-_COMPARED - period : -period]
        for period in range(1, _LONGEST_PERIOD + 1)
    )


def _ends_black(decoded: Picture) -> bool:
    last = _last_rows(decoded, 1)
    return not any(last.tobytes())


def _holds_every_row(data: bytes) -> bool:
    """Unpack the pixels' stream and count, without keeping it."""
    width, height, depth, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * _PNG_SAMPLES[colour]
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    wanted = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            wanted += (1 + (columns * bits + 7) // 8) * rows
    unpacker, held, position = zlib.decompressobj(), 0, 8
    while held < wanted and position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        packed = data[position + 8 : position + 8 + length] if kind == b"IDAT" else b""
        position += 12 + length
        while packed and held < wanted:
            held += len(unpacker.decompress(packed, _CHUNK))
            packed = unpacker.unconsumed_tail
    return held >= wanted
