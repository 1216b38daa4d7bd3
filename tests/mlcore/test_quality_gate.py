"""The gate before any answer: what it measures and what it lets through."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from mlcore.drawing import DERMOSCOPY_KINDS, draw_dermoscopy, draw_plain_skin
from mlcore.quality import (
    BLANK,
    BLURRED,
    BRIGHT,
    DARK,
    FAULTS,
    Fault,
    Quality,
    QualityLimits,
    fault_of,
    measure,
)

LIMITS = QualityLimits(min_spread=6, min_luma=90, max_luma=225, min_sharpness=0.2)


@pytest.fixture(scope="module")
def lesion() -> Image.Image:
    return draw_dermoscopy("melanoma", seed=5, size=(320, 240))


@pytest.mark.parametrize("kind", DERMOSCOPY_KINDS)
def test_a_good_picture_passes(kind: str) -> None:
    assert fault_of(measure(draw_dermoscopy(kind, seed=3, size=(320, 240))), LIMITS) is None


@pytest.mark.parametrize(
    ("name", "fault"), [("dark", DARK), ("bright", BRIGHT), ("flat", BLANK), ("soft", BLURRED)]
)
def test_a_bad_picture_is_named(lesion: Image.Image, name: str, fault: Fault) -> None:
    bad = {
        "dark": lambda: ImageEnhance.Brightness(lesion).enhance(0.2),
        "bright": lambda: Image.blend(lesion, Image.new("RGB", lesion.size, "white"), 0.93),
        "flat": lambda: Image.new("RGB", lesion.size, (200, 160, 140)),
        "soft": lambda: lesion.filter(ImageFilter.GaussianBlur(30)),
    }[name]()
    assert fault_of(measure(bad), LIMITS) is fault


def test_what_is_measured_on_a_picture_that_is_known() -> None:
    half = np.zeros((160, 160, 3), np.uint8)
    half[:, 80:] = 200
    quality = measure(Image.fromarray(half))
    assert quality.spread == pytest.approx(100, abs=0.5)
    assert (quality.low_luma, quality.high_luma) == pytest.approx((0, 200), abs=0.5)
    # One edge of 200 within two columns: a slope of 100, one spread long.
    assert quality.sharpness == pytest.approx(1, abs=0.02)


def test_size_and_shape_hardly_matter(lesion: Image.Image) -> None:
    small, squashed = lesion.resize((180, 135)), lesion.resize((200, 200))
    for other in (small, squashed):
        assert measure(other).spread == pytest.approx(measure(lesion).spread, rel=0.05)
        assert measure(other).sharpness == pytest.approx(measure(lesion).sharpness, rel=0.25)


def test_a_limit_is_met_when_it_is_just_reached() -> None:
    just = Quality(spread=6, high_luma=90, low_luma=225, sharpness=0.2)
    assert fault_of(just, LIMITS) is None
    assert fault_of(Quality(5.99, 90, 225, 0.2), LIMITS) is BLANK
    assert fault_of(Quality(6, 89.9, 225, 0.2), LIMITS) is DARK
    assert fault_of(Quality(6, 90, 225.1, 0.2), LIMITS) is BRIGHT
    assert fault_of(Quality(6, 90, 225, 0.19), LIMITS) is BLURRED


def test_every_fault_says_what_to_do() -> None:
    assert len({fault.code for fault in FAULTS}) == 4
    assert all("take it again" in fault.sentence for fault in FAULTS)


def test_plain_skin_is_measured_without_an_edge() -> None:
    quality = measure(draw_plain_skin(seed=1, size=(320, 240)))
    assert quality.spread < measure(draw_dermoscopy("nevus", seed=1, size=(320, 240))).spread
