"""The installation's bounds on an upload, as numbers and as words."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext as _

from mlcore.imaging import Limits

_MEGABYTE = 1024 * 1024
_MEGAPIXEL = 1_000_000


def current_limits() -> Limits:
    """Return the bounds from the settings."""
    return Limits(
        max_bytes=settings.INTAKE_MAX_BYTES,
        max_pixels=settings.INTAKE_MAX_PIXELS,
        min_side=settings.INTAKE_MIN_SIDE,
    )


def describe_limits() -> list[str]:
    """Return what may be sent, one short phrase each, for the upload form."""
    limits = current_limits()
    return [
        _("JPEG, PNG, WebP, TIFF, HEIC or BMP"),
        _("at most %(bytes)s MB and %(pixels)s megapixels each")
        % {
            "bytes": f"{limits.max_bytes / _MEGABYTE:g}",
            "pixels": f"{limits.max_pixels / _MEGAPIXEL:g}",
        },
        _("at least %(side)d pixels on the shorter side") % {"side": limits.min_side},
        _("up to %(files)d files at a time") % {"files": settings.INTAKE_MAX_FILES},
    ]


def explain_limit(code: str) -> str:
    """Return the sentence of a broken bound with the number in it; empty for other faults."""
    limits = current_limits()
    sentences = {
        "too_many_bytes": _(
            "The file is too large: at most %(bytes)s MB. Send a smaller or more compressed copy."
        )
        % {"bytes": f"{limits.max_bytes / _MEGABYTE:g}"},
        "too_many_pixels": _(
            "The picture has too many pixels: at most %(pixels)s megapixels and %(side)d pixels "
            "a side. Send it at a smaller size."
        )
        % {"pixels": f"{limits.max_pixels / _MEGAPIXEL:g}", "side": limits.max_side},
        "too_small": _(
            "The picture is too small to judge: its shorter side needs at least %(side)d pixels. "
            "Send it at its original size."
        )
        % {"side": limits.min_side},
    }
    return sentences.get(code, "")
