"""Letting the bytes of an image out, which is recorded."""

from __future__ import annotations

import logging
from typing import IO, TYPE_CHECKING

from django.core.cache import cache
from django.db import transaction
from redis.exceptions import RedisError

from classifier.services import audit

if TYPE_CHECKING:
    from django.db.models.fields.files import FieldFile

    from classifier.models import Image, User

logger = logging.getLogger(__name__)

DISPLAY = "display"
THUMBNAIL = "thumbnail"
# The lossless copy the network reads is nobody's to fetch.
VARIANTS = (DISPLAY, THUMBNAIL)
_THUMBNAIL_SECONDS = 3600


def open_bytes(*, image: Image, variant: str, by: User) -> IO[bytes]:
    """Open one of the stored copies and record that the person looked at it.

    The display copy is recorded each time; a thumbnail, of which a list shows thirty and polls
    none, once an hour for each person and image.

    Args:
        image: an image that ``by`` may see.
        variant: one of ``VARIANTS``.
        by: who looks at it.

    Raises:
        FileNotFoundError: the file is not where the row says; logged.
    """
    stored: FieldFile = getattr(image, variant)
    try:
        opened: IO[bytes] = stored.storage.open(stored.name or "", "rb")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        logger.exception("image %s has no %s file", image.pk, variant)
        raise FileNotFoundError(variant) from error
    if variant == DISPLAY or _is_news(image, by):
        with transaction.atomic():
            audit.record(
                action="image.viewed",
                actor=by,
                clinic_id=image.clinic_id,
                subject=image,
                variant=variant,
            )
    return opened


def _is_news(image: Image, by: User) -> bool:
    """Tell whether the person has not seen the image's thumbnail within the hour."""
    try:
        return bool(cache.add(f"thumbnail:{by.pk}:{image.pk}", 1, timeout=_THUMBNAIL_SECONDS))
    except RedisError:
        # Without a memory, rather one event too many.
        return True
