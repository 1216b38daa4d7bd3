"""A picture that no turn leaves as it is, and looking at single pixels."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from PIL import ExifTags, Image
from PIL.Image import Transpose

from tests.intake.samples import (
    encoded,
)

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 160, 60), (30, 60, 200), (230, 210, 40)
CORNERS = (RED, GREEN, BLUE, YELLOW)
WHITE = (255, 255, 255)
# What turns the stored picture upright again, by Exif's number.
UPRIGHT_BY = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
OPPOSITE = {6: Transpose.ROTATE_90, 8: Transpose.ROTATE_270}


@functools.cache
def quarters(size: tuple[int, int] = (160, 120)) -> Picture:
    """Return four colours: red, green above blue, yellow; no turn leaves it as it is."""
    picture = Image.new("RGB", size)
    half, middle = size[0] // 2, size[1] // 2
    for number, colour in enumerate(CORNERS):
        left, top = number % 2 * half, number // 2 * middle
        picture.paste(colour, (left, top, left + half, top + middle))
    return picture


def assert_quarters(image: Picture, tolerance: int = 6) -> None:
    """Check the colour in the middle of each quarter."""
    assert image.mode == "RGB"
    for number, colour in enumerate(CORNERS):
        x = image.width * (1 + 2 * (number % 2)) // 4
        y = image.height * (1 + 2 * (number // 2)) // 4
        assert_pixel(image, (x, y), colour, tolerance)


def assert_pixel(
    image: Picture, at: tuple[int, int], colour: tuple[int, ...], tolerance: int = 0
) -> None:
    """Check one pixel."""
    seen = image.getpixel(at)
    assert isinstance(seen, tuple)
    assert max(abs(a - b) for a, b in zip(seen, colour, strict=True)) <= tolerance, (seen, colour)


def turned(orientation: int, size: tuple[int, int]) -> Picture:
    """Return the quarters as a camera held in that way stores them."""
    if orientation == 1:
        return quarters(size).copy()
    return quarters(size).transpose(OPPOSITE.get(orientation, UPRIGHT_BY[orientation]))


def stored_turned(kind: str, orientation: int, size: tuple[int, int] = (160, 120)) -> bytes:
    """Return a file that says how it is to be turned."""
    picture = turned(orientation, size)
    if kind == "TIFF":
        return encoded(picture, "TIFF", tiffinfo={ExifTags.Base.Orientation: orientation})
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    return encoded(picture, kind, exif=picture.getexif().tobytes(), quality=95)
