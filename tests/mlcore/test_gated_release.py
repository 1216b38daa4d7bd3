"""A release with a gate: fitted on the released network, measured on the other half, in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlcore.data.outside import DEVELOPMENT, HELD_OUT, OutsidePictures
from mlcore.data.splits import load_split
from mlcore.drawing import (
    CLINICAL_KINDS,
    NOT_SKIN_KINDS,
    draw_clinical,
    draw_dermoscopy,
    draw_not_skin,
)
from mlcore.labels import label_set
from mlcore.outside import CHECKS, GATE, load_gate
from mlcore.predictor import Predictor
from mlcore.train.pictures import Pictures

if TYPE_CHECKING:
    from pathlib import Path

    from mlcore.bundle import Release
    from mlcore.train.recipes import Recipe

SIZE = (96, 80)


def half(seed: int) -> OutsidePictures:
    return OutsidePictures(
        not_skin=[
            draw_not_skin(kind, seed=seed + i, size=SIZE) for kind in NOT_SKIN_KINDS for i in (1, 2)
        ],
        other_skin=[draw_clinical("vitiligo", seed=seed + i, size=SIZE) for i in range(4)],
        other_kind=[draw_dermoscopy("nevus", seed=seed + i, size=SIZE) for i in range(4)],
        refused=1,
    )


@pytest.fixture(scope="module")
def gated(
    tiny: Recipe,
    finished_runs: Path,
    clinical_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Release:
    from mlcore.release import make_release
    from mlcore.train.loop import load_trained

    keys = label_set("clinical5").keys
    parts = {
        name: Pictures(records, keys)
        for name, records in load_split("clinical5", clinical_root, seed=1).items()
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mlcore.figures.bootstrap.REPLICATES", 20)
        return make_release(
            tiny,
            load_trained(tiny, folder=finished_runs / f"{tiny.name}-1", seed=1),
            parts,
            releases=tmp_path_factory.mktemp("gated"),
            version="1.1.0",
            seed=1,
            test_looks=1,
            outside={DEVELOPMENT: half(100), HELD_OUT: half(300)},
        )


def test_the_gate_is_part_of_the_release(gated: Release) -> None:
    facts = gated.manifest["gate"]
    assert GATE in gated.manifest["files"]
    assert [check["name"] for check in facts["checks"]] == list(CHECKS)
    assert facts["fitted_on"] == {
        "half": "development",
        "not_skin": 8,
        "other_skin": 4,
        "other_kind": 4,
    }
    gate = load_gate(gated.file(GATE), facts["checks"])
    assert gate.checks[0].arrays["kernel"].ndim == 1


def test_what_becomes_of_every_kind_of_picture_is_on_record(gated: Release) -> None:
    rows = {row["set"]: row for row in gated.metrics()["figures"]["outside"]}
    assert rows["own pictures, calibration"]["images"] == 5
    assert rows["ordinary pictures, held out half"]["images"] == 8
    for row in rows.values():
        shares = [row[name] for name in ("rejected", "cannot_say", "answered")]
        assert sum(share["value"] for share in shares) == pytest.approx(1, abs=1e-3)
        for share in shares:
            assert share["interval"][0] <= share["value"] + 1e-4
            assert share["value"] <= share["interval"][1] + 1e-4
    assert "ordinary pictures, held out half" in gated.file("card.md").read_text()


def test_serving_decides_as_was_measured(gated: Release) -> None:
    predictor = Predictor.load(gated.folder, engine="litert")
    rows = {row["set"]: row for row in gated.metrics()["figures"]["outside"]}
    held = half(300)
    for name, pictures in (
        ("ordinary pictures, held out half", held.not_skin),
        ("clinical photographs of other skin diseases, held out half", held.other_skin),
        ("the other modality, held out half", held.other_kind),
    ):
        decided = [result.decision for result in predictor.predict(pictures)]
        share = decided.count("rejected") / len(decided)
        assert share == pytest.approx(rows[name]["rejected"]["value"], abs=0.13)


def test_serving_measures_what_the_release_keeps_for_comparison(gated: Release) -> None:
    reference = gated.metrics()["reference"]
    assert reference["pictures"] == gated.manifest["data"]["calibration"]["images"]
    result = Predictor.load(gated.folder).predict(half(300).not_skin)[0]
    assert list(result.measures) == list(reference["quantiles"])
    assert result.measures["confidence"] == result.confidence
    assert result.measures["gate_not_skin"] > 0 or result.reason_code != "not_skin"
    malignant = {label.key for label in gated.labels.labels if label.malignant}
    suspicion = sum(p for key, p in result.probabilities.items() if key in malignant)
    assert result.measures["suspicion"] == pytest.approx(suspicion)


def test_engines_agree_on_what_the_gate_holds_back(gated: Release) -> None:
    drawn = [draw_clinical(kind, seed=9, size=SIZE) for kind in CLINICAL_KINDS]
    pictures = [*drawn, *half(500).not_skin]
    ours, theirs = (
        [
            result.reason_code
            for result in Predictor.load(gated.folder, engine=name).predict(pictures)
        ]
        for name in ("litert", "tensorflow")
    )
    assert ours == theirs
