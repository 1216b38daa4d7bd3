"""Odd but sound files: accepted, upright, eight bits, without alpha."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.Image import Transpose

from mlcore.imaging import DISPLAY_SIDE, Limits, decode, load_network_source
from tests.intake.samples import (
    FORMATS,
    blank,
    bmp,
    box,
    drawn,
    encoded,
    jpeg_segment,
    jpeg_with,
    noise,
    png,
    png_chunk,
    png_header,
    png_with,
    riff_chunk,
    sound,
    tiff,
    tiff_directory,
    webp,
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


# --- Orientation ---------------------------------------------------------------------------------


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


# --- Depth, palettes, transparency ---------------------------------------------------------------


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


# --- Variants of each format ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"progressive": True},
        {"optimize": True, "restart_marker_blocks": 3},
        {"subsampling": 2, "restart_marker_rows": 1},
        {"keep_rgb": True},
    ],
    ids=str,
)
def test_variants_of_jpeg(options: dict[str, Any]) -> None:
    assert_quarters(decode(encoded(quarters(), "JPEG", quality=95, **options)).image)


@pytest.mark.parametrize(
    "compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd"]
)
def test_variants_of_tiff(compression: str) -> None:
    options = {"quality": 95} if compression == "jpeg" else {}
    data = encoded(quarters(), "TIFF", compression=compression, **options)
    assert_quarters(decode(data).image)


def test_a_tiff_of_the_other_byte_order() -> None:
    strip = bytes(range(100)) * 80
    entries = [
        (256, 3, 1, 100 << 16),
        (257, 3, 1, 80 << 16),
        (258, 3, 1, 8 << 16),
        (259, 3, 1, 1 << 16),
        (262, 3, 1, 1 << 16),
        (273, 4, 1, 8),
        (277, 3, 1, 1 << 16),
        (278, 3, 1, 80 << 16),
        (279, 4, 1, len(strip)),
    ]
    directory = struct.pack(">H", len(entries)) + b"".join(
        struct.pack(">HHII", *entry) for entry in entries
    )
    data = b"MM\x00*" + struct.pack(">I", 8 + len(strip)) + strip + directory + bytes(4)
    assert_pixel(decode(data).image, (70, 40), (70, 70, 70))


def test_the_first_of_several_pages_counts() -> None:
    data = encoded(quarters(), "TIFF", save_all=True, append_images=[drawn(2), drawn(3)])
    assert_quarters(decode(data).image)


def test_variants_of_bmp() -> None:
    rows = b"".join(bytes(reversed(RED)) * 50 + bytes(reversed(BLUE)) * 50 for _ in range(80))
    for height in (80, -80):
        image = decode(bmp(100, height, rows=rows)).image
        assert_pixel(image, (10, 40), RED)
        assert_pixel(image, (90, 40), BLUE)
    top = bytes(reversed(GREEN)) * 100 + bytes(reversed(RED)) * (100 * 79)
    assert_pixel(decode(bmp(100, 80, rows=top)).image, (5, 79), GREEN)
    assert_pixel(decode(bmp(100, -80, rows=top)).image, (5, 0), GREEN)
    deep = (bytes(reversed(RED)) + b"\x00") * (100 * 80)
    assert_pixel(decode(bmp(100, 80, depth=32, rows=deep)).image, (5, 5), RED)
    core = b"BM" + struct.pack("<IHHI", 26 + len(rows), 0, 0, 26)
    core += struct.pack("<IHHHH", 12, 100, 80, 1, 24) + rows
    assert_pixel(decode(core).image, (10, 40), RED)


def test_a_small_bmp_of_run_lengths() -> None:
    rows = b"\x64\x00\x00\x00" * 80 + b"\x00\x01"
    assert_pixel(decode(bmp(100, 80, compression=1, depth=8, rows=rows)).image, (5, 5), (0, 0, 0))


def test_a_lossless_webp_keeps_every_pixel() -> None:
    image = decode(encoded(drawn(), "WEBP", lossless=True)).image
    assert image.tobytes() == drawn().tobytes()


def test_png_and_bmp_keep_every_pixel() -> None:
    for kind in ("PNG", "BMP", "TIFF"):
        assert decode(sound(kind)).image.tobytes() == drawn().tobytes()


def test_an_interlaced_png_of_black_rows_is_whole() -> None:
    """Black rows at the end make the decoder's own filling look possible; the stream is counted."""
    rows = b"".join(
        (b"\x00" * (1 + -(-(101 - left) // across))) * -(-(90 - top) // down)
        for left, top, across, down in (
            (0, 0, 8, 8),
            (4, 0, 8, 8),
            (0, 4, 4, 8),
            (2, 0, 4, 4),
            (0, 2, 2, 4),
            (1, 0, 2, 2),
            (0, 1, 1, 2),
        )
    )
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 101, 90, 8, 0, 0, 0, 1))
    packed = zlib.compress(rows)
    halves = png_chunk(b"IDAT", packed[:20]) + png_chunk(b"IDAT", packed[20:])
    assert decode(png(header, halves)).image.size == (101, 90)


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_jpeg_that_really_ends_in_mid_grey_is_whole(quality: int, subsampling: int) -> None:
    picture = drawn().copy()
    picture.paste((128, 128, 128), (0, 60, 160, 120))
    for extra in ({}, {"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True}):
        data = encoded(picture, "JPEG", quality=quality, subsampling=subsampling, **extra)
        assert_pixel(decode(data).image, (80, 119), (128, 128, 128))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_first_frame_of_an_animation_counts(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(
        quarters(), kind, save_all=True, append_images=[drawn(2), drawn(3)], duration=50, **options
    )
    assert_quarters(decode(data).image, 0)


def test_a_sequence_of_heic_pictures_gives_its_primary_one() -> None:
    data = encoded(quarters(), "HEIF", save_all=True, append_images=[drawn(2)], quality=95)
    assert_quarters(decode(data).image, 12)


def test_a_multi_picture_jpeg_gives_its_first() -> None:
    buffer = io.BytesIO()
    quarters().save(buffer, "MPO", save_all=True, append_images=[drawn(2)], quality=95)
    decoded = decode(buffer.getvalue())
    assert decoded.format.value == "JPEG"
    assert_quarters(decoded.image)


def test_makers_trailers_are_let_through() -> None:
    film = box(b"ftyp", b"mp42\x00\x00\x00\x00isommp42") + box(b"mdat", noise(5, 200_000))
    chance = b"#!/" + b"PK\x03\x04" + b"PK\x05\x06" + noise(6, 2_000)
    for trailer in (film, bytes(4_096), film + chance):
        assert_quarters(decode(encoded(quarters(), "JPEG", quality=95) + trailer).image)


def test_unknown_but_harmless_parts_are_let_through() -> None:
    assert decode(png_with(png_chunk(b"prVt", noise(7, 1_000)))).width == 160
    assert decode(jpeg_with(jpeg_segment(0xEA, noise(8, 1_000)))).width == 160
    assert decode(webp(sound("WEBP")[12:], riff_chunk(b"abcd", noise(9, 999)))).width == 160
    assert decode(sound("HEIF") + box(b"free", noise(10, 1_000))).width == 160
    assert decode(sound("BMP") + noise(11, 1_000)).width == 160


# --- Sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_the_limits_themselves_are_allowed(kind: str) -> None:
    data = encoded(blank((100, 64), colour=RED), kind)
    limits = Limits(max_bytes=len(data), max_pixels=6_400, min_side=64, max_side=100)
    decoded = decode(data, limits=limits)
    assert (decoded.width, decoded.height, decoded.format.value) == (100, 64, kind)


def test_a_panorama_is_not_stretched() -> None:
    source = load_network_source(encoded(blank((6_400, 64), colour=RED), "PNG"))
    assert source.size == (1_280, 13)


def test_a_small_picture_is_not_enlarged() -> None:
    assert load_network_source(sound("PNG")).size == (160, 120)
