"""Temperature and abstention, chosen on the calibration split."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.evaluate import softmax

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# "Cannot say" is chosen so that at most this share of the given answers is wrong ...
TARGET_RISK = 0.15
# ... but never so strict that fewer than this share of usable pictures gets an answer.
MIN_COVERAGE = 0.85
# Below this many pictures a label counts by number, not in full: a handful must not decide.
FULL_WEIGHT_FROM = 20
# Of the pull on the offsets of the labels, in units of the mean log-likelihood: a label that a
# hundredth of the weight belongs to is moved about half as far as its pictures ask for.
OFFSET_STRENGTH = 0.01
# A melanoma that is called a nevus costs more than the reverse. So much of the accuracy (labels and
# collections counting alike) may be given up for finding more of them ...
MELANOMA_TOLERANCE = 0.01
# ... by raising its odds, at most to e² = 7 times what they were.
_RAISES = np.linspace(0.0, 2.0, 41)
_NEWTON_STEPS = 50
_LEAST_CURVE = 1e-9
# The grid of temperatures ends at 4.
_LEAST_GAIN = 0.25


def label_weights(
    truth: NDArray[Any], collections: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """Return a weight for every picture, summing to 1, under which labels count alike.

    The public sets mix labels as no clinic does (two thirds of HAM10000 are nevi), so temperature
    and threshold are chosen as if every label were equally frequent. Where collections are given,
    those of a label count alike as well: the next clinic is none of them.

    Args:
        truth: (n,) indices.
        collections: (n,) where each picture comes from.
    """
    counts = np.bincount(truth)
    weights = np.minimum(1.0, counts / FULL_WEIGHT_FROM)[truth] / counts[truth]
    if collections is not None:
        weights = np.zeros(len(truth))
        names = np.asarray(collections)
        for label in np.unique(truth):
            members = truth == label
            found, sizes = np.unique(names[members], return_counts=True)
            shares = dict(zip(found, np.minimum(1.0, sizes / FULL_WEIGHT_FROM), strict=True))
            whole = sum(shares.values())
            for name, size in zip(found, sizes, strict=True):
                full = min(1.0, members.sum() / FULL_WEIGHT_FROM)
                weights[members & (names == name)] = full * shares[name] / whole / size
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def fit_temperature(
    logits: NDArray[Any], truth: NDArray[Any], weights: NDArray[np.float64] | None = None
) -> float:
    """Return the temperature that minimises the negative log-likelihood, labels counting alike.

    Guo et al., ICML 2017, arXiv:1706.04599. A grid in the logarithm is enough for one number.

    Args:
        logits: (n, labels).
        truth: (n,) indices.
        weights: (n,) summing to 1; None takes :func:`label_weights`.
    """
    grid = np.exp(np.linspace(np.log(0.25), np.log(4.0), 241))
    rows = np.arange(len(truth))
    weights = label_weights(truth) if weights is None else weights
    losses = [-(np.log(softmax(logits, t)[rows, truth] + 1e-12) @ weights) for t in grid]
    return float(grid[int(np.argmin(losses))])


def fit_offsets(
    logits: NDArray[Any],
    truth: NDArray[Any],
    weights: NDArray[np.float64],
    *,
    strength: float = OFFSET_STRENGTH,
) -> NDArray[np.float64]:
    """Return what to add to each logit so that no label is named too often or too rarely.

    Bias-corrected temperature scaling (Alexandari et al., ICML 2020, arXiv:1901.06852): one offset
    a label, fitted by weighted maximum likelihood together with a temperature. A network trained on
    draws of its own making has learnt their mix; the offsets put the mix of the weights in its
    place.

    Args:
        logits: (n, labels).
        truth: (n,) indices.
        weights: (n,) summing to 1.
        strength: of the pull towards no offset; it keeps labels of few pictures near it.

    Returns:
        (labels,) offsets in the unit of the logits, their mean 0.
    """
    labels = logits.shape[1]
    target = np.eye(labels)[truth]
    offsets, gain = np.zeros(labels), 1.0
    for _ in range(_NEWTON_STEPS):
        chances = softmax(gain * logits + offsets)
        wrong = (chances - target) * weights[:, None]
        slope = np.append(wrong.sum(axis=0) + strength * offsets, (wrong * logits).sum())
        # Second derivatives of a multinomial logistic regression with one shared slope.
        mean = (chances * logits).sum(axis=1, keepdims=True)
        spread = chances * (logits - mean) * weights[:, None]
        curve = np.empty((labels + 1, labels + 1))
        curve[:labels, :labels] = (
            np.diag(weights @ chances) - (chances * weights[:, None]).T @ chances
        )
        curve[:labels, :labels] += strength * np.eye(labels)
        curve[labels, :labels] = curve[:labels, labels] = spread.sum(axis=0)
        curve[labels, labels] = (spread * logits).sum() + _LEAST_CURVE
        step = np.linalg.solve(curve, slope)
        # A step that goes too far is shortened: the likelihood has one maximum and no cliffs.
        step *= min(1.0, 1.0 / float(np.abs(step).max() + 1e-12))
        offsets, gain = offsets - step[:labels], max(gain - float(step[labels]), _LEAST_GAIN)
    found = offsets / gain
    return np.asarray(found - found.mean(), dtype=np.float64)


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities.

    Attributes:
        offsets: (labels,) added to the logits.
        temperature: that the sums are divided by.
    """

    offsets: NDArray[np.float64]
    temperature: float

    def chances(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """Return probabilities (n, labels) of logits (n, labels)."""
        return softmax(np.asarray(logits, np.float64) + self.offsets, self.temperature)


def calibration_of(
    logits: NDArray[Any],
    truth: NDArray[Any],
    collections: Sequence[str] | None = None,
    *,
    even: bool = True,
) -> Calibration:
    """Return offsets and temperature of a network.

    Args:
        logits: (n, labels) of pictures that it was not trained on.
        truth: (n,) indices.
        collections: see :func:`label_weights`.
        even: labels, and their collections, count alike; otherwise every picture does.
    """
    same = np.full(len(truth), 1 / len(truth))
    weights = label_weights(truth, collections) if even else same
    offsets = fit_offsets(logits, truth, weights)
    return Calibration(offsets, fit_temperature(logits + offsets, truth, weights))


def raise_label(
    fitted: Calibration,
    logits: NDArray[Any],
    truth: NDArray[Any],
    label: int,
    *,
    collections: Sequence[str] | None = None,
    tolerance: float = MELANOMA_TOLERANCE,
) -> tuple[Calibration, float]:
    """Return a calibration that names one label first more often, and by how much.

    The log-odds of the label are raised as far as the accuracy, weighed by :func:`label_weights`,
    stays within a tolerance of the best that any raise gives: where it costs next to nothing,
    errors are shifted to the side on which they harm less (cost-sensitive decision, Elkan,
    IJCAI 2001).

    Args:
        fitted: of the network.
        logits: (n, labels) of pictures that it was not trained on.
        truth: (n,) indices.
        label: index of the label.
        collections: see :func:`label_weights`.
        tolerance: share of the weight that may be answered wrongly instead.

    Returns:
        The calibration, and what was added to the label's log-odds (0 to 2).
    """
    weights = label_weights(truth, collections)
    log_odds = np.log(fitted.chances(logits) + 1e-12)
    right = []
    for step in _RAISES:
        raised = log_odds.copy()
        raised[:, label] += step
        right.append(float(weights @ (raised.argmax(axis=1) == truth)))
    best = max(right) - tolerance
    added = float(_RAISES[max(i for i, share in enumerate(right) if share >= best)])
    offsets = fitted.offsets.copy()
    offsets[label] += added * fitted.temperature
    return Calibration(offsets, fitted.temperature), added


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
