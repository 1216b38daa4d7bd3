"""Temperature and abstention, chosen on the calibration split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.evaluate import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

# "Cannot say" is chosen so that at most this share of the given answers is wrong ...
TARGET_RISK = 0.15
# ... but never so strict that fewer than this share of usable pictures gets an answer.
MIN_COVERAGE = 0.80


def fit_temperature(logits: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return the temperature that minimises the negative log-likelihood.

    Guo et al., ICML 2017, arXiv:1706.04599. A grid in the logarithm is enough for one number.

    Args:
        logits: (n, labels).
        truth: (n,) indices.
    """
    grid = np.exp(np.linspace(np.log(0.25), np.log(4.0), 241))
    rows = np.arange(len(truth))
    losses = [-np.log(softmax(logits, t)[rows, truth] + 1e-12).mean() for t in grid]
    return float(grid[int(np.argmin(losses))])


def risk_coverage(
    truth: NDArray[Any], chances: NDArray[Any]
) -> list[dict[str, float]]:
    """Return risk and threshold at coverages from 100 % down to 50 %.

    Args:
        truth: (n,) indices.
        chances: (n, labels) calibrated probabilities.
    """
    confidence = chances.max(axis=1)
    wrong = chances.argmax(axis=1) != truth
    order = np.argsort(-confidence, kind="stable")
    table = []
    for percent in range(100, 45, -5):
        kept = order[: max(1, round(len(order) * percent / 100))]
        table.append(
            {
                "coverage": percent / 100,
                "risk": round(float(wrong[kept].mean()), 4),
                "threshold": round(float(confidence[kept[-1]]), 4),
            }
        )
    return table


def choose_threshold(truth: NDArray[Any], chances: NDArray[Any]) -> dict[str, float]:
    """Return the row of the risk–coverage table that the abstention rule picks."""
    table = [row for row in risk_coverage(truth, chances) if row["coverage"] >= MIN_COVERAGE]
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
    return float(np.quantile(danger[truth_is_bad], 1 - sensitivity, method="lower"))
