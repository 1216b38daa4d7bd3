"""What it is worth to look at a picture several ways: as it is, mirrored, upside down, turned.

Answers of the networks of a cross-validation that was trained on this machine, each on the pictures
that it did not learn from; every fold's offsets and temperature from the other folds. Looking four
ways takes four times as long, so it has to pay.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.data.archives import HAM10000
from mlcore.data.sets import data_root
from mlcore.data.splits import deal_folds, load_records
from mlcore.evaluate import balanced_accuracy, intervals, log_loss
from mlcore.labels import label_set
from mlcore.train.cross_figures import calibrated
from mlcore.train.folds import HeldOut
from mlcore.train.recipes import recipe_named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from mlcore.data.sets import Record
    from mlcore.train.recipes import Recipe

    Squares = NDArray[Any]
    Measure = Callable[[NDArray[np.int64]], float]

_RECIPE = "isic9_lite0_longer"
_SEED, _FOLDS, _BATCH = 1, 5, 32
_QUICK = 400
VIEWS: dict[str, Callable[[Squares], Squares]] = {
    "as it is": lambda squares: squares,
    "mirrored": lambda squares: squares[:, :, ::-1],
    "upside down": lambda squares: squares[:, ::-1],
    "transposed": lambda squares: squares.transpose(0, 2, 1, 3),
}
_WAYS = (("as it is",), ("as it is", "mirrored"), tuple(VIEWS))


def run(*, quick: bool) -> str:
    """Measure every fold of the recipe whose run is on this machine.

    Args:
        quick: at most 400 pictures of each fold.

    Raises:
        FileNotFoundError: fewer than two folds were trained here.
    """
    recipe = recipe_named(_RECIPE)
    folds = folds_here([recipe], most=_QUICK if quick else None)
    said = []
    for number, fold in folds.items():
        model = network_of(recipe, runs_of(recipe) / f"fold{number}")
        squares = squares_of(recipe, fold)
        said.append({name: answers(model, view(squares)) for name, view in VIEWS.items()})
    ways = {
        " + ".join(way): calibrated_alike(
            recipe, folds, [np.mean([fold[view] for view in way], axis=0) for fold in said]
        )
        for way in _WAYS
    }
    return "\n".join(
        [f"## Looking several ways: {told(recipe.name, folds)}", "", *table(recipe.label_set, ways)]
    )


def runs_of(recipe: Recipe) -> Path:
    """Return where the runs of a recipe's folds lie."""
    return Path(os.environ.get("MLCORE_RUNS", "var/train")) / f"{recipe.name}-{_SEED}-folds"


def folds_here(recipes: Sequence[Recipe], *, most: int | None) -> dict[int, list[Record]]:
    """Return the pictures of the folds that every recipe was trained on here, by number.

    Args:
        recipes: of one label set and the same pictures.
        most: pictures of a fold; None takes all.

    Raises:
        FileNotFoundError: there are fewer than two.
    """
    first, *_ = recipes
    records = load_records(first.label_set, data_root(), with_ham=first.with_ham)
    folds = deal_folds(records, count=_FOLDS, seed=_SEED)
    there = [
        number
        for number in range(_FOLDS)
        if all((runs_of(r) / f"fold{number}" / "held-out.npz").is_file() for r in recipes)
    ]
    if len(there) < 2:  # noqa: PLR2004 - a fold is calibrated on the others
        names = " and ".join(recipe.name for recipe in recipes)
        msg = f"Train two folds first: python -m mlcore crossvalidate --recipe {names}"
        raise FileNotFoundError(msg)
    return {number: folds[number][:most] for number in there}


def told(name: str, folds: Mapping[int, Sequence[Record]]) -> str:
    """Return what was measured, and on how much."""
    return f"{name}, {len(folds)} folds, {sum(map(len, folds.values()))} pictures"


def calibrated_alike(
    recipe: Recipe, folds: Mapping[int, Sequence[Record]], said: Sequence[NDArray[Any]]
) -> tuple[HeldOut, NDArray[np.float64]]:
    """Return what networks said of each fold with probabilities, as a release would give them."""
    keys = label_set(recipe.label_set).keys
    held = [record for fold in folds.values() for record in fold]
    whole = HeldOut(
        held,
        np.array([keys.index(record.label) for record in held], dtype=np.int64),
        np.concatenate(said).astype(np.float32),
        np.repeat(list(folds), [len(fold) for fold in folds.values()]),
    )
    return whole, calibrated(recipe.label_set, whole, even=recipe.even_labels).chances


def table(key: str, ways: Mapping[str, tuple[HeldOut, NDArray[np.float64]]]) -> list[str]:
    """Return a Markdown table: the first way's figures, and by how much the others differ.

    Args:
        key: the label set.
        ways: by name, what was held out (the same pictures in every way) and the probabilities.
    """
    lines = ["| seen | measure | figure | difference (95 %, by group) |", "|---|---|---|---|"]
    (held, first), *_ = ways.values()
    own = np.array([record.source == key for record in held.records])
    ham = np.array([record.archive == HAM10000 for record in held.records])
    for name, (_held, chances) in ways.items():
        for place, inside in ((f"{key}'s own pictures", own), ("HAM10000's pictures", ham)):
            groups = [r.group for r, is_in in zip(held.records, inside, strict=True) if is_in]
            truth, before, now = held.labels[inside], first[inside], chances[inside]
            for measure, of in _measures().items():
                cell = f"| {name} | {measure}, {place} | {of(truth, now):.3f} |"
                if now is not before and chances is not first:
                    gain = _gain(of, truth, before, now)
                    low, high = intervals({"gain": gain}, groups)["gain"] or (np.nan, np.nan)
                    cell += f" {gain(np.arange(len(truth))):+.3f} ({low:+.3f} to {high:+.3f}) |"
                else:
                    cell += " |"
                lines.append(cell)
    return lines


def _measures() -> dict[str, Callable[[NDArray[Any], NDArray[Any]], float]]:
    return {
        "balanced accuracy": lambda truth, chances: balanced_accuracy(
            truth, chances.argmax(axis=1)
        ),
        "log loss": log_loss,
    }


def _gain(
    of: Callable[[NDArray[Any], NDArray[Any]], float],
    truth: NDArray[Any],
    before: NDArray[Any],
    now: NDArray[Any],
) -> Measure:
    return lambda i: of(truth[i], now[i]) - of(truth[i], before[i])


def network_of(recipe: Recipe, folder: Path) -> Any:
    """Return the network of a finished run: a Keras model from pictures to logits."""
    from mlcore.networks.classifier import build_trainable  # noqa: PLC0415 - imports Keras

    model = build_trainable(
        recipe.network,
        len(label_set(recipe.label_set).keys),
        dropout=recipe.dropout,
        freeze_normalisation=recipe.freeze_normalisation,
        imagenet=False,
        side=recipe.side,
    )
    model.load_weights(folder / "checkpoint" / "best.weights.h5")
    return model


def squares_of(recipe: Recipe, fold: Sequence[Record]) -> Squares:
    """Return a fold's pictures as the recipe's network reads them: uint8 (n, side, side, 3)."""
    from mlcore.train.pictures import Pictures  # noqa: PLC0415 - imports Keras

    return Pictures(fold, label_set(recipe.label_set).keys).squares(recipe.side)


def answers(model: Any, squares: Squares) -> NDArray[np.float32]:
    """Return the logits (n, labels) of a network, batch by batch."""
    parts = [
        np.asarray(model.predict_on_batch(squares[i : i + _BATCH].astype(np.float32)))
        for i in range(0, len(squares), _BATCH)
    ]
    return np.concatenate(parts)
