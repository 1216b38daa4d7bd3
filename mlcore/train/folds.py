"""Cross-validation: every picture judged by a network that saw neither it nor its group."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from mlcore.train.feeds import predict_logits
from mlcore.train.loop import train
from mlcore.train.run import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mlcore.data.sets import Record
    from mlcore.train.pictures import Pictures
    from mlcore.train.recipes import Recipe

_HELD_OUT = "held-out.npz"


@dataclass(frozen=True)
class HeldOut:
    """What the networks of all folds said of the pictures they were not trained on.

    Attributes:
        records: the pictures, fold by fold.
        labels: (n,) indices of their labels.
        logits: (n, labels).
        folds: (n,) the fold each was held out in.
    """

    records: list[Record]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    folds: NDArray[np.int64]


def run_folds(  # noqa: PLR0913 - everything that a cross-validation is made of
    recipe: Recipe,
    pictures: Pictures,
    folds: Sequence[Sequence[Record]],
    *,
    folder: Path,
    outputs: Path,
    seed: int,
    report: Any = sys.stderr,
) -> HeldOut:
    """Train a recipe once for every fold, or go on where it was stopped.

    No picture chooses anything: every fold is trained for the recipe's whole schedule and its last
    epoch counts.

    Args:
        recipe: what to do.
        pictures: of all folds together.
        folds: from :func:`mlcore.data.splits.deal_folds`.
        folder: one run a fold lies under it.
        outputs: where the outputs of frozen parts are kept.
        seed: of the runs.
        report: a stream for the progress.

    Raises:
        RunError: the folder holds other runs, or damaged ones.
    """
    where = {record.name: index for index, record in enumerate(pictures.records)}
    logits = []
    for number, fold in enumerate(folds):
        held_out = pictures.subset(where[record.name] for record in fold)
        path = folder / f"fold{number}" / _HELD_OUT
        if not path.exists():
            names = {record.name for record in fold}
            others = [i for name, i in where.items() if name not in names]
            print(f"fold {number + 1} of {len(folds)}", file=report, flush=True)
            trained = train(
                recipe,
                pictures.subset(others),
                pictures.subset([]),
                folder=path.parent,
                seed=seed,
                outputs=outputs,
                report=report,
            )
            _save(path, held_out, predict_logits(trained.model, held_out.squares(recipe.side)))
            keras.backend.clear_session()
        logits.append(_load(path, held_out))
    records = [record for fold in folds for record in fold]
    return HeldOut(
        records,
        pictures.labels[[where[record.name] for record in records]],
        np.concatenate(logits),
        np.repeat(np.arange(len(folds)), [len(fold) for fold in folds]),
    )


def _save(path: Path, held_out: Pictures, logits: NDArray[np.float32]) -> None:
    part = path.with_name("held-out.part.npz")
    np.savez(part, names=np.array([r.name for r in held_out.records]), logits=logits)
    part.rename(path)


def _load(path: Path, held_out: Pictures) -> NDArray[np.float32]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as saved:
            names, logits = saved["names"].tolist(), saved["logits"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        msg = f"{path} is damaged ({error}); remove it and run the same command again."
        raise RunError(msg) from error
    if names != [record.name for record in held_out.records]:
        msg = f"{path} is of other pictures; remove {path.parent.parent} and run it again."
        raise RunError(msg)
    return np.asarray(logits, dtype=np.float32)
