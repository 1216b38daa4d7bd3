"""Spoiling files: blindly, and with the structure mended so that the spoilt part is reached."""

from __future__ import annotations

import functools
import struct
import zlib
from typing import TYPE_CHECKING

from tests.intake.carriers import CARRIERS
from tests.intake.hostile import HOSTILE
from tests.intake.samples import FORMATS, PNG_SIGNATURE, drawn, encoded, sound

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

_MOST_SEED = 100_000
_NUMBERS = (0, 1, 2, 3, 7, 8, 64, 127, 128, 255, 256, 4_096, 32_767, 32_768, 65_535, 65_536)
_LARGE = (2**24 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
_MOST_STEPS = 5


@functools.cache
def seeds() -> tuple[bytes, ...]:
    """Return what is spoilt: sound files of every kind, odd but sound ones, and hostile ones."""
    small = drawn(2, (72, 66))
    plain = [encoded(small, kind) for kind in FORMATS]
    plain += [
        encoded(small, "JPEG", progressive=True),
        encoded(small.convert("L"), "JPEG"),
        encoded(small.convert("CMYK"), "JPEG"),
        encoded(small.convert("P"), "PNG"),
        encoded(small.convert("RGBA"), "PNG"),
        encoded(small.convert("1"), "PNG"),
        encoded(small, "WEBP", lossless=True),
        encoded(small.convert("RGBA"), "WEBP"),
        *(encoded(small, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_deflate")),
        encoded(small, "TIFF", compression="jpeg"),
        encoded(small.convert("P"), "BMP"),
    ]
    plain += [sound(kind) for kind in FORMATS]
    plain += [carrier.make() for carrier in CARRIERS]
    # Sound ones thrice: most hostile files are refused before a decoder sees them.
    plain = plain * 3 + [hostile.data for hostile in HOSTILE]
    return tuple(seed for seed in plain if seed and len(seed) < _MOST_SEED)


def mutated(chance: random.Random) -> bytes:
    """Return a spoilt file; the same generator state gives the same file."""
    data = bytearray(chance.choice(seeds()))
    for _ in range(chance.randint(1, _MOST_STEPS)):
        if not data:
            break
        data = chance.choice(_WAYS)(data, chance)
    if chance.random() < 0.7:
        data = mended(data)
    return bytes(data)


def mended(data: bytearray) -> bytearray:
    """Return the file with PNG's checksums and RIFF's length made right."""
    if data.startswith(PNG_SIGNATURE):
        return _png_sums(data)
    if data.startswith(b"RIFF") and len(data) >= 12:
        struct.pack_into("<I", data, 4, len(data) - 8)
    return data


def _png_sums(data: bytearray) -> bytearray:
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        struct.pack_into(">I", data, end, zlib.crc32(data[position + 4 : end]))
        position = end + 4
    return data


def _place(data: bytearray, chance: random.Random) -> int:
    # Headers decide more than pixels do.
    if chance.random() < 0.6:
        return chance.randrange(min(len(data), 600))
    return chance.randrange(len(data))


def _flip(data: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.randint(1, 8)):
        data[_place(data, chance)] ^= 1 << chance.randrange(8)
    return data


def _number(data: bytearray, chance: random.Random) -> bytearray:
    """Overwrite a field of two, three or four bytes with a number that is often a limit."""
    size = chance.choice((1, 2, 3, 4, 8))
    value = chance.choice((*_NUMBERS, *_LARGE, chance.getrandbits(8 * size)))
    order = chance.choice(("big", "little"))
    at = _place(data, chance)
    field = (value % 2 ** (8 * size)).to_bytes(size, "big" if order == "big" else "little")
    data[at : at + size] = field
    return data


def _cut(data: bytearray, chance: random.Random) -> bytearray:
    return data[: _place(data, chance)]


def _lose(data: bytearray, chance: random.Random) -> bytearray:
    at = _place(data, chance)
    del data[at : at + chance.randint(1, 64)]
    return data


def _repeat(data: bytearray, chance: random.Random) -> bytearray:
    at = _place(data, chance)
    stretch = data[at : at + chance.randint(1, 400)]
    return data[:at] + stretch * chance.randint(2, 6) + data[at:]


def _insert(data: bytearray, chance: random.Random) -> bytearray:
    at = _place(data, chance)
    return data[:at] + chance.randbytes(chance.randint(1, 64)) + data[at:]


def _splice(data: bytearray, chance: random.Random) -> bytearray:
    other = chance.choice(seeds())
    return data[: _place(data, chance)] + other[chance.randrange(len(other)) :]


def _graft(data: bytearray, chance: random.Random) -> bytearray:
    """Put a stretch of another file into this one, over what was there."""
    other = chance.choice(seeds())
    begin = chance.randrange(len(other))
    stretch = other[begin : begin + chance.randint(1, 300)]
    at = _place(data, chance)
    data[at : at + len(stretch)] = stretch
    return data


def _swap(data: bytearray, chance: random.Random) -> bytearray:
    first, second = sorted((_place(data, chance), _place(data, chance)))
    length = min(chance.randint(1, 32), second - first, len(data) - second)
    here, there = data[first : first + length], data[second : second + length]
    data[first : first + length], data[second : second + length] = there, here
    return data


def _fill(data: bytearray, chance: random.Random) -> bytearray:
    at = _place(data, chance)
    length = min(chance.randint(1, 200), len(data) - at)
    data[at : at + length] = bytes([chance.choice((0, 255, 127, 65))]) * length
    return data


_WAYS: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    _flip,
    _flip,
    _number,
    _number,
    _number,
    _cut,
    _lose,
    _repeat,
    _insert,
    _splice,
    _graft,
    _swap,
    _fill,
)
