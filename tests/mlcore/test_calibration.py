"""Temperature and thresholds, chosen on predictions whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from mlcore.calibrate import (
    MELANOMA_TOLERANCE,
    MIN_COVERAGE,
    TARGET_RISK,
    Calibration,
    calibration_of,
    choose_threshold,
    choose_triage_threshold,
    fit_offsets,
    fit_temperature,
    label_weights,
    raise_label,
    risk_coverage,
)
from mlcore.evaluate import softmax


@pytest.mark.parametrize("planted", [0.5, 1.0, 1.7, 3.0])
def test_a_planted_temperature_is_found_again(planted: float) -> None:
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(6000, 5)) * 2
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    assert fit_temperature(logits * planted, truth) == pytest.approx(planted, rel=0.08)


def test_labels_count_alike_but_a_handful_does_not_decide() -> None:
    truth = np.array([0] * 900 + [1] * 90 + [2] * 5)
    weights = label_weights(truth)
    assert weights.sum() == pytest.approx(1)
    common, rare, handful = (weights[truth == k].sum() for k in range(3))
    assert common == pytest.approx(rare)
    assert handful == pytest.approx(common * 5 / 20)


def _planted(confidences: list[float], wrong: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and probabilities of two labels, both labels as frequent."""
    chances = np.empty((len(confidences), 2))
    truth = np.arange(len(confidences)) % 2
    guess = truth.copy()
    guess[wrong] = 1 - guess[wrong]
    rows = np.arange(len(confidences))
    chances[rows, guess] = confidences
    chances[rows, 1 - guess] = 1 - np.array(confidences)
    return truth, chances


def test_risk_falls_with_coverage_where_the_unsure_are_wrong() -> None:
    confidences = np.linspace(0.99, 0.6, 40).tolist()
    table = risk_coverage(*_planted(confidences, wrong=[36, 37, 38, 39]))
    assert [row["coverage"] for row in table][:3] == [1.0, 0.95, 0.9]
    assert [row["risk"] for row in table[:4]] == pytest.approx([4 / 40, 2 / 38, 0, 0], abs=1e-4)
    assert table[0]["threshold"] == pytest.approx(0.6, abs=1e-4)
    assert table[-1]["coverage"] == 0.5


def test_the_threshold_covers_as_much_as_the_target_allows() -> None:
    confidences = np.linspace(0.99, 0.6, 100).tolist()
    few_wrong = _planted(confidences, wrong=list(range(90, 100)))
    assert choose_threshold(*few_wrong)["coverage"] == 1.0
    more_wrong = _planted(confidences, wrong=list(range(82, 100)))
    chosen = choose_threshold(*more_wrong)
    # 18 of 100 are wrong; without the last five, 13 of 95 are: below the target.
    assert chosen["coverage"] == 0.95
    assert chosen["risk"] == pytest.approx(13 / 95, abs=1e-4)
    assert chosen["risk"] <= TARGET_RISK
    kept = (more_wrong[1].max(axis=1) >= chosen["threshold"]).mean()
    assert kept == pytest.approx(0.95, abs=0.011)


def test_the_threshold_never_silences_more_than_agreed() -> None:
    truth, chances = _planted(np.linspace(0.99, 0.6, 100).tolist(), wrong=list(range(0, 100, 2)))
    assert choose_threshold(truth, chances)["coverage"] == MIN_COVERAGE


def test_what_a_gate_holds_back_is_not_covered() -> None:
    truth, chances = _planted(np.linspace(0.99, 0.6, 100).tolist(), wrong=[])
    held = np.arange(100) % 10 == 0
    rows = risk_coverage(truth, chances, held=held)
    assert max(row["coverage"] for row in rows) == 0.9
    chosen = choose_threshold(truth, chances, held=held)
    answered = (chances.max(axis=1) >= chosen["threshold"]) & ~held
    assert (chosen["coverage"], answered.mean()) == (0.9, 0.9)
    # More than agreed is held back already: then nothing else is.
    assert choose_threshold(truth, chances, held=np.arange(100) % 4 == 0)["threshold"] == 0


def test_the_picture_that_decides_a_threshold_is_on_the_right_side_of_it() -> None:
    rng = np.random.default_rng(8)
    chances = softmax(rng.normal(size=(500, 4)) * 3)
    truth = rng.integers(0, 4, 500)
    weights = label_weights(truth)
    for row in risk_coverage(truth, chances):
        kept = weights[chances.max(axis=1) >= row["threshold"]].sum()
        assert kept >= row["coverage"] - 1e-9


def test_triage_catches_the_agreed_share_of_the_bad() -> None:
    rng = np.random.default_rng(2)
    bad = rng.random(1000) < 0.3
    danger = np.clip(rng.normal(0.2 + 0.4 * bad, 0.2), 0, 1)
    chosen = choose_triage_threshold(bad, danger)
    assert 0.95 <= (danger[bad] >= chosen).mean() <= 0.96
    assert choose_triage_threshold(bad, danger, sensitivity=1.0) <= danger[bad].min()


def test_collections_of_a_label_count_alike_too() -> None:
    truth = np.array([0] * 100 + [1] * 100)
    places = ["a"] * 80 + ["b"] * 20 + ["a"] * 95 + ["c"] * 5
    weights = label_weights(truth, places)
    assert weights.sum() == pytest.approx(1)
    shares = {
        (label, place): weights[(truth == label) & (np.array(places) == place)].sum()
        for label, place in ((0, "a"), (0, "b"), (1, "a"), (1, "c"))
    }
    assert shares[0, "a"] == pytest.approx(shares[0, "b"]) == pytest.approx(0.25)
    # Five pictures do not stand for a whole collection.
    assert shares[1, "c"] == pytest.approx(shares[1, "a"] / 4)
    np.testing.assert_allclose(label_weights(truth, ["a"] * 200), label_weights(truth))


def test_planted_offsets_are_found_again() -> None:
    rng = np.random.default_rng(5)
    planted = np.array([1.0, -0.5, 0.0, -0.5])
    logits = rng.normal(size=(8000, 4)) * 2
    truth = (logits + planted + rng.gumbel(size=logits.shape)).argmax(axis=1)
    even = np.full(8000, 1 / 8000)
    np.testing.assert_allclose(fit_offsets(logits, truth, even, strength=0.0), planted, atol=0.1)
    # In logits that are three times too sure, the offsets are three times as large.
    tripled = fit_offsets(3 * logits, truth, even, strength=0.0)
    np.testing.assert_allclose(tripled, 3 * planted, atol=0.3)
    held_back = fit_offsets(logits, truth, even, strength=1.0)
    assert np.abs(held_back).max() < np.abs(planted).max() / 2


def test_offsets_name_labels_as_often_as_they_occur() -> None:
    rng = np.random.default_rng(6)
    truth = rng.integers(0, 3, 3000)
    # The network leans towards label 0.
    logits = np.eye(3)[truth] * 2 + rng.normal(size=(3000, 3)) * 1.5 + np.array([2.0, 0.0, 0.0])
    weights = label_weights(truth)
    moved = logits + fit_offsets(logits, truth, weights)
    assert (logits.argmax(axis=1) == 0).mean() > 0.5
    assert (moved.argmax(axis=1) == 0).mean() == pytest.approx(1 / 3, abs=0.03)
    assert (moved.argmax(axis=1) == truth).mean() > (logits.argmax(axis=1) == truth).mean()


@pytest.mark.parametrize("separable", [True, False])
def test_offsets_stay_finite_on_a_handful(separable: bool) -> None:
    truth = np.array([0, 1, 2])
    logits = np.eye(3) * (9.0 if separable else 0.0)
    offsets = fit_offsets(logits, truth, label_weights(truth))
    assert np.isfinite(offsets).all()
    assert np.abs(offsets).max() < 0.1


def test_labels_may_stay_as_frequent_as_they_are() -> None:
    rng = np.random.default_rng(7)
    truth = (rng.random(4000) < 0.2).astype(int)
    # Evidence of one and the same strength for either label.
    logits = np.zeros((4000, 2))
    logits[:, 1] = (2 * truth - 1) + rng.normal(size=4000) * 1.4
    even = calibration_of(logits, truth).chances(logits)[:, 1].mean()
    as_found = calibration_of(logits, truth, even=False).chances(logits)[:, 1].mean()
    assert as_found == pytest.approx(0.2, abs=0.02)
    assert even > as_found + 0.1


def test_a_label_is_raised_as_far_as_that_costs_next_to_nothing() -> None:
    rng = np.random.default_rng(5)
    truth = np.repeat([0, 1, 2], [60, 60, 200])
    logits = np.eye(3)[truth] * 2.0 + rng.normal(0, 1.0, (320, 3))
    # The first label is called the second more often than it should be.
    logits[truth == 0, 1] += 1.5
    fitted = calibration_of(logits, truth)
    raised, by = raise_label(fitted, logits, truth, 0)
    weights = label_weights(truth)

    def right(one: Calibration) -> float:
        return float(weights @ (one.chances(logits).argmax(axis=1) == truth))

    def found(one: Calibration) -> float:
        return float((one.chances(logits)[truth == 0].argmax(axis=1) == 0).mean())

    assert 0 < by <= 2
    assert found(raised) > found(fitted)
    assert right(raised) >= right(fitted) - MELANOMA_TOLERANCE - 1e-9
    # A step further would cost more than is allowed of the best.
    further, _by = raise_label(fitted, logits, truth, 0, tolerance=0.05)
    assert found(further) >= found(raised)
    assert right(further) >= right(fitted) - 0.05 - 1e-9
    # Only that label's offset moves, and by as much as is said.
    moved = (raised.offsets - fitted.offsets) / fitted.temperature
    np.testing.assert_allclose(moved, [by, 0, 0], atol=1e-9)


def test_a_label_that_nothing_is_gained_by_raising_stays() -> None:
    truth = np.repeat([0, 1], 50)
    logits = np.eye(2)[truth] * 0.2
    logits[truth == 1, 0] = 0.19
    fitted = Calibration(np.zeros(2), 1.0)
    assert raise_label(fitted, logits, truth, 0)[1] == 0
