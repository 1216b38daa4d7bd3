"""Whatever the bytes, the answer is a picture within the limits or a refusal."""

from __future__ import annotations

import functools
import io
import math
import struct
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mlcore.imaging import (
    DISPLAY_SIDE,
    FAULTS,
    NETWORK_SOURCE_SIDE,
    ImageError,
    Limits,
    decode,
    encode_display,
    encode_network_source,
    encode_thumbnail,
    network_source,
    sniff,
    to_array,
)
from mlcore.imaging.directories import check_exif, read_camera_facts
from tests.intake.carriers import CARRIERS, camera_block
from tests.intake.hostile import HOSTILE
from tests.intake.pictures import UPRIGHT_BY, stored_turned
from tests.intake.properties import EFFORT, MORE_EFFORT
from tests.intake.samples import FORMATS, drawn, encoded, sound

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")
# Small, so that a changed size field cannot make one example cost a second.
LIMITS = Limits(max_bytes=2_000_000, max_pixels=1_000_000, min_side=16, max_side=4_000)


# Made when they are first drawn from: every process that only collects these tests would make them.
@functools.cache
def signatures() -> list[bytes]:
    """Return how files of every format begin."""
    return [sound(kind)[:length] for kind in FORMATS for length in (4, 12, 32, 64)]


@functools.cache
def seeds() -> list[bytes]:
    """Return sound files."""
    facts = ("Exif", "profile")
    return [sound(kind) for kind in FORMATS] + [
        carrier.make() for carrier in CARRIERS if any(fact in carrier.name for fact in facts)
    ]


@functools.cache
def parts() -> list[bytes]:
    """Return sound files, and how hostile ones begin."""
    small = [hostile.data for hostile in HOSTILE if len(hostile.data) < 100_000]
    return seeds() + [data[:2_000] for data in small]


def one_of(files: Callable[[], list[bytes]]) -> st.SearchStrategy[bytes]:
    """Return a strategy that draws one of the files."""
    return st.deferred(lambda: st.sampled_from(files()))


def attempted(act: Callable[[], Result]) -> tuple[Result | None, ImageError | None]:
    """Return what came out, or the refusal."""
    try:
        return act(), None
    except ImageError as refused:
        return None, refused


def assert_picture_or_refusal(data: bytes) -> None:
    """Decode; anything but a picture within the limits or an ``ImageError`` fails the test."""
    decoded, refused = attempted(lambda: decode(data, limits=LIMITS, at_least=DISPLAY_SIDE))
    if decoded is None:
        assert refused is not None
        assert refused.code in FAULTS
        assert refused.sentence == FAULTS[refused.code] == str(refused)
        return
    assert decoded.image.mode == "RGB"
    assert decoded.width * decoded.height <= LIMITS.max_pixels
    assert min(decoded.width, decoded.height) >= LIMITS.min_side
    assert max(decoded.width, decoded.height) <= LIMITS.max_side
    assert decoded.image.size == (decoded.width, decoded.height)
    assert decoded.image.info == {}


@EFFORT
@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    assert_picture_or_refusal(data)


@EFFORT
@given(one_of(signatures), st.binary(max_size=600))
def test_any_bytes_behind_a_signature(signature: bytes, rest: bytes) -> None:
    assert_picture_or_refusal(signature + rest)


@MORE_EFFORT
@given(one_of(seeds), st.data())
def test_flipped_bits(seed: bytes, data: st.DataObject) -> None:
    changed = bytearray(seed)
    # Headers decide more than pixels do, so most flips go there.
    near = st.integers(0, min(len(seed), 600) - 1)
    places = st.lists(near | near | st.integers(0, len(seed) - 1), min_size=1, max_size=6)
    for place in data.draw(places):
        changed[place] ^= 1 << data.draw(st.integers(0, 7))
    assert_picture_or_refusal(bytes(changed))


@MORE_EFFORT
@given(
    one_of(seeds),
    st.floats(0, 1),
    st.sampled_from(
        [b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x00\x00\x00\x01", b"\x80\x00"]
    ),
)
def test_fields_of_extreme_value(seed: bytes, where: float, value: bytes) -> None:
    at = int(where**3 * (len(seed) - len(value)))
    assert_picture_or_refusal(seed[:at] + value + seed[at + len(value) :])


@EFFORT
@given(one_of(seeds), st.floats(0, 1))
def test_cut_anywhere(seed: bytes, where: float) -> None:
    assert_picture_or_refusal(seed[: int(where * len(seed))])


@MORE_EFFORT
@given(one_of(parts), one_of(parts), st.floats(0, 1), st.floats(0, 1))
def test_spliced(first: bytes, second: bytes, here: float, there: float) -> None:
    assert_picture_or_refusal(first[: int(here * len(first))] + second[int(there * len(second)) :])


@EFFORT
@given(one_of(seeds), st.floats(0, 1), st.floats(0, 1), st.integers(0, 4))
def test_a_stretch_lost_or_repeated(seed: bytes, start: float, length: float, times: int) -> None:
    first = int(start * len(seed))
    stretch = seed[first : first + int(length * 200)]
    assert_picture_or_refusal(seed[:first] + stretch * times + seed[first + len(stretch) :])


@EFFORT
@given(st.binary(max_size=300), st.sampled_from([b"", b"II*\x00", b"MM\x00*"]))
def test_any_camera_block(block: bytes, order: bytes) -> None:
    facts = read_camera_facts(order + block)
    assert 1 <= facts.orientation <= 8


@EFFORT
@given(st.integers(0, 2**32 - 1), st.integers(0, 65_535), st.integers(0, 13), st.integers(8, 400))
def test_a_camera_block_with_one_field_changed(number: int, tag: int, kind: int, at: int) -> None:
    block = bytearray(camera_block().removeprefix(b"Exif\x00\x00"))
    struct.pack_into("<HHI", block, at, tag, kind, number)
    _, refused = attempted(lambda: check_exif(bytes(block)))
    assert refused is None or refused.code == "too_complex"
    assert 1 <= read_camera_facts(bytes(block)).orientation <= 8


@EFFORT
@given(st.binary(max_size=64))
def test_the_kind_is_told_or_refused(data: bytes) -> None:
    found, refused = attempted(lambda: sniff(data))
    if found is None:
        assert refused is not None
        assert refused.code in FAULTS
    else:
        assert found.value in FORMATS


# --- What must hold for every sound picture ------------------------------------------------------

SIDES = st.integers(64, 500)


def plain(width: int, height: int, seed: int) -> Image.Image:
    """Return a picture of soft random colours."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@EFFORT
@given(st.sampled_from(FORMATS), SIDES, SIDES, st.integers(0, 9))
def test_a_picture_keeps_its_size_and_nearly_its_colours(
    kind: str, width: int, height: int, seed: int
) -> None:
    picture = plain(width, height, seed)
    decoded = decode(encoded(picture, kind))
    assert decoded.format.value == kind
    assert (decoded.width, decoded.height) == decoded.image.size == (width, height)
    error = np.abs(np.asarray(decoded.image, dtype=int) - np.asarray(picture, dtype=int)).mean()
    assert error == 0 if kind in {"PNG", "TIFF", "BMP"} else error < 8


@EFFORT
@given(st.integers(64, 1_500), st.integers(64, 1_500), st.integers(0, 9))
def test_the_stored_copies_have_their_sizes_and_are_made_alike_again(
    width: int, height: int, seed: int
) -> None:
    picture = plain(width, height, seed)
    source = network_source(picture)
    assert min(source.size) <= NETWORK_SOURCE_SIDE
    assert max(source.size) <= 1_280
    assert source.width <= width
    assert source.height <= height
    assert math.isclose(
        source.width / source.height, width / height, rel_tol=0.51 / min(source.size) + 0.01
    )
    # Made again of its own result, a copy stays what it is.
    assert network_source(source).tobytes() == source.tobytes()
    stored = encode_network_source(source)
    assert decode(stored, limits=LIMITS).image.tobytes() == source.tobytes()
    assert encode_network_source(network_source(picture)) == stored
    thumbnail = encode_thumbnail(picture)
    assert thumbnail == encode_thumbnail(picture)
    with Image.open(io.BytesIO(thumbnail)) as opened:
        assert max(opened.size) == min(320, max(width, height))
    with Image.open(io.BytesIO(encode_display(picture))) as opened:
        assert opened.size == (width, height)


@EFFORT
@given(SIDES, SIDES, st.integers(16, 300))
def test_the_networks_square_is_a_square(width: int, height: int, side: int) -> None:
    array = to_array(plain(width, height, 1), side)
    assert array.shape == (side, side, 3)
    assert array.dtype == np.uint8


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_upright_undoes_the_camera(kind: str, orientation: int) -> None:
    """The eight orientations are a group: what each stores, its opposite turns back."""
    upright = decode(stored_turned(kind, 1)).image
    turned_back = decode(stored_turned(kind, orientation)).image
    difference = np.asarray(upright, dtype=int) - np.asarray(turned_back, dtype=int)
    # Lossy formats code a turned picture's blocks a little differently.
    assert np.abs(difference).mean() < 2


def test_the_orientations_are_closed_under_composition() -> None:
    """Turning twice is one of the eight again, and the table of turns has each exactly once."""
    picture = drawn()
    results = {1: picture.tobytes()}
    results |= {number: picture.transpose(turn).tobytes() for number, turn in UPRIGHT_BY.items()}
    assert len(set(results.values())) == 8
    for first in UPRIGHT_BY.values():
        for second in UPRIGHT_BY.values():
            assert picture.transpose(first).transpose(second).tobytes() in results.values()
