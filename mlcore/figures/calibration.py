"""How far the probability of the first answer is from the share of right answers.

Three errors stand side by side, because each has a flaw:

* ``calibration_error``: 15 bins of equal width (Guo et al., ICML 2017, arXiv:1706.04599). What
  everybody quotes; few images make it large even where the network is perfectly calibrated.
* ``calibration_error_equal_mass``: up to 15 bins that hold equally many images.
* ``calibration_error_debiased``: root of the mean squared gap over the same bins, less what chance
  alone adds (Kumar, Liang and Ma, NeurIPS 2019, arXiv:1909.10155). Without chance, a root mean
  square is never below the mean gap, so holding it to a bound is the stricter claim.

:func:`expected_if_calibrated` says what the first one would be if every probability were true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.figures.measures import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BINS = 15
# A bin of fewer images says next to nothing about the share of right answers in it.
_LEAST_IN_BIN = 8
_SIMULATIONS = 1000


def equal_width_bins(confidence: NDArray[Any]) -> NDArray[np.int64]:
    """Return the bin (n,) of every confidence, of 15 of equal width."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def equal_mass_bins(confidence: NDArray[Any]) -> NDArray[np.int64]:
    """Return the bin (n,) of every confidence; bins hold equally many, equals stay together.

    There are 15, or fewer so that each would hold eight images.
    """
    count = min(BINS, max(1, len(confidence) // _LEAST_IN_BIN))
    edges = np.quantile(confidence, np.arange(1, count) / count)
    return np.asarray(np.searchsorted(edges, confidence, side="right"), dtype=np.int64)


def weighted_errors(
    correct: NDArray[np.bool_],
    confidence: NDArray[Any],
    weights: Floats,
    *,
    resampled: bool,
) -> Floats:
    """Return the three errors (b, 3) in the order of the module's list.

    The bins are those of the set as it is, for every resample.

    Args:
        correct: (n,) whether the first answer is right.
        confidence: (n,) its probability.
        weights: (b, n).
        resampled: whether the rows are resamples of the set. A resample carries chance twice, that
            of the set and its own, so twice as much is taken off in the third.
    """
    width = _sums(equal_width_bins(confidence), correct, confidence, weights)
    mass = _sums(equal_mass_bins(confidence), correct, confidence, weights)
    chance = 2.0 if resampled else 1.0
    return np.stack([_mean_gap(*width), _mean_gap(*mass), _debiased(*mass, chance)], axis=1)


def _sums(
    bins: NDArray[np.int64], correct: NDArray[np.bool_], confidence: NDArray[Any], weights: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return weight, right answers and summed confidence (b, bins)."""
    inside = np.zeros((len(bins), BINS))
    inside[np.arange(len(bins)), bins] = 1
    said = np.asarray(confidence, dtype=np.float64)[:, None]
    return weights @ inside, weights @ (inside * correct[:, None]), weights @ (inside * said)


def _mean_gap(count: Floats, right: Floats, said: Floats) -> Floats:
    return np.asarray(np.abs(right - said).sum(axis=1) / count.sum(axis=1))


def _debiased(count: Floats, right: Floats, said: Floats, chance: float) -> Floats:
    number = np.maximum(count, 1)
    share, gap = right / number, (right - said) / number
    # A single image tells nothing about its spread: the widest possible is taken.
    noise = np.where(count > 1, share * (1 - share) / np.maximum(number - 1, 1), 0.25)
    squared = (count * (gap**2 - chance * noise)).sum(axis=1) / count.sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squared, 0)))


def _plain(truth: NDArray[Any], chances: NDArray[Any]) -> Floats:
    correct = chances.argmax(axis=1) == truth
    ones = np.ones((1, len(truth)))
    errors: Floats = weighted_errors(correct, chances.max(axis=1), ones, resampled=False)[0]
    return errors


def calibration_error(truth: NDArray[Any], chances: NDArray[Any]) -> float:
    """Return the expected calibration error of the first answer over 15 bins of equal width."""
    return float(_plain(truth, chances)[0])


def calibration_error_equal_mass(truth: NDArray[Any], chances: NDArray[Any]) -> float:
    """Return the expected calibration error over bins that hold equally many images."""
    return float(_plain(truth, chances)[1])


def calibration_error_debiased(truth: NDArray[Any], chances: NDArray[Any]) -> float:
    """Return the root mean squared calibration error, less what chance alone adds."""
    return float(_plain(truth, chances)[2])


def expected_if_calibrated(confidence: NDArray[Any], *, seed: int = 0) -> float:
    """Return the error over 15 bins of equal width to expect if every confidence were true.

    It is the mean of 1000 draws in which each answer is right with the probability it was given.

    Args:
        confidence: (n,).
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(equal_width_bins(confidence), kind="stable")
    bins, said = equal_width_bins(confidence)[order], np.asarray(confidence)[order]
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    gaps = [
        np.abs(np.add.reduceat((rng.random(len(said)) < said) - said, starts)).sum() / len(said)
        for _ in range(_SIMULATIONS)
    ]
    return float(np.mean(gaps))


def reliability(truth: NDArray[Any], chances: NDArray[Any]) -> dict[str, Any]:
    """Return the bins of a reliability diagram, ready for JSON.

    Returns:
        ``bins``: those of the 15 of equal width that hold images, each with its bounds, the
        number of images, their mean confidence, the share of right answers and its Wilson interval
        (which takes images for independent); ``expected_if_calibrated``: see the function.
    """
    confidence = chances.max(axis=1)
    correct = chances.argmax(axis=1) == truth
    bins = equal_width_bins(confidence)
    rows = []
    for number in np.unique(bins):
        inside = bins == number
        right, count = int(correct[inside].sum()), int(inside.sum())
        rows.append(
            {
                "low": round(number / BINS, 4),
                "high": round((number + 1) / BINS, 4),
                "images": count,
                "confidence": round(float(confidence[inside].mean()), 4),
                "accuracy": round(right / count, 4),
                "interval": [round(bound, 4) for bound in wilson(right, count)],
            }
        )
    return {
        "binning": f"{BINS} bins of equal width over the probability of the first answer",
        "bins": rows,
        "expected_if_calibrated": round(expected_if_calibrated(confidence), 4),
    }
