"""Everything that is measured of one set of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.figures import calibration, curves
from mlcore.figures.bootstrap import Statistic, estimate
from mlcore.figures.measures import (
    brier_terms,
    f1_scores,
    log_loss_terms,
    mean_of_occurring,
    precisions,
    ratio,
    recalls,
    weighted_auc,
    weighted_confusion,
)
from mlcore.labels import LabelSet, label_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Indices = NDArray[np.int64]

# Nothing is said about fewer images than this.
TOO_FEW = 30
_PER_LABEL = ("precision", "recall", "f1", "auc")


def labels_of(key: str | LabelSet) -> LabelSet:
    """Return the label set of a key; one that no release has is passed whole.

    Raises:
        UnknownLabelSetError: none has this key.
    """
    return key if isinstance(key, LabelSet) else label_set(key)


def evaluate(
    key: str | LabelSet, truth: Indices, chances: Floats, groups: Sequence[str]
) -> dict[str, Any]:
    """Return every figure of one set of answers.

    Args:
        key: the label set, or its key.
        truth: (n,) indices of the labels.
        chances: (n, labels) calibrated probabilities.
        groups: one group an image.

    Returns:
        JSON-ready figures. Each of ``figures`` has ``value`` and a 95 % ``interval`` over groups;
        each of ``labels`` has precision, recall, F1 and AUC (against the rest), each with its
        interval under ``<name>_interval``. ``confusion`` has the truth as rows; ``roc`` has the
        points of the curves, by label and for malignant against benign; ``reliability`` and
        ``risk_curve`` are as the functions of these names return them.
    """
    labels = labels_of(key)
    guess = chances.argmax(axis=1)
    statistics = [
        _by_confusion(labels, truth, guess),
        _by_image(labels, truth, chances),
        _calibration(truth, chances),
        *_areas(labels, truth, chances),
    ]
    found = estimate(statistics, groups)
    per_label = {name: found.pop(name) for name in list(found) if ":" in name}
    confusion = weighted_confusion(truth, guess, len(labels.labels), np.ones((1, len(truth))))[0]
    return {
        "images": len(truth),
        "groups": len(set(groups)),
        "figures": found,
        "labels": {
            label.key: _row(per_label, label.key, int((truth == k).sum()))
            for k, label in enumerate(labels.labels)
        },
        "confusion": confusion.astype(int).tolist(),
        "roc": _roc(labels, truth, chances),
        "reliability": calibration.reliability(truth, chances),
        "risk_curve": curves.risk_curve(truth, chances, groups),
    }


def operating_point(
    key: str | LabelSet,
    truth: Indices,
    chances: Floats,
    groups: Sequence[str],
    *,
    answer: float | Floats,
    triage: float | Floats,
) -> dict[str, dict[str, Any]]:
    """Return what the two thresholds of a release do, each figure with its 95 % interval.

    Args:
        key: the label set, or its key.
        truth: (n,) indices of the labels.
        chances: (n, labels) calibrated probabilities.
        groups: one group an image.
        answer: an answer is given from this probability of the first label on; one for all
            images, or one an image (n,).
        triage: suspicion is raised from this summed probability of malignant labels on; likewise.
    """
    labels = labels_of(key)
    bad = malignant(labels)
    given = chances.max(axis=1) >= answer
    right = chances.argmax(axis=1) == truth
    raised = chances[:, bad].sum(axis=1) >= triage
    everything = np.ones(len(truth), dtype=bool)
    melanoma = truth == _index(labels, "melanoma")
    return estimate(
        [
            shares(
                {
                    "coverage": (given, everything),
                    "accuracy_of_answers": (right, given),
                    "malignant_sensitivity": (raised, bad[truth]),
                    "malignant_specificity": (~raised, ~bad[truth]),
                    "melanoma_sensitivity": (raised, melanoma),
                }
            )
        ],
        groups,
    )


def malignant(labels: LabelSet) -> NDArray[np.bool_]:
    """Return which labels (labels,) are malignant or pre-malignant."""
    return np.array([label.malignant for label in labels.labels])


def shares(table: dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]) -> Statistic:
    """Return a statistic of shares: name -> (what (n,), among which (n,))."""
    parts = np.stack([what & among for what, among in table.values()], axis=1).astype(np.float64)
    wholes = np.stack([among for _, among in table.values()], axis=1).astype(np.float64)
    return Statistic(
        tuple(table),
        lambda weights: ratio(weights @ parts, weights @ wholes),
        among={name: among for name, (_, among) in table.items()},
    )


def confusion_statistic(
    truth: Indices,
    guess: Indices,
    labels: int,
    parts: Mapping[str, Callable[[Floats], Floats]],
    among: Mapping[str, NDArray[np.bool_]],
) -> Statistic:
    """Return a statistic of figures (b,) that are functions of confusion matrices (b, k, k).

    Args:
        truth: (n,) indices.
        guess: (n,) indices.
        labels: number of labels.
        parts: the functions by name.
        among: for those that are shares, the images they are shares of.
    """

    def measure(weights: Floats) -> Floats:
        tables = weighted_confusion(truth, guess, labels, weights)
        return np.stack([part(tables) for part in parts.values()], axis=1)

    return Statistic(tuple(parts), measure, among=among)


def accuracy(confusion: Floats) -> Floats:
    """Return the share of right answers (b,) of confusion matrices."""
    return ratio(np.trace(confusion, axis1=1, axis2=2), confusion.sum(axis=(1, 2)))


def balanced(confusion: Floats) -> Floats:
    """Return the mean recall (b,) of confusion matrices over the labels that occur."""
    return mean_of_occurring(recalls(confusion), confusion)


def _by_confusion(labels: LabelSet, truth: Indices, guess: Indices) -> Statistic:
    parts: dict[str, Callable[[Floats], Floats]] = {
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "macro_precision": lambda c: mean_of_occurring(precisions(c), c),
        "macro_f1": lambda c: mean_of_occurring(f1_scores(c), c),
    }
    among = {"accuracy": np.ones(len(truth), dtype=bool)}
    if (melanoma := _index(labels, "melanoma")) >= 0:
        parts["melanoma_recall"] = lambda c: recalls(c)[:, melanoma]
        among["melanoma_recall"] = truth == melanoma
    for k, key in enumerate(labels.keys):
        among |= {f"precision:{key}": guess == k, f"recall:{key}": truth == k}
        parts |= {
            f"precision:{key}": lambda c, k=k: precisions(c)[:, k],  # type: ignore[misc] # bound
            f"recall:{key}": lambda c, k=k: recalls(c)[:, k],  # type: ignore[misc] # bound
            f"f1:{key}": lambda c, k=k: f1_scores(c)[:, k],  # type: ignore[misc] # bound
        }
    return confusion_statistic(truth, guess, len(labels.labels), parts, among)


def _by_image(labels: LabelSet, truth: Indices, chances: Floats) -> Statistic:
    codes = np.array([label.icd10 for label in labels.labels])
    same = (codes[chances.argmax(axis=1)] == codes[truth]).astype(np.float64)
    terms = np.stack([same, brier_terms(truth, chances), log_loss_terms(truth, chances)], axis=1)

    def means(weights: Floats) -> Floats:
        return np.asarray(weights @ terms / weights.sum(axis=1, keepdims=True))

    return Statistic(("same_icd_group_accuracy", "brier_score", "log_loss"), means)


def _calibration(truth: Indices, chances: Floats) -> Statistic:
    correct, confidence = chances.argmax(axis=1) == truth, chances.max(axis=1)

    def errors(weights: Floats, *, resampled: bool) -> Floats:
        return calibration.weighted_errors(correct, confidence, weights, resampled=resampled)

    return Statistic(
        ("calibration_error", "calibration_error_equal_mass", "calibration_error_debiased"),
        lambda weights: errors(weights, resampled=False),
        lambda weights: errors(weights, resampled=True),
    )


def _areas(labels: LabelSet, truth: Indices, chances: Floats) -> list[Statistic]:
    def per_label(weights: Floats) -> Floats:
        areas = [
            weighted_auc(truth == k, chances[:, k], weights) for k in range(len(labels.labels))
        ]
        table = np.stack(areas, axis=1)
        defined = ~np.isnan(table)
        mean = ratio(np.where(defined, table, 0).sum(axis=1), defined.sum(axis=1).astype(float))
        return np.column_stack([mean, table])

    names = ("macro_auc", *(f"auc:{key}" for key in labels.keys))
    bad = malignant(labels)
    danger = chances[:, bad].sum(axis=1)
    found = [
        Statistic(names, per_label),
        Statistic(
            ("malignant_auc",), lambda weights: weighted_auc(bad[truth], danger, weights)[:, None]
        ),
    ]
    melanoma, nevus = _index(labels, "melanoma"), _index(labels, "nevus")
    if melanoma >= 0 and nevus >= 0:
        both = np.flatnonzero((truth == melanoma) | (truth == nevus))
        # The odds order images as the probability among the two does, and need no division by 0.
        odds = np.log(chances[both, melanoma] + 1e-300) - np.log(chances[both, nevus] + 1e-300)
        sides = truth[both] == melanoma
        found.append(
            Statistic(
                ("melanoma_nevus_auc",),
                lambda weights: weighted_auc(sides, odds, weights[:, both])[:, None],
            )
        )
    return found


def _roc(labels: LabelSet, truth: Indices, chances: Floats) -> dict[str, Any]:
    bad = malignant(labels)
    return {
        "malignant": curves.roc_points(bad[truth], chances[:, bad].sum(axis=1)),
        "labels": {
            key: curves.roc_points(truth == k, chances[:, k]) for k, key in enumerate(labels.keys)
        },
    }


def _row(found: dict[str, dict[str, Any]], key: str, images: int) -> dict[str, Any]:
    row: dict[str, Any] = {"images": images}
    for name in _PER_LABEL:
        figure = found[f"{name}:{key}"]
        # What does not occur has no recall; 0 keeps the tables of older releases alike.
        row[name] = 0.0 if figure["value"] is None and name == "recall" else figure["value"]
        row[f"{name}_interval"] = figure["interval"] if images else None
    return row | {"too_few_to_say": images < TOO_FEW}


def _index(labels: LabelSet, key: str) -> int:
    """Return the index of a label, -1 where the set has none of this key."""
    return labels.keys.index(key) if key in labels.keys else -1
