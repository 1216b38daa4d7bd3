"""Figures of a cross-validation: of the label set's own pictures, and of HAM10000's diagnoses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.calibrate import fit_temperature
from mlcore.data.archives import HAM10000
from mlcore.data.sets import HAM_LABELS
from mlcore.evaluate import balanced_accuracy, evaluate, intervals, softmax
from mlcore.labels import label_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlcore.train.folds import HeldOut

# HAM10000's seven diagnoses, each with the labels of the nine-class set that belong to it.
HAM_DIAGNOSES = {
    diagnosis: (label,) for diagnosis, label in HAM_LABELS.items() if diagnosis != "bkl"
} | {
    "akiec": ("actinic_keratosis", "squamous_cell_carcinoma"),
    "bkl": ("pigmented_benign_keratosis", "seborrheic_keratosis"),
}


def calibrated(held_out: HeldOut) -> NDArray[np.float64]:
    """Return probabilities (n, labels): each fold's temperature comes from the other folds."""
    chances = np.zeros(held_out.logits.shape, dtype=np.float64)
    for fold in np.unique(held_out.folds):
        inside = held_out.folds == fold
        temperature = fit_temperature(held_out.logits[~inside], held_out.labels[~inside])
        chances[inside] = softmax(held_out.logits[inside], temperature)
    return chances


def cross_figures(key: str, held_out: HeldOut) -> dict[str, Any]:
    """Return every figure of :func:`mlcore.evaluate.evaluate` on the label set's own pictures.

    HAM10000 pictures that only joined the training are left out.

    Args:
        key: the label set.
        held_out: predictions of all folds.
    """
    own = np.array([record.source == key for record in held_out.records])
    groups = [record.group for record, inside in zip(held_out.records, own, strict=True) if inside]
    figures = evaluate(key, held_out.labels[own], calibrated(held_out)[own], groups)
    return figures | {"folds": len(np.unique(held_out.folds))}


def ham_figures(held_out: HeldOut) -> dict[str, Any] | None:
    """Return accuracy, balanced accuracy and recalls of HAM10000's seven diagnoses.

    Probabilities of the labels that belong to one diagnosis are added up. Every picture whose id
    HAM10000 lists counts, under whichever name it is in the sets.

    Args:
        held_out: predictions of a network for ``isic9``.

    Returns:
        JSON-ready figures; None where no picture is HAM10000's.
    """
    listed = np.array([record.archive == HAM10000 for record in held_out.records])
    if not listed.any():
        return None
    keys = label_set("isic9").keys
    names = sorted(HAM_DIAGNOSES)
    of_label = {label: n for n, name in enumerate(names) for label in HAM_DIAGNOSES[name]}
    member = np.array([of_label[key] for key in keys])
    chances = calibrated(held_out)[listed]
    summed = np.stack([chances[:, member == n].sum(axis=1) for n in range(len(names))], axis=1)
    truth, guess = member[held_out.labels[listed]], summed.argmax(axis=1)
    groups = [r.group for r, inside in zip(held_out.records, listed, strict=True) if inside]
    measures: dict[str, Callable[[NDArray[np.int64]], float]] = {
        "accuracy": lambda i: float((truth[i] == guess[i]).mean()),
        "balanced_accuracy": lambda i: balanced_accuracy(truth[i], guess[i]),
    }
    for n, name in enumerate(names):
        measures[f"recall_{name}"] = lambda i, n=n: _recall(truth[i], guess[i], n)  # type: ignore[misc] # n is bound here
    everything = np.arange(len(truth))
    found = intervals(measures, groups)
    return {
        "images": len(truth),
        "groups": len(set(groups)),
        "figures": {
            name: {
                "value": round(measure(everything), 4),
                "interval": None if (pair := found[name]) is None else [round(v, 4) for v in pair],
            }
            for name, measure in measures.items()
        },
    }


def _recall(truth: NDArray[np.int64], guess: NDArray[np.int64], n: int) -> float:
    inside = truth == n
    return float((guess[inside] == n).mean()) if inside.any() else float("nan")
