"""The stored copies: display, thumbnail, and the small lossless source the networks read."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mlcore.imaging.decode import DISPLAY_SIDE, load_picture
from mlcore.imaging.limits import DEFAULT_LIMITS, Limits
from mlcore.quality import QUALITY_KEY, measure

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
    """Return a lossless PNG whose only text is the picture's quality.

    A worker decodes it for every prediction, so it is neither compressed nor filtered: 0.4 ms
    instead of 5.7 ms, and 0.7 ms instead of 12 ms to write, for about twice the bytes (410 kB for
    427 by 320 pixels). The quality is measured here, once, on the very pixels: see
    :func:`mlcore.quality.stored_quality`.

    Args:
        image: mode RGB.
    """
    pixels = np.asarray(image, dtype=np.uint8)
    height, width, channels = pixels.shape
    # Each row begins with the number of its filter: 0, none.
    rows = np.zeros((height, 1 + channels * width), dtype=np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    said = f"{QUALITY_KEY}\0{measure(image).written()}".encode("latin-1")
    parts = (
        (b"IHDR", header),
        (b"tEXt", said),
        (b"IDAT", zlib.compress(rows.tobytes(), 0)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG (ISO/IEC 15948, 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _scaled(image: Picture, scale: float) -> Picture:
    if scale >= 1.0:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def _jpeg(image: Picture, *, quality: int, subsampling: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()
