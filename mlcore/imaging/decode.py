"""Decoding: bounded, upright, sRGB, eight bits, no alpha."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageFile, JpegImagePlugin

from mlcore.imaging.colour import to_srgb
from mlcore.imaging.completeness import check_complete
from mlcore.imaging.directories import CameraFacts, read_camera_facts
from mlcore.imaging.errors import ImageError
from mlcore.imaging.limits import DEFAULT_LIMITS, Limits
from mlcore.imaging.sniff import Format, sniff
from mlcore.imaging.structure import inspect

if TYPE_CHECKING:
    from datetime import datetime

    from PIL.Image import Image as Picture

    from mlcore.imaging.seen import Seen

# The longer side of what is stored and looked at. JPEG draft mode decodes at the smallest power
# of two above it, so this number also decides which pixels the networks see: a change of it
# needs new releases.
DISPLAY_SIDE = 1600

_HEIF_OPENER = threading.Lock()
_heif_registered = False
# Exif's orientations; from the fifth on, width and height change places.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FIRST_SIDEWAYS = 5
# Pillow's plug-ins let all of these out for broken files.
_FAULTS_OF_DECODERS = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    EOFError,
    BufferError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class Checked:
    """A file whose container was found sound and within the limits; no pixel is decoded yet.

    Attributes:
        format: what the content is.
        pixels: width x height as the header states it.
        seen: what else its structure says.
    """

    format: Format
    pixels: int
    seen: Seen


@dataclass(frozen=True)
class Decoded:
    """A picture ready for use.

    Attributes:
        image: upright sRGB, mode RGB, without metadata.
        format: what the content was.
        width: of the upright original in pixels (draft mode may have decoded fewer).
        height: likewise.
        taken_at: the camera's own clock, without a time zone, or None.
    """

    image: Picture
    format: Format
    width: int
    height: int
    taken_at: datetime | None


def check(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Checked:
    """Look at a file's kind, stated size and structure, without decoding anything.

    Args:
        data: the whole file.
        limits: bounds.

    Raises:
        ImageError: the file is refused.
    """
    if not data:
        raise ImageError("empty")
    if len(data) > limits.max_bytes:
        raise ImageError("too_many_bytes")
    found = sniff(data)
    seen = inspect(data, found)
    _check_most(seen.width, seen.height, limits)
    if seen.fault is not None:
        raise seen.fault
    return Checked(found, seen.width * seen.height, seen)


def decode(
    data: bytes,
    *,
    limits: Limits = DEFAULT_LIMITS,
    at_least: int | None = None,
    checked: Checked | None = None,
) -> Decoded:
    """Decode a picture that nobody vouches for.

    Args:
        data: the whole file.
        limits: bounds, checked before any pixel is decoded.
        at_least: the longer side that will be needed; a JPEG may be decoded smaller than it is,
            but never below this.
        checked: what :func:`check` said of the same bytes within the same limits, if it was
            asked already.

    Raises:
        ImageError: the file is refused; nothing else is ever raised for a bad file.
    """
    checked = checked or check(data, limits=limits)
    found, seen = checked.format, checked.seen
    with warnings.catch_warnings():
        # Pillow warns of odd but harmless metadata; a bomb is caught by our own, lower limit.
        warnings.simplefilter("ignore")
        try:
            opened = _open(data, found)
            size = opened.size
            _check_most(*size, limits)
            if min(size) < limits.min_side:
                raise ImageError("too_small")
            facts = read_camera_facts(_camera_block(opened, seen))
            if found is Format.JPEG and at_least is not None:
                _draft(opened, at_least)
            # The first frame of an animation, the first page of a document.
            opened.load()
            if found is not Format.JPEG:
                # libheif learns the true size only while it decodes.
                size = opened.size
                _check_most(*size, limits)
            check_complete(data, found, opened, seen.end)
            return _finish(opened, found, size, facts)
        except ImageError:
            raise
        except (MemoryError, Image.DecompressionBombError) as error:
            raise ImageError("too_many_pixels") from error
        except _FAULTS_OF_DECODERS as error:
            raise ImageError(_code_of(error, found)) from error


def load_picture(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """Decode for display and for the networks: the one way both training and serving use.

    Raises:
        ImageError: the file is refused.
    """
    return decode(data, limits=limits, at_least=DISPLAY_SIDE).image


def _code_of(error: Exception, found: Format) -> str:
    # A HEIF was seen to be whole already: what its codec misses was never in the file.
    early = found is not Format.HEIF and "truncated" in str(error).lower()
    return "truncated" if early else "damaged"


def _open(data: bytes, found: Format) -> ImageFile.ImageFile:
    if found is Format.JPEG:
        # Not through Image.open: that would also parse the index of a multi-picture file, whose
        # first picture is the one wanted.
        return JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    if found is Format.HEIF:
        _register_heif()
    return Image.open(io.BytesIO(data), formats=[found.value])


def _register_heif() -> None:
    global _heif_registered  # noqa: PLW0603 - Pillow's registry is global too
    with _HEIF_OPENER:
        if not _heif_registered:
            from pillow_heif import register_heif_opener  # noqa: PLC0415 - loads libheif

            register_heif_opener(thumbnails=False)
            _heif_registered = True


def _check_most(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise ImageError("too_many_pixels")
    if max(width, height) > limits.max_side:
        raise ImageError("too_long")


def _finish(
    opened: ImageFile.ImageFile, found: Format, size: tuple[int, int], facts: CameraFacts
) -> Decoded:
    """Turn, convert and strip a loaded picture; ``size`` is what it was before draft mode."""
    width, height = size
    image = to_srgb(opened, opened.info.get("icc_profile"))
    # Not needed any more, and as large as its copy.
    opened.close()
    # Pillow has turned a TIFF already and libheif a HEIF; turning it again would undo that.
    if found not in {Format.TIFF, Format.HEIF} and facts.orientation in _TURNS:
        image = image.transpose(_TURNS[facts.orientation])
        if facts.orientation >= _FIRST_SIDEWAYS:
            width, height = height, width
    return Decoded(image, found, width, height, facts.taken_at)


def _camera_block(opened: ImageFile.ImageFile, seen: Seen) -> bytes:
    """Return the block of camera facts, which libheif hands over and the others hold openly."""
    block = seen.exif or opened.info.get("exif")
    return block.removeprefix(b"Exif\x00\x00") if isinstance(block, bytes) else b""


def _draft(opened: ImageFile.ImageFile, at_least: int) -> None:
    width, height = opened.size
    if opened.mode in {"L", "RGB"} and max(width, height) > at_least:
        scale = at_least / max(width, height)
        opened.draft(opened.mode, (max(1, int(width * scale)), max(1, int(height * scale))))
