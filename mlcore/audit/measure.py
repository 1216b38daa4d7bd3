"""What is measured on every file, in one pass: only a few kilobytes a picture stay in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mlcore.audit.layout import PICTURE_SUFFIXES
from mlcore.data.hashing import turned_hashes
from mlcore.imaging import DEFAULT_LIMITS, DISPLAY_SIDE, Format, ImageError, Limits, decode, sniff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from mlcore.audit.layout import Item

# Sides of the grids that are kept (for comparing) and looked at (for colour and borders).
THUMB_SIDE = 24
_LOOK_SIDE = 64
# A small picture is a finding of the audit, not a file that cannot be read.
_LIMITS = Limits(min_side=1)
_HEAD = 4096

# Borders and corners, on the 64 by 64 grid. A band is a border when it is this even, and either
# black or white; lightness L* runs from 0 to 100.
_EVEN = 6.0
_BLACK, _WHITE = 12.0, 94.0
_MIN_BAND = 3
_CORNER = 6
_DARK_CORNER, _LIT_CENTRE = 16.0, 30.0
# Chroma below this at the 99th percentile: nobody sees a colour.
_GREY_CHROMA = 4.0
_FLAT_SPREAD = 1.5
_PLAIN_STEP = 16
_PLAIN_REACH = 3
# CIE 1976 L*a*b*, from sRGB (IEC 61966-2-1) under D65.
_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.119192, 0.9503041],
    ]
)
_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004 - the standard's
_WHITE_POINT = np.array([0.95047, 1.0, 1.08883])


@dataclass(frozen=True)
class Facts:
    """What one readable picture shows.

    Attributes:
        width: in pixels, as it is looked at (turned upright).
        height: likewise.
        form: the format of its content, as Pillow names it.
        pixels: a digest of the decoded pixels and the size.
        hashes: uint64 array of shape (8, 4), see :func:`mlcore.data.hashing.turned_hashes`.
        thumb: uint8 array of shape (24, 24, 3), the picture squashed to a square.
        lightness: mean L*, 0 to 100.
        redness: mean a*: green below 0, red above.
        yellowness: mean b*: blue below 0, yellow above.
        contrast: standard deviation of L*.
        plain: share of the picture that has one and the same colour, 0 to 1.
        flat: it shows one colour only.
        grey: it shows no colour.
        border: share of the picture that even black or white bands along the edges take, 0 to 1.
        dark_corners: all four corners are black and the middle is not.
    """

    width: int
    height: int
    form: str
    pixels: str
    hashes: NDArray[np.uint64]
    thumb: NDArray[np.uint8]
    lightness: float
    redness: float
    yellowness: float
    contrast: float
    plain: float
    flat: bool
    grey: bool
    border: float
    dark_corners: bool


@dataclass(frozen=True)
class Measured:
    """A file after the pass.

    Attributes:
        item: the file.
        sha256: of its bytes, hexadecimal; "" when it cannot be read from the disk.
        facts: what it shows; None for a file that is no readable picture.
        fault: why it is none, one sentence; else "".
        picture: whether it is meant to be a picture: by its suffix, or its content is one.
        suffix_of: what the content is ("PNG") where the suffix says another format; else "".
    """

    item: Item
    sha256: str
    facts: Facts | None
    fault: str
    picture: bool
    suffix_of: str


def measure(
    items: Sequence[Item], *, tell: Callable[[int, int], None] | None = None
) -> Iterator[Measured]:
    """Yield every file measured, in the order given.

    Args:
        items: the files.
        tell: called with how many are done, and of how many.
    """
    for number, item in enumerate(items):
        yield measure_file(item)
        if tell:
            tell(number + 1, len(items))


def measure_file(item: Item) -> Measured:
    """Measure one file; a file that cannot be read becomes a fault, never an exception."""
    declared = PICTURE_SUFFIXES.get(item.path.suffix.lower(), "")
    try:
        data = _read(item)
    except OSError as error:
        fault = f"The file cannot be read from the disk: {error.strerror or error}."
        return Measured(item, "", None, fault, picture=True, suffix_of="")
    except ImageError as error:
        return Measured(item, _digest(item), None, first_sentence(error), True, "")  # noqa: FBT003
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        form = sniff(data)
    except ImageError as error:
        meant = bool(declared) or error.code not in {"not_an_image", "html", "empty"}
        return Measured(item, sha256, None, first_sentence(error), meant, "")
    suffix_of = "" if form.value == declared else form.value
    try:
        decoded = decode(data, limits=_LIMITS, at_least=DISPLAY_SIDE)
    except ImageError as error:
        return Measured(item, sha256, None, first_sentence(error), True, suffix_of)  # noqa: FBT003
    facts = facts_of(decoded.image, decoded.width, decoded.height, form)
    return Measured(item, sha256, facts, "", picture=True, suffix_of=suffix_of)


def open_picture(path: Path) -> Picture:
    """Return a picture that was measured, upright and in sRGB.

    Raises:
        OSError: the file cannot be read any more.
        ImageError: it is no picture any more.
    """
    return decode(path.read_bytes(), limits=_LIMITS, at_least=DISPLAY_SIDE).image


def first_sentence(error: ImageError) -> str:
    """Return what is wrong, without the advice meant for somebody who uploads."""
    return error.sentence.split(". ")[0].split(": the upload")[0].rstrip(".") + "."


def _read(item: Item) -> bytes:
    with item.path.open("rb") as stream:
        data = stream.read(DEFAULT_LIMITS.max_bytes + 1)
    if len(data) > DEFAULT_LIMITS.max_bytes:
        code = "too_many_bytes"
        raise ImageError(code)
    return data


def _digest(item: Item) -> str:
    with item.path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def facts_of(image: Picture, width: int, height: int, form: Format) -> Facts:
    """Measure a decoded picture.

    Args:
        image: mode RGB, upright, sRGB.
        width: of the original in pixels; a very large JPEG is decoded smaller.
        height: likewise.
        form: of its content.
    """
    digest = hashlib.blake2b(f"{image.width}x{image.height}:".encode(), digest_size=16)
    digest.update(image.tobytes())
    square = image.resize((_LOOK_SIDE, _LOOK_SIDE), Image.Resampling.BOX)
    lab = to_lab(np.asarray(square))
    lightness, chroma = lab[..., 0], np.hypot(lab[..., 1], lab[..., 2])
    means = lab.mean(axis=(0, 1))
    contrast = float(lightness.std())
    flat = contrast < _FLAT_SPREAD and float(chroma.std()) < _FLAT_SPREAD
    return Facts(
        width=width,
        height=height,
        form=form.value,
        pixels=digest.hexdigest(),
        hashes=turned_hashes(image),
        thumb=np.asarray(image.resize((THUMB_SIDE, THUMB_SIDE), Image.Resampling.BOX)),
        lightness=float(means[0]),
        redness=float(means[1]),
        yellowness=float(means[2]),
        contrast=contrast,
        plain=_plain_share(square),
        flat=flat,
        grey=float(np.percentile(chroma, 99)) < _GREY_CHROMA,
        border=0.0 if flat else _border_share(lightness),
        dark_corners=_has_dark_corners(lightness),
    )


def to_lab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return CIE L*a*b* of sRGB values.

    Args:
        rgb: uint8 array of shape (..., 3).

    Returns:
        float64 array of the same shape: L* from 0 to 100, a* and b* from about -128 to 127.
    """
    xyz = _LINEAR[rgb] @ _TO_XYZ.T / _WHITE_POINT
    cubes = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = cubes[..., 0], cubes[..., 1], cubes[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _plain_share(square: Picture) -> float:
    """Return the share of the picture within a few levels of its most common colour.

    Smooth skin changes slowly and so leaves these few levels; paper and paint do not.
    """
    pixels = np.asarray(square, dtype=np.int64).reshape(-1, 3)
    codes = (pixels // _PLAIN_STEP) @ (1, 16, 256)
    most = pixels[codes == np.bincount(codes).argmax()]
    apart = np.abs(pixels - np.median(most, axis=0)).max(axis=1)
    return float((apart <= _PLAIN_REACH).mean())


def _border_share(lightness: NDArray[np.float64]) -> float:
    """Return what even black or white bands along the edges take of a picture."""
    rows, columns = _bands(lightness), _bands(lightness.T)
    kept = (_LOOK_SIDE - sum(rows)) * (_LOOK_SIDE - sum(columns))
    return 1.0 - kept / (_LOOK_SIDE * _LOOK_SIDE)


def _bands(lightness: NDArray[np.float64]) -> tuple[int, int]:
    """Return how many lines at the top and at the bottom are an even black or white."""
    means = lightness.mean(axis=1)
    even = np.ptp(lightness, axis=1) < _EVEN
    bare = even & ((means < _BLACK) | (means > _WHITE))
    top = int(np.argmin(bare)) if not bare.all() else 0
    bottom = int(np.argmin(bare[::-1])) if not bare.all() else 0
    return (top if top >= _MIN_BAND else 0, bottom if bottom >= _MIN_BAND else 0)


def _has_dark_corners(lightness: NDArray[np.float64]) -> bool:
    ends = (slice(None, _CORNER), slice(-_CORNER, None))
    corners = max(float(lightness[rows, columns].mean()) for rows in ends for columns in ends)
    middle = slice(_LOOK_SIDE // 2 - _CORNER, _LOOK_SIDE // 2 + _CORNER)
    return corners < _DARK_CORNER and float(lightness[middle, middle].mean()) > _LIT_CENTRE
