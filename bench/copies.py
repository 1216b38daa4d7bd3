"""How many copies of real pictures an audit recognises, by what was done to them."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from mlcore.audit.layout import read_layout
from mlcore.audit.measure import facts_of, open_picture
from mlcore.audit.pairs import LIKENESS, NEAR_BITS, likeness_of, turn_thumb
from mlcore.data.sets import data_root
from mlcore.imaging import Format

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image as Picture

    from mlcore.audit.measure import Facts

_SEED = 1
_PICTURES = 200
_QUICK = 40


def _jpeg(quality: int) -> Callable[[Picture], Picture]:
    def change(image: Picture) -> Picture:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return change


def _crop(share: float) -> Callable[[Picture], Picture]:
    def change(image: Picture) -> Picture:
        x, y = (round(side * share / 2) for side in image.size)
        return image.crop((x, y, image.width - x, image.height - y))

    return change


COPIES: dict[str, Callable[[Picture], Picture]] = {
    "JPEG quality 75": _jpeg(75),
    "JPEG quality 20": _jpeg(20),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "squashed to a square": lambda image: image.resize((128, 128)),
    "30 % darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "half the contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.5),
    "colour taken out": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "blurred (radius 2)": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "mirrored": ImageOps.mirror,
    "turned by 90°": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned by 180°": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "cropped by 2 %": _crop(0.02),
    "cropped by 5 %": _crop(0.05),
    "cropped by 10 %": _crop(0.10),
    "turned by 3°": lambda image: image.rotate(3, Image.Resampling.BICUBIC),
    "turned by 10°": lambda image: image.rotate(10, Image.Resampling.BICUBIC),
}


def recognised(one: Facts, other: Facts) -> bool:
    """Tell whether an audit calls two pictures the same."""
    for turn in range(len(other.hashes)):
        bits = int(np.bitwise_count(one.hashes[0] ^ other.hashes[turn]).sum())
        alike = likeness_of(one.thumb, turn_thumb(other.thumb, turn))
        if bits <= NEAR_BITS and alike >= LIKENESS:
            return True
    return False


def run(*, quick: bool) -> str:
    """Copy pictures of HAM10000 in sixteen ways and count the copies that are recognised.

    Args:
        quick: 40 pictures instead of 200.

    Returns:
        A Markdown section.
    """
    items = list(read_layout(data_root() / "ham10000" / "images").items)
    random.Random(_SEED).shuffle(items)  # noqa: S311 - a sample, no secret
    chosen = items[: _QUICK if quick else _PICTURES]
    found = dict.fromkeys(COPIES, 0)
    for item in chosen:
        image = open_picture(item.path)
        facts = facts_of(image, *image.size, Format.JPEG)
        for name, change in COPIES.items():
            copy = change(image)
            found[name] += recognised(facts, facts_of(copy, *copy.size, Format.JPEG))
    lines = [f"## Copies that an audit recognises ({len(chosen)} pictures of HAM10000)", ""]
    lines += ["| copy | recognised |", "|---|---|"]
    lines += [f"| {name} | {number / len(chosen):.1%} |" for name, number in found.items()]
    return "\n".join(lines)
