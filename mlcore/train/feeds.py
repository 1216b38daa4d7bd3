"""What a stage trains on: batches of pictures, or of the frozen part's outputs for them."""

from __future__ import annotations

import math
import queue
import threading
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mlcore.labels import label_set
from mlcore.train.augment import augment
from mlcore.train.frozen import PLAIN, FrozenOutputs
from mlcore.train.pictures import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import keras
    from numpy.typing import NDArray

    from mlcore.train.pictures import Pictures
    from mlcore.train.recipes import Recipe

    Batch = tuple[NDArray[np.float32], NDArray[np.float32]]

_AHEAD = 4
_EVALUATION_BATCH = 32


class Feed(Protocol):
    """Batches for the part of a network that a stage trains."""

    def batches(self, draws: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Batch]:
        """Yield inputs and one-hot (or mixed) targets for the drawn pictures, in order."""

    def logits(self, trainer: keras.Model) -> NDArray[np.float32]:
        """Return the logits (n, labels) of the validation pictures."""


class PictureFeed:
    """Every batch is made of freshly changed pictures."""

    def __init__(self, training: Pictures, validation: Pictures, side: int, recipe: Recipe) -> None:
        """Keep what the batches are made of; validation pictures are squared once."""
        self._training, self._side, self._recipe = training, side, recipe
        self._squares = validation.squares(side)

    def batches(self, draws: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Batch]:
        """Yield float32 pictures (batch, side, side, 3), 0..255, and targets."""
        for chosen in _chunks(draws, self._recipe.batch):
            changed = [
                augment(self._training.arrays[i], self._side, self._recipe.augmentation, rng)
                for i in chosen
            ]
            targets = _targets(self._training.labels[chosen], self._recipe)
            yield _mixed(np.stack(changed), targets, self._recipe.mixup, rng)

    def logits(self, trainer: keras.Model) -> NDArray[np.float32]:
        """Return the logits of the validation pictures."""
        return predict_logits(trainer, self._squares)


class FrozenFeed:
    """Batches are read from the frozen part's outputs.

    Args:
        training: pictures to learn from.
        validation: pictures that choose the epoch.
        outputs: where the outputs are kept.
        recipe: how the stage draws and mixes.
        variants: (n,) how many variants each training picture has.
        tell: progress of the outputs that have to be worked out first.
    """

    def __init__(
        self,
        training: Pictures,
        validation: Pictures,
        outputs: FrozenOutputs,
        recipe: Recipe,
        *,
        variants: NDArray[np.int64],
        tell: Callable[[int, int], None],
    ) -> None:
        """Work out whatever outputs are missing."""
        self._training, self._outputs, self._recipe = training, outputs, recipe
        self._variants = variants
        wanted = [(i, number) for i, many in enumerate(variants) for number in range(many)]
        self._rows = outputs.prepare(training, wanted, tell)
        self._first = np.concatenate([[0], np.cumsum(variants)[:-1]]).astype(np.int64)
        plain = [(i, PLAIN) for i in range(len(validation))]
        self._held_out = outputs.prepare(validation, plain, tell)

    def batches(self, draws: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Batch]:
        """Yield float32 outputs of one random variant of every drawn picture, and targets."""
        for chosen in _chunks(draws, self._recipe.batch):
            variant = rng.integers(0, self._variants[chosen])
            outputs = self._outputs.read(self._rows[self._first[chosen] + variant])
            targets = _targets(self._training.labels[chosen], self._recipe)
            yield _mixed(outputs, targets, self._recipe.mixup, rng)

    def logits(self, trainer: keras.Model) -> NDArray[np.float32]:
        """Return the logits of the validation pictures."""
        parts = [
            np.asarray(trainer.predict_on_batch(self._outputs.read(rows)))
            for rows in _chunks(self._held_out, _EVALUATION_BATCH)
        ]
        return np.concatenate(parts).astype(np.float32)


def variants_for(chances: NDArray[np.float64], draws: int, most: int) -> NDArray[np.int64]:
    """Return how many variants of each picture are worth keeping.

    Args:
        chances: (n,) of each picture to be drawn.
        draws: number of draws in all.
        most: never more than this.
    """
    expected = np.ceil(chances * draws)
    return np.clip(expected, 1, most).astype(np.int64)


def predict_logits(model: keras.Model, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return logits (n, labels) of uint8 squares, in batches.

    Args:
        model: from pictures to logits.
        squares: uint8 (n, side, side, 3).
    """
    parts = []
    for start in range(0, len(squares), _EVALUATION_BATCH):
        x = squares[start : start + _EVALUATION_BATCH].astype(np.float32)
        parts.append(np.asarray(model.predict_on_batch(x)))
    return np.concatenate(parts).astype(np.float32)


def ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """Make batches in a second thread; Pillow and NumPy leave the interpreter while they work."""
    ready: queue.Queue[Any] = queue.Queue(_AHEAD)
    failure: list[BaseException] = []

    def fill() -> None:
        try:
            for batch in batches:
                ready.put(batch)
        except BaseException as error:  # noqa: BLE001 - raised again in the training thread
            failure.append(error)
        ready.put(None)

    threading.Thread(target=fill, daemon=True).start()
    while (batch := ready.get()) is not None:
        yield batch
    if failure:
        raise failure[0]


def _targets(labels: NDArray[np.int64], recipe: Recipe) -> NDArray[np.float32]:
    """Return one-hot rows, and rows in which every label counts alike for pictures without one."""
    count = len(label_set(recipe.label_set).labels)
    targets = np.full((len(labels), count), 1 / count, dtype=np.float32)
    labelled = labels != UNLABELLED
    targets[labelled] = np.eye(count, dtype=np.float32)[labels[labelled]]
    return targets


def _chunks(values: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for number in range(math.ceil(len(values) / size)):
        yield values[number * size : (number + 1) * size]


def _mixed(
    x: NDArray[np.float32], y: NDArray[np.float32], alpha: float, rng: np.random.Generator
) -> Batch:
    if not alpha:
        return x, y
    share = np.float32(rng.beta(alpha, alpha))
    other = rng.permutation(len(x))
    return share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]
