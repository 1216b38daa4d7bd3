"""Whatever fails below /api/ is answered as problem details (RFC 9457) with a reference.

A body that is too long, an address that does not exist, a method that is not known, a fault of ours
and a database that is away are answered before or after the API's own code: by a page meant for
people, whose status and headers stay and whose words are replaced.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse
from django.utils.translation import gettext as _

from skinapp.logs import reference as current_reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

PREFIX = "/api/"
MEDIA_TYPE = "application/problem+json"
_WRONG = 400
# Headers about the body that is replaced.
_OF_THE_BODY = ("Content-Type", "Content-Length", "Content-Language", "Content-Encoding")


class ProblemMiddleware:
    """Puts every refusal and every fault below /api/ into one form."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Leave good answers and other addresses alone."""
        response = self.get_response(request)
        if response.status_code < _WRONG or not request.path_info.startswith(PREFIX):
            return response
        if response.headers.get("Content-Type") == MEDIA_TYPE:
            facts = json.loads(response.content)
        else:
            facts = _facts(response.status_code) | _said(response)
        body = json.dumps(facts | {"reference": current_reference.get()})
        answer = HttpResponse(body, status=response.status_code, content_type=MEDIA_TYPE)
        for name, value in response.headers.items():
            if name not in _OF_THE_BODY:
                answer.headers[name] = value
        return answer


def _said(response: HttpResponse) -> dict[str, str]:
    """Return the sentence of an answer in plain words."""
    if not response.headers.get("Content-Type", "").startswith("text/plain"):
        return {}
    return {"detail": response.content.decode()}


def _facts(status: int) -> dict[str, Any]:
    sentences = {
        400: _("The request cannot be read."),
        404: _("There is no such address."),
        405: _("This address does not know this method; “Allow” lists those it knows."),
        413: _("The body is too large."),
        503: _("The server cannot answer right now. Send the same request again in a minute."),
    }
    fallback = _("Something went wrong on our side. Tell the operator the reference.")
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": sentences.get(status, fallback),
    }
