"""Noise, fields and colours that every drawing is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float64]

# Typical skin colours for Fitzpatrick types I to VI, sRGB.
SKIN_TONES = {
    "I": (243, 214, 200),
    "II": (232, 194, 172),
    "III": (214, 170, 140),
    "IV": (180, 131, 98),
    "V": (132, 88, 62),
    "VI": (84, 55, 41),
}


@dataclass
class Canvas:
    """A picture in the making.

    Attributes:
        pixels: float64 (h, w, 3), 0..255.
        x: float64 (h, w), -1..1 across the shorter side, 0 in the middle.
        y: likewise, downwards.
        rng: the drawing's chance.
    """

    pixels: NDArray[np.float64]
    x: Field
    y: Field
    rng: np.random.Generator

    @classmethod
    def blank(cls, size: tuple[int, int], seed: int, colour: tuple[float, ...]) -> Canvas:
        """Return a canvas of one colour.

        Args:
            size: (width, height) in pixels.
            seed: of the drawing's chance.
            colour: sRGB, 0..255.
        """
        width, height = size
        half = min(size) / 2
        y, x = np.mgrid[0:height, 0:width].astype(np.float64)
        pixels = np.empty((height, width, 3))
        pixels[:] = colour
        rng = np.random.Generator(np.random.PCG64(seed))
        return cls(pixels, (x - width / 2) / half, (y - height / 2) / half, rng)

    def noise(self, scale: float, *, octaves: int = 1) -> Field:
        """Return smooth noise of mean 0 and about ±1.

        Args:
            scale: size of the blobs, in halves of the shorter side.
            octaves: finer layers added at half the strength each.
        """
        height, width = self.x.shape
        total = np.zeros((height, width))
        strength = 1.0
        for octave in range(octaves):
            blob = max(1.5, scale / 2**octave * min(width, height) / 2)
            rows, columns = int(height / blob) + 3, int(width / blob) + 3
            grid = self.rng.normal(size=(rows, columns)).astype(np.float32)
            image = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
            total += strength * np.asarray(image, dtype=np.float64)
            strength /= 2
        return total / 1.2

    def mix(self, colour: tuple[float, ...], amount: Field | float) -> None:
        """Blend towards a colour; ``amount`` is 0 to 1, per pixel or for all."""
        share = np.clip(np.asarray(amount), 0, 1)
        self.pixels += (np.array(colour) - self.pixels) * (
            share[..., None] if share.ndim else share
        )

    def shade(self, factor: Field | float) -> None:
        """Multiply the brightness."""
        gain = np.asarray(factor)
        self.pixels *= gain[..., None] if gain.ndim else gain

    def blob(self, cx: float, cy: float, radius: float, *, rough: float, soft: float) -> Field:
        """Return a soft-edged irregular disc: 1 inside, 0 outside.

        Args:
            cx: middle, in the canvas's coordinates.
            cy: middle.
            radius: of the disc.
            rough: how far the edge wanders, as a share of the radius.
            soft: width of the edge, as a share of the radius.
        """
        dx, dy = self.x - cx, self.y - cy
        angle = np.arctan2(dy, dx)
        edge = np.full_like(angle, radius)
        for wave in range(2, 9):
            phase, size = self.rng.uniform(0, 2 * np.pi), self.rng.normal() * rough / wave
            edge += radius * size * np.cos(wave * angle + phase)
        distance = np.hypot(dx, dy)
        return step(edge - distance, soft * radius)

    def dots(
        self, count: int, size: tuple[float, float], within: Field, *, soft: float = 0.4
    ) -> Field:
        """Return ``count`` small discs scattered where ``within`` is above one half."""
        rows, columns = np.nonzero(within > 0.5)  # noqa: PLR2004 - inside
        field = np.zeros_like(self.x)
        if rows.size == 0:
            return field
        half = min(self.x.shape) / 2
        for pick in self.rng.integers(0, rows.size, count):
            radius = self.rng.uniform(*size) * half
            reach = int(radius * (1 + soft)) + 2
            r, c = int(rows[pick]), int(columns[pick])
            top, left = max(0, r - reach), max(0, c - reach)
            window = field[top : r + reach + 1, left : c + reach + 1]
            yy, xx = np.mgrid[top : top + window.shape[0], left : left + window.shape[1]]
            disc = step(radius - np.hypot(yy - r, xx - c), max(1.0, soft * radius))
            np.maximum(window, disc, out=window)
        return field

    def lines(self, count: int, *, width: float, length: float, bend: float) -> Field:
        """Return curved strokes such as hairs or vessels, 0 to 1."""
        height, total_width = self.x.shape
        half = min(height, total_width) / 2
        canvas = Image.new("L", (total_width, height), 0)
        from PIL import ImageDraw  # noqa: PLC0415 - one use

        pen = ImageDraw.Draw(canvas)
        for _ in range(count):
            x, y = self.rng.uniform(0, total_width), self.rng.uniform(0, height)
            heading = self.rng.uniform(0, 2 * np.pi)
            points = []
            for _step in range(14):
                points.append((x, y))
                heading += self.rng.normal() * bend
                x += np.cos(heading) * length * half / 14
                y += np.sin(heading) * length * half / 14
            pen.line(points, fill=255, width=max(1, round(width * half)), joint="curve")
        return np.asarray(canvas.filter(ImageFilter.GaussianBlur(0.7)), dtype=np.float64) / 255

    def finish(self, *, grain: float = 2.0) -> Image.Image:
        """Return the picture with a little sensor noise."""
        noisy = self.pixels + self.rng.normal(scale=grain, size=self.pixels.shape)
        return Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def step(value: Field, width: float) -> Field:
    """Return a smooth step from 0 (below -width/2) to 1 (above width/2)."""
    t = np.clip(value / max(width, 1e-9) + 0.5, 0, 1)
    smooth: Field = t * t * (3 - 2 * t)
    return smooth


def skin_texture(canvas: Canvas, *, depth: float = 1.0) -> None:
    """Give a canvas of plain skin its mottling, its fine furrows and its pores."""
    canvas.shade(1 + 0.035 * depth * canvas.noise(0.5, octaves=3))
    furrows = np.abs(canvas.noise(0.05)) * np.abs(canvas.noise(0.07))
    canvas.shade(1 - 0.05 * depth * step(0.12 - furrows, 0.16))
    canvas.mix((205, 120, 105), 0.05 * depth * np.clip(canvas.noise(0.3), 0, 1))


def check_kind(kind: str, kinds: tuple[str, ...]) -> None:
    """Refuse a kind that cannot be drawn.

    Raises:
        ValueError: the kind is unknown; the message lists the known ones.
    """
    if kind not in kinds:
        msg = f"Cannot draw {kind!r}; there are {', '.join(kinds)}."
        raise ValueError(msg)
