"""A planted shift is an alarm, a resample is none, and the numbers are those of the literature."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlcore.drift import LEAST_DISTANCE, LEAST_PICTURES, reference_of, shifts

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEEDS = 400


def population(seed: int, count: int) -> dict[str, NDArray[np.float64]]:
    """Return measures as pictures have them: a share, a skewed one, one with many equal values."""
    random = np.random.default_rng(seed)
    return {
        "confidence": random.beta(5, 2, count),
        "sharpness": random.lognormal(0, 0.5, count),
        "high_luma": np.minimum(random.normal(230, 30, count), 255).round(),
    }


@pytest.fixture(scope="module")
def reference() -> dict[str, object]:
    # As it is read back from the release's file.
    facts: dict[str, object] = json.loads(json.dumps(reference_of(population(0, 1200))))
    return facts


@pytest.mark.parametrize("count", [30, 100, 1000])
def test_a_resample_is_no_alarm(reference: dict[str, object], count: int) -> None:
    alarms = sum(
        row.shifted
        for seed in range(1, SEEDS + 1)
        for row in shifts(reference, population(seed, count))
    )
    assert alarms <= 2


@pytest.mark.parametrize("measure", ["confidence", "sharpness", "high_luma"])
@pytest.mark.parametrize("count", [200, 2000])
def test_a_planted_shift_is_an_alarm_and_names_the_measure(
    reference: dict[str, object], measure: str, count: int
) -> None:
    for seed in range(1, 21):
        recent = population(seed, count)
        recent[measure] = recent[measure] - 0.8 * recent[measure].std()
        assert [row.measure for row in shifts(reference, recent) if row.shifted] == [measure]


def test_a_wider_spread_about_the_same_middle_is_an_alarm(reference: dict[str, object]) -> None:
    recent = population(1, 500)
    middle = np.median(recent["sharpness"])
    recent["sharpness"] = middle + 3 * (recent["sharpness"] - middle)
    (row,) = (row for row in shifts(reference, recent) if row.shifted)
    assert row.measure == "sharpness"
    assert row.median == pytest.approx(row.reference_median, rel=0.1)


def test_a_difference_that_does_not_matter_is_none_however_many_show_it() -> None:
    known = reference_of({"confidence": np.linspace(0, 1, 5000)})
    (row,) = shifts(known, {"confidence": np.linspace(0, 1, 20_000) ** 1.15})
    assert row.chance < 1e-6
    assert 0 < row.distance < LEAST_DISTANCE
    assert not row.shifted


def test_too_few_pictures_say_nothing(reference: dict[str, object]) -> None:
    few = {name: values * 0 for name, values in population(1, LEAST_PICTURES - 1).items()}
    rows = shifts(reference, few)
    assert all(row.distance > 0.9 for row in rows)
    assert not any(row.enough or row.shifted for row in rows)
    none = shifts(reference, {})
    assert [row.pictures for row in none] == [0, 0, 0]
    assert all(math.isnan(row.median) and not row.shifted for row in none)


def test_the_chance_is_that_of_the_published_table() -> None:
    # Kolmogorov's limit: 1.36 / root(n) is exceeded by chance once in 20, 1.63 once in 100.
    known = reference_of({"x": np.linspace(0, 1, 1_000_000)})
    for scaled, chance in ((1.2239, 0.10), (1.3581, 0.05), (1.6276, 0.01)):
        count = 10_000
        moved = np.linspace(0, 1, count) + scaled / math.sqrt(count * 1e6 / (count + 1e6))
        (row,) = shifts(known, {"x": moved})
        assert row.chance == pytest.approx(chance, rel=0.08)


def test_values_that_lie_on_the_edge_are_one_step() -> None:
    edge = np.repeat([0.0, 255.0], [30, 170])
    known = reference_of({"x": edge})
    assert shifts(known, {"x": edge})[0].distance < 0.01
    assert shifts(known, {"x": np.full(100, 255.0)})[0].distance == pytest.approx(0.15, abs=0.01)


def test_a_reference_needs_pictures_and_numbers() -> None:
    for broken in (
        {},
        {"x": np.zeros(0)},
        {"x": np.zeros(3), "y": np.zeros(4)},
        {"x": np.array([0.0, np.nan])},
    ):
        with pytest.raises(ValueError, match="A reference needs"):
            reference_of(broken)
