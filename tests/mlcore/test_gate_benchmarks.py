"""The pictures that the gates are measured with, and the tables they are told in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench import quality
from mlcore.detectors import DETECTORS, Features
from mlcore.drawing import draw_dermoscopy
from mlcore.outside import Outsiders
from mlcore.quality import QualityLimits, measure

if TYPE_CHECKING:
    from PIL import Image

LIMITS = QualityLimits(
    min_spread=2, min_luma=40, max_luma=235, min_sharpness=0.2, min_detail=0.3, min_contrast=0.06
)


@pytest.fixture(scope="module")
def lesion() -> Image.Image:
    return draw_dermoscopy("melanoma", seed=5, size=(320, 240))


def test_faults_are_put_into_pictures(lesion: Image.Image) -> None:
    ways = quality._spoilt()
    assert len(ways) == 14
    for name, way in ways.items():
        spoilt, whole = measure(way(lesion)), measure(lesion)
        if "light" in name:
            factor = float(name.split()[-1])
            assert (spoilt.high_luma > whole.high_luma) == (factor > 1)
        else:
            assert spoilt.detail < whole.detail


def test_a_row_names_what_was_refused(lesion: Image.Image) -> None:
    blurred = quality._blurred(3, lesion)
    row = quality._row("half of them soft", [lesion, blurred], LIMITS)
    # refused, blank, dark, bright, blurred, no lesion
    assert row == "| half of them soft | 2 | 50.0 | 0.0 | 0.0 | 0.0 | 50.0 | 0.0 |"
    assert quality._corner(lesion).size == (80, 60)


def test_pictures_of_no_skin_are_of_many_kinds() -> None:
    # It loads TensorFlow, which the processes that only collect this test shall not have to.
    from bench import outside

    drawn = outside._drawn_elsewhere()
    assert len({picture.tobytes() for picture in drawn}) == len(drawn) == 24
    assert {picture.size for picture in drawn} == {(320, 240)}


def test_every_detector_has_its_row() -> None:
    from bench import outside

    rng = np.random.default_rng(1)

    def some(count: int, at: float) -> Features:
        pooled = rng.normal(at, 1, (count, 6))
        return Features(rng.normal(size=(count, 3)), pooled, rng.normal(size=(count, 70)))

    labels = np.arange(60) % 3
    own = {
        name: outside._Own([], [], labels, some(60, 0.0))
        for name in ("train", "calibration", "validation")
    }
    fitted, held = (
        Outsiders(some(30, 9), some(30, 9), some(30, 9), some(4, 0), some(4, 0)) for _ in range(2)
    )
    lines = outside._compared(own, "validation", fitted, held, some(9, 9))
    assert [line.split(" | ")[0].strip("| ") for line in lines[4:]] == list(DETECTORS)
    head = next(line for line in lines if line.startswith("| head"))
    cells = [float(cell) for cell in head.strip("| ").split(" | ")[1:]]
    # Ordinary pictures, drawn ones, other skin and the other modality stand far off.
    assert [cells[i] for i in (1, 2, 4, 6)] == [100, 100, 100, 100]
    assert max(cells[i] for i in (0, 3, 5)) < 50
