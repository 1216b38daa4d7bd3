"""Cross-validation: every picture judged by a network that saw neither it nor its group."""

from __future__ import annotations

import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from mlcore.labels import label_set
from mlcore.train.feeds import predict_logits
from mlcore.train.loop import train
from mlcore.train.run import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlcore.data.sets import Record
    from mlcore.train.pictures import Pictures
    from mlcore.train.recipes import Recipe

_HELD_OUT = "held-out.npz"
# What the networks of the shipped releases said: training them again takes hours, and the figures
# and the calibration of a release come from this.
KEPT = Path(__file__).resolve().parents[1] / "data" / "held_out"
# A logit is kept to a thousandth, which moves no probability by more than half of that.
_DECIMALS = 3


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
    beside: Pictures | None = None,
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
        report: a stream for the progress (default: standard error).

    Raises:
        RunError: the folder holds other runs, or damaged ones.
    """
    report = report or sys.stderr
    where = {record.name: index for index, record in enumerate(pictures.records)}
    for number, fold in enumerate(folds):
        path = _answers(folder, number)
        if not path.exists() and not _kept(folder, number).exists():
            held_out = pictures.subset(where[record.name] for record in fold)
            names = {record.name for record in fold}
            others = [i for name, i in where.items() if name not in names]
            print(f"fold {number + 1} of {len(folds)}", file=report, flush=True)
            learnt = pictures.subset(others)
            trained = train(
                recipe,
                learnt if beside is None else learnt + beside,
                pictures.subset([]),
                folder=path.parent,
                seed=seed,
                outputs=outputs,
                report=report,
            )
            _save(path, held_out, predict_logits(trained.model, held_out.squares(recipe.side)))
            keras.backend.clear_session()
    return read_folds(recipe.label_set, folds, folder)


def read_folds(key: str, folds: Sequence[Sequence[Record]], folder: Path) -> HeldOut:
    """Return what :func:`run_folds` left in a folder, or what is kept of it in the repository.

    Args:
        key: the label set.
        folds: as they were dealt for it.
        folder: of the runs.

    Raises:
        RunError: a fold is missing, damaged, or of other pictures.
    """
    keys = label_set(key).keys
    logits = [_load(_found(folder, number), fold) for number, fold in enumerate(folds)]
    records = [record for fold in folds for record in fold]
    return HeldOut(
        records,
        np.array([keys.index(record.label) for record in records], dtype=np.int64),
        np.concatenate(logits),
        np.repeat(np.arange(len(folds)), [len(fold) for fold in folds]),
    )


def keep_folds(recipe: Recipe, folder: Path, count: int) -> int:
    """Put the answers of finished folds into the repository; return how many it now holds.

    The recipe is written beside them; a test holds that it is still the one of its name.

    Args:
        recipe: of the runs.
        folder: of the runs; its name is that of the kept ones.
        count: of the folds.

    Raises:
        RunError: no fold is finished, here or in the repository; nothing is written.
    """
    finished = [n for n in range(count) if _found(folder, n).exists()]
    if not finished:
        msg = (
            f"No fold of {recipe.name} is finished in {folder}; train them first: "
            f"python -m mlcore crossvalidate --recipe {recipe.name}"
        )
        raise RunError(msg)
    (KEPT / folder.name).mkdir(parents=True, exist_ok=True)
    facts = json.dumps(recipe.as_dict(), indent=1)
    (KEPT / folder.name / "recipe.json").write_text(facts + "\n", encoding="utf-8")
    for number in finished:
        path, kept = _answers(folder, number), _kept(folder, number)
        if path.exists():
            with np.load(path, allow_pickle=False) as saved:
                _write(kept, saved["names"], np.round(saved["logits"], _DECIMALS))
    return len(finished)


def _answers(folder: Path, number: int) -> Path:
    return folder / f"fold{number}" / _HELD_OUT


def _kept(folder: Path, number: int) -> Path:
    return KEPT / folder.name / f"fold{number}.npz"


def _found(folder: Path, number: int) -> Path:
    own, kept = _answers(folder, number), _kept(folder, number)
    return kept if kept.exists() and not own.exists() else own


def _save(path: Path, held_out: Pictures, logits: NDArray[np.float32]) -> None:
    _write(path, np.array([r.name for r in held_out.records]), logits)


def _write(path: Path, names: NDArray[np.str_], logits: NDArray[np.float32]) -> None:
    part = path.with_name(f"{path.stem}.part.npz")
    np.savez_compressed(part, names=names, logits=logits)
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
