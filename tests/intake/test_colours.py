"""Colours come out in sRGB, whatever they were meant in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageCms

from mlcore.imaging import decode
from tests.intake.pictures import assert_pixel, assert_quarters, quarters
from tests.intake.profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    Space,
    grey_profile,
    lab_to_srgb,
    profile_of,
    to_srgb,
)
from tests.intake.samples import blank, encoded, jpeg_part, noise

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SKIN = (205, 150, 125)
COLOURS = [SKIN, (120, 60, 40), (90, 140, 90), (128, 128, 128), (255, 0, 0), (0, 255, 0)]
EXACT = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}
LOSSY = {"JPEG": {"quality": 100, "subsampling": 0}, "HEIF": {"quality": 100, "chroma": 444}}


@pytest.mark.parametrize("space", [DISPLAY_P3, ADOBE_RGB], ids=lambda space: space.name)
@pytest.mark.parametrize("colour", COLOURS, ids=str)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_wide_colours_are_converted(kind: str, space: Space, colour: tuple[int, int, int]) -> None:
    options = (EXACT | LOSSY)[kind]
    data = encoded(blank((80, 80), colour=colour), kind, icc_profile=profile_of(space), **options)
    expected = tuple(int(value) for value in to_srgb(colour, space).round())
    assert_pixel(decode(data).image, (40, 40), expected, 2 if kind == "PNG" else 4)


def test_the_conversion_is_not_an_identity() -> None:
    for space in (DISPLAY_P3, ADOBE_RGB):
        assert np.abs(to_srgb(SKIN, space) - np.array(SKIN)).max() > 8


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "HEIF"])
def test_the_profile_is_found_in_every_format(kind: str) -> None:
    profile = profile_of(ADOBE_RGB)
    options = (EXACT | LOSSY)[kind]
    data = encoded(blank((80, 80), colour=SKIN), kind, icc_profile=profile, **options)
    expected = tuple(int(value) for value in to_srgb(SKIN, ADOBE_RGB).round())
    assert_pixel(decode(data).image, (40, 40), expected, 4)


def test_transparent_pictures_are_converted_before_they_lie_on_white() -> None:
    picture = Image.new("RGBA", (80, 80), (*SKIN, 255))
    picture.paste((0, 0, 0, 0), (40, 0, 80, 80))
    image = decode(encoded(picture, "PNG", icc_profile=profile_of(ADOBE_RGB))).image
    expected = tuple(int(value) for value in to_srgb(SKIN, ADOBE_RGB).round())
    assert_pixel(image, (10, 40), expected, 2)
    assert_pixel(image, (70, 40), (255, 255, 255))


def test_a_grey_profile_is_obeyed() -> None:
    picture = blank((80, 80), "L", 128)
    image = decode(encoded(picture, "PNG", icc_profile=grey_profile(1.0))).image
    # Half the light is 188 on sRGB's curve.
    assert_pixel(image, (40, 40), (188, 188, 188), 2)


def test_a_profile_of_srgb_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = decode(encoded(quarters(), "PNG", icc_profile=profile)).image
    assert_quarters(image, 1)


@pytest.mark.parametrize(
    "profile",
    [
        b"no profile at all",
        noise(1, 600),
        profile_of(ADOBE_RGB)[:200],
        profile_of(ADOBE_RGB)[:36] + b"XXXX" + profile_of(ADOBE_RGB)[40:],
        grey_profile(2.2),
    ],
    ids=["text", "noise", "cut", "signature", "of grey"],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_broken_or_foreign_profile_is_ignored(kind: str, profile: bytes) -> None:
    options = (EXACT | LOSSY)[kind]
    assert_quarters(decode(encoded(quarters(), kind, icc_profile=profile, **options)).image)


def test_a_profile_of_megabytes_is_ignored() -> None:
    profile = profile_of(ADOBE_RGB) + bytes(5 * 1024 * 1024)
    assert_quarters(decode(encoded(quarters(), "TIFF", icc_profile=profile)).image, 0)


# --- Printing inks and other models --------------------------------------------------------------

INKS = {
    (0, 0, 0, 0): (255, 255, 255),
    (255, 0, 0, 0): (0, 255, 255),
    (0, 255, 0, 0): (255, 0, 255),
    (0, 0, 255, 0): (255, 255, 0),
    (0, 0, 0, 255): (0, 0, 0),
    (40, 100, 120, 20): (198, 143, 124),
}


@pytest.mark.parametrize(("inks", "seen"), INKS.items(), ids=str)
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_printing_inks_are_not_inverted(
    kind: str, inks: tuple[int, ...], seen: tuple[int, ...]
) -> None:
    options = {"quality": 100} if kind == "JPEG" else {}
    data = encoded(blank((80, 80), "CMYK", inks), kind, **options)
    if kind == "JPEG":
        assert b"Adobe" in data
    assert_pixel(decode(data).image, (40, 40), seen, 3)


@pytest.mark.parametrize(("inks", "seen"), INKS.items(), ids=str)
def test_inks_coded_as_brightness_and_colour(inks: tuple[int, ...], seen: tuple[int, ...]) -> None:
    assert_pixel(decode(_ycck(inks)).image, (40, 40), seen, 4)


def _ycck(inks: tuple[int, ...]) -> bytes:
    """Return a JPEG as Photoshop writes inks: inverted, three of them as YCbCr (TN 5116)."""
    first = Image.new("RGB", (80, 80), inks[:3]).convert("YCbCr")
    # Pillow inverts what it writes; these three planes must reach the file as they are.
    planes = [band.point(lambda value: 255 - value) for band in first.split()]
    picture = Image.merge("CMYK", [*planes, Image.new("L", (80, 80), inks[3])])
    data = bytearray(encoded(picture, "JPEG", quality=100, subsampling=0))
    start, end = jpeg_part(bytes(data), 0xEE)
    assert data[start + 4 : start + 9] == b"Adobe"
    data[end - 1] = 2
    return bytes(data)


def test_the_profile_of_inks_is_obeyed_or_ignored_but_never_fatal() -> None:
    cyan = blank((80, 80), "CMYK", (255, 0, 0, 0))
    data = encoded(
        cyan,
        "JPEG",
        quality=100,
        icc_profile=profile_of(ADOBE_RGB),
    )
    assert_pixel(decode(data).image, (40, 40), (0, 255, 255), 3)


@pytest.mark.parametrize("lab", [(100, 0, 0), (0, 0, 0), (60, 20, 25), (50, -15, 10)], ids=str)
def test_lab_is_converted(lab: tuple[int, int, int]) -> None:
    image = decode(encoded(_lab(lab), "TIFF")).image
    expected = tuple(int(value) for value in lab_to_srgb(*lab).round())
    assert_pixel(image, (40, 40), expected, 3)


def _lab(colour: tuple[int, int, int]) -> Picture:
    stored = bytes([round(colour[0] * 2.55), colour[1] % 256, colour[2] % 256])
    return Image.frombytes("LAB", (80, 80), stored * 6_400)


def test_brightness_and_colour_in_a_tiff() -> None:
    assert_quarters(decode(encoded(quarters().convert("YCbCr"), "TIFF")).image, 3)
