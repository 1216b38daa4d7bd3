"""Bounds an image must keep to before any work is done on it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What is accepted.

    Attributes:
        max_bytes: size of the file.
        max_pixels: width × height as the header states it.
        min_side: the shorter side, in pixels.
        max_side: the longer side, in pixels (65 500 is the most JPEG can say).
    """

    max_bytes: int = 25 * 1024 * 1024
    max_pixels: int = 64_000_000
    min_side: int = 64
    max_side: int = 20_000


DEFAULT_LIMITS = Limits()
