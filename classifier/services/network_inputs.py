"""The picture that a network looks at, as it was stored."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

from PIL import Image as Pillow

from mlcore.quality import stored_quality

if TYPE_CHECKING:
    from classifier.models import Image
    from mlcore.quality import Quality


class InputFaultError(Exception):
    """The stored input of one analysis cannot be used; trying again will not help.

    Attributes:
        code: the failure code shown with the analysis.
    """

    def __init__(self, code: str) -> None:
        """Keep the code."""
        self.code = code
        super().__init__(code)


def stored_input(image: Image) -> tuple[Pillow.Image, Quality | None]:
    """Return an image's input for the network (RGB) and the quality that was stored in it.

    Raises:
        InputFaultError: the file is missing, or is not the one that was stored.
    """
    try:
        with image.network_source.open("rb") as stream:
            data = stream.read()
    except FileNotFoundError as error:
        raise InputFaultError("input_missing") from error
    if hashlib.sha256(data).hexdigest() != image.network_source_sha256:
        raise InputFaultError("input_changed")
    # The file is our own lossless copy and its hash is right, so no gate is needed here.
    picture = Pillow.open(io.BytesIO(data), formats=["PNG"]).convert("RGB")
    return picture, stored_quality(picture)
