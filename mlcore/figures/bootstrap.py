"""Bootstrap intervals over groups, all figures of the same resamples.

A lesion's photographs are drawn together, because they are not independent: the cluster bootstrap
(Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8), with the
percentiles 2.5 and 97.5 of the resamples as bounds. A share of which every resample says 0 or 1
gets the Wilson interval over its groups instead: none of 16 does not mean none ever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlcore.figures.measures import wilson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Floats = NDArray[np.float64]

REPLICATES = 2000
# Resamples measured at once: their weights, and what is made of them, stay in the cache.
_CHUNK_WEIGHTS = 500_000


@dataclass(frozen=True)
class Statistic:
    """Figures that are measured together.

    Attributes:
        names: of the figures.
        measure: takes weights (b, n), returns the figures (b, names); NaN where one is not defined.
        of_resamples: the same for resamples, where chance must be allowed for twice.
        among: for figures that are shares, by name, the images (n,) they are shares of.
    """

    names: tuple[str, ...]
    measure: Callable[[Floats], Floats]
    of_resamples: Callable[[Floats], Floats] | None = None
    among: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


def resamples(groups: Sequence[str], *, seed: int = 0) -> Iterator[Floats]:
    """Yield how often each image is in each of :data:`REPLICATES` resamples, (b, n) at a time.

    Args:
        groups: one group an image; a group is drawn whole.
        seed: of the resampling.
    """
    _names, member = np.unique(np.asarray(groups), return_inverse=True)
    count = int(member.max()) + 1
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_WEIGHTS // len(member))
    for start in range(0, REPLICATES, chunk):
        rows = min(chunk, REPLICATES - start)
        drawn = rng.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        yield times[:, member].astype(np.float64)


def estimate(
    statistics: Sequence[Statistic], groups: Sequence[str], *, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Return value and 95 % interval of every figure, ready for JSON.

    A resample in which a figure is not defined does not count for it. What is not defined at all
    is None, value and interval.

    Args:
        statistics: what to measure.
        groups: one group an image.
        seed: of the resampling.
    """
    names = [name for statistic in statistics for name in statistic.names]
    if not len(groups):
        return {name: {"value": None, "interval": None} for name in names}
    everything = np.ones((1, len(groups)))
    values = np.concatenate([s.measure(everything) for s in statistics], axis=1)[0]
    replicates = np.concatenate(
        [
            np.concatenate([(s.of_resamples or s.measure)(weights) for s in statistics], axis=1)
            for weights in resamples(groups, seed=seed)
        ]
    )
    among = {name: mask for s in statistics for name, mask in s.among.items()}
    named = np.asarray(groups)
    table = {}
    for name, value, found in zip(names, values, replicates.T, strict=True):
        interval = _middle(found)
        count = len(np.unique(named[among[name]])) if name in among else 0
        if count and interval in ([0.0, 0.0], [1.0, 1.0]):
            low, high = wilson(value * count, count)
            interval = [round(low, 4), round(high, 4)]
        table[name] = {"value": rounded(value), "interval": interval}
    return table


def intervals(
    measures: Mapping[str, Callable[[NDArray[np.int64]], float]],
    groups: Sequence[str],
    *,
    seed: int = 0,
) -> dict[str, tuple[float, float] | None]:
    """Return a 95 % interval of measures that take the images of a resample one by one.

    For measures that no formula over weights is written for; slow beside :func:`estimate`. A
    resample in which a measure is NaN does not count for it; where that is every one, the interval
    is None.

    Args:
        measures: each takes indices of the chosen images.
        groups: one group an image.
        seed: of the resampling.
    """
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    pools = [np.array(pool) for pool in members.values()]
    rng = np.random.default_rng(seed)
    values: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(REPLICATES):
        chosen = np.concatenate([pools[i] for i in rng.integers(0, len(pools), len(pools))])
        for name, measure in measures.items():
            values[name].append(measure(chosen))
    found = {name: _middle(np.array(value)) for name, value in values.items()}
    return {name: None if pair is None else (pair[0], pair[1]) for name, pair in found.items()}


def rounded(value: float) -> float | None:
    """Return a figure to four places, None for what is not defined."""
    return None if math.isnan(value) else round(float(value), 4)


def _middle(found: Floats) -> list[float] | None:
    defined = found[~np.isnan(found)]
    if not defined.size:
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return [round(float(low), 4), round(float(high), 4)]
