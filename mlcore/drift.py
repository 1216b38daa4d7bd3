"""Whether what a network is shown, and what it says of it, still is what it was released on.

A release keeps how its measures were distributed over its calibration pictures; a clinic's recent
pictures are compared with that, one measure at a time, by the two-sample Kolmogorov-Smirnov test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# What the picture is like (see mlcore.quality) ...
INPUTS = ("spread", "high_luma", "low_luma", "sharpness", "detail", "contrast")
# ... and what the network says of it: the highest probability, the summed probability of everything
# malignant or pre-malignant, and how far beyond each threshold of the gate it lies.
CONFIDENCE, SUSPICION = "confidence", "suspicion"
GATE_PREFIX = "gate_"
_LEVELS = 201
# One false alarm in a thousand comparisons of all measures together ...
FALSE_ALARMS = 0.001
# ... and none for a difference that would not matter, however many pictures show it.
LEAST_DISTANCE = 0.1
# Fewer pictures say nothing.
LEAST_PICTURES = 30


@dataclass(frozen=True)
class Shift:
    """How one measure of recent pictures compares with the release's reference.

    Attributes:
        measure: its name.
        pictures: how many recent pictures it was measured on.
        reference_median: of the release.
        median: of the recent pictures; NaN where there are none.
        distance: greatest difference of the two cumulative distributions, 0 to 1.
        chance: probability of such a distance or a greater one if nothing has changed, 0 to 1.
        shifted: whether it is an alarm.
    """

    measure: str
    pictures: int
    reference_median: float
    median: float
    distance: float
    chance: float
    shifted: bool

    @property
    def enough(self) -> bool:
        """Whether there are pictures enough to say anything."""
        return self.pictures >= LEAST_PICTURES


def reference_of(measures: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Return what a release keeps of its measures, ready for JSON.

    Args:
        measures: (n,) values by the measure's name, n the same for all.

    Raises:
        ValueError: there is no picture, or a value is not finite.
    """
    counts = {len(values) for values in measures.values()}
    if len(counts) != 1 or counts == {0}:
        msg = "A reference needs every measure of the same pictures, of one at least."
        raise ValueError(msg)
    if not all(np.isfinite(values).all() for values in measures.values()):
        msg = "A reference needs finite values."
        raise ValueError(msg)
    levels = np.linspace(0, 1, _LEVELS)
    return {
        "pictures": counts.pop(),
        "quantiles": {
            name: [round(float(value), 5) for value in np.quantile(values, levels)]
            for name, values in measures.items()
        },
    }


def shifts(reference: Mapping[str, Any], recent: Mapping[str, NDArray[np.float64]]) -> list[Shift]:
    """Compare recent pictures with a release's reference.

    A measure is an alarm when its distance is too great for chance, all measures counted together
    (Bonferroni), and great enough to matter.

    Args:
        reference: from :func:`reference_of`.
        recent: (n,) values by the measure's name; n may differ. What the reference does not know is
            left out.

    Returns:
        One row a measure of the reference, in its order.
    """
    names = list(reference["quantiles"])
    bound = FALSE_ALARMS / max(len(names), 1)
    return [
        _shift(
            name,
            np.asarray(reference["quantiles"][name], dtype=np.float64),
            int(reference["pictures"]),
            np.sort(np.asarray(recent.get(name, ()), dtype=np.float64)),
            bound,
        )
        for name in names
    ]


def _shift(
    name: str,
    quantiles: NDArray[np.float64],
    known: int,
    values: NDArray[np.float64],
    bound: float,
) -> Shift:
    middle = float(quantiles[len(quantiles) // 2])
    if not len(values):
        return Shift(name, 0, middle, math.nan, 0.0, 1.0, shifted=False)
    distance = _distance(quantiles, values)
    chance = _chance(distance, known * len(values) / (known + len(values)))
    return Shift(
        measure=name,
        pictures=len(values),
        reference_median=middle,
        median=float(np.median(values)),
        distance=distance,
        chance=chance,
        shifted=len(values) >= LEAST_PICTURES and distance >= LEAST_DISTANCE and chance < bound,
    )


def _distance(quantiles: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Return the greatest difference of the distributions at the reference's quantiles.

    Equal quantiles are one step of the reference: below it the lowest of their levels counts, from
    it on the highest.
    """
    levels = np.linspace(0, 1, len(quantiles))
    steps, first = np.unique(quantiles, return_index=True)
    last = np.append(first[1:], len(quantiles)) - 1
    below = np.searchsorted(values, steps, side="left") / len(values)
    upto = np.searchsorted(values, steps, side="right") / len(values)
    return float(max(np.abs(below - levels[first]).max(), np.abs(upto - levels[last]).max()))


def _chance(distance: float, effective: float) -> float:
    """Return the Kolmogorov-Smirnov test's p-value for a distance.

    Stephens' approximation (Journal of the Royal Statistical Society B 32, 1970) of Kolmogorov's
    limit, good from about four effective pictures on.

    Args:
        distance: 0 to 1.
        effective: n m / (n + m) of the two numbers of pictures.
    """
    root = math.sqrt(effective)
    scaled = (root + 0.12 + 0.11 / root) * distance
    # Below this the series needs ever more terms, and its sum is 1 to five digits.
    if scaled < 0.2:  # noqa: PLR2004 - told in the line above
        return 1.0
    terms = [math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101)]
    return min(1.0, max(0.0, 2 * (sum(terms[::2]) - sum(terms[1::2]))))
