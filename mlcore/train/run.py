"""A training run on disk: what it is a run of, how far it got, and its weights.

``<folder>/checkpoint/`` holds ``state.json``, ``last.weights.h5``, ``best.weights.h5`` and
``optimiser.npz``. A checkpoint is written beside the old one and takes its place by renaming, so a
run that is killed at any moment goes on from the last whole epoch.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.train.recipes import Recipe, UnknownRecipeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import keras


class RunError(ValueError):
    """A run folder cannot be used; the message names it and what to do."""


@dataclass
class Run:
    """One run.

    Attributes:
        folder: where it lies.
        facts: the recipe and the seed; a folder is never continued with others.
        epoch: number of finished epochs.
        best: the epoch whose weights count, from 0.
        history: figures of every finished epoch.
    """

    folder: Path
    facts: dict[str, Any]
    epoch: int = 0
    best: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path, recipe: Recipe, seed: int) -> Run:
        """Return the run in a folder, a new one where there is none.

        Raises:
            RunError: the folder holds a run of another recipe or seed, or is damaged.
        """
        facts = facts_of(recipe, seed)
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder, facts)
        checkpoint = run._whole()
        if checkpoint is None:
            return run
        try:
            state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
            same, run.epoch = is_of(state["facts"], facts), state["epoch"]
            run.best, run.history = state["best"], state["history"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            msg = f"{checkpoint / 'state.json'} is damaged; remove {folder} and train again."
            raise RunError(msg) from error
        if not same:
            msg = (
                f"{folder} holds a run of another recipe or seed. Choose another folder with "
                "--runs, or remove that one."
            )
            raise RunError(msg)
        return run

    def restore(self, model: keras.Model, optimised: keras.Model | None) -> None:
        """Give a network the weights, and its optimiser the state, of the last whole epoch.

        Args:
            model: the whole network.
            optimised: the compiled part that is being trained; None to leave its optimiser fresh.

        Raises:
            RunError: a file of the checkpoint is damaged.
        """
        checkpoint = self._whole()
        if checkpoint is None:
            return
        try:
            model.load_weights(checkpoint / "last.weights.h5")
            if optimised is None:
                return
            optimised.optimizer.build(optimised.trainable_variables)
            # NumPy leaves a file that it has opened itself open when it is no archive.
            with (
                (checkpoint / "optimiser.npz").open("rb") as stream,
                np.load(stream, allow_pickle=False) as moments,
            ):
                for number, variable in enumerate(optimised.optimizer.variables):
                    variable.assign(moments[str(number)])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            msg = f"{checkpoint} is damaged ({error}); remove {self.folder} and train again."
            raise RunError(msg) from error

    def load_best(self, model: keras.Model) -> None:
        """Give a model the weights of the best epoch.

        Raises:
            RunError: there are none yet, or they are damaged.
        """
        try:
            model.load_weights(self.folder / "checkpoint" / "best.weights.h5")
        except (OSError, ValueError) as error:
            msg = f"{self.folder} has no readable weights ({error}); remove it and train again."
            raise RunError(msg) from error

    def note(
        self,
        model: keras.Model,
        figures: dict[str, float],
        *,
        side: int,
        optimised: keras.Model,
    ) -> None:
        """Add an epoch and write the checkpoint.

        Args:
            model: the whole network after the epoch.
            figures: of the epoch; ``score`` decides which epoch is the best.
            side: its input size. Epochs at another size are not comparable, so the best epoch is
                looked for among those of the newest size, which is the released one at the end.
            optimised: the compiled part that was trained.
        """
        self.history.append({"epoch": self.epoch, "side": side} | figures)
        same = [row["score"] for row in self.history if row["side"] == side]
        improved = figures["score"] >= max(same)
        if improved:
            self.best = self.epoch
        self.epoch += 1
        old, part = self.folder / "checkpoint", self.folder / "checkpoint.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        model.save_weights(part / "last.weights.h5")
        if improved:
            with averaged(optimised):
                model.save_weights(part / "best.weights.h5")
        else:
            shutil.copyfile(old / "best.weights.h5", part / "best.weights.h5")
        variables: dict[str, Any] = {
            str(number): np.asarray(value)
            for number, value in enumerate(optimised.optimizer.variables)
        }
        np.savez(part / "optimiser.npz", **variables)
        state = {
            "facts": self.facts,
            "epoch": self.epoch,
            "best": self.best,
            "history": self.history,
        }
        (part / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
        aside = self.folder / "checkpoint.old"
        shutil.rmtree(aside, ignore_errors=True)
        if old.exists():
            old.rename(aside)
        part.rename(old)
        shutil.rmtree(aside, ignore_errors=True)

    def _whole(self) -> Path | None:
        """Return the newest whole checkpoint; put the old one back where a kill left it aside."""
        checkpoint, aside = self.folder / "checkpoint", self.folder / "checkpoint.old"
        if not checkpoint.exists() and aside.exists():
            aside.rename(checkpoint)
        return checkpoint if checkpoint.exists() else None


@contextmanager
def averaged(optimised: keras.Model) -> Iterator[None]:
    """Let the moving average of its weights take a network's place, if its optimiser keeps one.

    Polyak and Juditsky, SIAM Journal on Control and Optimization 30, 1992.

    Args:
        optimised: the compiled part that is trained.
    """
    if not optimised.optimizer.use_ema:
        yield
        return
    variables = optimised.trainable_variables
    kept = [np.copy(variable.numpy()) for variable in variables]
    optimised.optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)


def facts_of(recipe: Recipe, seed: int) -> dict[str, Any]:
    """Return what tells a run from others: its recipe and its seed, with the types of JSON."""
    facts: dict[str, Any] = json.loads(json.dumps({"recipe": recipe.as_dict(), "seed": seed}))
    return facts


def is_of(known: Any, facts: dict[str, Any]) -> bool:
    """Tell whether facts that were written down are those of a run.

    What an older version wrote is of the same recipe with today's defaults.

    Args:
        known: as :func:`facts_of` returned them when they were written.
        facts: of the run.

    Raises:
        KeyError: they are no facts of a run.
        TypeError: likewise.
    """
    try:
        return facts_of(Recipe.from_dict(known["recipe"]), known["seed"]) == facts
    except UnknownRecipeError:
        return False
