"""Whether a picture is usable at all, judged from its pixels before any network's answer counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

_LUMA = np.array([0.299, 0.587, 0.114])
_SIDE = 160
# Where our own lossless copies keep their quality. Another way to measure takes another number.
QUALITY_KEY = "skinapp-quality-1"
# Half the width of the blur that a picture is compared with, in pixels of 160.
_REBLUR = 2
# Side of the tiny copy in which only what is as large as a lesion is left.
_COARSE = 16
_ACROSS = np.tile(np.linspace(-1, 1, _COARSE), _COARSE)
# A slope of the light across the tiny copy, and what finds it by least squares.
_PLANE = np.stack([np.ones(_COARSE**2), _ACROSS, _ACROSS.reshape(_COARSE, -1).T.ravel()], axis=1)
_TO_PLANE = np.linalg.pinv(_PLANE)


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
NO_LESION = Fault(
    "no_lesion",
    "Nothing stands out from the skin around it. Bring the lesion into the middle of the frame and "
    "take it again.",
)
FAULTS = (BLANK, DARK, BRIGHT, BLURRED, NO_LESION)


@dataclass(frozen=True)
class QualityLimits:
    """Bounds of the gate, chosen so that hardly any training picture of a label set fails them.

    Attributes:
        min_spread: least standard deviation of the luma (0..255).
        min_luma: least 95th percentile of the luma.
        max_luma: greatest 5th percentile of the luma.
        min_sharpness: least sharpness, see :func:`measure`.
        min_detail: least detail; releases before 1.1.0 have no bound.
        min_contrast: least contrast; likewise.
    """

    min_spread: float
    min_luma: float
    max_luma: float
    min_sharpness: float
    min_detail: float = 0.0
    min_contrast: float = 0.0


@dataclass(frozen=True)
class Quality:
    """What the gate measures; see :class:`QualityLimits`."""

    spread: float
    high_luma: float
    low_luma: float
    sharpness: float
    detail: float
    contrast: float

    def written(self) -> str:
        """Return the measures as text, exactly: :meth:`read` makes the same of it again."""
        return " ".join(f"{name}={value!r}" for name, value in asdict(self).items())

    @classmethod
    def read(cls, text: str) -> Quality:
        """Return what :meth:`written` wrote.

        Raises:
            ValueError: it did not write this text.
        """
        found = dict(part.split("=", 1) for part in text.split(" "))
        if found.keys() != {entry.name for entry in fields(cls)}:
            msg = f"These are not the measures of a picture: {text[:80]!r}"
            raise ValueError(msg)
        return cls(**{name: float(value) for name, value in found.items()})


def stored_quality(image: Picture) -> Quality | None:
    """Return the quality that was written into our own lossless copy of a picture, if any was.

    It is what :func:`measure` says of the same pixels. Ask only a file whose hash is ours: anybody
    can write such a text into a picture, see ``encode_network_source``.

    Raises:
        ValueError: another text stands in its place.
    """
    said = image.info.get(QUALITY_KEY)
    return None if said is None else Quality.read(str(said))


def measure(image: Picture) -> Quality:
    """Measure a picture at 160 by 160.

    Sharpness is the 99th percentile of the gradient's length, relative to the spread: a soft but
    contrasted picture and a flat one are told apart.

    Detail is the share of the differences between neighbours that one more blur takes away (Crete
    et al., SPIE 6492, 2007): little where a picture is blurred already, whatever its contrast.

    Contrast is how far the lightest and the darkest, the reddest and the palest parts of a copy of
    16 by 16 lie apart (97th less 3rd percentile, the greatest of luma, red-green and yellow-blue),
    relative to the mean value, once a slope of the light across the picture is taken out. Pores and
    hairs do not reach it; a lesion does.
    """
    from PIL import Image  # noqa: PLC0415 - typing only at module level

    square = image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    luma: NDArray[np.float64] = np.asarray(square, dtype=np.float64) @ _LUMA
    low, high = np.percentile(luma, [5, 95])
    slopes: list[NDArray[np.float64]] = list(np.gradient(luma))
    spread = float(luma.std())
    return Quality(
        spread=spread,
        high_luma=float(high),
        low_luma=float(low),
        sharpness=_steepest(*slopes) / max(spread, 1.0),
        detail=_detail(luma),
        contrast=_contrast(image),
    )


def _steepest(down: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Return the 99th percentile of the gradient's length.

    Of the squares, in linear time: a root is only needed of the two that it lies between.
    """
    squares = (np.square(down) + np.square(right)).ravel()
    place = 0.99 * (squares.size - 1)
    below = int(place)
    above = min(below + 1, squares.size - 1)
    low, high = np.sqrt(np.partition(squares, (below, above))[[below, above]])
    return float(low + (high - low) * (place - below))


def _detail(luma: NDArray[np.float64]) -> float:
    """Return the detail of :func:`measure`: the lesser of down and across, 0 to 1."""
    found = []
    for axis in (0, 1):
        window = 2 * _REBLUR + 1
        pad = [(0, 0), (0, 0)]
        pad[axis] = (_REBLUR + 1, _REBLUR)
        total = np.cumsum(np.pad(luma, pad, mode="edge"), axis=axis)
        high = np.take(total, np.arange(window, total.shape[axis]), axis=axis)
        low = np.take(total, np.arange(total.shape[axis] - window), axis=axis)
        before = np.abs(np.diff(luma, axis=axis))
        after = np.abs(np.diff((high - low) / window, axis=axis))
        lost = np.maximum(before - after, 0).sum()
        found.append(float(lost / max(before.sum(), 1e-9)))
    return min(found)


def _contrast(image: Picture) -> float:
    """Return the contrast of :func:`measure`."""
    from PIL import Image  # noqa: PLC0415 - typing only at module level

    tiny = image.resize((_COARSE, _COARSE), Image.Resampling.BOX)
    red, green, blue = np.asarray(tiny, dtype=np.float64).reshape(-1, 3).T
    luma = np.stack([red, green, blue], axis=1) @ _LUMA
    colours = np.stack([luma, red - green, (red + green) / 2 - blue], axis=1) / max(luma.mean(), 1)
    even = colours - _PLANE @ (_TO_PLANE @ colours)
    low, high = np.percentile(even, [3, 97], axis=0)
    return float((high - low).max())


def fault_of(quality: Quality, limits: QualityLimits) -> Fault | None:
    """Return why the picture is not usable, or None when it is."""
    if quality.high_luma < limits.min_luma:
        return DARK
    if quality.low_luma > limits.max_luma:
        return BRIGHT
    if quality.spread < limits.min_spread:
        return BLANK
    if quality.sharpness < limits.min_sharpness or quality.detail < limits.min_detail:
        return BLURRED
    if quality.contrast < limits.min_contrast:
        return NO_LESION
    return None
