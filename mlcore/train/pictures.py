"""Decoded pictures of a part of an image set, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mlcore.data.sets import NO_LABEL, read_picture
from mlcore.imaging import network_source, to_array

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from mlcore.data.sets import Record


# The index in place of a label of a picture that shows none of them.
UNLABELLED = -1


class Pictures:
    """Decoded pictures of a list of records, kept in memory as the networks read them.

    Args:
        records: what to decode.
        keys: label keys in output order.

    Attributes:
        records: as given.
        arrays: uint8 (h, w, 3) of each.
        labels: (n,) indices, :data:`UNLABELLED` for a picture that shows no label.
    """

    def __init__(self, records: Sequence[Record], keys: Sequence[str]) -> None:
        """Decode everything, once.

        Raises:
            DataError: a file cannot be read, or is no picture.
        """
        self.records = list(records)
        self.arrays = [np.asarray(network_source(read_picture(r.path))) for r in records]
        self.labels = np.array(
            [UNLABELLED if r.label == NO_LABEL else keys.index(r.label) for r in records],
            dtype=np.int64,
        )

    def __len__(self) -> int:
        return len(self.records)

    def __add__(self, others: Pictures) -> Pictures:
        """Return these pictures and others."""
        both = Pictures([], ())
        both.records = self.records + others.records
        both.arrays = self.arrays + others.arrays
        both.labels = np.concatenate([self.labels, others.labels])
        return both

    def subset(self, chosen: Iterable[int]) -> Pictures:
        """Return some of the pictures, without decoding them again."""
        indices = list(chosen)
        some = Pictures([], ())
        some.records = [self.records[i] for i in indices]
        some.arrays = [self.arrays[i] for i in indices]
        some.labels = self.labels[indices]
        return some

    def square(self, index: int, side: int) -> NDArray[np.uint8]:
        """Return one picture as serving would see it: uint8 (side, side, 3)."""
        return to_array(Image.fromarray(self.arrays[index]), side)

    def squares(self, side: int) -> NDArray[np.uint8]:
        """Return every picture as serving would see it: uint8 (n, side, side, 3)."""
        if not self.arrays:
            return np.zeros((0, side, side, 3), np.uint8)
        return np.stack([self.square(index, side) for index in range(len(self.arrays))])
