"""The gate against pictures outside the label set: detectors, thresholds, its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from mlcore.bundle import ReleaseError
from mlcore.data.outside import OutsidePictures
from mlcore.detectors import DETECTORS, Examples, Features, fit, learns_from_outside, score
from mlcore.gating import OwnPart, Rules, measure_gates
from mlcore.outside import (
    CHECKS,
    GATE,
    LABELS,
    NOT_SKIN,
    OTHER_KIND,
    SHARES,
    Gate,
    Outsiders,
    development_scores,
    fit_gate,
    load_gate,
)
from mlcore.quality import QualityLimits

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, DEPTH, KINDS = 12, 96, 3


def cloud(seed: int, count: int, *, at: int, logit: float = 6.0) -> Features:
    """Return pictures of one kind: a cloud about the ``at``-th place in every space."""
    rng = np.random.default_rng(seed)
    pooled = rng.normal(size=(count, WIDTH)) * 0.5
    pooled[:, at % WIDTH] += 4
    embedding = np.abs(rng.normal(size=(count, DEPTH))) * 0.2
    embedding[:, (at * 7) % DEPTH] += 3
    logits = rng.normal(size=(count, KINDS)) * 0.3
    logits[:, at % KINDS] += logit
    return Features(logits, pooled, embedding)


def own_pictures(seed: int, count: int) -> tuple[Features, np.ndarray[Any, Any]]:
    parts = [cloud(seed + kind, count, at=kind) for kind in range(KINDS)]
    return Features.join(parts), np.repeat(np.arange(KINDS), count)


@pytest.fixture(scope="module")
def outsiders() -> Outsiders:
    return Outsiders(
        not_skin=cloud(50, 40, at=5, logit=1),
        other_skin=cloud(51, 40, at=6, logit=1),
        other_kind=cloud(52, 40, at=7, logit=1),
        drawn_own=own_pictures(60, 3)[0],
        drawn_skin=cloud(61, 6, at=8, logit=1),
    )


@pytest.fixture(scope="module")
def gate(outsiders: Outsiders) -> Gate:
    own, labels = own_pictures(1, 60)
    return fit_gate(own, labels, own_pictures(10, 40)[0], outsiders)


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_tells_inside_from_outside(name: str) -> None:
    own, labels = own_pictures(1, 60)
    far = cloud(51, 40, at=6, logit=1)
    arrays = fit(name, Examples(own, labels, far))
    inside = score(name, arrays, own_pictures(20, 20)[0])
    outside = score(name, arrays, cloud(70, 60, at=6, logit=1))
    assert inside.shape == (60,)
    assert np.median(outside) > np.quantile(inside, 0.95)


def test_a_detector_that_was_shown_the_outside_is_judged_on_what_it_has_not_seen() -> None:
    own, labels = own_pictures(1, 10)
    # Outside pictures that are own pictures by nature: only learning by heart tells them apart.
    same = Features.join([cloud(90 + kind, 10, at=kind) for kind in range(KINDS)])
    examples = Examples(own, labels, same)
    assert [name for name in DETECTORS if learns_from_outside(name)] == [
        "relative_mahalanobis",
        "head",
    ]
    by_heart = score("head", fit("head", examples), same)
    assert development_scores("head", examples).mean() < by_heart.mean()
    np.testing.assert_array_equal(development_scores("energy", examples), score("energy", {}, same))


def test_mahalanobis_distance_of_a_known_cloud() -> None:
    rng = np.random.default_rng(3)
    pooled = rng.normal(size=(4000, 2)) * [1, 3]
    own = Features(np.zeros((4000, 2)), pooled, np.zeros((4000, 2)))
    arrays = fit("mahalanobis", Examples(own, np.zeros(4000, int), own))
    place = Features(np.zeros((2, 2)), np.array([[2.0, 0], [0, 6.0]]), np.zeros((2, 2)))
    # Two standard deviations in either direction.
    assert score("mahalanobis", arrays, place) == pytest.approx([4, 4], rel=0.1)


def test_the_energy_is_the_soft_maximum() -> None:
    logits = np.array([[1000.0, 1000.0], [0.0, 0.0]])
    features = Features(logits, logits, logits)
    assert score("energy", {}, features) == pytest.approx([-1000 - np.log(2), -np.log(2)])
    assert score("max_softmax", {}, features) == pytest.approx([-0.5, -0.5])


def test_the_gate_names_why_it_holds_a_picture_back(gate: Gate) -> None:
    assert tuple(check.name for check in gate.checks) == CHECKS
    assert gate.verdicts(cloud(80, 20, at=5, logit=1)) == [NOT_SKIN] * 20
    assert gate.verdicts(cloud(81, 20, at=7, logit=1)) == [OTHER_KIND] * 20
    assert set(gate.verdicts(cloud(82, 20, at=6, logit=1))) <= {LABELS, OTHER_KIND}


def test_own_pictures_pass_but_for_the_stated_shares(gate: Gate) -> None:
    fresh = own_pictures(30, 200)[0]
    verdicts = np.array(gate.verdicts(fresh))
    for name, share in SHARES.items():
        assert (verdicts == name).mean() <= share + 0.02


def test_drawn_skin_passes_as_skin(gate: Gate, outsiders: Outsiders) -> None:
    assert NOT_SKIN not in gate.verdicts(outsiders.drawn_own)
    assert NOT_SKIN not in gate.verdicts(outsiders.drawn_skin)


def test_a_gate_comes_back_from_its_file(gate: Gate, tmp_path: Path) -> None:
    gate.save(tmp_path / GATE)
    again = load_gate(tmp_path / GATE, gate.facts())
    fresh = own_pictures(30, 10)[0]
    for name, margins in gate.margins(fresh).items():
        np.testing.assert_allclose(again.margins(fresh)[name], margins, rtol=1e-6)


def test_a_gate_that_does_not_fit_is_refused(gate: Gate, tmp_path: Path) -> None:
    path = tmp_path / GATE
    gate.save(path)
    with pytest.raises(ReleaseError, match="for another program version"):
        load_gate(path, [gate.facts()[0] | {"detector": "oracle"}])
    with pytest.raises(ReleaseError, match=r"is no gate of this release .*threshold"):
        load_gate(path, [{"name": NOT_SKIN, "detector": "head"}])
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ReleaseError, match="copy the whole release folder again"):
        load_gate(path, gate.facts())


def test_objects_are_never_unpickled(gate: Gate, tmp_path: Path) -> None:
    harmful: Any = {"not_skin.mean": np.array([{"a": 1}], dtype=object)}
    np.savez(tmp_path / GATE, **harmful)
    with pytest.raises(ReleaseError, match="is no gate of this release"):
        load_gate(tmp_path / GATE, gate.facts())


def test_intervals_of_what_the_gates_do_count_groups_not_pictures() -> None:
    pictures = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in [250] * 20 + [5] * 20]
    limits = QualityLimits(min_spread=0, min_luma=0, max_luma=255, min_sharpness=0)

    def run(squares: np.ndarray[Any, Any]) -> Features:
        sure = np.where(squares.mean(axis=(1, 2, 3)) > 40, 9.0, 0.0)
        logits = np.zeros((len(squares), 5))
        logits[:, 0] = sure
        return Features(logits, np.zeros((len(squares), 2)), np.zeros((len(squares), 2)))

    def interval(groups: list[str]) -> list[float]:
        rules = Rules("clinical5", None, limits, temperature=1.0, needed=0.5)
        own = {"test": OwnPart(pictures, groups)}
        rows = measure_gates(
            run, 8, rules, OutsidePictures([pictures[0]], [pictures[0]], [pictures[0]]), own
        )
        (row,) = [row for row in rows if row["set"] == "own pictures, test"]
        assert (row["images"], row["answered"]["value"]) == (40, 0.5)
        return list(row["answered"]["interval"])

    # Of two lesions a resample often has one alone; of forty hardly ever less than a third.
    assert interval(["bright"] * 20 + ["dark"] * 20) == [0.0, 1.0]
    low, high = interval([str(number) for number in range(40)])
    assert 0.3 < low < 0.5 < high < 0.7
