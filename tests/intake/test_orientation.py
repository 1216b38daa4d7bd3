"""Pictures come out upright, and the camera's clock is read."""

from __future__ import annotations

import pytest
from PIL import ExifTags, Image

from mlcore.imaging import DISPLAY_SIDE, decode
from tests.intake.pictures import (
    assert_quarters,
    quarters,
    stored_turned,
)
from tests.intake.samples import (
    encoded,
    jpeg_segment,
    jpeg_with,
    tiff_directory,
)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_comes_out_upright(kind: str, orientation: int) -> None:
    decoded = decode(stored_turned(kind, orientation))
    assert decoded.image.size == (decoded.width, decoded.height) == (160, 120)
    assert_quarters(decoded.image)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_turned_heic_is_turned_once(orientation: int) -> None:
    decoded = decode(stored_turned("HEIF", orientation))
    assert (decoded.width, decoded.height) == (160, 120)
    assert_quarters(decoded.image, 12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_turned_jpeg_keeps_the_size_it_had_before_draft_mode(orientation: int) -> None:
    data = stored_turned("JPEG", orientation, (3400, 2600))
    decoded = decode(data, at_least=DISPLAY_SIDE)
    assert (decoded.width, decoded.height) == (3400, 2600)
    assert decoded.image.size == (1700, 1300)
    assert_quarters(decoded.image)


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(orientation: int) -> None:
    details = Image.Exif()
    details[ExifTags.Base.Orientation] = orientation
    assert_quarters(decode(encoded(quarters(), "JPEG", exif=details, quality=95)).image)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II*\x00",
        b"II*\x00\xff\xff\xff\xff",
        b"garbage that is no directory",
        b"MM\x00*\x00\x00\x00\x08\xff\xff",
        b"II*\x00\x08\x00\x00\x00\x05\x00\x12\x01",
        b"II*\x00\x08\x00\x00\x00" + tiff_directory([(274, 2, 1, 6), (34665, 4, 1, 8)]),
    ],
)
def test_a_broken_camera_block_costs_its_facts_and_not_the_picture(block: bytes) -> None:
    data = encoded(quarters(), "JPEG", quality=95)
    decoded = decode(jpeg_with(jpeg_segment(0xE1, b"Exif\x00\x00" + block), data=data))
    assert_quarters(decoded.image)
    assert decoded.taken_at is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024:02:29 13:45:10", "2024-02-29 13:45:10"),
        ("2023:02:29 13:45:10", "None"),
        ("0000:00:00 00:00:00", "None"),
        ("    :  :     :  :  ", "None"),
        ("yesterday", "None"),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF"])
def test_the_cameras_clock_is_read_where_it_makes_sense(
    kind: str, text: str, expected: str
) -> None:
    details = Image.Exif()
    details[ExifTags.Base.Make] = "Camera"
    details.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = text
    assert str(decode(encoded(quarters(), kind, exif=details.tobytes())).taken_at) == expected


def test_the_files_own_clock_stands_in_for_the_shutters() -> None:
    details = Image.Exif()
    details[ExifTags.Base.DateTime] = "2021:06:01 08:00:00"
    taken = decode(encoded(quarters(), "JPEG", exif=details)).taken_at
    assert str(taken) == "2021-06-01 08:00:00"
