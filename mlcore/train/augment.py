"""Changing a training picture at random: geometry in one resampling, colour in one pass."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlcore.train.recipes import Augmentation

# ITU-R BT.601 luma, the grey that saturation mixes with.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def augment(
    picture: NDArray[np.uint8], side: int, how: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return one random variant of a picture.

    Args:
        picture: uint8 array of shape (h, w, 3).
        side: pixels of the square result.
        how: how much to change.
        rng: the source of chance.

    Returns:
        float32 array of shape (side, side, 3), 0..255.
    """
    image = Image.fromarray(picture)
    warped = image.transform(
        (side, side),
        Image.Transform.AFFINE,
        _affine(image.size, side, how, rng),
        resample=Image.Resampling.BILINEAR,
        fillcolor=tuple(int(v) for v in picture.mean((0, 1))),
    )
    return _recolour(np.asarray(warped, dtype=np.float32), how, rng)


def _affine(
    size: tuple[int, int], side: int, how: Augmentation, rng: np.random.Generator
) -> tuple[float, ...]:
    """Return Pillow's six numbers: they take a result pixel to its place in the picture."""
    turn = math.radians(rng.uniform(-how.rotation, how.rotation))
    slant = math.tan(math.radians(rng.uniform(-how.shear, how.shear)))
    scale = 1.0 / (1.0 + rng.uniform(-how.zoom, how.zoom))
    flip_x = -1.0 if how.flip_horizontal and rng.random() < 0.5 else 1.0  # noqa: PLR2004
    flip_y = -1.0 if how.flip_vertical and rng.random() < 0.5 else 1.0  # noqa: PLR2004
    move = rng.uniform(-how.shift, how.shift, 2)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    shear = np.array([[1.0, slant], [0.0, 1.0]])
    # Unit square to unit square about the centre, then to the picture's own pixels: a picture
    # that is not square is squashed exactly as the serving path squashes it.
    unit = rotation @ shear @ np.diag([scale * flip_x, scale * flip_y])
    offset = np.array([0.5, 0.5]) + move - unit @ np.array([0.5, 0.5])
    matrix = np.diag(size) @ unit / side
    origin = np.diag(size) @ offset
    return (matrix[0, 0], matrix[0, 1], origin[0], matrix[1, 0], matrix[1, 1], origin[1])


def _recolour(
    picture: NDArray[np.float32], how: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    if not (how.brightness or how.contrast or how.saturation or how.tint):
        return picture
    grey = (picture @ _LUMA)[..., None]
    vivid = grey + (picture - grey) * np.float32(1 + rng.uniform(-1, 1) * how.saturation)
    mean = np.float32(grey.mean())
    contrasted = mean + (vivid - mean) * np.float32(1 + rng.uniform(-1, 1) * how.contrast)
    gain = 1 + rng.uniform(-1, 1) * how.brightness + rng.uniform(-1, 1, 3) * how.tint
    return np.clip(contrasted * gain.astype(np.float32), 0, 255).astype(np.float32)
