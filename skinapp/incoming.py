"""Requests whose own words about their content cannot be read: 400, never a fault.

Django looks at ``Content-Type`` while it makes the request, where a fault is nobody's to answer,
and decodes address and form by the character set that stands there, be that ``rot13``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.utils.http import parse_header_parameters
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.http import HttpRequest

# Every page is sent in the first, and so is what comes back; the second is a part of it.
_CHARACTER_SETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
# What Python's parser of headers raises over parameters in parts (RFC 2231) that make no sense:
# TypeError where some are numbered and some are not, the others over their encodings.
_UNREADABLE = (ValueError, TypeError)


class Request(WSGIRequest):
    """A request that exists whatever its ``Content-Type`` holds, and is read as UTF-8.

    Attributes:
        readable: whether that header could be read.
    """

    readable = True

    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        # Django's own would set the encoding as well, and so read the address, here and now.
        try:
            found = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except _UNREADABLE:
            self.readable = False
            found = ("", {})
        self.content_type, self.content_params = found

    def parse_file_upload(self, META: Mapping[str, Any], post_data: Any) -> Any:  # noqa: N803 - Django's signature
        """Read a body of several parts.

        Raises:
            MultiPartParserError: it is none, or the header of one part makes no sense.
        """
        try:
            return super().parse_file_upload(META, post_data)
        except TypeError as error:
            raise MultiPartParserError("a part's header cannot be read") from error


class Application(WSGIHandler):
    """Django's WSGI application, for such requests."""

    request_class = Request


class ContentTypeMiddleware:
    """Refuses what does not say in a readable way that it is UTF-8, or nothing about it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer 400, or go on."""
        if not getattr(request, "readable", True):
            return _refused(_("The request's Content-Type cannot be read."))
        named = (request.content_params or {}).get("charset", "utf-8")
        if named.strip("\"' ").lower() not in _CHARACTER_SETS:
            return _refused(_("The request is in a character set other than UTF-8."))
        return self.get_response(request)


def _refused(sentence: str) -> HttpResponse:
    return HttpResponse(sentence, status=400, content_type="text/plain; charset=utf-8")
