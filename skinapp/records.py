"""What PostgreSQL keeps with every version of a row: who wrote it, and from which page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pghistory
from django.http import HttpRequest, HttpResponse

GetResponse = Callable[[HttpRequest], HttpResponse]
_READING = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class HistoryMiddleware:
    """Tells the versioning triggers the person and the name of the page, never its address."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Surround what may write; reading a page costs nothing."""
        if request.method in _READING or not request.user.is_authenticated:
            return self.get_response(request)
        with pghistory.context(user=str(request.user.pk)):
            return self.get_response(request)

    def process_view(
        self,
        request: HttpRequest,
        view: Any,  # noqa: ARG002 - Django's signature
        args: Any,  # noqa: ARG002
        kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Add the page's name, which is known by now."""
        if request.method not in _READING and request.resolver_match is not None:
            pghistory.context(page=request.resolver_match.view_name)
