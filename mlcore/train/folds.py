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
from mlcore.train.run import RunError, facts_of, is_of

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
    facts = facts_of(recipe, seed)
    # What is there is looked at before anything is trained: hours later would be late.
    done = [number for number in range(len(folds)) if _found(folder, number).exists()]
    for number in done:
        _load(_found(folder, number), folds[number], facts)
    where = {record.name: index for index, record in enumerate(pictures.records)}
    for number, fold in enumerate(folds):
        if number not in done:
            path = _answers(folder, number)
            held_out = pictures.subset(where[record.name] for record in fold)
            inside = {record.name for record in fold}
            others = [i for name, i in where.items() if name not in inside]
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
            names = np.array([record.name for record in held_out.records])
            logits = predict_logits(trained.model, held_out.squares(recipe.side))
            _write(path, names, logits, facts)
            keras.backend.clear_session()
    return read_folds(recipe, folds, folder, seed=seed)


def read_folds(
    recipe: Recipe, folds: Sequence[Sequence[Record]], folder: Path, *, seed: int
) -> HeldOut:
    """Return what :func:`run_folds` left in a folder, or what is kept of it in the repository.

    Args:
        recipe: of the runs.
        folds: as they were dealt for it.
        folder: of the runs.
        seed: of the runs.

    Raises:
        RunError: a fold is missing, damaged, of other pictures, or of another recipe or seed.
    """
    keys = label_set(recipe.label_set).keys
    facts = facts_of(recipe, seed)
    logits = [_load(_found(folder, number), fold, facts) for number, fold in enumerate(folds)]
    records = [record for fold in folds for record in fold]
    return HeldOut(
        records,
        np.array([keys.index(record.label) for record in records], dtype=np.int64),
        np.concatenate(logits),
        np.repeat(np.arange(len(folds)), [len(fold) for fold in folds]),
    )


def is_cross_validated(folder: Path) -> bool:
    """Tell whether a first fold has an answer, in a folder of runs or kept in the repository."""
    return _found(folder, 0).exists()


def keep_folds(recipe: Recipe, folder: Path, count: int, *, seed: int) -> int:
    """Put the answers of finished folds into the repository; return how many it now holds.

    Args:
        recipe: of the runs.
        folder: of the runs; its name is that of the kept ones.
        count: of the folds.
        seed: of the runs.

    Raises:
        RunError: no fold is finished, here or in the repository, or one is of another recipe or
            seed; nothing is written.
    """
    finished = [n for n in range(count) if _found(folder, n).exists()]
    if not finished:
        msg = (
            f"No fold of {recipe.name} is finished in {folder}; train them first: "
            f"python -m mlcore crossvalidate --recipe {recipe.name}"
        )
        raise RunError(msg)
    facts = facts_of(recipe, seed)
    found = {number: _opened(_found(folder, number), facts) for number in finished}
    (KEPT / folder.name).mkdir(parents=True, exist_ok=True)
    for number, (names, logits) in found.items():
        _write(_kept(folder, number), names, np.round(logits, _DECIMALS), facts)
    return len(finished)


def _answers(folder: Path, number: int) -> Path:
    return folder / f"fold{number}" / _HELD_OUT


def _kept(folder: Path, number: int) -> Path:
    return KEPT / folder.name / f"fold{number}.npz"


def _found(folder: Path, number: int) -> Path:
    own, kept = _answers(folder, number), _kept(folder, number)
    return kept if kept.exists() and not own.exists() else own


def _write(
    path: Path, names: NDArray[np.str_], logits: NDArray[np.float32], facts: dict[str, Any]
) -> None:
    part = path.with_name(f"{path.stem}.part.npz")
    np.savez_compressed(part, names=names, logits=logits, facts=np.array(json.dumps(facts)))
    part.rename(path)


def _load(path: Path, fold: Sequence[Record], facts: dict[str, Any]) -> NDArray[np.float32]:
    names, logits = _opened(path, facts)
    if names.tolist() != [record.name for record in fold]:
        msg = f"{path} is of other pictures; {_way_out(path)}"
        raise RunError(msg)
    return logits


def _opened(path: Path, facts: dict[str, Any]) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
    """Return the names and the logits of a fold, if its network was made by a recipe and seed."""
    if not path.exists():
        msg = f"{path} is missing; run mlcore crossvalidate for this recipe to its end."
        raise RunError(msg)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as saved:
            names, logits = saved["names"], np.asarray(saved["logits"], dtype=np.float32)
            same = is_of(json.loads(str(saved["facts"])), facts)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        msg = f"{path} is damaged ({error}); remove it and run the same command again."
        raise RunError(msg) from error
    if not same:
        msg = f"{path} is of another recipe or seed; {_way_out(path)}"
        raise RunError(msg)
    return names, logits


def _way_out(path: Path) -> str:
    """Return what to do about a fold that is not the one that is wanted."""
    kept = path.parent.parent == KEPT
    home = path.parent if kept else path.parent.parent
    return f"remove {home} and run it again{', which takes hours' if kept else ''}."
