"""What the quality gate refuses: own pictures, and the same with faults put into them.

Plain-skin crops from the corners of dermoscopic pictures stand in for "no lesion in view". They are
a poor stand-in: small, hence soft, and often with a vignette or hairs.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from mlcore.bundle import latest, load_release
from mlcore.data.outside import drawn_plain_skin, drawn_skin
from mlcore.data.sets import data_root
from mlcore.data.splits import load_split
from mlcore.gating import spread_over
from mlcore.quality import FAULTS, fault_of, measure
from mlcore.release import quality_limits
from mlcore.train.pictures import Pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL.Image import Image as Picture

    from mlcore.quality import QualityLimits

_SEED = 1
_MOST, _QUICK = 1000, 100
_BLURS = (0.5, 1, 1.5, 2, 3, 5)
_MOTIONS = (3, 5, 8)
_LIGHTS = (0.1, 0.2, 0.4, 2, 4)


def run(*, quick: bool) -> str:
    """Fit the gate on the training pictures of both label sets and measure it.

    Args:
        quick: 100 pictures of each part instead of 1000.

    Returns:
        A Markdown section: the share refused in per cent, by what was named.
    """
    root, most = data_root(), _QUICK if quick else _MOST
    lines = ["## Quality gate: pictures refused, in per cent"]
    for key in ("isic9", "clinical5"):
        release = load_release(latest(key))
        with_ham = bool(release.manifest["recipe"].get("with_ham"))
        parts = load_split(key, root, seed=_SEED, with_ham=with_ham)
        own = {}
        for name in ("train", "calibration", "validation"):
            chosen = [parts[name][int(i)] for i in spread_over(len(parts[name]), most)]
            own[name] = Pictures(chosen, release.labels.keys)
        limits = quality_limits(own["train"])
        images = [Image.fromarray(array) for array in own["validation"].arrays]
        rows = {
            f"own, {name}": [Image.fromarray(array) for array in part.arrays]
            for name, part in own.items()
        }
        rows |= {name: [spoil(image) for image in images] for name, spoil in _spoilt().items()}
        modality = release.labels.modality
        if modality == "dermoscopy":
            rows["corners, a quarter of the side"] = [_corner(image) for image in images]
        rows["drawn lesions"] = drawn_skin(modality, seeds=(11,))
        rows["drawn skin of type I to VI, no lesion"] = drawn_plain_skin(seeds=(11, 12))
        named = [fault.code for fault in FAULTS]
        lines += ["", f"### {key}", "", f"{limits}", ""]
        lines += [f"| pictures | images | refused | {' | '.join(named)} |"]
        lines += ["|---" * (3 + len(named)) + "|"]
        lines += [_row(name, pictures, limits) for name, pictures in rows.items()]
    return "\n".join(lines)


def _row(name: str, pictures: Sequence[Picture], limits: QualityLimits) -> str:
    faults = [fault_of(measure(picture), limits) for picture in pictures]
    found = Counter(fault.code for fault in faults if fault is not None)
    shares = [found.total(), *(found[fault.code] for fault in FAULTS)]
    cells = [f"{share / len(pictures) * 100:.1f}" for share in shares]
    return f"| {name} | {len(pictures)} | {' | '.join(cells)} |"


def _spoilt() -> dict[str, Callable[[Picture], Picture]]:
    """Return ways to spoil a picture, by name."""
    ways: dict[str, Callable[[Picture], Picture]] = {}
    ways |= {
        f"blurred by {percent} % of the side": partial(_blurred, percent) for percent in _BLURS
    }
    ways |= {f"moved by {percent} % of the side": partial(_moved, percent) for percent in _MOTIONS}
    ways |= {f"light times {factor}": partial(_lit, factor) for factor in _LIGHTS}
    return ways


def _blurred(percent: float, image: Picture) -> Picture:
    return image.filter(ImageFilter.GaussianBlur(percent / 100 * min(image.size)))


def _lit(factor: float, image: Picture) -> Picture:
    return ImageEnhance.Brightness(image).enhance(factor)


def _moved(percent: float, image: Picture) -> Picture:
    """Return the mean of the picture and its shifted copies: a hand that moved sideways."""
    pixels = np.asarray(image, dtype=np.float64)
    steps = max(2, round(percent / 100 * min(image.size)))
    moved = np.mean([np.roll(pixels, step, axis=1) for step in range(steps)], axis=0)
    return Image.fromarray(moved[:, steps:].astype(np.uint8))


def _corner(image: Picture) -> Picture:
    return image.crop((0, 0, image.width // 4, image.height // 4))
