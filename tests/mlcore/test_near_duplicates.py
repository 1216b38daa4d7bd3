"""Hashes that find the same picture again, and groups of names."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from mlcore.data.hashing import (
    NEAR_BITS,
    TURNS,
    Groups,
    difference_hash,
    near_pairs,
    turned_hashes,
)
from tests.mlcore.sets import picture


def _distance(a: Image.Image, b: Image.Image) -> int:
    return int(np.bitwise_count(difference_hash(a) ^ difference_hash(b)).sum())


def test_a_squashed_brighter_and_compressed_copy_is_near() -> None:
    original = picture(1, (400, 300))
    assert _distance(original, original.resize((180, 180))) <= NEAR_BITS
    assert _distance(original, ImageEnhance.Brightness(original).enhance(0.8)) <= NEAR_BITS
    buffer = io.BytesIO()
    original.save(buffer, "JPEG", quality=40)
    assert _distance(original, Image.open(buffer)) <= NEAR_BITS


def test_other_pictures_and_mirrored_ones_are_far() -> None:
    original = picture(1)
    assert all(_distance(original, picture(seed)) > 4 * NEAR_BITS for seed in range(2, 30))
    assert _distance(original, original.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) > NEAR_BITS


def test_pairs_are_those_within_the_distance_also_across_blocks() -> None:
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 2**63, (600, 4), dtype=np.uint64)
    hashes[599] = hashes[2]
    hashes[300] = hashes[10] ^ np.array([0b111, 0, 0, 1 << 60], dtype=np.uint64)
    assert near_pairs(hashes) == [(2, 599), (10, 300)]
    assert near_pairs(hashes, bits=3) == [(2, 599)]
    assert near_pairs(hashes[:0]) == []


@pytest.mark.parametrize("bits", [0, 12, 40, 256])
def test_pairs_are_all_pairs_within_the_distance(bits: int) -> None:
    rng = np.random.default_rng(5)
    # Few bits that change, so that distances of every size occur.
    hashes = rng.integers(0, 2**12, (400, 4), dtype=np.uint64)
    others = hashes[::-1].copy()
    for second in (hashes, others):
        distance = np.bitwise_count(hashes[:, None] ^ second[None]).sum(axis=2)
        expected = [(i, j) for i, j in np.argwhere(distance <= bits).tolist() if i < j]
        assert near_pairs(hashes, second, bits=bits) == expected


def test_turned_hashes_are_those_of_turned_pictures() -> None:
    original = picture(1, (272, 272))
    hashes = turned_hashes(original)
    assert (hashes[0] == difference_hash(original)).all()
    for row, turn in zip(hashes[1:], TURNS, strict=True):
        assert np.bitwise_count(row ^ difference_hash(original.transpose(turn))).sum() <= 2
        assert np.bitwise_count(row ^ hashes[0]).sum() > 4 * NEAR_BITS


def test_groups_join_through_others_whatever_the_order() -> None:
    joins = [["a", "b"], ["c", "d"], ["b", "c"], ["x", "y"]]
    forward, backward = Groups(), Groups()
    for names in joins:
        forward.join(names)
    for names in reversed(joins):
        backward.join(names[::-1])
    assert {n: forward.find(n) for n in "abcdxyz"} == {n: backward.find(n) for n in "abcdxyz"}
    assert forward.find("d") == "a"
    assert forward.find("z") == "z"


@given(st.lists(st.lists(st.integers(0, 12).map(str), min_size=1, max_size=4), max_size=20))
def test_joined_names_share_a_group_and_others_do_not(joins: list[list[str]]) -> None:
    groups = Groups()
    reachable: dict[str, set[str]] = {str(n): {str(n)} for n in range(13)}
    for names in joins:
        groups.join(names)
        whole = set().union(*(reachable[name] for name in names))
        for name in whole:
            reachable[name] = whole
    for a, others in reachable.items():
        assert {b for b in reachable if groups.find(a) == groups.find(b)} == others


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_any_mode_is_hashed(mode: str) -> None:
    assert difference_hash(picture(5).convert(mode)).shape == (4,)
