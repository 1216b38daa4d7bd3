"""Figures of a cross-validation: of the label set's own pictures, and of HAM10000's diagnoses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.calibrate import (
    calibration_of,
    choose_threshold,
    choose_triage_threshold,
    raise_label,
)
from mlcore.data.archives import HAM10000
from mlcore.data.sets import HAM_LABELS
from mlcore.evaluate import (
    balanced_accuracy,
    evaluate,
    intervals,
    operating_point,
    slice_facts,
    slices,
)
from mlcore.labels import label_set

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from mlcore.train.folds import HeldOut

# HAM10000's seven diagnoses, each with the labels of the nine-class set that belong to it.
HAM_DIAGNOSES = {
    diagnosis: (label,) for diagnosis, label in HAM_LABELS.items() if diagnosis != "bkl"
} | {
    "akiec": ("actinic_keratosis", "squamous_cell_carcinoma"),
    "bkl": ("pigmented_benign_keratosis", "seborrheic_keratosis"),
}


@dataclass(frozen=True)
class Calibrated:
    """Predictions of a cross-validation with everything that a release chooses, chosen honestly.

    Offsets, temperature and thresholds of a fold come from the other folds.

    Attributes:
        chances: (n, labels) probabilities.
        answer: (n,) an answer is given from this probability of the first label on.
        triage: (n,) suspicion is raised from this probability of a malignant label on.
    """

    chances: NDArray[np.float64]
    answer: NDArray[np.float64]
    triage: NDArray[np.float64]


def calibrated(key: str, held_out: HeldOut, *, even: bool = True) -> Calibrated:
    """Return the predictions with each fold's choices taken from the other folds.

    Args:
        key: the label set.
        held_out: predictions of all folds.
        even: see :func:`mlcore.calibrate.calibration_of`.
    """
    keys = label_set(key).keys
    bad = np.array([label.malignant for label in label_set(key).labels])
    chances = np.zeros(held_out.logits.shape, dtype=np.float64)
    answer, triage = np.zeros(len(chances)), np.zeros(len(chances))
    places = [record.archive for record in held_out.records]
    for fold in np.unique(held_out.folds):
        inside = held_out.folds == fold
        others, truth = held_out.logits[~inside], held_out.labels[~inside]
        from_where = [places[i] for i in np.nonzero(~inside)[0]]
        fitted = calibration_of(others, truth, from_where, even=even)
        if even and "melanoma" in keys:
            melanoma = keys.index("melanoma")
            fitted, _by = raise_label(fitted, others, truth, melanoma, collections=from_where)
        others = fitted.chances(others)
        answer[inside] = choose_threshold(truth, others)["threshold"]
        triage[inside] = choose_triage_threshold(bad[truth], others[:, bad].sum(axis=1))
        chances[inside] = fitted.chances(held_out.logits[inside])
    return Calibrated(chances, answer, triage)


def cross_figures(
    key: str, held_out: HeldOut, root: Path | None = None, *, even: bool = True
) -> dict[str, Any]:
    """Return the figures of a cross-validation, as a release's ``metrics.json`` names them.

    Args:
        key: the label set.
        held_out: predictions of all folds.
        root: the data root, to tell sex, age and site of the pictures for the slices.
        even: see :func:`mlcore.calibrate.calibration_of`.

    Returns:
        ``cross_validation``: what :func:`mlcore.evaluate.evaluate` returns, with an
        ``operating_point``, of the label set's own pictures (HAM10000 pictures that only joined
        the training are left out); ``ham7_cross_validation`` where there are HAM10000 pictures in
        it; ``slices`` of all pictures, where the root is given.
    """
    whole = calibrated(key, held_out, even=even)
    own = np.array([record.source == key for record in held_out.records])
    groups = np.array([record.group for record in held_out.records])
    answers = (key, held_out.labels[own], whole.chances[own], groups[own].tolist())
    figures: dict[str, Any] = {
        "cross_validation": evaluate(*answers)
        | {
            "folds": len(np.unique(held_out.folds)),
            "operating_point": operating_point(
                *answers, answer=whole.answer[own], triage=whole.triage[own]
            ),
        }
    }
    if key == "isic9" and (ham := ham_figures(held_out, whole.chances)) is not None:
        figures["ham7_cross_validation"] = ham
    if root is not None:
        figures["slices"] = slices(
            key,
            held_out.labels,
            whole.chances,
            groups.tolist(),
            slice_facts(held_out.records, root),
            triage=whole.triage,
            measured_on="images of all folds",
        )
    return figures


def ham_figures(held_out: HeldOut, chances: NDArray[np.float64]) -> dict[str, Any] | None:
    """Return accuracy, balanced accuracy and recalls of HAM10000's seven diagnoses.

    Probabilities of the labels that belong to one diagnosis are added up. Every picture whose id
    HAM10000 lists counts, under whichever name it is in the sets.

    Args:
        held_out: predictions of networks for ``isic9``.
        chances: (n, 9) their probabilities.

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
    shown = chances[listed]
    summed = np.stack([shown[:, member == n].sum(axis=1) for n in range(len(names))], axis=1)
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
