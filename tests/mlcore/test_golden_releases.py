"""Every release in the repository: whole, honest about itself, and answering as it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from mlcore.bundle import MOST_BYTES, RELEASES, list_releases, load_release
from mlcore.drawing import CLINICAL_KINDS, draw_clinical, draw_dermoscopy
from mlcore.drawing.canvas import SKIN_TONES
from mlcore.engines import ENGINES
from mlcore.golden import check_golden
from mlcore.imaging import network_source
from mlcore.labels import LABEL_SETS
from mlcore.predictor import Predictor
from mlcore.quality import QualityLimits, fault_of, measure
from mlcore.train.recipes import Recipe, recipe_named

if TYPE_CHECKING:
    from pathlib import Path

FOLDERS = [
    pytest.param(folder, id=folder.relative_to(RELEASES).as_posix()) for folder in list_releases()
]


def test_both_label_sets_have_a_release() -> None:
    assert {folder.parent.name for folder in list_releases()} == set(LABEL_SETS)


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("engine", ENGINES)
def test_golden_answers_hold(folder: Path, engine: str) -> None:
    assert check_golden(Predictor.load(folder, engine=engine)) < 1e-3


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_release_is_small_and_tells_where_it_comes_from(folder: Path) -> None:
    release = load_release(folder)
    facts = release.manifest
    assert sum(file["bytes"] for file in facts["files"].values()) < MOST_BYTES
    assert {path.name for path in folder.iterdir()} == {*facts["files"], "manifest.json"}
    assert (folder.parent.name, folder.name) == (release.key, release.version)
    assert Recipe.from_dict(facts["recipe"]) == recipe_named(facts["recipe"]["name"])
    assert facts["parity"]["greatest_difference"] < 1e-3
    assert facts["test_looks"] >= 1
    # A final run learnt from the validation part too.
    assert set(facts["data"]) | {"validation"} == {"train", "validation", "calibration", "test"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_figures_are_those_of_the_whole_test_split(folder: Path) -> None:
    release = load_release(folder)
    test = release.metrics()["figures"]["test"]
    assert test["images"] == release.manifest["data"]["test"]["images"]
    assert test["images"] == {"isic9": 118, "clinical5": 159}[release.key]
    for figure in [*test["figures"].values(), *test["operating_point"].values()]:
        low, high = figure["interval"]
        assert low <= figure["value"] <= high
        assert f"{low:.2f}"[:3] in release.file("card.md").read_text(encoding="utf-8")
    # Far better than chance, or something is broken.
    assert test["figures"]["balanced_accuracy"]["value"] > 3 / len(release.labels.labels)


@pytest.mark.parametrize("tone", SKIN_TONES)
@pytest.mark.parametrize("folder", FOLDERS)
def test_no_skin_is_too_dark_or_too_light_for_the_gate(folder: Path, tone: str) -> None:
    limits = QualityLimits(**load_release(folder).manifest["quality"])
    for kind in CLINICAL_KINDS:
        drawn = draw_clinical(kind, seed=7, size=(480, 360), skin_type=tone)
        assert fault_of(measure(network_source(drawn)), limits) is None


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_lesion_has_a_map_and_a_flat_picture_is_rejected(folder: Path) -> None:
    predictor = Predictor.load(folder)
    drawn = (
        draw_dermoscopy("melanoma", seed=7)
        if predictor.labels.modality == "dermoscopy"
        else draw_clinical("melanoma", seed=7)
    )
    lesion, flat = predictor.predict(
        [network_source(drawn), Image.new("RGB", (320, 240), (205, 170, 150))]
    )
    assert lesion.decision in {"answer", "cannot_say"}
    shown = lesion.map_for(lesion.top)
    side = predictor.release.input_side // 32
    assert abs(shown.shape[0] - side) <= 1
    assert np.ptp(shown) > 0.1
    assert flat.decision == "rejected"
