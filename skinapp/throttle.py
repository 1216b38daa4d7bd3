"""How much one person may upload: so many requests a minute, so many bytes an hour.

Counted before a byte of the body is read, by its declared length, in windows of the clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from classifier.services.rates import MINUTE, wait_for_upload
from skinapp.middleware import PAGES_WITH_FILES

if TYPE_CHECKING:
    from collections.abc import Callable


class UploadThrottleMiddleware:
    """Answers 429 to whoever uploads more than a person can take photographs of.

    What programs send is counted with it, where their token is looked at.
    """

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
        if request.method != "POST" or match is None or match.view_name not in PAGES_WITH_FILES:
            return None
        # Its form was found to be a number before.
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        wait = wait_for_upload(user=str(request.user.pk), length=length)
        return _too_many(request, wait) if wait else None


def _too_many(request: HttpRequest, wait: int) -> HttpResponse:
    minutes = -(-wait // MINUTE)
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
