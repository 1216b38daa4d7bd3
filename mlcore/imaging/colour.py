"""Any of Pillow's modes to eight-bit sRGB without alpha, a band of rows at a time.

A picture of 64 megapixels takes 256 MB in memory. Converted as a whole, it would be held four or
five times over; in bands it is held twice.
"""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageCms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

logger = logging.getLogger(__name__)

_BAND_ROWS = 256
_SRGB = ImageCms.createProfile("sRGB")
_MOST_ICC = 4 * 1024 * 1024
_WHITE = (255, 255, 255)
_DEEP = {"I", "I;16", "I;16L", "I;16B", "I;16N", "F"}
_BYTE, _SHORT = 255, 65_535


def to_srgb(opened: Picture, profile: bytes | None) -> Picture:
    """Return a new picture: mode RGB, sRGB, transparent parts on white, without metadata.

    Args:
        opened: a loaded picture of any mode.
        profile: its embedded ICC profile; one that is broken or foreign is ignored, as viewers
            do.
    """
    to_eight = _to_eight_bits(opened) if opened.mode in _DEEP else None
    through: Callable[[Picture], Picture] | None = None
    clean = Image.new("RGB", opened.size)
    for top, band in _bands(opened):
        plain = _without_palette(to_eight(band) if to_eight else band)
        alpha = plain.getchannel("A") if plain.mode in {"LA", "RGBA"} else None
        colours = _colours(plain)
        if through is None:
            through = _conversion(colours.mode, profile)
        # Transparent parts carry no skin; white is what viewers show them on.
        if alpha is not None:
            clean.paste(_WHITE, (0, top, band.width, top + band.height))
        clean.paste(through(colours), (0, top), alpha)
    return clean


def _bands(picture: Picture) -> Iterator[tuple[int, Picture]]:
    for top in range(0, picture.height, _BAND_ROWS):
        bottom = min(top + _BAND_ROWS, picture.height)
        yield top, picture.crop((0, top, picture.width, bottom))


def _without_palette(image: Picture) -> Picture:
    """Return mode L, LA, RGB, RGBA or a printing or measuring one."""
    transparent = "transparency" in image.info
    if image.mode in {"La", "RGBa"}:
        return image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode == "1" or (image.mode == "L" and transparent):
        return image.convert("LA" if transparent else "L")
    if image.mode in {"P", "PA"}:
        return image.convert("RGBA" if transparent or image.mode == "PA" else "RGB")
    if image.mode == "RGB" and transparent:
        return image.convert("RGBA")
    return image


def _colours(image: Picture) -> Picture:
    if image.mode == "LA":
        return image.convert("L")
    return image if image.mode in {"L", "RGB", "CMYK", "LAB"} else image.convert("RGB")


def _conversion(mode: str, profile: bytes | None) -> Callable[[Picture], Picture]:
    """Return what turns bands of that mode into sRGB."""
    if profile is None and mode == "LAB":
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    if profile and len(profile) <= _MOST_ICC:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            transform = ImageCms.buildTransform(source, _SRGB, mode, "RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            logger.info("An embedded colour profile could not be used and was ignored.")
        else:
            return transform.apply
    return lambda band: band if band.mode == "RGB" else band.convert("RGB")


def _to_eight_bits(picture: Picture) -> Callable[[Picture], Picture]:
    """Return what scales bands of deeper pixels; clipping them would turn a picture white."""
    low, high = np.inf, -np.inf
    for _, band in _bands(picture):
        values = _finite(band)
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    if picture.mode != "F":
        # Some devices write eight bits into wider numbers.
        low, high = 0.0, float(_BYTE if high <= _BYTE else max(high, _SHORT))
    elif low >= 0.0 and high <= 1.0:
        # Scientific TIFFs hold 0..1 or arbitrary units: the former keep their black and white.
        low, high = 0.0, 1.0
    span = (high - low) or 1.0

    def scaled(band: Picture) -> Picture:
        values = (_finite(band).astype(np.float64) - low) / span * _BYTE
        return Image.fromarray(np.rint(values).clip(0, _BYTE).astype(np.uint8))

    return scaled


def _finite(band: Picture) -> NDArray[Any]:
    """Return the values; what is no number counts as nothing."""
    values = np.asarray(band)
    return np.where(np.isfinite(values), values, np.zeros(1, values.dtype))
