"""Pictures that the gates must recognise: plain skin, and things that are not skin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import ImageDraw

from mlcore.drawing.canvas import SKIN_TONES, Canvas, check_kind, skin_texture, step

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

NOT_SKIN_KINDS = ("text page", "checkerboard", "landscape", "noise")


def draw_plain_skin(
    *, seed: int, size: tuple[int, int] = (900, 675), skin_type: str = "II"
) -> Picture:
    """Draw skin without a lesion."""
    canvas = Canvas.blank(size, seed, SKIN_TONES[skin_type])
    skin_texture(canvas)
    return canvas.finish()


def draw_not_skin(kind: str, *, seed: int, size: tuple[int, int] = (900, 675)) -> Picture:
    """Draw something that is not skin.

    Args:
        kind: one of :data:`NOT_SKIN_KINDS`.
        seed: the same seed gives the same picture.
        size: (width, height) in pixels.

    Raises:
        ValueError: the kind is unknown.
    """
    check_kind(kind, NOT_SKIN_KINDS)
    canvas = Canvas.blank(size, seed, (246, 244, 238))
    if kind == "noise":
        canvas.pixels = canvas.rng.uniform(0, 255, canvas.pixels.shape)
    elif kind == "checkerboard":
        squares = (np.floor(canvas.x * 4) + np.floor(canvas.y * 4)) % 2
        canvas.mix((24, 24, 28), squares)
    elif kind == "landscape":
        canvas.mix((96, 152, 214), step(-canvas.y, 1.6))
        hills = canvas.y - 0.2 + 0.18 * np.sin(canvas.x * 3) + 0.05 * canvas.noise(0.3, octaves=3)
        canvas.mix((62, 112, 52), step(hills, 0.03))
    else:
        return _text_page(canvas)
    return canvas.finish(grain=1.0)


def _text_page(canvas: Canvas) -> Picture:
    page = canvas.finish(grain=1.0)
    pen = ImageDraw.Draw(page)
    line = max(4, page.height // 28)
    for top in range(line, page.height - line, line + line // 2):
        left = line
        while left < page.width - 3 * line:
            word = int(canvas.rng.integers(line, 4 * line))
            pen.rectangle((left, top, min(left + word, page.width - line), top + line // 3), "#222")
            left += word + line // 2
    return page
