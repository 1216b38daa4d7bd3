"""Weighted figures, calibration without bias, curves and slices against numbers by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcore.data.sets import Record
from mlcore.evaluate import (
    area_under_curve,
    calibration_error,
    calibration_error_debiased,
    calibration_error_equal_mass,
    evaluate,
    macro_f1,
    operating_point,
    slice_facts,
    slices,
    wilson,
)
from mlcore.figures import bootstrap
from mlcore.figures.calibration import equal_mass_bins, expected_if_calibrated, reliability
from mlcore.figures.curves import risk_curve, roc_points
from mlcore.figures.measures import (
    mean_of_occurring,
    precisions,
    recalls,
    weighted_auc,
    weighted_confusion,
)
from mlcore.figures.slices import age_band
from mlcore.labels import Label, LabelSet, label_set


@settings(deadline=None)  # a loaded machine is no fault of the formula
@given(st.integers(0, 2**32 - 1))
def test_a_weight_is_how_often_an_image_is_there(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, guess = rng.integers(0, 3, 20), rng.integers(0, 3, 20)
    score = rng.integers(0, 5, 20) / 4
    times = rng.integers(0, 3, 20)
    times[:2] += 1
    drawn = np.repeat(np.arange(20), times)
    weights = np.stack([np.ones(20), times]).astype(float)

    confusion = weighted_confusion(truth, guess, 3, weights)
    whole = weighted_confusion(truth[drawn], guess[drawn], 3, np.ones((1, len(drawn))))
    assert confusion[1].tolist() == whole[0].tolist()
    areas = weighted_auc(truth == 0, score, weights)
    by_hand = [
        area_under_curve(truth == 0, score),
        area_under_curve((truth == 0)[drawn], score[drawn]),
    ]
    assert areas == pytest.approx(by_hand, nan_ok=True)


def test_precision_and_recall_of_a_confusion_matrix() -> None:
    confusion = np.array([[[3.0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 2, 0], [0, 0, 0, 0]]])
    assert recalls(confusion)[0] == pytest.approx([3 / 4, 1 / 2, 1, math.nan], nan_ok=True)
    assert precisions(confusion)[0] == pytest.approx([1, 1 / 2, 2 / 3, 0])
    # The fourth label does not occur and does not count.
    assert mean_of_occurring(recalls(confusion), confusion) == pytest.approx([(3 / 4 + 1.5) / 3])
    # 2 * hits / (there + said): 6 / 7, 2 / 4, 4 / 5.
    truth, guess = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 2, 2, 2])
    assert macro_f1(truth, guess) == pytest.approx((6 / 7 + 2 / 4 + 4 / 5) / 3)


def test_the_wilson_interval_is_the_textbooks() -> None:
    # Newcombe 1998, table I: 81 of 263, 15 of 148 and 0 of 20.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_bins_of_equal_mass_hold_equally_many_and_keep_equals_together() -> None:
    confidence = np.linspace(0.2, 1, 150)
    assert np.bincount(equal_mass_bins(confidence)).tolist() == [10] * 15
    assert len(np.unique(equal_mass_bins(confidence[:40]))) == 5
    assert len(np.unique(equal_mass_bins(np.full(150, 0.7)))) == 1


def _drawn(count: int, seed: int, *, overstated: float = 0.0) -> tuple[Any, Any]:
    """Return truth and probabilities of two labels, right as often as said, less a gap."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.6, 1.0, count)
    right = rng.random(count) < confidence - overstated
    return np.where(right, 0, 1), np.stack([confidence, 1 - confidence], axis=1)


def test_few_images_make_the_plain_calibration_error_large_and_not_the_debiased() -> None:
    plain, mass, debiased, expected = [], [], [], []
    for seed in range(40):
        truth, chances = _drawn(118, seed)
        plain.append(calibration_error(truth, chances))
        mass.append(calibration_error_equal_mass(truth, chances))
        # Its square may be below nothing before it is cut off, so the mean stays above 0.
        debiased.append(calibration_error_debiased(truth, chances))
        expected.append(expected_if_calibrated(chances.max(axis=1)))
    assert np.mean(plain) > 0.06
    assert np.mean(plain) == pytest.approx(np.mean(expected), abs=0.012)
    assert np.mean(mass) > 0.06
    assert np.mean(debiased) < 0.045
    assert np.median(debiased) < 0.03


def test_what_is_overstated_by_a_tenth_is_found() -> None:
    truth, chances = _drawn(20_000, 1, overstated=0.1)
    for error in (calibration_error, calibration_error_equal_mass, calibration_error_debiased):
        assert error(truth, chances) == pytest.approx(0.1, abs=0.012)


def test_debiasing_takes_off_what_chance_adds() -> None:
    # One bin: 6 of 8 right at 0.95; (0.2)² - 0.75 * 0.25 / 7.
    chances = np.tile([0.95, 0.05], (8, 1))
    truth = np.array([0] * 6 + [1] * 2)
    assert calibration_error_debiased(truth, chances) == pytest.approx((0.04 - 0.1875 / 7) ** 0.5)


def test_the_bins_of_a_reliability_diagram() -> None:
    chances = np.array([[0.95, 0.05]] * 4 + [[0.35, 0.65]] * 4)
    table = reliability(np.array([0, 0, 0, 1, 1, 1, 0, 0]), chances)
    assert [row["images"] for row in table["bins"]] == [4, 4]
    first, last = table["bins"]
    assert (first["low"], first["high"], first["confidence"]) == (0.6, 0.6667, 0.65)
    assert (last["high"], last["confidence"], last["accuracy"]) == (1.0, 0.95, 0.75)
    assert last["interval"] == [round(bound, 4) for bound in wilson(3, 4)]
    assert "15 bins" in table["binning"]


def test_a_roc_curve_by_hand() -> None:
    positive = np.array([True, True, False, False, False])
    score = np.array([0.9, 0.4, 0.4, 0.3, 0.6])
    assert roc_points(positive, score) == [
        [0.0, 0.0],
        [0.0, 0.5],
        [0.3333, 0.5],
        [0.6667, 1.0],
        [1.0, 1.0],
    ]
    assert roc_points(positive[:2], score[:2]) is None


def test_a_thinned_curve_keeps_its_ends_and_its_area() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(5000) < 0.3
    score = rng.normal(size=5000) + positive
    points = np.array(roc_points(positive, score))
    assert 30 < len(points) <= 60
    assert points[0].tolist() == [0, 0]
    assert points[-1].tolist() == [1, 1]
    area = float(np.trapezoid(points[:, 1], points[:, 0]))
    assert area == pytest.approx(area_under_curve(positive, score), abs=0.005)


def test_the_risk_curve_says_how_many_answers_are_wrong() -> None:
    confidence = np.linspace(0.99, 0.60, 40)
    chances = np.stack([confidence, 1 - confidence], axis=1)
    truth = np.array([0] * 20 + [0, 1] * 10)
    rows = {row["coverage"]: row for row in risk_curve(truth, chances, [str(n) for n in range(40)])}
    assert len(rows) == 19
    assert (rows[1.0]["risk"], rows[0.75]["risk"], rows[0.5]["risk"]) == (0.25, round(5 / 30, 4), 0)
    assert rows[0.5]["threshold"] == pytest.approx(confidence[19], abs=1e-4)
    assert rows[0.5]["threshold"] <= confidence[19]
    assert rows[1.0]["interval"][0] < 0.25 < rows[1.0]["interval"][1]


def test_melanoma_against_nevus_looks_at_those_two_only() -> None:
    keys = label_set("isic9").keys
    melanoma, nevus, other = (keys.index(k) for k in ("melanoma", "nevus", "dermatofibroma"))
    truth = np.array([melanoma, melanoma, nevus, nevus, other])
    chances = np.full((5, 9), 0.01)
    for row, (first, second) in enumerate([(0.3, 0.1), (0.2, 0.4), (0.1, 0.3), (0.3, 0.3), (0, 0)]):
        chances[row, [melanoma, nevus]] = first, second
    # Shares of melanoma: 0.75 and 0.33 against 0.25 and 0.5: 3 of 4 pairs are in order.
    found = evaluate("isic9", truth, chances, list("abcde"))["figures"]["melanoma_nevus_auc"]
    assert found["value"] == 0.75


def test_a_label_set_that_no_release_has_is_passed_whole() -> None:
    labels = LabelSet(
        "two",
        "Two",
        "dermoscopy",
        tuple(
            Label(
                key, key.capitalize(), key, "X", "X", "X", "benign lesion", malignant=key == "bad"
            )
            for key in ("good", "bad")
        ),
    )
    chances = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    table = evaluate(labels, np.array([0, 1, 1]), chances, ["a", "b", "c"])
    assert table["figures"]["balanced_accuracy"]["value"] == 0.75
    assert "melanoma_recall" not in table["figures"]
    assert table["roc"]["malignant"] is not None


def test_ten_thousand_images_take_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    # A tenth of the resamples takes half a second on a free core; this is no bound to be near to.
    monkeypatch.setattr(bootstrap, "REPLICATES", 200)
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 9, 10_000)
    chances = rng.dirichlet(np.ones(9), 10_000)
    start = time.process_time()
    evaluate("isic9", truth, chances, [str(n // 2) for n in range(10_000)])
    assert time.process_time() - start < 20


def _record(name: str, source: str, archive: str = "") -> Record:
    return Record(Path(name), name, "nevus", source, "train", archive=archive)


def test_what_is_known_of_an_image(tmp_path: Path) -> None:
    folder = tmp_path / "ham10000"
    folder.mkdir()
    (folder / "metadata.csv").write_text(
        "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
        "HAM_1,ISIC_0024306,nv,histo,45.0,male,back\n"
        "HAM_2,ISIC_0024307,nv,histo,,,unknown\n",
        encoding="utf-8",
    )
    records = [
        _record("ISIC_0024306(1).jpg", "isic9", "ham10000"),
        _record("ISIC_0024307.jpg", "ham10000", "ham10000"),
        _record("ISIC_0000001.jpg", "isic9", "isic-0000"),
        _record("acne-1.jpg", "clinical5"),
    ]
    unknown = {"sex": "unknown", "age_band": "unknown", "site": "unknown"}
    assert slice_facts(records, tmp_path) == [
        {"sex": "male", "age_band": "45 to 59", "site": "back", "source": "ham10000"},
        unknown | {"source": "ham10000"},
        unknown | {"source": "isic-0000"},
        unknown | {"source": "clinical5"},
    ]
    assert [age_band(age) for age in ("0.0", "29", "30", "74.9", "75", "?")] == [
        "under 30",
        "under 30",
        "30 to 44",
        "60 to 74",
        "75 and over",
        "unknown",
    ]


def test_slices_say_nothing_about_fewer_than_thirty() -> None:
    keys = label_set("isic9").keys
    melanoma, nevus = keys.index("melanoma"), keys.index("nevus")
    # 80 of women: 40 melanoma of which 30 are found, 40 nevi all found; 20 of men.
    truth = np.array([melanoma] * 40 + [nevus] * 40 + [nevus] * 20)
    guess = truth.copy()
    guess[:10] = nevus
    chances = np.full((100, 9), 0.01)
    chances[np.arange(100), guess] = 0.92
    facts = [{"sex": "female", "age_band": "75 and over", "site": "unknown"}] * 80
    facts += [{"sex": "unknown", "age_band": "under 30", "site": "unknown"}] * 20
    groups = [str(n) for n in range(100)]
    table = slices("isic9", truth, chances, groups, facts, triage=0.5, measured_on="by hand")
    assert (table["measured_on"], table["images"]) == ("by hand", 100)
    assert [row["name"] for row in table["kinds"]["age_band"]] == ["under 30", "75 and over"]
    # Nobody wrote down a site, and a source was not asked for.
    assert sorted(table["kinds"]) == ["age_band", "sex"]
    women, nobody = table["kinds"]["sex"]
    assert (women["name"], women["images"], women["malignant"], women["labels"]) == (
        "female",
        80,
        40,
        2,
    )
    figures = {name: figure["value"] for name, figure in women["figures"].items()}
    assert figures == {
        "accuracy": 0.875,
        "balanced_accuracy": 0.875,
        "malignant_sensitivity": 0.75,
        "malignant_specificity": 1.0,
        "malignant_auc": 0.875,
    }
    low, high = women["figures"]["malignant_sensitivity"]["interval"]
    assert 0.55 < low < 0.75 < high < 0.95
    assert nobody["too_few_to_say"]
    assert all(f == {"value": None, "interval": None} for f in nobody["figures"].values())
    json.dumps(table, allow_nan=False)


def test_a_slice_without_malignant_images_has_no_sensitivity() -> None:
    nevus = label_set("isic9").keys.index("nevus")
    truth = np.full(40, nevus)
    chances = np.eye(9)[truth]
    groups = [str(n) for n in range(40)]
    facts = [{"source": "isic-0000"}] * 40
    table = slices("isic9", truth, chances, groups, facts, triage=0.5, measured_on="by hand")
    figures = table["kinds"]["source"][0]["figures"]
    assert figures["accuracy"]["value"] == figures["malignant_specificity"]["value"] == 1
    for name in ("balanced_accuracy", "malignant_sensitivity", "malignant_auc"):
        assert figures[name]["value"] is None


def test_none_of_sixteen_does_not_mean_none_ever() -> None:
    keys = label_set("isic9").keys
    melanoma, nevus = keys.index("melanoma"), keys.index("nevus")
    truth = np.array([melanoma] * 16 + [nevus] * 16)
    chances = np.eye(9)[np.full(32, nevus)]
    # Two photographs of every lesion: eight groups of each label.
    groups = [str(n // 2) for n in range(32)]
    table = evaluate("isic9", truth, chances, groups)
    by_wilson = [round(bound, 4) for bound in wilson(0, 8)]
    assert table["figures"]["melanoma_recall"] == {"value": 0.0, "interval": by_wilson}
    assert table["labels"]["nevus"]["recall_interval"] == [round(1 - by_wilson[1], 4), 1.0]
    # Never guessed: there is nothing to be sure of.
    assert table["labels"]["melanoma"]["precision_interval"] == [0.0, 0.0]
    point = operating_point("isic9", truth, chances, groups, answer=0.5, triage=0.5)
    assert point["melanoma_sensitivity"] == {"value": 0.0, "interval": by_wilson}
