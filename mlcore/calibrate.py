"""Temperature and abstention, chosen on the calibration split."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.evaluate import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

# "Cannot say" is chosen so that at most this share of the given answers is wrong ...
TARGET_RISK = 0.15
# ... but never so strict that fewer than this share of usable pictures gets an answer.
MIN_COVERAGE = 0.85
# Below this many pictures a label counts by number, not in full: a handful must not decide.
FULL_WEIGHT_FROM = 20


def label_weights(truth: NDArray[Any]) -> NDArray[np.float64]:
    """Return a weight for every picture, summing to 1, under which labels count alike.

    The public sets mix labels as no clinic does (two thirds of HAM10000 are nevi), so temperature
    and threshold are chosen as if every label were equally frequent.

    Args:
        truth: (n,) indices.
    """
    counts = np.bincount(truth)
    weights = 1.0 / np.maximum(counts, FULL_WEIGHT_FROM)[truth]
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def fit_temperature(logits: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return the temperature that minimises the negative log-likelihood, labels counting alike.

    Guo et al., ICML 2017, arXiv:1706.04599. A grid in the logarithm is enough for one number.

    Args:
        logits: (n, labels).
        truth: (n,) indices.
    """
    grid = np.exp(np.linspace(np.log(0.25), np.log(4.0), 241))
    rows, weights = np.arange(len(truth)), label_weights(truth)
    losses = [-(np.log(softmax(logits, t)[rows, truth] + 1e-12) @ weights) for t in grid]
    return float(grid[int(np.argmin(losses))])


def risk_coverage(
    truth: NDArray[Any], chances: NDArray[Any], *, held: NDArray[np.bool_] | None = None
) -> list[dict[str, float]]:
    """Return risk and threshold at coverages from 100 % down to 50 %, labels counting alike.

    Args:
        truth: (n,) indices.
        chances: (n, labels) calibrated probabilities.
        held: (n,) pictures that a gate holds back, which no threshold covers. Coverages that the
            others cannot reach are left out.
    """
    confidence = chances.max(axis=1)
    if held is not None:
        confidence = np.where(held, -1.0, confidence)
    order = np.argsort(-confidence, kind="stable")
    weights = label_weights(truth)[order]
    wrong = (chances.argmax(axis=1) != truth)[order] * weights
    covered, risked = np.cumsum(weights), np.cumsum(wrong)
    table = []
    for percent in range(100, 45, -5):
        last = min(int(np.searchsorted(covered, percent / 100 - 1e-9)), len(order) - 1)
        if confidence[order[last]] < 0:
            continue
        table.append(
            {
                "coverage": percent / 100,
                "risk": round(float(risked[last] / covered[last]), 4),
                # Rounded down, so that the last picture that is to be covered stays covered.
                "threshold": math.floor(float(confidence[order[last]]) * 1e4) / 1e4,
            }
        )
    return table


def choose_threshold(
    truth: NDArray[Any], chances: NDArray[Any], *, held: NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """Return the row of the risk-coverage table that the abstention rule picks.

    It is the one with the greatest coverage whose risk is at most :data:`TARGET_RISK`; where none
    down to :data:`MIN_COVERAGE` is, the one at :data:`MIN_COVERAGE`. Where a gate alone holds back
    more than that, everything that it lets through is answered.

    Args:
        truth: (n,) indices.
        chances: (n, labels) calibrated probabilities.
        held: see :func:`risk_coverage`.
    """
    rows = risk_coverage(truth, chances, held=held)
    table = [row for row in rows if row["coverage"] >= MIN_COVERAGE]
    if not table:
        return {**rows[0], "threshold": 0.0}
    for row in table:
        if row["risk"] <= TARGET_RISK:
            return row
    return table[-1]


def choose_triage_threshold(
    truth_is_bad: NDArray[np.bool_], danger: NDArray[Any], *, sensitivity: float = 0.95
) -> float:
    """Return the probability of malignancy from which a picture counts as suspicious.

    Args:
        truth_is_bad: (n,) whether the label is malignant or pre-malignant.
        danger: (n,) summed probability of those labels.
        sensitivity: share of the bad pictures that must be caught on the calibration split.
    """
    chosen = float(np.quantile(danger[truth_is_bad], 1 - sensitivity, method="lower"))
    # Rounded down, so that the picture that decided it stays caught.
    return math.floor(chosen * 1e6) / 1e6
