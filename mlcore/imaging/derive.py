"""The stored copies: display, thumbnail, and the small lossless source the networks read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mlcore.imaging.decode import DISPLAY_SIDE, load_picture
from mlcore.imaging.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

# The shorter side kept for the networks: above every input size in use (up to 260 px), so that a
# later release can read the same stored copy.
NETWORK_SOURCE_SIDE = 320
THUMBNAIL_SIDE = 320
_DISPLAY_QUALITY = 90
_THUMBNAIL_QUALITY = 82
# A panorama's longer side would otherwise be unbounded in the lossless copy.
_MOST_SOURCE_SIDE = 1280


def network_source(image: Picture) -> Picture:
    """Return the copy that networks read: aspect kept, shorter side at most 320 px, never enlarged.

    Args:
        image: mode RGB, upright, sRGB.
    """
    scale = min(
        1.0,
        NETWORK_SOURCE_SIDE / min(image.size),
        _MOST_SOURCE_SIDE / max(image.size),
    )
    return _scaled(image, scale)


def load_network_source(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """Decode a file and return what the networks read of it.

    Raises:
        ImageError: the file is refused.
    """
    return network_source(load_picture(data, limits=limits))


def to_array(image: Picture, side: int) -> NDArray[np.uint8]:
    """Return a square of the image, squashed and antialiased.

    The nine-class archive is published squashed to a square, so a network trained on it must be
    shown every picture that way.

    Args:
        image: mode RGB.
        side: pixels of the square.

    Returns:
        uint8 array of shape (side, side, 3), RGB, 0..255.
    """
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.uint8)


def encode_display(image: Picture) -> bytes:
    """Return a JPEG without metadata whose longer side is at most 1600 px."""
    small = _scaled(image, min(1.0, DISPLAY_SIDE / max(image.size)))
    return _jpeg(small, quality=_DISPLAY_QUALITY, subsampling=0)


def encode_thumbnail(image: Picture) -> bytes:
    """Return a JPEG without metadata whose longer side is at most 320 px."""
    small = _scaled(image, min(1.0, THUMBNAIL_SIDE / max(image.size)))
    return _jpeg(small, quality=_THUMBNAIL_QUALITY, subsampling=2)


def encode_network_source(image: Picture) -> bytes:
    """Return a lossless PNG without metadata."""
    buffer = io.BytesIO()
    # Level 1 is three times as fast as the default for a few per cent more bytes.
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _scaled(image: Picture, scale: float) -> Picture:
    if scale >= 1.0:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def _jpeg(image: Picture, *, quality: int, subsampling: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()
