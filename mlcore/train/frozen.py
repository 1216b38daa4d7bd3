"""The part of a network that stays as published, and its outputs kept on disk.

The first blocks of a pretrained network see edges and colours that serve every picture, and they
are where a training step on a CPU spends half of its time. Where a stage leaves them as they are,
their outputs for a number of random variants of every picture are worked out once, by whichever
run asks first, and every later epoch, fold and recipe reads them back.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from mlcore.train import augment as augmentation
from mlcore.train.augment import augment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from mlcore.train.pictures import Pictures
    from mlcore.train.recipes import Augmentation

_BATCH = 32
# The variant that is not changed at all: what serving would see.
PLAIN = -1


def split_network(model: keras.Model, frozen: str) -> tuple[keras.Model, keras.Model]:
    """Return the part up to a layer and the part after it; both share the network's own layers.

    Args:
        model: from :func:`mlcore.networks.classifier.build_trainable`.
        frozen: name of the last layer of the first part.

    Raises:
        ValueError: the network has no such layer.
    """
    middle = model.get_layer(frozen).output
    return keras.Model(model.input, middle), keras.Model(middle, model.output)


class FrozenOutputs:
    """Outputs of the frozen part, in half precision, one row a picture and variant.

    Rows are only ever added, by one run at a time. The index is written after the rows it names, so
    a run that is killed loses at most the rows it was about to add. A row is found by the picture's
    name and pixels, and the folder by everything that makes rows of pictures: another file of the
    same name, or another way of varying pictures, is worked out anew.

    Args:
        folder: where they lie; made when it is not there.
        lower: the frozen part.
        side: pixels of the square input.
        how: how the variants are made.
    """

    def __init__(self, folder: Path, lower: keras.Model, side: int, how: Augmentation) -> None:
        """Open what is there."""
        self._lower, self._side, self._how = lower, side, how
        self._shape: tuple[int, ...] = ()
        varied = hashlib.sha256(Path(augmentation.__file__).read_bytes()).hexdigest()
        facts = [lower.name, side, repr(how), _weights_digest(lower), varied]
        name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        self._folder = folder / name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._rows: dict[str, int] = {}

    def prepare(
        self,
        pictures: Pictures,
        wanted: Sequence[tuple[int, int]],
        tell: Callable[[int, int], None],
    ) -> NDArray[np.int64]:
        """Return the rows of pictures and variants, working out those that are missing.

        Args:
            pictures: where the pictures are.
            wanted: index of a picture and number of its variant, :data:`PLAIN` for none.
            tell: called with how many of the missing rows are done, and how many there are.
        """
        pixels = {i: _pixels_digest(pictures.arrays[i]) for i, _ in wanted}
        keys = [f"{pictures.records[i].name}#{variant}#{pixels[i]}" for i, variant in wanted]
        with self._alone():
            self._read_index()
            missing = [
                (key, *what)
                for key, what in dict(zip(keys, wanted, strict=True)).items()
                if key not in self._rows
            ]
            for start in range(0, len(missing), _BATCH):
                chunk = missing[start : start + _BATCH]
                x = np.stack([self._variant(pictures, i, variant) for _, i, variant in chunk])
                self._add([key for key, *_ in chunk], np.asarray(self._lower.predict_on_batch(x)))
                tell(start + len(chunk), len(missing))
        return np.array([self._rows[key] for key in keys], dtype=np.int64)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return rows as float32 (n, ...)."""
        if not self._shape:
            self._shape = tuple(
                self._lower.compute_output_shape((1, self._side, self._side, 3))[1:]
            )
        shape = (len(self._rows), *self._shape)
        stored = np.memmap(self._folder / "rows.f16", np.float16, "r", shape=shape)
        return np.asarray(stored[rows], dtype=np.float32)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no other run adds rows; a killed one keeps nobody waiting."""
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read_index(self) -> None:
        index = self._folder / "index.txt"
        if not index.is_file():
            return
        whole, _, cut_short = index.read_text(encoding="utf-8").rpartition("\n")
        if cut_short:
            # By a kill; the rows it was to name are worked out again.
            index.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
        self._rows = {line: row for row, line in enumerate(whole.splitlines())}

    def _variant(self, pictures: Pictures, index: int, variant: int) -> NDArray[np.float32]:
        if variant == PLAIN:
            return pictures.square(index, self._side).astype(np.float32)
        name = pictures.records[index].name
        # A variant is the same in every run and on every machine.
        digest = hashlib.sha256(f"{name}#{variant}".encode()).digest()
        rng = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
        return augment(pictures.arrays[index], self._side, self._how, rng)

    def _add(self, keys: Sequence[str], outputs: NDArray[Any]) -> None:
        size = int(np.prod(outputs.shape[1:])) * 2
        path = self._folder / "rows.f16"
        with path.open("r+b" if path.exists() else "w+b") as stream:
            # Rows that no line of the index names were left by a kill: they are written over.
            stream.seek(len(self._rows) * size)
            stream.write(outputs.astype(np.float16).tobytes())
            stream.truncate()
        for key in keys:
            self._rows[key] = len(self._rows)
        with (self._folder / "index.txt").open("a", encoding="utf-8") as out:
            out.writelines(f"{key}\n" for key in keys)


def _pixels_digest(pixels: NDArray[np.uint8]) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:16]


def _weights_digest(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
