"""Class activation maps as small pictures to lay over the image."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Side of the overlay; the browser stretches it over the picture.
OVERLAY_SIDE = 256
# Five stops of a scale that grows steadily in lightness from violet to yellow, so that it reads
# in grey and with colour blindness too (after matplotlib's "plasma" idea, own numbers).
_STOPS = np.array(
    [[40, 14, 110], [122, 22, 140], [204, 70, 98], [244, 138, 60], [252, 232, 90]], dtype=float
)
_MOST_ALPHA = 215


def overlay_png(facts: dict[str, Any]) -> bytes:
    """Return a stored map as a PNG with transparency: nothing where the network found nothing.

    Args:
        facts: ``height``, ``width`` and ``values`` (0..255, row by row) of one label.
    """
    values = np.array(facts["values"], dtype=np.uint8).reshape(facts["height"], facts["width"])
    smooth = Image.fromarray(values).resize((OVERLAY_SIDE, OVERLAY_SIDE), Image.Resampling.BICUBIC)
    strength = np.asarray(smooth, dtype=float) / 255
    rgba = np.dstack([_colour(strength), np.clip(strength * 1.15, 0, 1) * _MOST_ALPHA])
    buffer = io.BytesIO()
    Image.fromarray(np.rint(rgba).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _colour(strength: NDArray[Any]) -> NDArray[Any]:
    position = np.clip(strength, 0, 1) * (len(_STOPS) - 1)
    grid = np.arange(len(_STOPS))
    return np.stack(
        [np.interp(position, grid, _STOPS[:, channel]) for channel in range(3)], axis=-1
    )
