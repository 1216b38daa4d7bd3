"""Whether a picture is usable at all, judged from its pixels before any network's answer counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

_LUMA = np.array([0.299, 0.587, 0.114])
_SIDE = 160


@dataclass(frozen=True)
class Fault:
    """Why a picture is not usable.

    Attributes:
        code: stable name.
        sentence: what is wrong and how to take a better one.
    """

    code: str
    sentence: str


BLANK = Fault("blank", "The picture shows one flat colour. Check the lens and take it again.")
DARK = Fault("too_dark", "The picture is too dark to judge. Add light and take it again.")
BRIGHT = Fault("too_bright", "The picture is overexposed. Use less light and take it again.")
BLURRED = Fault("blurred", "The picture is out of focus. Hold still, focus and take it again.")
FAULTS = (BLANK, DARK, BRIGHT, BLURRED)


@dataclass(frozen=True)
class QualityLimits:
    """Bounds of the gate, chosen so that hardly any training picture of a label set fails them.

    Attributes:
        min_spread: least standard deviation of the luma (0..255).
        min_luma: least 95th percentile of the luma.
        max_luma: greatest 5th percentile of the luma.
        min_sharpness: least sharpness, see :func:`measure`.
    """

    min_spread: float
    min_luma: float
    max_luma: float
    min_sharpness: float


@dataclass(frozen=True)
class Quality:
    """What the gate measures; see :class:`QualityLimits`."""

    spread: float
    high_luma: float
    low_luma: float
    sharpness: float


def measure(image: Picture) -> Quality:
    """Measure a picture at 160 by 160.

    Sharpness is the 99th percentile of the gradient's length, relative to the spread: a soft but
    contrasted picture and a flat one are told apart.
    """
    from PIL import Image  # noqa: PLC0415 - typing only at module level

    square = image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    luma: NDArray[np.float64] = np.asarray(square, dtype=np.float64) @ _LUMA
    low, high = np.percentile(luma, [5, 95])
    down, right = np.gradient(luma)
    length = np.hypot(down, right)
    spread = float(luma.std())
    return Quality(
        spread=spread,
        high_luma=float(high),
        low_luma=float(low),
        sharpness=float(np.percentile(length, 99)) / max(spread, 1.0),
    )


def fault_of(quality: Quality, limits: QualityLimits) -> Fault | None:
    """Return why the picture is not usable, or None when it is."""
    if quality.high_luma < limits.min_luma:
        return DARK
    if quality.low_luma > limits.max_luma:
        return BRIGHT
    if quality.spread < limits.min_spread:
        return BLANK
    if quality.sharpness < limits.min_sharpness:
        return BLURRED
    return None
