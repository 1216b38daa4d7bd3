"""Small image sets with the layout of the public ones, drawn by chance from a seed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mlcore.labels import label_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Where the project's own sets lie, on a machine that has them.
REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def picture(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """Return a blurred pattern that looks like no other seed's."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def put(path: Path, seed: int, *, quality: int = 92, size: tuple[int, int] = (96, 80)) -> Path:
    """Write the picture of a seed and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed, size).save(path, "JPEG", quality=quality)
    return path


def make_folder_set(
    root: Path, key: str, *, train: int = 10, test: int = 2, first_seed: int = 1000
) -> None:
    """Write a set with so many pictures of every label, no two alike."""
    seed = first_seed
    for label in label_set(key).labels:
        for split, count in (("train", train), ("test", test)):
            for _ in range(count):
                put(root / key / split / label.folder / f"ISIC_{seed:07d}.jpg", seed)
                seed += 1


def make_ham(root: Path, rows: Iterable[tuple[str, str, str, int]]) -> None:
    """Write HAM10000: rows of image id, lesion id, diagnosis and seed of the picture."""
    folder = root / "ham10000" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with (root / "ham10000" / "metadata.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"])
        for image, lesion, diagnosis, seed in rows:
            put(folder / f"{image}.jpg", seed)
            writer.writerow([lesion, image, diagnosis, "histo", "50", "female", "back"])


def make_published_groups(root: Path, groups: Sequence[Sequence[str]]) -> None:
    """Write ``isic9/near_duplicate_groups.csv``."""
    path = root / "isic9" / "near_duplicate_groups.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["group", "image"])
        writer.writerows([number, name] for number, group in enumerate(groups) for name in group)
