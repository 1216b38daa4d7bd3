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
_ROWS_AT_ONCE = 256


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


def near_pairs(hashes: NDArray[np.uint64], *, bits: int = NEAR_BITS) -> list[tuple[int, int]]:
    """Return every pair (i < j) of rows that differ in at most ``bits`` bits.

    Args:
        hashes: uint64 array of shape (n, 4).
        bits: the greatest distance, 0 to 256.
    """
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(hashes), _ROWS_AT_ONCE):
        block = hashes[start : start + _ROWS_AT_ONCE]
        distance = np.zeros((len(block), len(hashes) - start), dtype=np.uint16)
        for word in range(hashes.shape[1]):
            different = block[:, None, word] ^ hashes[None, start:, word]
            distance += np.bitwise_count(different)
        rows, columns = np.nonzero(distance <= bits)
        pairs += [
            (start + int(i), start + int(j)) for i, j in zip(rows, columns, strict=True) if j > i
        ]
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
