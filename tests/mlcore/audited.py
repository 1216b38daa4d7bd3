"""Folders to audit: clean ones, and pictures that show one planted fault each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (120, 96)
CLASSES = ("nevus", "melanoma")


def skin(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return skin with a lesion of its own shape; no two seeds look alike, colours are near."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(-14, 15, (9, 9, 1)) + np.array([205, 160, 140]) + rng.integers(-6, 7, 3)
    image = Image.fromarray(coarse.clip(0, 255).astype(np.uint8)).resize(
        (240, 192), Image.Resampling.BICUBIC
    )
    pen = ImageDraw.Draw(image)
    for _ in range(5):
        x, y = rng.integers(60, 180), rng.integers(50, 140)
        wide, high = rng.integers(12, 40, 2)
        colour = tuple(int(c) for c in np.array([140, 90, 75]) + rng.integers(-30, 31))
        pen.ellipse((x - wide, y - high, x + wide, y + high), fill=colour)
    return image.resize(size, Image.Resampling.BICUBIC)


def put_picture(path: Path, image: Image.Image, form: str | None = None, **options: int) -> Path:
    """Save a picture under folders that are made first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, form, **options)
    return path


def clean_set(root: Path, *, splits: tuple[str, ...] = ("train", "test"), each: int = 12) -> Path:
    """Write a set with nothing wrong: two classes, so many PNG pictures of each a split."""
    seed = 0
    for split in splits:
        for label in CLASSES:
            for _ in range(each):
                put_picture(root / split / label / f"image-{seed:03d}.png", skin(seed))
                seed += 1
    return root
