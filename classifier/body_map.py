"""Outlines of the body's sites, seen from the front and from behind, drawn for this project.

All are paths of one drawing, ``WIDTH`` by ``HEIGHT`` units: the figure from the front at the left,
from behind in the middle, and at the right what neither shows well, enlarged. A figure stands in
its own coordinates, 0 being its middle; paths use absolute commands with pairs of numbers only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from classifier.choices import BodySite

WIDTH, HEIGHT = 340, 314
_FRONT, _BEHIND, _DETAIL = 75, 205, 305
_PAIR = re.compile(r"(-?[\d.]+) (-?[\d.]+)")

_EAR = "M15 24 C20 20 22 33 15.5 36 Z"
_UPPER_ARM = "M32.5 67.5 C42 70 43 82 44 92 L47 115 L36 117 L28.5 87 Z"
_FOREARM = "M36 118 L47 116 C50 126 51 138 51 152 L43 153 C41 140 38 130 36 118 Z"
_HAND = "M43 154 L51 153 C55 158 56 166 54 176 C53 181 47 182 45 177 C42 170 41 162 43 154 Z"
_LOWER_LEG = "M25 213 C27 228 24 246 20 268 L11 268 C8 246 7 228 9 213 Z"


@dataclass(frozen=True)
class Region:
    """Where a site lies on the drawing.

    Attributes:
        paths: its outlines, as an SVG path's ``d``.
        x: where a number is written upon it, in units from the left.
        y: likewise, from the top; the middle of the number.
    """

    paths: tuple[str, ...]
    x: int
    y: int


def moved(path: str, to: int, *, mirrored: bool = False) -> str:
    """Return a path of a figure at its place in the drawing.

    Args:
        path: in the figure's coordinates.
        to: where the figure's middle lies.
        mirrored: draw the other half of the body.
    """
    way = -1 if mirrored else 1
    return _PAIR.sub(lambda pair: f"{to + way * float(pair[1]):g} {pair[2]}", path)


def _whole(to: int, *paths: str) -> tuple[str, ...]:
    return tuple(moved(path, to) for path in paths)


def _both(to: int, path: str) -> tuple[str, ...]:
    return moved(path, to), moved(path, to, mirrored=True)


def _limb(path: str, x: int, y: int) -> Region:
    """Return a part of both limbs, seen from both sides."""
    return Region((*_both(_FRONT, path), *_both(_BEHIND, path)), _FRONT + x, y)


REGIONS: dict[BodySite, Region] = {
    BodySite.SCALP: Region(
        (
            *_whole(_FRONT, "M-14 20 C-16 2 16 2 14 20 C8 14 -8 14 -14 20 Z"),
            *_whole(_BEHIND, "M-15 26 C-18 1 18 1 15 26 C14 36 9 42 0 42 C-9 42 -14 36 -15 26 Z"),
        ),
        _BEHIND,
        24,
    ),
    BodySite.FACE: Region(
        _whole(_FRONT, "M-14 21 C-8 15 8 15 14 21 C16 34 9 47 0 48 C-9 47 -16 34 -14 21 Z"),
        _FRONT,
        33,
    ),
    BodySite.EAR: _limb(_EAR, 27, 28),
    BodySite.NECK: Region(
        (
            *_whole(_FRONT, "M-8 46 L-9 58 L9 58 L8 46 C3 50 -3 50 -8 46 Z"),
            *_whole(_BEHIND, "M-8 42 L-9 58 L9 58 L8 42 C3 44 -3 44 -8 42 Z"),
        ),
        _BEHIND,
        51,
    ),
    BodySite.CHEST: Region(
        _whole(
            _FRONT,
            "M-9 59 C-16 62 -26 63 -31 67 L-27 84 L-25 108 L25 108 L27 84 L31 67 "
            "C26 63 16 62 9 59 Z",
        ),
        _FRONT,
        86,
    ),
    BodySite.ABDOMEN: Region(
        _whole(
            _FRONT,
            "M-25 109 L-23 128 C-23 138 -26 146 -27 152 L-9 166 L9 166 L27 152 "
            "C26 146 23 138 23 128 L25 109 Z",
        ),
        _FRONT,
        136,
    ),
    BodySite.BACK: Region(
        _whole(
            _BEHIND,
            "M-9 59 C-16 62 -26 63 -31 67 L-27 84 L-25 109 L-23 128 C-23 136 -25 141 -26 145 "
            "L26 145 C25 141 23 136 23 128 L25 109 L27 84 L31 67 C26 63 16 62 9 59 Z",
        ),
        _BEHIND,
        102,
    ),
    BodySite.BUTTOCK: Region(
        _whole(
            _BEHIND,
            "M-26 146 C-29 156 -29 164 -28 170 C-18 178 -6 177 0 170 C6 177 18 178 28 170 "
            "C29 164 29 156 26 146 Z",
        ),
        _BEHIND,
        160,
    ),
    BodySite.GENITAL: Region(
        _whole(_FRONT, "M-9 167 L9 167 L5 182 C2 185 -2 185 -5 182 Z"), _FRONT, 174
    ),
    BodySite.UPPER_ARM: _limb(_UPPER_ARM, 38, 94),
    BodySite.FOREARM: _limb(_FOREARM, 45, 134),
    BodySite.HAND: _limb(_HAND, 49, 166),
    BodySite.THIGH: Region(
        (
            *_both(
                _FRONT,
                "M28 153 C30 170 29 190 25 212 L9 212 C8 199 6 190 5 184 L10 167 Z",
            ),
            *_both(
                _BEHIND,
                "M28 171 C29 186 27 198 25 212 L9 212 C8 198 4 186 2 173 C8 178 18 178 28 171 Z",
            ),
        ),
        _FRONT + 18,
        188,
    ),
    BodySite.LOWER_LEG: _limb(_LOWER_LEG, 17, 238),
    BodySite.FOOT: Region(
        (
            *_both(
                _FRONT,
                "M11 269 L20 269 C22 276 26 284 25 289 C20 293 10 292 8 289 C8 282 11 276 11 269 Z",
            ),
            *_both(
                _BEHIND,
                "M11 269 L20 269 C22 276 23 284 22 289 C18 292 12 292 9 289 C9 282 11 276 11 269 Z",
            ),
        ),
        _FRONT + 16,
        283,
    ),
    BodySite.MUCOSA: Region(
        _whole(_DETAIL, "M-20 30 C-13 21 -5 21 0 25 C5 21 13 21 20 30 C13 43 -13 43 -20 30 Z"),
        _DETAIL,
        32,
    ),
    BodySite.NAIL: Region(
        _whole(_DETAIL, "M-11 78 C-11 64 11 64 11 78 L10 98 C8 102 -8 102 -10 98 Z"),
        _DETAIL,
        84,
    ),
    BodySite.PALM: Region(
        _whole(
            _DETAIL,
            "M-15 198 C-19 186 -20 176 -19 168 L-17 146 C-17 143 -12 143 -12 146 L-11 162 "
            "L-9 140 C-9 137 -4 137 -4 140 L-3 161 L0 139 C0 136 5 136 5 139 L5 162 L8 144 "
            "C8 141 13 142 12.5 145 L11 170 C14 166 17 162 20 163 C23 164 21 168 19 171 "
            "C15 180 11 190 7 198 Z",
        ),
        _DETAIL - 4,
        180,
    ),
    BodySite.SOLE: Region(
        _whole(
            _DETAIL,
            "M-9 288 C-15 280 -13 266 -11 254 C-15 242 -16 228 -8 220 C0 213 12 216 14 228 "
            "C15 240 9 246 8 256 C10 266 12 280 6 288 C2 292 -5 292 -9 288 Z",
        ),
        _DETAIL - 1,
        250,
    ),
}
