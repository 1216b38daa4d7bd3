"""The gate before any answer: what it measures and what it lets through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from mlcore.drawing import (
    CLINICAL_KINDS,
    DERMOSCOPY_KINDS,
    draw_clinical,
    draw_dermoscopy,
    draw_plain_skin,
)
from mlcore.drawing.canvas import SKIN_TONES
from mlcore.quality import (
    BLANK,
    BLURRED,
    BRIGHT,
    DARK,
    FAULTS,
    NO_LESION,
    Fault,
    Quality,
    QualityLimits,
    fault_of,
    measure,
)

LIMITS = QualityLimits(
    min_spread=2,
    min_luma=40,
    max_luma=235,
    min_sharpness=0.2,
    min_detail=0.3,
    min_contrast=0.06,
)


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
    # Nothing changes downwards, so nothing can be lost there.
    assert quality.detail == 0


def test_detail_is_what_one_more_blur_takes_away() -> None:
    # Neighbours of a fine checkerboard differ by 200; among five of them hardly anything is left.
    fine = np.indices((160, 160)).sum(axis=0) % 2 * 200
    quality = measure(Image.fromarray(np.stack([fine] * 3, axis=2).astype(np.uint8)))
    assert quality.detail == pytest.approx(0.8, abs=0.02)


def test_contrast_is_that_of_large_parts_and_not_of_the_light() -> None:
    across = np.tile(np.linspace(60, 200, 160), (160, 1))
    lit = Image.fromarray(np.stack([across] * 3, axis=2).astype(np.uint8))
    assert measure(lit).contrast < 0.01
    grained = np.random.default_rng(1).normal(128, 20, (160, 160, 3)).clip(0, 255)
    assert measure(Image.fromarray(grained.astype(np.uint8))).contrast < 0.1
    spot = np.full((160, 160, 3), 150, np.uint8)
    spot[40:90, 40:90] = 100
    # Luma 50 lower on a tenth of the picture, whose mean is about 145.
    assert measure(Image.fromarray(spot)).contrast == pytest.approx(50 / 145, rel=0.15)


@pytest.mark.parametrize("percent", [1.5, 2, 3, 5])
def test_a_blur_of_a_small_part_of_the_side_is_seen(lesion: Image.Image, percent: float) -> None:
    soft = lesion.filter(ImageFilter.GaussianBlur(percent / 100 * min(lesion.size)))
    assert fault_of(measure(soft), LIMITS) is BLURRED


@pytest.mark.parametrize("tone", SKIN_TONES)
def test_lesions_on_skin_of_every_tone_pass(tone: str) -> None:
    for kind in CLINICAL_KINDS:
        drawn = draw_clinical(kind, seed=2, size=(320, 240), skin_type=tone)
        assert fault_of(measure(drawn), LIMITS) is None
        # Evenly lit skin is refused for what it lacks, never for its colour.
    plain = draw_plain_skin(seed=2, size=(320, 240), skin_type=tone)
    assert fault_of(measure(plain), replace(LIMITS, min_contrast=0.2)) is NO_LESION
    assert fault_of(measure(plain), replace(LIMITS, min_contrast=0.0)) is None


def test_size_and_shape_hardly_matter(lesion: Image.Image) -> None:
    small, squashed = lesion.resize((180, 135)), lesion.resize((200, 200))
    for other in (small, squashed):
        assert measure(other).spread == pytest.approx(measure(lesion).spread, rel=0.05)
        assert measure(other).sharpness == pytest.approx(measure(lesion).sharpness, rel=0.25)


def test_a_limit_is_met_when_it_is_just_reached() -> None:
    just = Quality(spread=2, high_luma=40, low_luma=235, sharpness=0.2, detail=0.3, contrast=0.06)
    assert fault_of(just, LIMITS) is None
    for worse, fault in (
        ({"spread": 1.99}, BLANK),
        ({"high_luma": 39.9}, DARK),
        ({"low_luma": 235.1}, BRIGHT),
        ({"sharpness": 0.19}, BLURRED),
        ({"detail": 0.29}, BLURRED),
        ({"contrast": 0.059}, NO_LESION),
    ):
        assert fault_of(replace(just, **worse), LIMITS) is fault


def test_releases_before_the_new_bounds_keep_their_gate() -> None:
    old = QualityLimits(min_spread=2, min_luma=40, max_luma=235, min_sharpness=0.2)
    soft = Quality(spread=9, high_luma=90, low_luma=60, sharpness=0.3, detail=0.01, contrast=0.01)
    assert fault_of(soft, old) is None


def test_every_fault_says_what_to_do() -> None:
    assert len({fault.code for fault in FAULTS}) == 5
    assert all("take it again" in fault.sentence for fault in FAULTS)


def test_plain_skin_is_measured_without_an_edge() -> None:
    quality = measure(draw_plain_skin(seed=1, size=(320, 240)))
    assert quality.spread < measure(draw_dermoscopy("nevus", seed=1, size=(320, 240))).spread
