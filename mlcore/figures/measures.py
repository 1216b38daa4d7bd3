"""Single figures of a set of answers, each also for many weightings of it at once.

A bootstrap resample is the set with a weight on every image: how often it was drawn. What is
measured of the set and what is measured of its resamples is therefore one formula: the functions
named ``weighted_*`` take weights (b, n), one row a resample, and return one value a row; NaN where
the figure is not defined.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# The least probability a logarithm is taken of.
_SMALLEST = 1e-12
_Z = NormalDist().inv_cdf(0.975)


def softmax(logits: NDArray[Any], temperature: float = 1.0) -> Floats:
    """Return probabilities (n, labels) of logits divided by a temperature."""
    z = np.asarray(logits, dtype=np.float64) / temperature
    z = np.exp(z - z.max(axis=-1, keepdims=True))
    chances: Floats = z / z.sum(axis=-1, keepdims=True)
    return chances


def ratio(part: Floats, whole: Floats) -> Floats:
    """Return ``part / whole``; NaN where the whole is nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(whole > 0, part / whole, np.nan))


def weighted_confusion(
    truth: NDArray[Any], guess: NDArray[Any], labels: int, weights: Floats
) -> Floats:
    """Return confusion matrices (b, labels, labels); rows are the truth.

    Args:
        truth: (n,) indices.
        guess: (n,) indices.
        labels: number of labels.
        weights: (b, n).
    """
    cells = np.zeros((len(truth), labels * labels))
    cells[np.arange(len(truth)), truth * labels + guess] = 1
    return (weights @ cells).reshape(-1, labels, labels)


def recalls(confusion: Floats) -> Floats:
    """Return the recall (b, labels) of confusion matrices; NaN where a label does not occur."""
    return ratio(np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=2))


def precisions(confusion: Floats) -> Floats:
    """Return the precision (b, labels) of confusion matrices; a label never guessed counts 0."""
    return np.nan_to_num(
        ratio(np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=1)), nan=0.0
    )


def f1_scores(confusion: Floats) -> Floats:
    """Return F1 (b, labels) of confusion matrices; 0 where a label is neither there nor guessed."""
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    total = confusion.sum(axis=1) + confusion.sum(axis=2)
    return np.nan_to_num(ratio(2 * hits, total), nan=0.0)


def mean_of_occurring(values: Floats, confusion: Floats) -> Floats:
    """Return the mean (b,) of values (b, labels) over the labels that occur in the truth."""
    there = confusion.sum(axis=2) > 0
    return ratio(np.where(there, values, 0).sum(axis=1), there.sum(axis=1).astype(np.float64))


def _one_confusion(truth: NDArray[Any], guess: NDArray[Any]) -> Floats:
    labels = int(max(truth.max(), guess.max())) + 1
    return weighted_confusion(truth, guess, labels, np.ones((1, len(truth))))


def balanced_accuracy(truth: NDArray[Any], guess: NDArray[Any]) -> float:
    """Return the mean recall over the labels that occur in ``truth``."""
    confusion = _one_confusion(truth, guess)
    return float(mean_of_occurring(recalls(confusion), confusion)[0])


def macro_precision(truth: NDArray[Any], guess: NDArray[Any]) -> float:
    """Return the mean precision over the labels in ``truth``; a label never guessed counts 0."""
    confusion = _one_confusion(truth, guess)
    return float(mean_of_occurring(precisions(confusion), confusion)[0])


def macro_f1(truth: NDArray[Any], guess: NDArray[Any]) -> float:
    """Return the mean F1 over the labels in ``truth``."""
    confusion = _one_confusion(truth, guess)
    return float(mean_of_occurring(f1_scores(confusion), confusion)[0])


def brier_terms(truth: NDArray[Any], chances: NDArray[Any]) -> Floats:
    """Return the squared distance (n,) of the probabilities from the truth, 0 best and 2 worst.

    Brier, Monthly Weather Review 78, 1950, in its form for several labels.
    """
    target = np.eye(chances.shape[1])[truth]
    return np.asarray(((chances - target) ** 2).sum(axis=1), dtype=np.float64)


def brier_score(truth: NDArray[Any], chances: NDArray[Any]) -> float:
    """Return the mean squared distance of the probabilities from the truth (0 best, 2 worst)."""
    return float(brier_terms(truth, chances).mean())


def log_loss_terms(truth: NDArray[Any], chances: NDArray[Any]) -> Floats:
    """Return the negative natural logarithm (n,) of the probability given to the truth."""
    given = chances[np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.maximum(given, _SMALLEST)), dtype=np.float64)


def log_loss(truth: NDArray[Any], chances: NDArray[Any]) -> float:
    """Return the mean negative log-likelihood in nats (0 best)."""
    return float(log_loss_terms(truth, chances).mean())


def weighted_auc(positive: NDArray[np.bool_], score: NDArray[Any], weights: Floats) -> Floats:
    """Return the area under the ROC curve (b,): the share of pairs in order, ties counting half.

    Args:
        positive: (n,) which side an image is on.
        score: (n,) greater for the positive side.
        weights: (b, n).
    """
    ours, theirs = np.flatnonzero(positive), np.flatnonzero(~positive)
    theirs = theirs[np.argsort(score[theirs], kind="stable")]
    rising = score[theirs]
    below = np.zeros((len(weights), len(theirs) + 1))
    np.cumsum(weights[:, theirs], axis=1, out=below[:, 1:])
    first = np.searchsorted(rising, score[ours], side="left")
    last = np.searchsorted(rising, score[ours], side="right")
    mine = weights[:, ours]
    pairs = (mine * (below[:, first] + below[:, last])).sum(axis=1) / 2
    return ratio(pairs, mine.sum(axis=1) * below[:, -1])


def area_under_curve(positive: NDArray[Any], score: NDArray[Any]) -> float:
    """Return the area under the ROC curve, ties counting half; NaN when one side is empty."""
    return float(weighted_auc(positive, score, np.ones((1, len(positive))))[0])


def wilson(hits: float, count: float) -> tuple[float, float]:
    """Return the 95 % interval of a share.

    Wilson, Journal of the American Statistical Association 22, 1927.

    Args:
        hits: how many of them.
        count: how many there are, at least 1.
    """
    share, spread = hits / count, _Z**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * (share * (1 - share) / count + spread / (4 * count)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)
