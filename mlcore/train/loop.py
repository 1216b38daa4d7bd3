"""The training loop: ``keras`` and NumPy only, so that any backend runs it."""

from __future__ import annotations

import math
import queue
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from mlcore.data.sets import read_picture
from mlcore.evaluate import balanced_accuracy, softmax
from mlcore.imaging import network_source, to_array
from mlcore.labels import label_set
from mlcore.networks.classifier import build_trainable
from mlcore.train.augment import augment
from mlcore.train.run import Run, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mlcore.data.sets import Record
    from mlcore.train.recipes import Recipe

_AHEAD = 4
_EVALUATION_BATCH = 32


@dataclass
class Trained:
    """What a run gave.

    Attributes:
        model: the network with the weights of the best epoch, from pictures to logits.
        history: one dict of figures an epoch.
        best_epoch: counted from 0.
        pictures_per_second: of the training steps of this call; 0 where there were none.
    """

    model: keras.Model
    history: list[dict[str, float]]
    best_epoch: int
    pictures_per_second: float


class Pictures:
    """Decoded pictures of a list of records, kept in memory as the networks read them.

    Args:
        records: what to decode.
        keys: label keys in output order.
    """

    def __init__(self, records: Sequence[Record], keys: Sequence[str]) -> None:
        """Decode everything, once.

        Raises:
            DataError: a file cannot be read, or is no picture.
        """
        self.records = list(records)
        self.arrays = [np.asarray(network_source(read_picture(r.path))) for r in records]
        self.labels = np.array([keys.index(record.label) for record in records], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.records)

    def squares(self, side: int) -> NDArray[np.uint8]:
        """Return every picture as serving would see it: uint8 (n, side, side, 3)."""
        from PIL import Image  # noqa: PLC0415 - only evaluation needs it

        if not self.arrays:
            return np.zeros((0, side, side, 3), np.uint8)
        return np.stack([to_array(Image.fromarray(array), side) for array in self.arrays])


def train(
    recipe: Recipe,
    training: Pictures,
    validation: Pictures,
    *,
    folder: Path,
    seed: int,
    report: Any = sys.stderr,
) -> Trained:
    """Train a recipe, or go on with a run that was stopped.

    Args:
        recipe: what to do.
        training: pictures to learn from.
        validation: pictures that choose the best epoch; never learnt from.
        folder: where the run keeps its state.
        seed: of the weights, the draws and the augmentation.
        report: a stream for one line an epoch and a progress bar.

    Raises:
        RunError: the folder holds another run, or a damaged one.
    """
    run = Run.open(folder, recipe, seed)
    keras.utils.set_random_seed(seed)
    labels = len(label_set(recipe.label_set).labels)
    model = build_trainable(
        recipe.network,
        labels,
        dropout=recipe.dropout,
        freeze_normalisation=recipe.freeze_normalisation,
    )
    size = recipe.epoch_size or len(training)
    steps = math.ceil(size / recipe.batch)
    epochs = [stage.side for stage in recipe.stages for _ in range(stage.epochs)]
    model.compile(
        optimizer=_optimiser(recipe, steps * len(epochs)),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        ),
    )
    run.restore(model)
    chances = _chances(training, recipe)
    seconds = pictures = 0.0
    # On a terminal the line takes the place of the bar.
    start = "\r" if report.isatty() else ""
    while not _finished(run, recipe, epochs):
        epoch = run.epoch
        side = epochs[epoch]
        rng = np.random.default_rng((seed, epoch))
        draws = (
            rng.choice(len(training), size=steps * recipe.batch, p=chances)
            if recipe.epoch_size
            else rng.permutation(len(training))
        )
        started, loss = time.monotonic(), 0.0
        batches = _ahead(_batches(training, draws, side, recipe, labels, rng))
        for step, (x, y) in enumerate(batches):
            loss += float(model.train_on_batch(x, y))
            _bar(report, epoch, len(epochs), step + 1, steps, loss / (step + 1))
        seconds += time.monotonic() - started
        pictures += len(draws)
        figures = _validate(model, validation, side)
        run.note(model, {"train_loss": loss / steps} | figures, side=side)
        print(
            f"{start}epoch {epoch + 1}/{len(epochs)} side {side} loss {loss / steps:.4f} "
            f"val_loss {figures['loss']:.4f} accuracy {figures['accuracy']:.4f} "
            f"balanced {figures['balanced_accuracy']:.4f} {time.monotonic() - started:.0f} s",
            file=report,
            flush=True,
        )
    run.load_best(model)
    return Trained(model, run.history, run.best, pictures / seconds if seconds else 0.0)


def load_trained(
    recipe: Recipe, *, folder: Path, seed: int, even_if_stopped: bool = False
) -> Trained:
    """Return a run that is over, as :func:`train` returned it.

    Args:
        recipe: of the run.
        folder: of the run.
        seed: of the run.
        even_if_stopped: take a run that was stopped early too, if it got to the last input size.

    Raises:
        RunError: there is no such run, or it is not over.
    """
    run = Run.open(folder, recipe, seed)
    epochs = [stage.side for stage in recipe.stages for _ in range(stage.epochs)]
    over = _finished(run, recipe, epochs)
    if even_if_stopped:
        over = run.epoch > 0 and epochs[run.best] == recipe.side
    if not over:
        msg = (
            f"The run in {folder} is not over: {run.epoch} of {len(epochs)} epochs are done. "
            f"Go on with: python -m mlcore train --recipe {recipe.name}"
        )
        raise RunError(msg)
    model = build_trainable(
        recipe.network,
        len(label_set(recipe.label_set).labels),
        dropout=recipe.dropout,
        freeze_normalisation=recipe.freeze_normalisation,
        imagenet=False,
    )
    run.load_best(model)
    return Trained(model, run.history, run.best, 0.0)


def _finished(run: Run, recipe: Recipe, epochs: list[int]) -> bool:
    last = run.epoch - 1
    impatient = last >= 0 and epochs[last] == recipe.side and last - run.best >= recipe.patience
    return impatient or run.epoch >= len(epochs)


def _optimiser(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    warm_up = int(steps * recipe.warm_up)
    schedule = keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / 20 if warm_up else recipe.learning_rate,
        decay_steps=max(1, steps - warm_up),
        alpha=0.01,
        warmup_target=recipe.learning_rate if warm_up else None,
        warmup_steps=warm_up,
    )
    optimiser = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)
    optimiser.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimiser


def _chances(pictures: Pictures, recipe: Recipe) -> NDArray[np.float64]:
    """Return each picture's chance to be drawn: by class, then by source within the class."""
    chances = np.zeros(len(pictures))
    sources = np.array([record.source for record in pictures.records])
    for label in np.unique(pictures.labels):
        members = pictures.labels == label
        outside = members & (sources == "ham10000")
        weight = float(members.sum()) ** recipe.class_power
        inside = members & ~outside
        if outside.any() and inside.any():
            # A handful of pictures must not be drawn for half of the class.
            share = min(recipe.ham_share, outside.sum() / members.sum() * 2)
            chances[outside] = weight * share / outside.sum()
            chances[inside] = weight * (1 - share) / inside.sum()
        else:
            chances[members] = weight / members.sum()
    return np.asarray(chances / chances.sum(), dtype=np.float64)


def _batches(
    pictures: Pictures,
    draws: NDArray[np.int64],
    side: int,
    recipe: Recipe,
    labels: int,
    rng: np.random.Generator,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    eye = np.eye(labels, dtype=np.float32)
    for start in range(0, len(draws), recipe.batch):
        chosen = draws[start : start + recipe.batch]
        x = np.stack([augment(pictures.arrays[i], side, recipe.augmentation, rng) for i in chosen])
        y = eye[pictures.labels[chosen]]
        if recipe.mixup:
            share = np.float32(rng.beta(recipe.mixup, recipe.mixup))
            other = rng.permutation(len(chosen))
            x, y = share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]
        yield x, y


def _ahead(batches: Iterator[Any]) -> Iterator[Any]:
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


def predict_logits(
    model: keras.Model, squares: NDArray[np.uint8], *, flips: bool = False
) -> NDArray[np.float32]:
    """Return logits (n, labels) of uint8 squares, in batches.

    Args:
        model: from pictures to logits.
        squares: uint8 (n, side, side, 3).
        flips: average over the mirrored picture too.
    """
    parts = []
    for start in range(0, len(squares), _EVALUATION_BATCH):
        x = squares[start : start + _EVALUATION_BATCH].astype(np.float32)
        logits = np.asarray(model.predict_on_batch(x))
        if flips:
            logits = (logits + np.asarray(model.predict_on_batch(x[:, :, ::-1]))) / 2
        parts.append(logits)
    return np.concatenate(parts).astype(np.float32)


def _validate(model: keras.Model, pictures: Pictures, side: int) -> dict[str, float]:
    logits = predict_logits(model, pictures.squares(side))
    chances = softmax(logits)
    n = len(pictures)
    right = chances[np.arange(n), pictures.labels]
    # The mean over classes, so that a large class does not choose the epoch alone.
    losses = -np.log(np.maximum(right, 1e-7))
    by_class = float(np.mean([losses[pictures.labels == k].mean() for k in set(pictures.labels)]))
    balanced = balanced_accuracy(pictures.labels, chances.argmax(1))
    return {
        "loss": float(losses.mean()),
        "balanced_loss": by_class,
        "accuracy": float((chances.argmax(1) == pictures.labels).mean()),
        "balanced_accuracy": balanced,
        "score": balanced - 0.1 * by_class,
    }


def _bar(report: Any, epoch: int, epochs: int, step: int, steps: int, loss: float) -> None:
    if not report.isatty():
        return
    filled = 30 * step // steps
    bar = "█" * filled + "·" * (30 - filled)
    print(
        f"\repoch {epoch + 1}/{epochs} {bar} {step}/{steps} loss {loss:.4f}",
        end="",
        file=report,
        flush=True,
    )
