"""Response headers and request bounds that hold for every page."""

import math
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve
from django.utils.translation import gettext as _

from classifier.services.claims import new_reference
from skinapp.logs import reference as current_reference

GetResponse = Callable[[HttpRequest], HttpResponse]
_MOST_DIGITS = 18
# The pages that take files, and with them the API's operation that takes one.
PAGES_WITH_FILES = frozenset({"image_upload", "analysis_new", "import_list"})
TAKE_FILES = PAGES_WITH_FILES | {"api:image_upload"}


class ReferenceMiddleware:
    """Gives every request a short reference and sends it along as ``X-Reference``.

    A person reads it out, the operator searches the log for it, and it names no patient.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Draw the reference, and forget it when the answer is there."""
        reference = new_reference()
        before = current_reference.set(reference)
        try:
            response = self.get_response(request)
        finally:
            current_reference.reset(before)
        response.headers["X-Reference"] = reference
        return response


class PermissionsPolicyMiddleware:
    """Tells the browser which device features the pages may use (only the camera)."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Add the ``Permissions-Policy`` header."""
        response = self.get_response(request)
        response.headers.setdefault("Permissions-Policy", settings.PERMISSIONS_POLICY)
        return response


class BodySizeMiddleware:
    """Refuses a request whose declared length is over the limit before a byte of it is read.

    Only the upload pages take files; whatever a stranger sends elsewhere would otherwise be written
    down in full while the form's token is looked for in it.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer 413 to an over-long body, 400 to a length that is not a number."""
        declared = request.META.get("CONTENT_LENGTH") or "0"
        # ASCII, because int() fails on some digits of other scripts, and short, because it refuses
        # to read thousands of them.
        if not (declared.isascii() and declared.isdigit()):
            return HttpResponse(
                _("The request's length is not a number."), status=400, content_type="text/plain"
            )
        length = int(declared) if len(declared) <= _MOST_DIGITS else math.inf
        most = min(settings.REQUEST_MAX_BYTES, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        if length > most and _takes_files(request.path_info):
            most = settings.REQUEST_MAX_BYTES
        return self.get_response(request) if length <= most else _too_large(request, most)


def _takes_files(path: str) -> bool:
    try:
        return resolve(path).view_name in TAKE_FILES
    except Resolver404:
        return False


def _too_large(request: HttpRequest, most: int) -> HttpResponse:
    limit = most // (1024 * 1024)
    sentence = _("The upload is too large: at most %(limit)d MB at a time.") % {"limit": limit}
    if "application/json" in request.headers.get("Accept", ""):
        return JsonResponse({"errors": {"images": [sentence]}}, status=413)
    return render(request, "413.html", {"sentence": sentence}, status=413)


class SaneCookiesMiddleware:
    """Drops a cookie that holds NUL: the session's key goes to PostgreSQL, which fails over it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Go on with the cookies that can be ones of ours."""
        for name in [name for name, value in request.COOKIES.items() if "\x00" in value]:
            del request.COOKIES[name]
        return self.get_response(request)


class NoStoreMiddleware:
    """Keeps pages about patients out of browser and proxy caches."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Mark every answer to a signed-in person as not to be stored."""
        response = self.get_response(request)
        user = getattr(request, "user", None)
        if user is not None and user.is_authenticated:
            response.headers["Cache-Control"] = "no-store, private"
        return response
