"""A day of uploads, and how long they wait: a queue with arrivals by chance, simulated."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Shares of a day's uploads by hour, from eight to eighteen o'clock: most come late in the morning
# and after lunch. An assumption.
_HOURS = {
    8: 0.07,
    9: 0.12,
    10: 0.16,
    11: 0.15,
    12: 0.07,
    13: 0.09,
    14: 0.13,
    15: 0.11,
    16: 0.07,
    17: 0.03,
}


@dataclass(frozen=True)
class Day:
    """Uploads of one day.

    Attributes:
        seconds: float64 (n,), since midnight, in order.
    """

    seconds: NDArray[np.float64]

    @property
    def busiest_hour(self) -> int:
        """The number of uploads in the hour that has most."""
        return int(np.bincount((self.seconds // 3600).astype(np.int64)).max(initial=0))


def uploads_of_a_day(expected: int, *, seed: int) -> Day:
    """Draw a day: within each hour uploads come independently of each other (a Poisson process).

    Args:
        expected: uploads on an average day.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    parts = [
        3600.0 * (hour + rng.random(rng.poisson(expected * share)))
        for hour, share in _HOURS.items()
    ]
    return Day(np.sort(np.concatenate(parts)))


def waits(
    day: Day,
    *,
    servers: int,
    seconds_each: float,
    closed: tuple[float, float] | None = None,
) -> tuple[float, float, float]:
    """Return the mean, the 95th percentile and the longest of the times until an answer.

    First come, first served; an answer takes the same time always.

    Args:
        day: when uploads come.
        servers: how many are answered beside each other.
        seconds_each: an answer takes.
        closed: from when until when nobody answers, in seconds since midnight.
    """
    if not len(day.seconds):
        return 0.0, 0.0, 0.0
    free = [0.0] * servers
    taken = np.empty(len(day.seconds))
    for n, came in enumerate(day.seconds):
        start = max(float(came), free[0])
        if closed and closed[0] <= start < closed[1]:
            start = closed[1]
        heapq.heapreplace(free, start + seconds_each)
        taken[n] = start + seconds_each - came
    return float(taken.mean()), float(np.percentile(taken, 95)), float(taken.max())
