"""Curves, thinned so that they fit into a release's facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.figures.bootstrap import Statistic, estimate
from mlcore.figures.measures import ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_MOST_POINTS = 60


def roc_points(positive: NDArray[np.bool_], score: NDArray[Any]) -> list[list[float]] | None:
    """Return a ROC curve as points (1 - specificity, sensitivity) from (0, 0) to (1, 1).

    Equal scores make one step. Of a long curve at most 60 points stay, evenly spaced along it.

    Args:
        positive: (n,) which side an image is on.
        score: (n,) greater for the positive side.

    Returns:
        None where a side is empty.
    """
    ours, theirs = int(positive.sum()), int((~positive).sum())
    if not ours or not theirs:
        return None
    order = np.argsort(-score, kind="stable")
    last_of_equals = np.append(np.diff(score[order]) != 0, values=True)
    hits = np.cumsum(positive[order])[last_of_equals] / ours
    alarms = np.cumsum(~positive[order])[last_of_equals] / theirs
    curve = np.stack([np.append(0, alarms), np.append(0, hits)], axis=1)
    return [[round(float(x), 4), round(float(y), 4)] for x, y in _thinned(curve)]


def _thinned(curve: Floats) -> Floats:
    steps = np.diff(curve, axis=0)
    # A point on the straight line between its neighbours says nothing.
    turns = steps[:-1, 0] * steps[1:, 1] != steps[:-1, 1] * steps[1:, 0]
    curve = curve[np.concatenate([[True], turns, [True]])]
    if len(curve) <= _MOST_POINTS:
        return curve
    along = np.append(0, np.abs(np.diff(curve, axis=0)).sum(axis=1).cumsum())
    chosen = np.searchsorted(along, np.linspace(0, along[-1] - 1e-9, _MOST_POINTS))
    return curve[np.unique(chosen)]


def risk_curve(
    truth: NDArray[Any], chances: NDArray[Any], groups: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the share of wrong answers among those given, at coverages from 100 % down to 10 %.

    The images count alike here, as in a clinic that sees this very mix; the table that chose the
    threshold (:func:`mlcore.calibrate.risk_coverage`) lets labels count alike. El-Yaniv and
    Wiener, Journal of Machine Learning Research 11, 2010.

    Args:
        truth: (n,) indices.
        chances: (n, labels) calibrated probabilities.
        groups: one group an image.

    Returns:
        Rows of coverage, the threshold that gives it, the risk and its 95 % interval.
    """
    confidence = chances.max(axis=1)
    wrong = chances.argmax(axis=1) != truth
    falling = np.sort(confidence)[::-1]
    rows: list[tuple[float, float]] = []
    for percent in range(100, 5, -5):
        last = max(0, int(np.ceil(percent / 100 * len(falling) - 1e-9)) - 1)
        rows.append((percent / 100, float(falling[last])))
    given = np.stack([confidence >= threshold for _, threshold in rows], axis=1).astype(float)

    def risks(weights: Floats) -> Floats:
        return ratio(weights @ (given * wrong[:, None]), weights @ given)

    found = estimate([Statistic(tuple(str(c) for c, _ in rows), risks)], groups)
    return [
        {
            "coverage": coverage,
            # Rounded down, so that the last image that is to be covered stays covered.
            "threshold": float(np.floor(threshold * 1e4) / 1e4),
            "risk": found[str(coverage)]["value"],
            "interval": found[str(coverage)]["interval"],
        }
        for coverage, threshold in rows
    ]
