"""Colour profiles built by code, and what they mean, computed without the library under test."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Space:
    """An RGB space of three colorants and a power law.

    Attributes:
        name: of the space.
        colorants: columns red, green and blue in XYZ, adapted to D50 as profiles demand.
        gamma: the power law's exponent.
    """

    name: str
    colorants: tuple[tuple[float, float, float], ...]
    gamma: float


# Colorants as in Apple's and Adobe's published profiles. Display P3 has sRGB's curve; a power of
# 2.2 stands in for it here, since the colorants are what is tested.
DISPLAY_P3 = Space(
    "Display P3",
    (
        (0.515121, 0.291977, 0.157104),
        (0.241196, 0.692245, 0.066574),
        (-0.001053, 0.041885, 0.784073),
    ),
    2.2,
)
ADOBE_RGB = Space(
    "Adobe RGB (1998)",
    (
        (0.609741, 0.205276, 0.149185),
        (0.311111, 0.625671, 0.063217),
        (0.019470, 0.060867, 0.744568),
    ),
    2.19921875,
)
# IEC 61966-2-1 adapted to D50 by Bradford.
_SRGB_D50 = np.array(
    [[0.436075, 0.385065, 0.143080], [0.222504, 0.716879, 0.060617], [0.013932, 0.097105, 0.714173]]
)


def to_srgb(colour: tuple[int, int, int], space: Space) -> NDArray[np.float64]:
    """Return the sRGB values, 0..255 and clipped, of a colour of the space."""
    linear = (np.array(colour) / 255.0) ** space.gamma
    return _from_xyz(np.array(space.colorants) @ linear)


def lab_to_srgb(lightness: float, a: float, b: float) -> NDArray[np.float64]:
    """Return the sRGB values, 0..255 and clipped, of a CIE 1976 L*a*b* colour under D50."""
    middle = (lightness + 16.0) / 116.0
    roots = np.array([middle + a / 500.0, middle, middle - b / 200.0])
    ratios = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29))
    return _from_xyz(ratios * np.array([0.9642, 1.0, 0.8249]))


def _from_xyz(xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    mixed = np.clip(np.linalg.inv(_SRGB_D50) @ xyz, 0.0, 1.0)
    curved = np.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * mixed ** (1 / 2.4) - 0.055)
    return np.asarray(curved * 255.0)


def profile_of(space: Space, description: str = "") -> bytes:
    """Return an ICC profile, version 2 (ICC.1:2001-04), of matrix and curves."""
    columns = np.array(space.colorants).T
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(space.gamma * 256)) + bytes(2)
    tags = {
        b"desc": _description(description or space.name),
        b"cprt": b"text" + bytes(4) + b"none\x00",
        b"wtpt": _xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": _xyz(*columns[0]),
        b"gXYZ": _xyz(*columns[1]),
        b"bXYZ": _xyz(*columns[2]),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    return _profile(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    """Return an ICC profile of grey with a power law."""
    tags = {
        b"desc": _description("grey"),
        b"cprt": b"text" + bytes(4) + b"none\x00",
        b"wtpt": _xyz(0.9642, 1.0, 0.8249),
        b"kTRC": b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256)) + bytes(2),
    }
    return _profile(b"GRAY", tags)


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, bodies = struct.pack(">I", len(tags)), b""
    first = 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        padded = body + bytes(-len(body) % 4)
        table += struct.pack(">4sII", name, first + len(bodies), len(body))
        bodies += padded
    size = first + len(bodies)
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x02100000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2024, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\x00") + table + bodies


def _description(text: str) -> bytes:
    encoded = text.encode("ascii") + b"\x00"
    return b"desc" + struct.pack(">II", 0, len(encoded)) + encoded + bytes(8 + 3 + 67)


def _xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ " + struct.pack(">4i", 0, *(round(value * 65536) for value in (x, y, z)))
