"""Deep, grey, transparent and palette pictures come out in eight bits on white."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from pillow_heif import from_bytes

from mlcore.imaging import decode
from tests.intake.pictures import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    YELLOW,
    assert_pixel,
    assert_quarters,
    quarters,
)
from tests.intake.samples import (
    encoded,
    png,
    png_chunk,
    png_header,
    tiff,
)

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


def ramp(most: int, kind: Any) -> np.ndarray[Any, Any]:
    """Return 64 rows of 256 values from nothing to ``most``."""
    return np.tile(np.linspace(0, most, 256).round(), (64, 1)).astype(kind)


def assert_ramp(image: Picture) -> None:
    """Check that black to white came out of the deep values."""
    values = np.asarray(image).astype(int)
    assert values.shape == (64, 256, 3)
    assert np.abs(values - np.arange(256)[None, :, None]).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_keep_black_and_white(kind: str) -> None:
    assert_ramp(decode(encoded(Image.fromarray(ramp(65535, np.uint16)), kind)).image)


def test_eight_bits_in_wider_numbers_are_not_turned_black() -> None:
    assert_ramp(decode(encoded(Image.fromarray(ramp(255, np.uint16)), "TIFF")).image)


@pytest.mark.parametrize("most", [255, 65535, 2_000_000])
def test_thirty_two_bits_of_grey_keep_black_and_white(most: int) -> None:
    assert_ramp(decode(encoded(Image.fromarray(ramp(most, np.int32)), "TIFF")).image)


def test_fractions_from_nothing_to_one_keep_black_and_white() -> None:
    values = (ramp(255, np.float32) / 255).astype(np.float32)
    assert_ramp(decode(encoded(Image.fromarray(values), "TIFF")).image)


def test_fractions_in_other_units_are_stretched_and_broken_ones_ignored() -> None:
    values = (ramp(255, np.float32) * 3 - 100).astype(np.float32)
    values[0, 128] = np.nan
    values[0, 129] = np.inf
    image = decode(encoded(Image.fromarray(values), "TIFF")).image
    assert_ramp(image.crop((0, 1, 256, 64)).resize((256, 64), Image.Resampling.NEAREST))


@pytest.mark.parametrize("value", [0.5, 7.0])
def test_a_plain_field_of_fractions_is_a_plain_picture(value: float) -> None:
    field = Image.fromarray(np.full((80, 80), value, np.float32))
    assert len(decode(encoded(field, "TIFF")).image.getcolors() or []) == 1


@pytest.mark.parametrize("colour_type", [2, 6])
def test_sixteen_bits_a_channel_in_png(colour_type: int) -> None:
    row = b"".join(
        struct.pack(">3H", *(value * 257 for value in (RED if x < 50 else BLUE)))
        + (b"\xff\xff" if colour_type == 6 else b"")
        for x in range(100)
    )
    rows = zlib.compress((b"\x00" + row) * 80)
    data = png(png_header(100, 80, 16, colour_type), png_chunk(b"IDAT", rows))
    image = decode(data).image
    assert_pixel(image, (10, 40), RED, 1)
    assert_pixel(image, (90, 40), BLUE, 1)


def test_sixteen_bits_a_channel_in_tiff() -> None:
    strip = struct.pack("<3H", *(value * 257 for value in RED)) * (100 * 80) + b"\x10\x00" * 3
    depths = 8 + len(strip) - 6
    extra = [(258, 3, 3, depths), (262, 3, 1, 2), (277, 3, 1, 3)]
    assert_pixel(decode(tiff(100, 80, strip=strip, extra=extra)).image, (50, 40), RED, 1)


def test_a_palette_with_a_transparent_colour_lies_on_white() -> None:
    picture = quarters().quantize(4)
    first = picture.getpixel((10, 10))
    image = decode(encoded(picture, "PNG", transparency=first)).image
    assert_pixel(image, (10, 10), WHITE)
    assert_pixel(image, (150, 110), YELLOW, 4)


def test_a_palette_without_transparency() -> None:
    for kind in ("PNG", "TIFF", "BMP"):
        assert_quarters(decode(encoded(quarters().quantize(4), kind)).image)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_half_transparent_colours_are_mixed_with_white(kind: str) -> None:
    picture = quarters().convert("RGBA")
    picture.putalpha(128)
    options = {"lossless": True} if kind == "WEBP" else {}
    image = decode(encoded(picture, kind, **options)).image
    mixed = tuple(round(value * 128 / 255 + 127) for value in RED)
    assert_pixel(image, (10, 10), mixed, 2)


def test_what_is_wholly_transparent_is_white_whatever_colour_it_hides() -> None:
    picture = quarters().convert("RGBA")
    picture.putalpha(0)
    assert decode(encoded(picture, "PNG")).image.getcolors() == [(160 * 120, WHITE)]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_with_alpha(kind: str) -> None:
    picture = Image.new("LA", (100, 80), (100, 255))
    picture.paste((50, 0), (50, 0, 100, 80))
    image = decode(encoded(picture, kind)).image
    assert_pixel(image, (10, 40), (100, 100, 100))
    assert_pixel(image, (90, 40), WHITE)


def test_a_tiff_whose_colours_are_multiplied_by_alpha_already() -> None:
    half = tuple(value // 2 for value in RED)
    strip = bytes([*half, 128]) * (100 * 80) + b"\x08\x00" * 4
    extra = [
        (258, 3, 4, 8 + len(strip) - 8),
        (262, 3, 1, 2),
        (277, 3, 1, 4),
        (338, 3, 1, 1),
    ]
    mixed = tuple(round(value * 128 / 255 + 127) for value in RED)
    assert_pixel(decode(tiff(100, 80, strip=strip, extra=extra)).image, (50, 40), mixed, 3)


def test_a_heic_whose_colours_are_multiplied_by_alpha_already() -> None:
    half = tuple(value // 2 for value in RED)
    file = from_bytes("RGBA", (80, 80), bytes([*half, 128]) * 6_400)
    file[0].premultiplied_alpha = True
    buffer = io.BytesIO()
    file.save(buffer, quality=100, chroma=444)
    mixed = tuple(round(value * 128 / 255 + 127) for value in RED)
    assert_pixel(decode(buffer.getvalue()).image, (40, 40), mixed, 4)


def test_one_grey_or_colour_may_stand_for_transparency() -> None:
    grey = Image.new("L", (100, 80), 40)
    grey.paste(90, (50, 0, 100, 80))
    image = decode(encoded(grey, "PNG", transparency=40)).image
    assert_pixel(image, (10, 40), WHITE)
    assert_pixel(image, (90, 40), (90, 90, 90))
    image = decode(encoded(quarters(), "PNG", transparency=RED)).image
    assert_pixel(image, (10, 10), WHITE)
    assert_pixel(image, (150, 10), GREEN)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_one_bit_a_pixel(kind: str) -> None:
    picture = Image.new("1", (100, 80), 1)
    picture.paste(0, (50, 0, 100, 80))
    image = decode(encoded(picture, kind)).image
    assert_pixel(image, (10, 40), WHITE)
    assert_pixel(image, (90, 40), (0, 0, 0))


def test_one_bit_with_a_transparent_colour() -> None:
    picture = Image.new("1", (100, 80), 0)
    image = decode(encoded(picture, "PNG", transparency=0)).image
    assert_pixel(image, (10, 40), WHITE)
