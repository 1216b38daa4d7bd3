"""From an upload to the three stored copies, without metadata."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from classifier.intake.limits import current_limits, explain_limit
from mlcore.imaging import (
    DISPLAY_SIDE,
    ImageError,
    decode,
    encode_display,
    encode_network_source,
    encode_thumbnail,
    network_source,
)

if TYPE_CHECKING:
    from datetime import datetime

    from django.core.files.uploadedfile import UploadedFile


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not a fault of ours
    """An upload is not a fit picture.

    Attributes:
        code: one of ``mlcore.imaging.FAULTS``.
    """

    def __init__(self, code: str, sentence: str) -> None:
        self.code = code
        super().__init__(sentence)


@dataclass(frozen=True)
class Accepted:
    """A fit picture, ready to be stored.

    Attributes:
        original_sha256: hex digest of the bytes as sent; they are not kept.
        format: what the content was ("JPEG").
        byte_size: of the upload.
        width: of the upright original in pixels.
        height: likewise.
        taken_at: the camera's own clock, without a time zone, or None.
        display: JPEG, longer side at most 1600 px.
        thumbnail: JPEG, longer side at most 320 px.
        network_source: lossless PNG, what the networks read.
        network_source_sha256: hex digest of ``network_source``.
    """

    original_sha256: str
    format: str
    byte_size: int
    width: int
    height: int
    taken_at: datetime | None
    display: bytes
    thumbnail: bytes
    network_source: bytes
    network_source_sha256: str


def accept(upload: UploadedFile) -> Accepted:
    """Look at an upload's content and cut the stored copies from it; touches no disk.

    Raises:
        Refused: with the sentence for the person.
    """
    limits = current_limits()
    if upload.size is not None and upload.size > limits.max_bytes:
        raise _refused("too_many_bytes")
    upload.seek(0)
    data = upload.read(limits.max_bytes + 1)
    try:
        picture = decode(data, limits=limits, at_least=DISPLAY_SIDE)
    except ImageError as error:
        raise _refused(error.code, error.sentence) from error
    source = encode_network_source(network_source(picture.image))
    return Accepted(
        original_sha256=hashlib.sha256(data).hexdigest(),
        format=picture.format.value,
        byte_size=len(data),
        width=picture.width,
        height=picture.height,
        taken_at=picture.taken_at,
        display=encode_display(picture.image),
        thumbnail=encode_thumbnail(picture.image),
        network_source=source,
        network_source_sha256=hashlib.sha256(source).hexdigest(),
    )


def _refused(code: str, sentence: str = "") -> Refused:
    # The sentences of ``mlcore`` are translated here: it knows nothing of languages.
    return Refused(code, explain_limit(code) or _(sentence))
