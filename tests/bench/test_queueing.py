"""The simulated day: waits that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.queueing import Day, uploads_of_a_day, waits


def _day(*seconds: float) -> Day:
    return Day(np.array(seconds))


def test_who_comes_alone_waits_for_their_own_answer_only() -> None:
    assert waits(_day(36_000, 36_010), servers=1, seconds_each=2) == (2, 2, 2)


def test_who_comes_together_waits_in_turn_or_beside_each_other() -> None:
    assert waits(_day(0, 0, 0), servers=1, seconds_each=2)[2] == 6
    assert waits(_day(0, 0, 0), servers=3, seconds_each=2)[2] == 2


def test_nobody_is_answered_while_closed() -> None:
    longest = waits(_day(90, 150), servers=1, seconds_each=5, closed=(100, 200))[2]
    assert longest == 200 + 5 - 150
    # What began before is ended.
    assert waits(_day(99), servers=1, seconds_each=5, closed=(100, 200))[2] == 5


def test_no_upload_waits_for_nothing() -> None:
    assert waits(_day(), servers=1, seconds_each=1) == (0, 0, 0)
    assert _day().busiest_hour == 0


def test_the_mean_is_that_of_the_formula() -> None:
    """Pollaczek and Khinchine for a fixed service time s at load r: s + s r / (2 (1 - r))."""
    rng = np.random.default_rng(1)
    arrivals = Day(np.cumsum(rng.exponential(2.0, 200_000)))
    mean, high, longest = waits(arrivals, servers=1, seconds_each=1.0)
    assert mean == pytest.approx(1.5, rel=0.02)
    assert mean < high < longest


def test_a_day_has_its_uploads_and_a_busiest_hour() -> None:
    day = uploads_of_a_day(20_000, seed=3)
    assert len(day.seconds) == pytest.approx(20_000, rel=0.05)
    assert day.busiest_hour == pytest.approx(0.16 * 20_000, rel=0.1)
    assert (np.diff(day.seconds) >= 0).all()
    assert 8 * 3600 <= day.seconds[0] <= day.seconds[-1] < 18 * 3600
