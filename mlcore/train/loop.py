"""The training loop: ``keras`` and NumPy only, so that any backend runs it."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from mlcore.evaluate import balanced_accuracy, softmax
from mlcore.labels import label_set
from mlcore.networks.classifier import build_trainable
from mlcore.train.draws import chances as chances_of
from mlcore.train.feeds import (
    Feed,
    FrozenFeed,
    PictureFeed,
    ahead,
    predict_logits,
    variants_for,
)
from mlcore.train.frozen import FrozenOutputs, split_network
from mlcore.train.pictures import Pictures
from mlcore.train.run import Run, RunError, averaged

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlcore.train.recipes import Recipe, Stage

__all__ = ["Pictures", "Trained", "load_trained", "predict_logits", "train"]


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


def train(  # noqa: PLR0913 - everything that a run is made of
    recipe: Recipe,
    training: Pictures,
    validation: Pictures,
    *,
    folder: Path,
    seed: int,
    outputs: Path | None = None,
    report: Any = None,
) -> Trained:
    """Train a recipe, or go on with a run that was stopped.

    Args:
        recipe: what to do.
        training: pictures to learn from.
        validation: pictures that choose the best epoch; never learnt from. With none, the last
            epoch counts.
        folder: where the run keeps its state.
        seed: of the weights, the draws and the augmentation.
        outputs: where the outputs of frozen parts are kept for every run
            (default: ``frozen`` beside the run's folder).
        report: a stream for one line an epoch and a progress bar (default: standard error).

    Raises:
        RunError: the folder holds another run, or a damaged one.
    """
    report = report or sys.stderr
    run = Run.open(folder, recipe, seed)
    keras.utils.set_random_seed(seed)
    model = _network(recipe)
    chances = chances_of(training.records, training.labels, recipe)
    session = _Session(
        recipe, training, validation, chances, seed, outputs or folder.parent / "frozen", report
    )
    seconds = pictures = 0.0
    restored = False
    for first, phase in _phases(recipe):
        end = first + sum(stage.epochs for stage in phase)
        if run.epoch >= end or _finished(run, recipe):
            continue
        trainer = session.trainer(model, phase)
        if not restored:
            # An optimiser belongs to its phase: at the start of one there is none to restore.
            run.restore(model, trainer if run.epoch > first else None)
            restored = True
        feed, side = None, 0
        while run.epoch < end and not _finished(run, recipe):
            stage = _stage_of(phase, run.epoch - first)
            if feed is None or stage.side != side:
                feed, side = session.feed(model, stage), stage.side
            took, drawn = session.epoch(run, model, trainer, feed, side)
            seconds, pictures = seconds + took, pictures + drawn
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
    over = _finished(run, recipe)
    if even_if_stopped:
        over = run.epoch > 0 and _sides(recipe)[run.best] == recipe.side
    if not over:
        msg = (
            f"The run in {folder} is not over: {run.epoch} of {len(_sides(recipe))} epochs are "
            f"done. Go on with: python -m mlcore train --recipe {recipe.name}"
        )
        raise RunError(msg)
    model = _network(recipe, imagenet=False)
    run.load_best(model)
    return Trained(model, run.history, run.best, 0.0)


@dataclass
class _Session:
    """One call of :func:`train`: what every epoch of it needs."""

    recipe: Recipe
    training: Pictures
    validation: Pictures
    chances: NDArray[np.float64]
    seed: int
    outputs: Path
    report: Any

    @property
    def steps(self) -> int:
        return math.ceil((self.recipe.epoch_size or len(self.training)) / self.recipe.batch)

    def trainer(self, model: keras.Model, phase: list[Stage]) -> keras.Model:
        """Return the compiled part of the network that a phase trains."""
        frozen = phase[0].frozen
        # A model of its own even where all is trained: the network's weights are saved without
        # an optimiser, whichever phase it was.
        trainer = (
            split_network(model, frozen)[1] if frozen else keras.Model(model.input, model.output)
        )
        epochs = sum(stage.epochs for stage in phase)
        rate = phase[0].learning_rate or self.recipe.learning_rate
        trainer.compile(
            optimizer=_optimiser(self.recipe, self.steps * epochs, rate),
            loss=keras.losses.CategoricalCrossentropy(
                from_logits=True, label_smoothing=self.recipe.label_smoothing
            ),
        )
        return trainer

    def feed(self, model: keras.Model, stage: Stage) -> Feed:
        """Return where a stage's batches come from."""
        if not stage.frozen:
            return PictureFeed(self.training, self.validation, stage.side, self.recipe)
        lower = split_network(model, stage.frozen)[0]
        draws = self.steps * self.recipe.batch * stage.epochs
        return FrozenFeed(
            self.training,
            self.validation,
            FrozenOutputs(self.outputs, lower, stage.side, self.recipe.augmentation),
            self.recipe,
            variants=variants_for(self.chances, draws, stage.variants),
            tell=lambda done, of: _bar(self.report, f"{stage.frozen} ", done, of),
        )

    def epoch(
        self, run: Run, model: keras.Model, trainer: keras.Model, feed: Feed, side: int
    ) -> tuple[float, int]:
        """Train one epoch, measure it, write it down; return its seconds and its draws."""
        epoch, epochs = run.epoch, len(_sides(self.recipe))
        rng = np.random.default_rng((self.seed, epoch))
        draws = (
            rng.choice(len(self.training), size=self.steps * self.recipe.batch, p=self.chances)
            if self.recipe.epoch_size
            else rng.permutation(len(self.training))
        )
        started, loss = time.monotonic(), 0.0
        for step, (x, y) in enumerate(ahead(feed.batches(draws, rng))):
            loss += float(trainer.train_on_batch(x, y))
            told = f"epoch {epoch + 1}/{epochs} loss {loss / (step + 1):.4f} "
            _bar(self.report, told, step + 1, self.steps)
        seconds = time.monotonic() - started
        with averaged(trainer):
            figures = self._figures(feed, trainer, epoch)
        noted = {"train_loss": loss / self.steps} | figures
        run.note(model, noted, side=side, optimised=trainer)
        # On a terminal the line takes the place of the bar.
        start = "\r" if self.report.isatty() else ""
        measured = " ".join(
            f"{name} {figures[key]:.4f}"
            for name, key in (
                ("val_loss", "loss"),
                ("accuracy", "accuracy"),
                ("balanced", "balanced_accuracy"),
            )
            if key in figures
        )
        print(
            f"{start}epoch {epoch + 1}/{epochs} side {side} loss {loss / self.steps:.4f} "
            f"{measured} {time.monotonic() - started:.0f} s",
            file=self.report,
            flush=True,
        )
        return seconds, len(draws)

    def _figures(self, feed: Feed, trainer: keras.Model, epoch: int) -> dict[str, float]:
        if not len(self.validation):
            return {"score": float(epoch)}
        return _validate(feed.logits(trainer), self.validation.labels)


def _network(recipe: Recipe, *, imagenet: bool = True) -> keras.Model:
    return build_trainable(
        recipe.network,
        len(label_set(recipe.label_set).labels),
        dropout=recipe.dropout,
        freeze_normalisation=recipe.freeze_normalisation,
        imagenet=imagenet,
    )


def _sides(recipe: Recipe) -> list[int]:
    """Return the input side of every epoch."""
    return [stage.side for stage in recipe.stages for _ in range(stage.epochs)]


def _phases(recipe: Recipe) -> list[tuple[int, list[Stage]]]:
    """Return stages that train the same part with one schedule, with each phase's first epoch."""
    phases: list[tuple[int, list[Stage]]] = []
    epoch = 0
    for stage in recipe.stages:
        known = phases[-1][1][0] if phases else None
        if known and (known.frozen, known.learning_rate) == (stage.frozen, stage.learning_rate):
            phases[-1][1].append(stage)
        else:
            phases.append((epoch, [stage]))
        epoch += stage.epochs
    return phases


def _stage_of(phase: list[Stage], epoch: int) -> Stage:
    for stage in phase:
        if epoch < stage.epochs:
            return stage
        epoch -= stage.epochs
    return phase[-1]


def _finished(run: Run, recipe: Recipe) -> bool:
    sides = _sides(recipe)
    last, start = run.epoch - 1, _phases(recipe)[-1][0]
    settled = last >= start and sides[last] == recipe.side
    return (settled and last - run.best >= recipe.patience) or run.epoch >= len(sides)


def _optimiser(recipe: Recipe, steps: int, rate: float) -> keras.optimizers.Optimizer:
    warm_up = int(steps * recipe.warm_up)
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 20 if warm_up else rate,
        decay_steps=max(1, steps - warm_up),
        alpha=0.01,
        warmup_target=rate if warm_up else None,
        warmup_steps=warm_up,
    )
    optimiser = keras.optimizers.AdamW(
        schedule,
        weight_decay=recipe.weight_decay,
        use_ema=recipe.averaging > 0,
        ema_momentum=recipe.averaging or 0.99,
    )
    optimiser.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimiser


def _validate(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    found = softmax(logits)
    right = found[np.arange(len(labels)), labels]
    # The mean over classes, so that a large class does not choose the epoch alone.
    losses = -np.log(np.maximum(right, 1e-7))
    by_class = float(np.mean([losses[labels == k].mean() for k in set(labels)]))
    balanced = balanced_accuracy(labels, found.argmax(1))
    return {
        "loss": float(losses.mean()),
        "balanced_loss": by_class,
        "accuracy": float((found.argmax(1) == labels).mean()),
        "balanced_accuracy": balanced,
        "score": balanced - 0.1 * by_class,
    }


def _bar(report: Any, told: str, step: int, steps: int) -> None:
    if not report.isatty():
        return
    filled = 30 * step // steps
    bar = "█" * filled + "·" * (30 - filled)
    print(f"\r{told}{bar} {step}/{steps}", end="", file=report, flush=True)
