"""How much somebody may do in a while: counts in windows of the clock, kept in the cache."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

MINUTE, HOUR = 60, 3600


@dataclass(frozen=True)
class Bound:
    """One limit, and how much of it is asked for.

    Attributes:
        name: distinguishes this limit from others of the same person or token.
        window: in seconds; counts begin anew with each.
        amount: what is asked for now.
        most: how much there is in one window.
    """

    name: str
    window: int
    amount: int
    most: int


def seconds_to_wait(who: str, bounds: Sequence[Bound]) -> int:
    """Count what is asked for and return after how many seconds it may be done, 0 for at once.

    Args:
        who: the person or token that is counted.
        bounds: what is asked for; all of it or nothing is granted.
    """
    now = _now()
    waits = [0]
    try:
        for bound in bounds:
            key = f"{bound.name}:{who}:{int(now // bound.window)}"
            cache.add(key, 0, timeout=2 * bound.window)
            if cache.incr(key, bound.amount) > bound.most:
                # Taken back, or who tries again and again would wait for ever.
                cache.decr(key, bound.amount)
                waits.append(int(bound.window - now % bound.window) + 1)
    except (RedisError, ValueError):
        # An image that is not taken in is worse than one too many; counts come back with Redis.
        logger.warning("Requests are not counted: the cache does not answer.")
        return 0
    return max(waits)


def wait_for_upload(*, user: str, length: int) -> int:
    """Count an upload of a person, from a page or from a program of theirs.

    Args:
        user: the person's key.
        length: bytes of the request.

    Returns:
        After how many seconds it may be sent.
    """
    return seconds_to_wait(
        user,
        (
            Bound("uploads:requests", MINUTE, 1, settings.UPLOAD_REQUESTS_PER_MINUTE),
            Bound("uploads:bytes", HOUR, length, settings.UPLOAD_BYTES_PER_HOUR),
        ),
    )


def _now() -> float:
    return time.time()
