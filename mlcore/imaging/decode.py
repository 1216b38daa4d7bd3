"""Decoding: bounded, upright, sRGB, eight bits, no alpha."""

from __future__ import annotations

import io
import logging
import struct
import threading
import warnings
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps

from mlcore.imaging.errors import ImageError
from mlcore.imaging.limits import DEFAULT_LIMITS, Limits
from mlcore.imaging.sniff import Format, sniff
from mlcore.imaging.structure import check_structure

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

logger = logging.getLogger(__name__)

# The longer side of what is stored and looked at. JPEG draft mode decodes at the smallest power
# of two above it, so this number also decides which pixels the networks see: a change of it
# needs new releases.
DISPLAY_SIDE = 1600

_HEIF_OPENER = threading.Lock()
_heif_registered = False
_SRGB = ImageCms.createProfile("sRGB")
_MOST_ICC = 4 * 1024 * 1024
_WHITE = (255, 255, 255)


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


def decode(
    data: bytes, *, limits: Limits = DEFAULT_LIMITS, at_least: int | None = None
) -> Decoded:
    """Decode a picture that nobody vouches for.

    Args:
        data: the whole file.
        limits: bounds, checked before any pixel is decoded.
        at_least: the longer side that will be needed; a JPEG may be decoded smaller than it is,
            but never below this.

    Raises:
        ImageError: the file is refused; nothing else is ever raised for a bad file.
    """
    if not data:
        raise ImageError("empty")  # noqa: EM101 - a code
    if len(data) > limits.max_bytes:
        raise ImageError("too_many_bytes")  # noqa: EM101 - a code
    found = sniff(data)
    with warnings.catch_warnings():
        # Pillow warns of odd but harmless metadata; a bomb is caught by our own, lower limit.
        warnings.simplefilter("ignore")
        try:
            opened = _open(data, found)
            _check_size(opened, limits)
            check_structure(data, found)
            return _decode(opened, found, at_least)
        except ImageError:
            raise
        except MemoryError as error:
            raise ImageError("too_many_pixels") from error  # noqa: EM101 - a code
        except Image.DecompressionBombError as error:
            raise ImageError("too_many_pixels") from error  # noqa: EM101 - a code
        except (
            OSError,
            ValueError,
            SyntaxError,
            TypeError,
            KeyError,
            IndexError,
            AttributeError,
            OverflowError,
            ZeroDivisionError,
            AssertionError,
            RuntimeError,
            EOFError,
            NotImplementedError,
            struct.error,
        ) as error:
            # Pillow's plug-ins let all of these out for broken files; the code is what matters.
            raise ImageError(_code_of(error, data, found)) from error


def load_picture(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """Decode for display and for the networks: the one way both training and serving use.

    Raises:
        ImageError: the file is refused.
    """
    return decode(data, limits=limits, at_least=DISPLAY_SIDE).image


def _code_of(error: Exception, data: bytes, found: Format) -> str:
    text = str(error).lower()
    if "truncated" in text or "cut off" in text or "not enough" in text or "unexpected end" in text:
        return "truncated"
    try:
        check_structure(data, found)
    except ImageError as fault:
        return fault.code
    except (struct.error, IndexError, ValueError):
        return "damaged"
    return "damaged"


def _open(data: bytes, found: Format) -> ImageFile.ImageFile:
    if found is Format.HEIF:
        _register_heif()
    return Image.open(io.BytesIO(data), formats=[found.value])


def _register_heif() -> None:
    global _heif_registered  # noqa: PLW0603 - Pillow's registry is global too
    with _HEIF_OPENER:
        if not _heif_registered:
            from pillow_heif import register_heif_opener  # noqa: PLC0415 - loads libheif

            register_heif_opener(thumbnails=False, disable_security_limits=False)
            _heif_registered = True


def _check_size(opened: Picture, limits: Limits) -> None:
    width, height = opened.size
    if width * height > limits.max_pixels or max(width, height) > limits.max_side:
        raise ImageError("too_many_pixels")  # noqa: EM101 - a code
    if min(width, height) < limits.min_side:
        raise ImageError("too_small")  # noqa: EM101 - a code


def _decode(opened: ImageFile.ImageFile, found: Format, at_least: int | None) -> Decoded:
    exif = opened.getexif()
    taken_at = _taken_at(exif)
    width, height = opened.size
    sideways = found is not Format.HEIF and exif.get(ExifTags.Base.Orientation, 1) in {5, 6, 7, 8}
    if found is Format.JPEG and at_least is not None:
        _draft(opened, at_least)
    # The first frame of an animation, the first page of a document.
    opened.load()
    profile = opened.info.get("icc_profile")
    # libheif has turned the picture already; turning it again would undo that.
    upright: Picture = opened if found is Format.HEIF else ImageOps.exif_transpose(opened)
    image = _to_srgb(upright, profile)
    clean = Image.frombytes("RGB", image.size, image.tobytes())
    if sideways:
        width, height = height, width
    return Decoded(clean, found, width, height, taken_at)


def _draft(opened: ImageFile.ImageFile, at_least: int) -> None:
    width, height = opened.size
    if opened.mode in {"L", "RGB"} and max(width, height) > at_least:
        scale = at_least / max(width, height)
        opened.draft(opened.mode, (max(1, int(width * scale)), max(1, int(height * scale))))


def _taken_at(exif: Image.Exif) -> datetime | None:
    try:
        details: dict[int, Any] = exif.get_ifd(ExifTags.IFD.Exif)
        text = details.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
        # The camera's clock has no zone; the caller knows where the clinic is.
        return datetime.strptime(str(text).strip("\x00 "), "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007
    except (ValueError, TypeError, KeyError, struct.error, SyntaxError, OverflowError):
        return None


def _to_srgb(image: Picture, profile: bytes | None) -> Picture:
    """Return mode RGB in sRGB on white."""
    image = _eight_bits(image)
    if image.mode in {"P", "PA"}:
        image = image.convert("RGBA" if _has_transparency(image) else "RGB")
    elif image.mode == "1" or (image.mode == "L" and "transparency" in image.info):
        image = image.convert("LA" if "transparency" in image.info else "L")
    elif image.mode == "RGB" and "transparency" in image.info:
        image = image.convert("RGBA")
    alpha = image.getchannel("A") if image.mode in {"LA", "RGBA", "La", "RGBa"} else None
    if image.mode in {"La", "RGBa"}:
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    colours = _colours(image)
    converted = _through_profile(colours, profile)
    if converted is None:
        converted = colours.convert("RGB")
    if alpha is None:
        return converted
    # Transparent parts carry no skin; white is what viewers show them on.
    backdrop = Image.new("RGB", converted.size, _WHITE)
    backdrop.paste(converted, mask=alpha)
    return backdrop


def _colours(image: Picture) -> Picture:
    if image.mode == "LA":
        return image.convert("L")
    if image.mode == "RGBA":
        return image.convert("RGB")
    if image.mode in {"L", "RGB", "CMYK", "LAB"}:
        return image
    return image.convert("RGB")


def _has_transparency(image: Picture) -> bool:
    return image.mode == "PA" or "transparency" in image.info


def _eight_bits(image: Picture) -> Picture:
    """Scale deeper pixels to eight bits; clipping them would turn a picture white."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image).astype(np.float64)
    if image.mode == "F":
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        # Scientific TIFFs hold 0..1 or arbitrary units: the former keep their black and white.
        low, high = (0.0, 1.0) if low >= 0.0 and high <= 1.0 else (low, high)
    else:
        low, high = 0.0, 65535.0 if values.max(initial=0) > 255 else 255.0  # noqa: PLR2004
    span = (high - low) or 1.0
    scaled = np.nan_to_num((values - low) / span * 255.0)
    return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def _through_profile(image: Picture, profile: bytes | None) -> Picture | None:
    """Convert by the embedded profile; a broken or foreign one is ignored, as viewers do."""
    if not profile or len(profile) > _MOST_ICC:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        logger.info("An embedded colour profile could not be used and was ignored.")
        return None
