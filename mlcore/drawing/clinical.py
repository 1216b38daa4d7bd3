"""Clinical drawings: skin as a camera at arm's length shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlcore.drawing.canvas import SKIN_TONES, Canvas, check_kind, skin_texture, step

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image


def draw_clinical(
    kind: str,
    *,
    seed: int,
    size: tuple[int, int] = (900, 675),
    skin_type: str | None = None,
) -> Image:
    """Draw a skin condition as a photograph. This is a drawing, not a patient.

    Args:
        kind: one of :data:`CLINICAL_KINDS`.
        seed: the same seed gives the same picture.
        size: (width, height) in pixels.
        skin_type: Fitzpatrick type, a key of :data:`mlcore.drawing.canvas.SKIN_TONES`; drawn by
            chance when None.

    Returns:
        A picture in mode RGB.

    Raises:
        ValueError: the kind is unknown.
        KeyError: the skin type is unknown.
    """
    check_kind(kind, CLINICAL_KINDS)
    rng = np.random.Generator(np.random.PCG64(seed))
    tone = SKIN_TONES[skin_type or str(rng.choice(list(SKIN_TONES)))]
    canvas = Canvas.blank(size, seed, tone)
    skin_texture(canvas, depth=1.3)
    # The limb bends away to both sides, and the light comes from one corner.
    canvas.shade(1 - 0.16 * canvas.x**2)
    canvas.shade(1.03 - 0.10 * canvas.x * float(rng.choice([-1, 1])) - 0.06 * canvas.y)
    _PAINTERS[kind](canvas, tone)
    return canvas.finish(grain=2.5)


def _acne(canvas: Canvas, _tone: tuple[int, ...]) -> None:
    everywhere = step(canvas.noise(0.5) + 0.6, 0.6)
    canvas.mix((196, 70, 62), 0.55 * canvas.dots(26, (0.03, 0.065), everywhere, soft=1.2))
    canvas.mix((176, 50, 50), 0.7 * canvas.dots(18, (0.015, 0.03), everywhere, soft=0.8))
    canvas.mix((244, 226, 176), 0.9 * canvas.dots(9, (0.012, 0.02), everywhere, soft=0.5))
    canvas.mix((44, 32, 28), 0.7 * canvas.dots(34, (0.004, 0.008), everywhere))


def _melanoma(canvas: Canvas, _tone: tuple[int, ...]) -> None:
    cx, cy = canvas.rng.uniform(-0.2, 0.2, 2)
    body = canvas.blob(cx, cy, 0.28, rough=0.2, soft=0.12)
    canvas.mix((88, 54, 42), 0.9 * body)
    canvas.mix((34, 24, 24), 0.9 * body * step(canvas.noise(0.12, octaves=2), 0.5))
    part = canvas.blob(cx + 0.12, cy - 0.08, 0.1, rough=0.4, soft=0.6)
    canvas.mix((150, 84, 80), 0.6 * part * body)


def _peeling_skin(canvas: Canvas, tone: tuple[int, ...]) -> None:
    area = canvas.blob(0, 0, 0.75, rough=0.18, soft=0.5)
    canvas.mix((206, 116, 104), 0.5 * area)
    flakes = canvas.noise(0.14, octaves=3)
    edge = step(0.16 - np.abs(flakes), 0.12)
    pale = tuple(min(255.0, value * 0.5 + 132) for value in tone)
    canvas.mix(pale, 0.75 * area * step(flakes - 0.3, 0.3))
    canvas.mix((250, 242, 232), 0.7 * area * edge)
    canvas.shade(1 - 0.16 * area * step(0.06 - np.abs(flakes + 0.12), 0.08))


def _ring_worm(canvas: Canvas, _tone: tuple[int, ...]) -> None:
    cx, cy = canvas.rng.uniform(-0.12, 0.12, 2)
    outer = canvas.blob(cx, cy, 0.58, rough=0.12, soft=0.22)
    inner = canvas.blob(cx, cy, 0.42, rough=0.15, soft=0.4)
    ring = np.clip(outer - inner, 0, 1)
    canvas.mix((196, 74, 66), 0.75 * ring)
    canvas.mix((214, 140, 120), 0.3 * inner)
    scale = step(canvas.noise(0.05, octaves=2) - 0.2, 0.5)
    canvas.mix((246, 230, 218), 0.6 * ring * scale)
    canvas.mix((176, 50, 50), 0.6 * canvas.dots(40, (0.012, 0.026), ring, soft=0.6))


def _vitiligo(canvas: Canvas, _tone: tuple[int, ...]) -> None:
    patches = step(canvas.noise(0.55, octaves=2) - 0.25, 0.12)
    canvas.mix((247, 226, 214), 0.9 * patches)
    canvas.mix((228, 180, 166), 0.15 * patches * np.abs(canvas.noise(0.2)))


_PAINTERS: dict[str, Callable[[Canvas, tuple[int, ...]], None]] = {
    "acne": _acne,
    "melanoma": _melanoma,
    "peeling_skin": _peeling_skin,
    "ring_worm": _ring_worm,
    "vitiligo": _vitiligo,
}
CLINICAL_KINDS = tuple(_PAINTERS)
