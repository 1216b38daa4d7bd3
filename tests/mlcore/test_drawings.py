"""Drawn skin: the same for the same seed, of the size asked for, and good enough to look at."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlcore.drawing import (
    CLINICAL_KINDS,
    DERMOSCOPY_KINDS,
    NOT_SKIN_KINDS,
    draw_clinical,
    draw_dermoscopy,
    draw_not_skin,
    draw_plain_skin,
)
from mlcore.drawing.canvas import SKIN_TONES, Canvas

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image

SIZE = (160, 120)
DRAWINGS = [
    *(pytest.param(draw_dermoscopy, kind, id=f"dermoscopy-{kind}") for kind in DERMOSCOPY_KINDS),
    *(pytest.param(draw_clinical, kind, id=f"clinical-{kind}") for kind in CLINICAL_KINDS),
    *(pytest.param(draw_not_skin, kind, id=f"other-{kind}") for kind in NOT_SKIN_KINDS),
]


def _digest(image: Image) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


@pytest.mark.parametrize(("draw", "kind"), DRAWINGS)
def test_a_seed_always_gives_the_same_picture_and_another_seed_another(
    draw: Callable[..., Image], kind: str
) -> None:
    once = draw(kind, seed=1, size=SIZE)
    np.random.default_rng(5).normal()
    assert _digest(draw(kind, seed=1, size=SIZE)) == _digest(once)
    assert _digest(draw(kind, seed=2, size=SIZE)) != _digest(once)
    assert (once.mode, once.size) == ("RGB", SIZE)


@pytest.mark.parametrize("kind", DERMOSCOPY_KINDS)
@pytest.mark.parametrize("size", [(64, 64), (97, 131)])
def test_any_size_can_be_drawn(kind: str, size: tuple[int, int]) -> None:
    assert draw_dermoscopy(kind, seed=4, size=size).size == size


@pytest.mark.parametrize("kind", DERMOSCOPY_KINDS)
def test_a_lesion_stands_out_from_the_skin_around_it(kind: str) -> None:
    pixels = np.asarray(draw_dermoscopy(kind, seed=6, size=SIZE), dtype=float)
    red, green, blue = pixels.mean((0, 1))
    # Skin of the types that are drawn, with a lesion on it, is light and warm.
    assert 110 < red < 245
    assert red > green > blue - 12
    middle = pixels[45:75, 60:100].mean((0, 1))
    rim = np.concatenate([pixels[:, :12], pixels[:, -12:]], axis=1).mean((0, 1))
    assert np.abs(middle - rim).max() > 15


def test_lesions_have_the_colours_of_the_textbook() -> None:
    def middle(kind: str) -> np.ndarray:
        pictures = [draw_dermoscopy(kind, seed=seed, size=SIZE) for seed in range(4)]
        middles = [np.asarray(p, dtype=float)[40:80, 55:105] for p in pictures]
        return np.asarray(np.mean(middles, (0, 1, 2)))

    luma = np.array([0.299, 0.587, 0.114])
    assert middle("melanoma") @ luma < middle("nevus") @ luma < middle("dermatofibroma") @ luma
    red = {kind: middle(kind)[0] - middle(kind)[1] for kind in ("vascular_lesion", "nevus")}
    assert red["vascular_lesion"] > 2 * red["nevus"]


@pytest.mark.parametrize("kind", CLINICAL_KINDS)
def test_clinical_pictures_have_the_skin_that_was_asked_for(kind: str) -> None:
    means = [
        np.asarray(draw_clinical(kind, seed=3, size=SIZE, skin_type=tone), dtype=float).mean()
        for tone in SKIN_TONES
    ]
    assert means == sorted(means, reverse=True)
    assert means[0] - means[-1] > 40


def test_plain_skin_is_even_and_of_its_tone() -> None:
    for tone, colour in SKIN_TONES.items():
        pixels = np.asarray(draw_plain_skin(seed=1, size=SIZE, skin_type=tone), dtype=float)
        assert np.abs(pixels.mean((0, 1)) - colour).max() < 14
        assert 0.5 < pixels.std((0, 1)).max() < 16


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="Cannot draw 'acne'; there are actinic_keratosis"):
        draw_dermoscopy("acne", seed=1)
    with pytest.raises(ValueError, match="Cannot draw 'nevus'"):
        draw_clinical("nevus", seed=1)
    with pytest.raises(ValueError, match="Cannot draw 'cat'"):
        draw_not_skin("cat", seed=1)
    with pytest.raises(KeyError):
        draw_clinical("acne", seed=1, skin_type="VII")


def test_nothing_is_scattered_where_there_is_no_room() -> None:
    canvas = Canvas.blank((64, 64), 1, (0, 0, 0))
    assert not canvas.dots(5, (0.1, 0.2), np.zeros((64, 64))).any()
