"""Changing a training picture at random, within what the recipe allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcore.drawing import draw_dermoscopy
from mlcore.imaging import to_array
from mlcore.train.augment import augment
from mlcore.train.recipes import RECIPES, Augmentation
from tests.mlcore.sets import picture

NOTHING = Augmentation()


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_nothing_allowed_changes_nothing_but_the_size() -> None:
    original = np.asarray(picture(1, (64, 64)))
    np.testing.assert_array_equal(augment(original, 64, NOTHING, _rng()), original)
    larger = draw_dermoscopy("nevus", seed=1, size=(160, 120))
    squashed = augment(np.asarray(larger), 80, NOTHING, _rng())
    # Nearly what serving sees: training samples, serving averages.
    served = to_array(larger, 80).astype(np.float32)
    assert np.abs(squashed - served).mean() < 6


@pytest.mark.parametrize(
    ("how", "axis"),
    [(Augmentation(flip_horizontal=True), 1), (Augmentation(flip_vertical=True), 0)],
)
def test_about_half_are_mirrored_exactly(how: Augmentation, axis: int) -> None:
    original = np.asarray(picture(2, (48, 48)))
    mirrored = np.flip(original, axis)
    seen = [augment(original, 48, how, _rng(seed)) for seed in range(60)]
    turned = [bool((x == mirrored).all()) for x in seen]
    assert all((x == original).all() or t for x, t in zip(seen, turned, strict=True))
    assert 15 < sum(turned) < 45


def test_a_shift_moves_by_no_more_than_allowed() -> None:
    dot = np.zeros((101, 101, 3), np.uint8)
    dot[48:53, 48:53] = 255
    places = []
    for seed in range(40):
        moved = augment(dot, 101, Augmentation(shift=0.1), _rng(seed))[..., 0]
        rows, columns = np.nonzero(moved > 120)
        places.append((rows.mean() - 50, columns.mean() - 50))
    reach = np.abs(places).max(axis=0)
    assert (reach <= 0.1 * 101 + 1).all()
    assert (reach > 0.05 * 101).all()


def test_a_rotation_keeps_the_middle_and_the_distance_from_it() -> None:
    board = np.zeros((101, 101, 3), np.uint8)
    board[48:53, 18:23] = 255
    angles = []
    for seed in range(40):
        turned = augment(board, 101, Augmentation(rotation=30), _rng(seed))[..., 0]
        rows, columns = np.nonzero(turned > 120)
        dy, dx = rows.mean() - 50, columns.mean() - 50
        assert np.hypot(dx, dy) == pytest.approx(30, abs=1.2)
        angles.append(np.degrees(np.arctan2(dy, -dx)))
    assert np.abs(angles).max() <= 31
    assert np.abs(angles).max() > 15


def test_zoom_scales_within_bounds() -> None:
    disc = np.zeros((100, 100, 3), np.uint8)
    disc[30:70, 30:70] = 255
    areas = [
        float((augment(disc, 100, Augmentation(zoom=0.25), _rng(s))[..., 0] > 120).sum())
        for s in range(40)
    ]
    sides = np.sqrt(areas) / 40
    assert sides.min() >= 0.74
    assert sides.max() <= 1.27
    assert sides.max() - sides.min() > 0.2


def test_a_shear_leans_and_nothing_more() -> None:
    bar = np.zeros((101, 101, 3), np.uint8)
    bar[20:81, 48:53] = 255
    for seed in range(20):
        leaning = augment(bar, 101, Augmentation(shear=10), _rng(seed))[..., 0] > 120
        assert leaning.sum(axis=1)[30:70] == pytest.approx(5, abs=1)


def test_colour_changes_stay_within_what_is_allowed() -> None:
    grey = np.full((8, 8, 3), 100, np.uint8)
    for seed in range(30):
        brighter = augment(grey, 8, Augmentation(brightness=0.2), _rng(seed))
        assert 80 - 1e-3 <= brighter.min() <= brighter.max() <= 120 + 1e-3
        assert brighter.std() == pytest.approx(0, abs=1e-4)
        tinted = augment(grey, 8, Augmentation(tint=0.1), _rng(seed))
        assert 90 - 1e-3 <= tinted.min() <= tinted.max() <= 110 + 1e-3
        # Without colour there is nothing to saturate, without a difference nothing to contrast.
        for how in (Augmentation(saturation=0.5), Augmentation(contrast=0.5)):
            np.testing.assert_allclose(augment(grey, 8, how, _rng(seed)), 100, atol=1e-3)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(sorted(RECIPES)),
    side=st.integers(16, 96),
    width=st.integers(20, 120),
)
def test_every_recipe_gives_pictures_a_network_can_read(
    seed: int, name: str, side: int, width: int
) -> None:
    original = np.asarray(picture(seed, (width, 50)))
    changed = augment(original, side, RECIPES[name].augmentation, _rng(seed))
    assert changed.shape == (side, side, 3)
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 255
    again = augment(original, side, RECIPES[name].augmentation, _rng(seed))
    np.testing.assert_array_equal(changed, again)
