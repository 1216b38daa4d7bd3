"""Figures of merit, each with a bootstrap interval over groups."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.labels import label_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Measure = Callable[[NDArray[np.int64]], float]

_BINS = 15
_REPLICATES = 2000
_TOO_FEW = 30


def softmax(logits: NDArray[Any], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return probabilities (n, labels) of logits divided by a temperature."""
    z = np.asarray(logits, dtype=np.float64) / temperature
    z = np.exp(z - z.max(axis=-1, keepdims=True))
    chances: NDArray[np.float64] = z / z.sum(axis=-1, keepdims=True)
    return chances


def balanced_accuracy(truth: NDArray[Any], guess: NDArray[Any]) -> float:
    """Return the mean recall over the classes that occur in ``truth``."""
    return float(np.mean([(guess[truth == k] == k).mean() for k in np.unique(truth)]))


def macro_precision(truth: NDArray[Any], guess: NDArray[Any]) -> float:
    """Return the mean precision over the classes in ``truth``; a class never guessed counts 0."""
    values = []
    for k in np.unique(truth):
        said = guess == k
        values.append(float((truth[said] == k).mean()) if said.any() else 0.0)
    return float(np.mean(values))


def calibration_error(truth: NDArray[Any], chances: NDArray[Any]) -> float:
    """Return the expected calibration error of the first answer over 15 equal bins.

    Guo et al., ICML 2017, arXiv:1706.04599.
    """
    confidence = chances.max(axis=1)
    correct = chances.argmax(axis=1) == truth
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    error = 0.0
    for b in range(_BINS):
        inside = bins == b
        if inside.any():
            error += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return float(error)


def brier_score(truth: NDArray[Any], chances: NDArray[Any]) -> float:
    """Return the mean squared distance of the probabilities from the truth (0 best, 2 worst)."""
    target = np.eye(chances.shape[1])[truth]
    return float(((chances - target) ** 2).sum(axis=1).mean())


def area_under_curve(positive: NDArray[Any], score: NDArray[Any]) -> float:
    """Return the ROC area by ranks (ties count half); NaN when one side is empty."""
    n, m = int(positive.sum()), int((~positive).sum())
    if n == 0 or m == 0:
        return float("nan")
    _values, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def intervals(
    measures: Mapping[str, Measure], groups: Sequence[str], *, seed: int = 0
) -> dict[str, tuple[float, float] | None]:
    """Return a 95 % bootstrap interval of every measure over resampled groups.

    All measures are taken of the same 2000 resamples. A resample in which a measure is not defined
    (NaN) does not count for it; where that is every one, the interval is None.

    Args:
        measures: each takes indices of the chosen samples.
        groups: one group a sample; a lesion's photographs are drawn together.
        seed: of the resampling.
    """
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    pools = [np.array(pool) for pool in members.values()]
    rng = np.random.default_rng(seed)
    values: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(_REPLICATES):
        drawn = rng.integers(0, len(pools), len(pools))
        chosen = np.concatenate([pools[i] for i in drawn])
        for name, measure in measures.items():
            value = measure(chosen)
            if not math.isnan(value):
                values[name].append(value)
    return {name: _middle(found) if found else None for name, found in values.items()}


def _middle(values: list[float]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _figures(measures: Mapping[str, Measure], groups: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return value and interval of every measure, ready for JSON: what is not defined is None."""
    everything = np.arange(len(groups))
    found = intervals(measures, groups)
    return {
        name: {"value": _rounded(measure(everything)), "interval": _rounded_pair(found[name])}
        for name, measure in measures.items()
    }


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _rounded_pair(pair: tuple[float, float] | None) -> list[float] | None:
    return None if pair is None else [round(value, 4) for value in pair]


def evaluate(
    key: str,
    truth: NDArray[np.int64],
    chances: NDArray[np.float64],
    groups: Sequence[str],
) -> dict[str, Any]:
    """Return every figure of one set of predictions.

    Args:
        key: the label set.
        truth: (n,) indices of the labels.
        chances: (n, labels) calibrated probabilities.
        groups: one group a sample.

    Returns:
        JSON-ready figures: each of ``figures`` has ``value`` and a 95 % ``interval``, and so has
        the recall of every one of ``labels``.
    """
    labels = label_set(key)
    guess = chances.argmax(axis=1)
    bad = np.array([label.malignant for label in labels.labels])
    codes = np.array([label.icd10 for label in labels.labels])
    danger = chances[:, bad].sum(axis=1)
    measures: dict[str, Measure] = {
        "accuracy": lambda i: float((guess[i] == truth[i]).mean()),
        "balanced_accuracy": lambda i: balanced_accuracy(truth[i], guess[i]),
        "macro_precision": lambda i: macro_precision(truth[i], guess[i]),
        "same_icd_group_accuracy": lambda i: float((codes[guess[i]] == codes[truth[i]]).mean()),
        "malignant_auc": lambda i: area_under_curve(bad[truth[i]], danger[i]),
        "calibration_error": lambda i: calibration_error(truth[i], chances[i]),
        "brier_score": lambda i: brier_score(truth[i], chances[i]),
        # Both label sets have it, and it is what must not be missed.
        "melanoma_recall": lambda i: _recall(truth[i], guess[i], labels.keys.index("melanoma")),
    }
    return {
        "images": len(truth),
        "groups": len(set(groups)),
        "figures": _figures(measures, groups),
        "labels": _per_label(labels.keys, truth, chances, groups),
        "confusion": _confusion(truth, guess, len(labels.labels)),
    }


def operating_point(
    key: str,
    truth: NDArray[np.int64],
    chances: NDArray[np.float64],
    groups: Sequence[str],
    *,
    answer: float,
    triage: float,
) -> dict[str, dict[str, Any]]:
    """Return what the two thresholds of a release do, each figure with its 95 % interval.

    Args:
        key: the label set.
        truth: (n,) indices of the labels.
        chances: (n, labels) calibrated probabilities.
        groups: one group a sample.
        answer: an answer is given from this probability of the first label on.
        triage: suspicion is raised from this summed probability of malignant labels on.
    """
    bad = np.array([label.malignant for label in label_set(key).labels])
    given = chances.max(axis=1) >= answer
    right = chances.argmax(axis=1) == truth
    raised = chances[:, bad].sum(axis=1) >= triage
    is_bad = bad[truth]
    measures: dict[str, Measure] = {
        "coverage": lambda i: float(given[i].mean()),
        "accuracy_of_answers": lambda i: _share(right[i], given[i]),
        "malignant_sensitivity": lambda i: _share(raised[i], is_bad[i]),
        "malignant_specificity": lambda i: _share(~raised[i], ~is_bad[i]),
    }
    return _figures(measures, groups)


def _share(what: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(what[among].mean()) if among.any() else float("nan")


def _recall(truth: NDArray[Any], guess: NDArray[Any], k: int) -> float:
    return _share(guess == k, truth == k)


def _per_label(
    keys: Sequence[str], truth: NDArray[Any], chances: NDArray[Any], groups: Sequence[str]
) -> dict[str, dict[str, Any]]:
    guess = chances.argmax(axis=1)
    recalls: dict[str, Measure] = {
        key: lambda i, k=k: _recall(truth[i], guess[i], k)  # type: ignore[misc] # k is bound here
        for k, key in enumerate(keys)
    }
    found = intervals(recalls, groups)
    table = {}
    for k, key in enumerate(keys):
        hits = int(((guess == k) & (truth == k)).sum())
        said, there = int((guess == k).sum()), int((truth == k).sum())
        precision = hits / said if said else 0.0
        recall = hits / there if there else 0.0
        total = precision + recall
        table[key] = {
            "images": there,
            "precision": round(precision, 4),
            "recall": round(recall, 4),
            "recall_interval": _rounded_pair(found[key]),
            "f1": round(2 * precision * recall / total, 4) if total else 0.0,
            "auc": _rounded(area_under_curve(truth == k, chances[:, k])),
            "too_few_to_say": there < _TOO_FEW,
        }
    return table


def _confusion(truth: NDArray[Any], guess: NDArray[Any], n: int) -> list[list[int]]:
    table = np.zeros((n, n), dtype=int)
    np.add.at(table, (truth, guess), 1)
    return [[int(v) for v in row] for row in table]
