"""Cross-validation: every picture judged by a network that saw neither it nor its group."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from mlcore.labels import label_set
from mlcore.train.background import split_outputs
from mlcore.train.feeds import predict_logits
from mlcore.train.loop import train
from mlcore.train.pictures import indices_of
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
        background: (n,) log-odds of the background class, where the recipe has one.
        outside: the same of pictures without a label, where they were dealt into the folds too;
            their labels are :data:`mlcore.train.pictures.UNLABELLED`.
    """

    records: list[Record]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    folds: NDArray[np.int64]
    background: NDArray[np.float64] | None = None
    outside: HeldOut | None = None


def run_folds(  # noqa: PLR0913 - everything that a cross-validation is made of
    recipe: Recipe,
    pictures: Pictures,
    folds: Sequence[Sequence[Record]],
    *,
    folder: Path,
    outputs: Path,
    seed: int,
    beside: Pictures | None = None,
    beside_folds: Sequence[Sequence[Record]] | None = None,
    report: Any = None,
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
        beside: pictures without a label that every fold learns from too.
        beside_folds: how these are dealt, so that each fold holds some of them out as well; None
            lets every fold learn from all of them.
        report: a stream for the progress (default: standard error).

    Raises:
        RunError: the folder holds other runs, or damaged ones.
    """
    report = report or sys.stderr
    for number, fold in enumerate(folds):
        path = _answers(folder, number)
        if not path.exists():
            held_out, learnt = _parted(pictures, fold)
            print(f"fold {number + 1} of {len(folds)}", file=report, flush=True)
            if beside is not None:
                dealt = [] if beside_folds is None else beside_folds[number]
                outsiders, learnt_beside = _parted(beside, dealt)
                held_out, learnt = held_out + outsiders, learnt + learnt_beside
            trained = train(
                recipe,
                learnt,
                pictures.subset([]),
                folder=path.parent,
                seed=seed,
                outputs=outputs,
                report=report,
            )
            _save(path, held_out, predict_logits(trained.model, held_out.squares(recipe.side)))
            keras.backend.clear_session()
    return read_folds(recipe, folds, folder, beside_folds=beside_folds)


def read_folds(
    recipe: Recipe,
    folds: Sequence[Sequence[Record]],
    folder: Path,
    *,
    beside_folds: Sequence[Sequence[Record]] | None = None,
) -> HeldOut:
    """Return what :func:`run_folds` left in a folder.

    Args:
        recipe: of the runs.
        folds: as they were dealt for it.
        folder: of the runs.
        beside_folds: as pictures without a label were dealt for it.

    Raises:
        RunError: a fold is missing, damaged, or of other pictures.
    """
    outsiders = beside_folds or [[] for _fold in folds]
    outputs = [
        _load(_answers(folder, number), [*fold, *outside])
        for number, (fold, outside) in enumerate(zip(folds, outsiders, strict=True))
    ]
    own = [rows[: len(fold)] for rows, fold in zip(outputs, folds, strict=True)]
    whole = _held_out(recipe, folds, own)
    if beside_folds is None:
        return whole
    others = [rows[len(fold) :] for rows, fold in zip(outputs, folds, strict=True)]
    return replace(whole, outside=_held_out(recipe, beside_folds, others))


def _held_out(
    recipe: Recipe, folds: Sequence[Sequence[Record]], outputs: Sequence[NDArray[np.float32]]
) -> HeldOut:
    records = [record for fold in folds for record in fold]
    logits, background = split_outputs(np.concatenate(outputs), recipe)
    return HeldOut(
        records,
        indices_of(records, label_set(recipe.label_set).keys),
        logits,
        np.repeat(np.arange(len(folds)), [len(fold) for fold in folds]),
        background,
    )


def _parted(pictures: Pictures, fold: Sequence[Record]) -> tuple[Pictures, Pictures]:
    """Return the pictures of a fold, in its order, and all others."""
    where = {record.name: index for index, record in enumerate(pictures.records)}
    names = {record.name for record in fold}
    others = [index for name, index in where.items() if name not in names]
    return pictures.subset(where[record.name] for record in fold), pictures.subset(others)


def _answers(folder: Path, number: int) -> Path:
    return folder / f"fold{number}" / _HELD_OUT


def _save(path: Path, held_out: Pictures, logits: NDArray[np.float32]) -> None:
    part = path.with_name("held-out.part.npz")
    np.savez(part, names=np.array([r.name for r in held_out.records]), logits=logits)
    part.rename(path)


def _load(path: Path, fold: Sequence[Record]) -> NDArray[np.float32]:
    if not path.exists():
        msg = f"{path} is missing; run mlcore crossvalidate for this recipe to its end."
        raise RunError(msg)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as saved:
            names, logits = saved["names"].tolist(), saved["logits"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        msg = f"{path} is damaged ({error}); remove it and run the same command again."
        raise RunError(msg) from error
    if names != [record.name for record in fold]:
        msg = f"{path} is of other pictures; remove {path.parent.parent} and run it again."
        raise RunError(msg)
    return np.asarray(logits, dtype=np.float32)
