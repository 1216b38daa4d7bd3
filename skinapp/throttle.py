"""How much one person may upload: so many requests a minute, so many bytes an hour.

Counted before a byte of the body is read, by its declared length, in windows of the clock.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from redis.exceptions import RedisError

from skinapp.middleware import TAKE_FILES

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

_MINUTE, _HOUR = 60, 3600


class UploadThrottleMiddleware:
    """Answers 429 to whoever uploads more than a person can take photographs of."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on."""
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, _view: Any, _arguments: Any, _keywords: Any
    ) -> HttpResponse | None:
        """Count an upload, and refuse it where it is one too many."""
        match = request.resolver_match
        if request.method != "POST" or match is None or match.view_name not in TAKE_FILES:
            return None
        # Its form was found to be a number before.
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        wait = seconds_to_wait(user=str(request.user.pk), length=length)
        return _too_many(request, wait) if wait else None


def seconds_to_wait(*, user: str, length: int) -> int:
    """Count an upload and return after how many seconds it may be sent, 0 for at once.

    Args:
        user: who sends it.
        length: bytes of the request.
    """
    now = _now()
    bounds = (
        ("requests", _MINUTE, 1, settings.UPLOAD_REQUESTS_PER_MINUTE),
        ("bytes", _HOUR, length, settings.UPLOAD_BYTES_PER_HOUR),
    )
    waits = [0]
    try:
        for name, window, amount, most in bounds:
            key = f"uploads:{name}:{user}:{int(now // window)}"
            cache.add(key, 0, timeout=2 * window)
            if cache.incr(key, amount) > most:
                # Taken back, or who tries again and again would wait for ever.
                cache.decr(key, amount)
                waits.append(int(window - now % window) + 1)
    except (RedisError, ValueError):
        # An image that is not taken in is worse than one too many; counts come back with Redis.
        logger.warning("Uploads are not counted: the cache does not answer.")
        return 0
    return max(waits)


def _now() -> float:
    return time.time()


def _too_many(request: HttpRequest, wait: int) -> HttpResponse:
    minutes = -(-wait // _MINUTE)
    sentence = ngettext(
        "You have sent very many images in a short time. Send the rest in %(minutes)d minute.",
        "You have sent very many images in a short time. Send the rest in %(minutes)d minutes.",
        minutes,
    ) % {"minutes": minutes}
    response: HttpResponse
    if "application/json" in request.headers.get("Accept", ""):
        response = JsonResponse({"errors": {"images": [sentence]}}, status=429)
    else:
        response = render(
            request, "429.html", {"title": _("Too many images"), "sentence": sentence}, status=429
        )
    response.headers["Retry-After"] = str(wait)
    return response
