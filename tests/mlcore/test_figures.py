"""Figures of merit against numbers worked out by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlcore.evaluate import (
    area_under_curve,
    balanced_accuracy,
    brier_score,
    calibration_error,
    evaluate,
    intervals,
    macro_precision,
    operating_point,
    softmax,
)
from mlcore.labels import label_set

TRUTH = np.array([0, 0, 0, 0, 1, 1, 2, 2])
GUESS = np.array([0, 0, 0, 1, 1, 2, 2, 2])


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_occur() -> None:
    # 3 of 4, 1 of 2, 2 of 2.
    assert balanced_accuracy(TRUTH, GUESS) == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert balanced_accuracy(TRUTH[:4], GUESS[:4]) == pytest.approx(3 / 4)


def test_macro_precision_counts_a_class_that_is_never_guessed_as_nothing() -> None:
    # 3 of 3, 1 of 2, 2 of 3.
    assert macro_precision(TRUTH, GUESS) == pytest.approx((1 + 1 / 2 + 2 / 3) / 3)
    assert macro_precision(TRUTH, np.zeros(8, int)) == pytest.approx((4 / 8) / 3)


def test_auc_is_the_share_of_pairs_in_order_and_ties_count_half() -> None:
    positive = np.array([True, True, False, False, False])
    score = np.array([0.9, 0.4, 0.4, 0.3, 0.6])
    # 0.9 beats three; 0.4 beats one, ties with one: 4.5 of 6 pairs.
    assert area_under_curve(positive, score) == pytest.approx(4.5 / 6)
    assert math.isnan(area_under_curve(positive[:2], score[:2]))


@settings(deadline=None)  # a loaded machine is no fault of the formula
@given(
    hnp.arrays(bool, st.integers(2, 30)).filter(lambda a: bool(0 < a.sum() < a.size)),
    st.randoms(use_true_random=False),
)
def test_auc_agrees_with_counting_pairs(positive: Any, random: Any) -> None:
    score = np.array([random.randrange(6) / 5 for _ in positive])
    pairs = [(a > b) + (a == b) / 2 for a in score[positive] for b in score[~positive]]
    assert area_under_curve(positive, score) == pytest.approx(np.mean(pairs))


def test_calibration_error_is_the_gap_between_saying_and_being_right() -> None:
    chances = np.array([[0.95, 0.05]] * 4 + [[0.35, 0.65]] * 4)
    truth = np.array([0, 0, 0, 1, 1, 1, 0, 0])
    # Half say 0.95 and are right in 0.75; half say 0.65 and are right in 0.5.
    assert calibration_error(truth, chances) == pytest.approx(0.5 * 0.20 + 0.5 * 0.15)
    assert calibration_error(np.zeros(3, int), np.array([[1.0, 0.0]] * 3)) == 0


def test_brier_score_is_the_squared_distance() -> None:
    chances = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    assert brier_score(np.array([0, 2]), chances) == pytest.approx((0 + 1.5) / 2)


def test_softmax_survives_large_logits_and_cools() -> None:
    assert softmax(np.array([[1000.0, 0.0]])).tolist() == [[1.0, 0.0]]
    warm, cold = (softmax(np.array([[2.0, 0.0]]), t)[0, 0] for t in (4.0, 0.5))
    assert warm == pytest.approx(1 / (1 + math.exp(-0.5)))
    assert cold == pytest.approx(1 / (1 + math.exp(-4)))


def test_intervals_resample_groups_not_pictures() -> None:
    value = np.array([1.0] * 50 + [0.0] * 50)
    measures = {"mean": lambda i: float(value[i].mean())}
    by_picture = intervals(measures, [str(n) for n in range(100)])["mean"]
    by_group = intervals(measures, ["a"] * 50 + ["b"] * 50)["mean"]
    assert by_picture is not None
    # The binomial's own interval: 0.5 ± 1.96 · 0.05.
    assert by_picture == pytest.approx((0.402, 0.598), abs=0.02)
    # Two groups are drawn both ones, both zeros or mixed: nothing is known.
    assert by_group == (0.0, 1.0)


def test_intervals_are_the_same_every_time_and_another_with_another_seed() -> None:
    value = np.random.default_rng(0).random(40)
    measures = {"mean": lambda i: float(value[i].mean())}
    groups = [str(n) for n in range(40)]
    assert intervals(measures, groups) == intervals(measures, groups)
    assert intervals(measures, groups) != intervals(measures, groups, seed=1)


def test_what_is_not_defined_has_no_interval() -> None:
    found = intervals({"never": lambda _i: float("nan")}, ["a", "b"])
    assert found == {"never": None}


def _predictions() -> tuple[Any, Any, list[str]]:
    """Return 20 predictions of clinical5: melanoma half found, the rest right, no vitiligo."""
    keys = label_set("clinical5").keys
    truth = np.array([keys.index(k) for k in ["acne"] * 6 + ["melanoma"] * 8 + ["ring_worm"] * 6])
    guess = truth.copy()
    guess[6:10] = keys.index("ring_worm")
    chances = np.full((20, 5), 0.05)
    chances[np.arange(20), guess] = 0.8
    return truth, chances, [str(n // 2) for n in range(20)]


def test_every_figure_of_a_set_of_predictions() -> None:
    truth, chances, groups = _predictions()
    table = evaluate("clinical5", truth, chances, groups)
    assert (table["images"], table["groups"]) == (20, 10)
    figures = table["figures"]
    assert figures["accuracy"]["value"] == 0.8
    assert figures["balanced_accuracy"]["value"] == pytest.approx((1 + 0.5 + 1) / 3, abs=1e-4)
    assert figures["melanoma_recall"]["value"] == 0.5
    assert figures["same_icd_group_accuracy"]["value"] == 0.8
    assert figures["log_loss"]["value"] == pytest.approx(
        -(16 * math.log(0.8) + 4 * math.log(0.05)) / 20, abs=1e-4
    )
    # F1: acne 1, melanoma 8 / (2 * 4 + 4), ring worm 12 / (2 * 6 + 4).
    assert figures["macro_f1"]["value"] == pytest.approx((1 + 8 / 12 + 12 / 16) / 3, abs=1e-4)
    assert "melanoma_nevus_auc" not in figures
    for figure in figures.values():
        low, high = figure["interval"]
        assert low <= figure["value"] <= high
    melanoma = table["labels"]["melanoma"]
    for name in ("precision", "recall", "f1", "auc"):
        low, high = melanoma[f"{name}_interval"]
        assert low <= melanoma[name] <= high
    assert (melanoma["precision"], melanoma["recall"]) == (1.0, 0.5)
    assert melanoma["f1"] == pytest.approx(2 / 3, abs=1e-4)
    assert melanoma["recall_interval"][0] < 0.5 < melanoma["recall_interval"][1]
    assert melanoma["too_few_to_say"]
    assert table["labels"]["ring_worm"]["precision"] == 0.6
    assert table["confusion"][1] == [0, 4, 0, 4, 0]
    assert sum(map(sum, table["confusion"])) == 20


def test_a_label_that_does_not_occur_is_not_measured_and_the_figures_stay_json() -> None:
    table = evaluate("clinical5", *_predictions())
    vitiligo = table["labels"]["vitiligo"]
    assert (vitiligo["images"], vitiligo["auc"], vitiligo["recall_interval"]) == (0, None, None)
    json.dumps(table, allow_nan=False)


def test_labels_that_share_an_icd_code_count_as_the_same_group() -> None:
    keys = label_set("isic9").keys
    truth = np.array([keys.index("seborrheic_keratosis"), keys.index("squamous_cell_carcinoma")])
    guess = [keys.index("pigmented_benign_keratosis"), keys.index("basal_cell_carcinoma")]
    figures = evaluate("isic9", truth, np.eye(9)[guess], ["a", "b"])["figures"]
    assert figures["accuracy"]["value"] == 0
    assert figures["same_icd_group_accuracy"]["value"] == 1
    assert figures["melanoma_recall"] == {"value": None, "interval": None}


def test_the_operating_point_says_what_the_two_thresholds_do() -> None:
    truth, chances, groups = _predictions()
    # Two acne pictures are unsure and look a little like melanoma.
    chances[:2] = [0.45, 0.40, 0.05, 0.05, 0.05]
    point = operating_point("clinical5", truth, chances, groups, answer=0.5, triage=0.3)
    values = {name: figure["value"] for name, figure in point.items()}
    assert values == {
        "coverage": 0.9,
        "accuracy_of_answers": round(14 / 18, 4),
        "malignant_sensitivity": 0.5,
        "malignant_specificity": round(10 / 12, 4),
        "melanoma_sensitivity": 0.5,
    }
    assert all(f["interval"][0] <= f["value"] <= f["interval"][1] for f in point.values())
    silent = operating_point("clinical5", truth, chances, groups, answer=0.99, triage=0.3)
    assert silent["accuracy_of_answers"] == {"value": None, "interval": None}
