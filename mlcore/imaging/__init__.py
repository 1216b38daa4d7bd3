"""From untrusted bytes to the pixels a network and a clinician see.

Training, ``python -m mlcore predict`` and the web application all come through
:func:`load_picture` and :func:`network_source`, so they see the same pixels.
"""

from mlcore.imaging.decode import DISPLAY_SIDE, Checked, Decoded, check, decode, load_picture
from mlcore.imaging.derive import (
    NETWORK_SOURCE_SIDE,
    encode_display,
    encode_network_source,
    encode_thumbnail,
    load_network_source,
    network_source,
    to_array,
)
from mlcore.imaging.errors import FAULTS, ImageError
from mlcore.imaging.limits import DEFAULT_LIMITS, Limits
from mlcore.imaging.sniff import Format, sniff

__all__ = [
    "DEFAULT_LIMITS",
    "DISPLAY_SIDE",
    "FAULTS",
    "NETWORK_SOURCE_SIDE",
    "Checked",
    "Decoded",
    "Format",
    "ImageError",
    "Limits",
    "check",
    "decode",
    "encode_display",
    "encode_network_source",
    "encode_thumbnail",
    "load_network_source",
    "load_picture",
    "network_source",
    "sniff",
    "to_array",
]
