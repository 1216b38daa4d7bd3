"""Perceptual hashes: finding pictures that look the same whatever their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# A difference hash of 16 by 16 = 256 bits; within this many bits two pictures count as the same.
HASH_SIDE = 16
NEAR_BITS = 12
# The seven ways to mirror or turn a picture by quarters.
TURNS = (
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
)
# A multiple of both sides of the grid, so that every cell covers whole pixels.
_TURNED_SIDE = HASH_SIDE * (HASH_SIDE + 1)
# Few enough for the processor's cache.
_CELLS_AT_ONCE = 1 << 17
# From the middle of the picture: the outer words are alike in every picture with dark corners,
# and would let too many pairs through to the second comparison.
_FIRST_WORDS = [1, 2]


def difference_hash(image: Image.Image) -> NDArray[np.uint64]:
    """Return 256 bits that say where the picture gets brighter from left to right.

    The picture is squashed to a fixed grid first, so a squashed copy has the same hash.

    Args:
        image: any mode and size.

    Returns:
        uint64 array of shape (4,).
    """
    size = (HASH_SIDE + 1, HASH_SIDE)
    grey = np.asarray(image.convert("L").resize(size, Image.Resampling.BOX), dtype=np.int16)
    bits = grey[:, 1:] > grey[:, :-1]
    return np.packbits(bits.ravel()).view(np.uint64)


def turned_hashes(image: Image.Image) -> NDArray[np.uint64]:
    """Return the hashes of a picture as it is, mirrored and turned by quarters.

    Args:
        image: any mode and size.

    Returns:
        uint64 array of shape (8, 4). Row 0 is :func:`difference_hash`; the others follow
        :data:`TURNS`.
    """
    # A square, because turning must not change what each cell of the grid covers.
    square = image.convert("L").resize((_TURNED_SIDE, _TURNED_SIDE), Image.Resampling.BILINEAR)
    hashes = [difference_hash(image)]
    hashes += [difference_hash(square.transpose(turn)) for turn in TURNS]
    return np.stack(hashes)


def near_pairs(
    hashes: NDArray[np.uint64],
    others: NDArray[np.uint64] | None = None,
    *,
    bits: int = NEAR_BITS,
) -> list[tuple[int, int]]:
    """Return every pair (i < j) of rows that differ in at most ``bits`` bits, sorted.

    Two of the four words are compared first, for all rows; only what is near in them is compared
    whole. The result is exact all the same: they cannot differ in more bits than the hash. Memory
    stays at some megabytes beside the result, whatever the number of rows.

    Args:
        hashes: uint64 array of shape (n, 4).
        others: compare row i of ``hashes`` with row j of these, of the same shape; by default
            with ``hashes`` itself.
        bits: the greatest distance, 0 to 256.
    """
    others = hashes if others is None else others
    pairs: list[tuple[int, int]] = []
    half, others_half = (np.ascontiguousarray(h[:, _FIRST_WORDS].T) for h in (hashes, others))
    start = 0
    while start < len(hashes):
        stop = start + max(1, _CELLS_AT_ONCE // (len(hashes) - start))
        near = np.bitwise_count(half[0, start:stop, None] ^ others_half[0, start:])
        near += np.bitwise_count(half[1, start:stop, None] ^ others_half[1, start:])
        rows, columns = np.nonzero(near <= bits)
        later = columns > rows
        i, j = rows[later] + start, columns[later] + start
        kept = np.bitwise_count(hashes[i] ^ others[j]).sum(axis=1, dtype=np.uint16) <= bits
        pairs += zip(i[kept].tolist(), j[kept].tolist(), strict=True)
        start = stop
    return pairs


class Groups:
    """Disjoint sets of strings: names joined directly or through others share a group."""

    def __init__(self) -> None:
        """Start with no name."""
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        """Return the representative of the name's group."""
        parent = self._parent.setdefault(name, name)
        while parent != self._parent[parent]:
            self._parent[parent] = self._parent[self._parent[parent]]
            parent = self._parent[parent]
        return parent

    def join(self, names: Sequence[str]) -> None:
        """Put all the names into one group."""
        for other in names[1:]:
            a, b = self.find(names[0]), self.find(other)
            # The smaller name leads, so groups do not depend on the order of the joins.
            low, high = sorted((a, b))
            self._parent[high] = low
