"""Dermoscopic drawings of the nine lesion types, each with its textbook structures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlcore.drawing.canvas import SKIN_TONES, Canvas, check_kind, skin_texture, step

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image

    from mlcore.drawing.canvas import Field


def draw_dermoscopy(kind: str, *, seed: int, size: tuple[int, int] = (900, 675)) -> Image:
    """Draw a lesion as a dermatoscope shows it. This is a drawing, not a patient.

    Args:
        kind: one of :data:`DERMOSCOPY_KINDS`.
        seed: the same seed gives the same picture.
        size: (width, height) in pixels.

    Returns:
        A picture in mode RGB.

    Raises:
        ValueError: the kind is unknown.
    """
    check_kind(kind, DERMOSCOPY_KINDS)
    rng = np.random.Generator(np.random.PCG64(seed))
    tone = SKIN_TONES[str(rng.choice(["I", "II", "II", "III"]))]
    canvas = Canvas.blank(size, seed, tone)
    skin_texture(canvas)
    _PAINTERS[kind](canvas)
    if rng.random() < 0.5:  # noqa: PLR2004 - every second picture has hairs
        hairs = canvas.lines(int(rng.integers(3, 9)), width=0.012, length=1.4, bend=0.06)
        canvas.mix((48, 34, 28), 0.75 * hairs)
    # Contact fluid: a few bubbles, and the light falls off towards the rim.
    bubbles = canvas.dots(int(rng.integers(0, 5)), (0.015, 0.04), np.ones_like(canvas.x))
    canvas.mix((250, 244, 240), 0.25 * bubbles)
    radius = np.hypot(canvas.x, canvas.y)
    canvas.shade(1 - 0.32 * step(radius - 1.1, 0.9))
    return canvas.finish()


def _disc(canvas: Canvas, *, rough: float, soft: float, radius: float = 0.62) -> Field:
    cx, cy = canvas.rng.uniform(-0.1, 0.1, 2)
    size = radius * canvas.rng.uniform(0.85, 1.15)
    return canvas.blob(cx, cy, size, rough=rough, soft=soft)


def _network(canvas: Canvas, scale: float = 0.07) -> Field:
    """Return a honeycomb of lines: the pigment network."""
    a = np.abs(canvas.noise(scale))
    b = np.abs(canvas.noise(scale))
    return step(0.22 - np.minimum(a, b), 0.25)


def _nevus(canvas: Canvas) -> None:
    body = _disc(canvas, rough=0.10, soft=0.35)
    canvas.mix((150, 98, 66), 0.75 * body)
    canvas.mix((92, 56, 38), 0.5 * body * _network(canvas))
    centre = canvas.blob(0, 0, 0.25, rough=0.2, soft=0.9)
    canvas.mix((110, 68, 46), 0.5 * centre * body)


def _melanoma(canvas: Canvas) -> None:
    body = _disc(canvas, rough=0.2, soft=0.14, radius=0.62)
    canvas.mix((112, 66, 46), 0.85 * body)
    canvas.mix((52, 32, 28), 0.9 * body * step(canvas.noise(0.25, octaves=2) - 0.15, 0.5))
    canvas.mix((42, 26, 24), 0.6 * body * _network(canvas, 0.09))
    cx, cy = canvas.rng.uniform(-0.25, 0.25, 2)
    veil = canvas.blob(cx, cy, 0.28, rough=0.5, soft=0.6)
    canvas.mix((120, 132, 158), 0.65 * veil * body)
    cx, cy = canvas.rng.uniform(-0.35, 0.35, 2)
    canvas.mix((190, 110, 104), 0.55 * canvas.blob(cx, cy, 0.2, rough=0.5, soft=0.7) * body)
    rim = body * (1 - step(body - 0.9, 0.15))
    canvas.mix((30, 20, 20), 0.9 * canvas.dots(22, (0.012, 0.03), np.maximum(rim, body * 0.52)))


def _basal_cell_carcinoma(canvas: Canvas) -> None:
    body = _disc(canvas, rough=0.15, soft=0.5)
    canvas.mix((228, 170, 158), 0.7 * body)
    nests = canvas.dots(7, (0.06, 0.12), body, soft=0.8)
    canvas.mix((104, 104, 124), 0.75 * nests * body)
    thick = canvas.lines(9, width=0.016, length=1.1, bend=0.35)
    thin = canvas.lines(26, width=0.006, length=0.6, bend=0.5)
    canvas.mix((184, 36, 44), body * np.maximum(0.85 * thick, 0.7 * thin))
    canvas.mix((246, 226, 212), 0.5 * canvas.dots(3, (0.04, 0.09), body, soft=0.9))


def _dermatofibroma(canvas: Canvas) -> None:
    body = _disc(canvas, rough=0.08, soft=0.6, radius=0.55)
    canvas.mix((186, 128, 100), 0.6 * body)
    canvas.mix((140, 90, 66), 0.45 * body * _network(canvas, 0.06))
    patch = canvas.blob(0, 0, 0.24, rough=0.35, soft=0.7)
    canvas.mix((244, 224, 212), 0.85 * patch)


def _pigmented_benign_keratosis(canvas: Canvas) -> None:
    body = _disc(canvas, rough=0.18, soft=0.08)
    canvas.mix((168, 122, 84), 0.8 * body)
    ridges = step(np.sin(canvas.noise(0.35) * 9) - 0.1, 0.9)
    canvas.mix((120, 80, 52), 0.5 * body * ridges)
    canvas.mix((96, 66, 48), 0.6 * body * canvas.dots(26, (0.012, 0.022), body))


def _seborrheic_keratosis(canvas: Canvas) -> None:
    body = _disc(canvas, rough=0.14, soft=0.04)
    canvas.mix((134, 98, 70), 0.9 * body)
    canvas.shade(1 + 0.12 * body * canvas.noise(0.12, octaves=2))
    canvas.mix((238, 222, 190), 0.9 * canvas.dots(18, (0.012, 0.028), body, soft=0.5))
    canvas.mix((52, 36, 26), 0.85 * canvas.dots(14, (0.02, 0.045), body, soft=0.4))


def _squamous_cell_carcinoma(canvas: Canvas) -> None:
    body = _disc(canvas, rough=0.14, soft=0.3)
    canvas.mix((214, 132, 118), 0.8 * body)
    keratin = canvas.blob(0, 0, 0.26, rough=0.2, soft=0.4)
    canvas.mix((236, 206, 148), 0.9 * keratin)
    rings = canvas.dots(16, (0.03, 0.045), body, soft=0.3)
    cores = canvas.dots(16, (0.012, 0.018), body, soft=0.5)
    canvas.mix((250, 238, 228), 0.7 * rings * body)
    canvas.mix((196, 150, 96), 0.8 * cores * body)
    loops = canvas.lines(34, width=0.010, length=0.18, bend=0.9)
    canvas.mix((172, 34, 40), 0.8 * loops * body)


def _actinic_keratosis(canvas: Canvas) -> None:
    body = _disc(canvas, rough=0.3, soft=0.7)
    canvas.mix((222, 128, 112), 0.75 * body)
    holes = canvas.dots(60, (0.018, 0.032), body, soft=0.6)
    canvas.mix((240, 206, 184), 0.8 * holes * body)
    canvas.mix((222, 178, 120), 0.7 * canvas.dots(30, (0.008, 0.014), body))
    scale = step(canvas.noise(0.1, octaves=2) - 0.55, 0.4)
    canvas.mix((248, 238, 222), 0.7 * scale * body)


def _vascular_lesion(canvas: Canvas) -> None:
    body = _disc(canvas, rough=0.12, soft=0.15, radius=0.55)
    canvas.mix((186, 48, 58), 0.85 * body)
    lacunae = canvas.dots(22, (0.07, 0.13), body, soft=0.25)
    canvas.mix((122, 18, 40), 0.8 * lacunae * body)
    septa = step(0.12 - np.abs(canvas.noise(0.16)), 0.16)
    canvas.mix((226, 170, 178), 0.6 * septa * body)


_PAINTERS: dict[str, Callable[[Canvas], None]] = {
    "actinic_keratosis": _actinic_keratosis,
    "basal_cell_carcinoma": _basal_cell_carcinoma,
    "dermatofibroma": _dermatofibroma,
    "melanoma": _melanoma,
    "nevus": _nevus,
    "pigmented_benign_keratosis": _pigmented_benign_keratosis,
    "seborrheic_keratosis": _seborrheic_keratosis,
    "squamous_cell_carcinoma": _squamous_cell_carcinoma,
    "vascular_lesion": _vascular_lesion,
}
DERMOSCOPY_KINDS = tuple(_PAINTERS)
