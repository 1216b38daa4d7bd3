"""Odd but sound files of every format are accepted."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from mlcore.imaging import ImageError, Limits, decode, load_network_source
from tests.intake.pictures import (
    BLUE,
    GREEN,
    RED,
    assert_pixel,
    assert_quarters,
    quarters,
)
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
    png_with,
    riff_chunk,
    sound,
    webp,
)


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


PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def interlaced(width: int, height: int, rows_missing: int = 0) -> bytes:
    """Return a black grey PNG in Adam7's seven passes, cut in two chunks."""
    rows = b""
    for left, top, across, down in PASSES:
        columns, lines = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and lines > 0:
            rows += bytes(1 + columns) * lines
    packed = zlib.compress(rows[: len(rows) - rows_missing * (1 + width)])
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1))
    return png(header, png_chunk(b"IDAT", packed[:10]), png_chunk(b"IDAT", packed[10:]))


@pytest.mark.parametrize("size", [(101, 90), (64, 64), (3, 2), (1, 1)])
def test_an_interlaced_png_of_black_rows_is_whole(size: tuple[int, int]) -> None:
    """Black rows at the end could be the decoder's own filling; the stream is counted."""
    assert decode(interlaced(*size), limits=Limits(min_side=1)).image.size == size


def test_an_interlaced_png_without_its_last_rows_is_refused() -> None:
    with pytest.raises(ImageError) as refused:
        decode(interlaced(101, 90, rows_missing=3))
    assert refused.value.code == "truncated"


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
    data = encoded(quarters(), "MPO", save_all=True, append_images=[drawn(2)], quality=95)
    assert b"MPF\x00" in data
    decoded = decode(data)
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


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(max_bytes=100), "too_many_bytes"),
        (Limits(max_pixels=160 * 120 - 1), "too_many_pixels"),
        (Limits(max_side=159), "too_long"),
        (Limits(min_side=121), "too_small"),
    ],
)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_step_beyond_a_limit_is_refused(kind: str, limits: Limits, code: str) -> None:
    with pytest.raises(ImageError) as refused:
        decode(sound(kind), limits=limits)
    assert refused.value.code == code


@pytest.mark.parametrize("error", [MemoryError(), Image.DecompressionBombError()])
def test_no_memory_left_is_a_refusal(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def refuse(*_args: object) -> None:
        raise error

    data = encoded(drawn().convert("L"), "PNG")
    monkeypatch.setattr(Image.Image, "convert", refuse)
    with pytest.raises(ImageError) as refused:
        decode(data)
    assert refused.value.code == "too_many_pixels"
