"""What a person gets when something fails on our side: a mistake (500), or a part away (503).

Neither page asks the database for anything: it may be what fails.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from django.http import HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from classifier.services.outages import is_outage
from skinapp.logs import reference as current_reference

if TYPE_CHECKING:
    from django.http import HttpRequest

# PostgreSQL is back within seconds of a restart; a person who waits a minute finds it.
RETRY_SECONDS = 60
# A page that asks by itself may do so sooner.
_POLL_SECONDS = 10
_READING = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer a request that ended in an error; Django has the log tell the error, once."""
    reference = current_reference.get()
    if is_outage(sys.exc_info()[1]):
        return _unavailable(request, reference)
    return HttpResponse(render_to_string("500.html", {"reference": reference}), status=500)


def _unavailable(request: HttpRequest, reference: str) -> HttpResponse:
    """Say when to try again, in the form that was asked for.

    What was sent may be saved all the same: the answer to a commit can be lost, and the session is
    stored after the view is done.
    """
    if request.method in _READING:
        sentence = _("The server cannot answer right now. Nothing is lost. Try again in a minute.")
    else:
        sentence = _(
            "The server cannot answer right now. It is not certain that what you just sent was "
            "saved: look before you send it again. Try again in a minute."
        )
    response: HttpResponse
    if "application/json" in request.headers.get("Accept", ""):
        body = {"errors": {"images": [sentence]}, "reference": reference}
        response = JsonResponse(body, status=503)
    elif request.headers.get("HX-Request") == "true":
        # Never put into the page: static/js/unanswered.js shows the page's own words.
        response = HttpResponse(sentence, status=503, content_type="text/plain; charset=utf-8")
    else:
        context = {"reference": reference, "sentence": sentence}
        response = HttpResponse(render_to_string("503.html", context), status=503)
    asks_itself = request.headers.get("HX-Request") == "true"
    response.headers["Retry-After"] = str(_POLL_SECONDS if asks_itself else RETRY_SECONDS)
    response.headers["Cache-Control"] = "no-store, private"
    return response
